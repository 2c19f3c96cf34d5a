"""genba demo: a simulated plant with real servers, and the gateway against it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.cli._explain import explain_options, take_explain
from gateway.cli._logging import log_to_stderr
from gateway.cli._values import port
from gateway.cli.run import PORT, load, run_loop, serve, stop_on_signals
from gateway.cli.screens import add_listen, screens
from gateway.data.tasks import Tasks
from gateway.engine.dashboards import seed
from gateway.engine.history_days import HistoryLimits
from gateway.engine.runtime import Runtime
from gateway.errors import ConfigError
from gateway.plant.judge import Raised, Verdict, judge
from gateway.plant.plant import Plant, PlantEvent

FLOWS = Path(__file__).resolve().parents[2] / "flows"
_log = logging.getLogger("genba.plant")
_ANYWHERE = {  # Where devices may be: enough to check the flows before the plant is there.
    "opcua_url": "opc.tcp://127.0.0.1:4840",
    "modbus_url": "tcp://127.0.0.1:502",
    "rtu_port": "/dev/ttyUSB0",
    "mqtt_url": "mqtt://127.0.0.1:1883",
    "scale1_port": "/dev/ttyUSB1",
    "scale2_port": "/dev/ttyUSB2",
}


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "demo", help="run a simulated plant and the gateway against it"
    )
    parser.add_argument(
        "--for",
        dest="for_s",
        type=seconds,
        metavar="SECONDS",
        help="end after this time with a verdict",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the plant's noise and faults")
    parser.add_argument(
        "--port", type=port, default=PORT, help="port of the page and API; 0 takes a free one"
    )
    add_listen(parser)
    take_explain(parser)
    parser.add_argument("--dir", type=Path, help="folder for plant and state; kept when given")
    parser.add_argument("--flows", type=Path, default=FLOWS, help="folder of the flows to run")
    parser.add_argument("--plain", action="store_true", help="log lines instead of the live view")
    parser.set_defaults(run=run)


def seconds(text: str) -> float:
    """A length of time as an argument.

    >>> seconds("90")
    90.0
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time; write seconds, like 90")
    return value


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; 0 when every fault was alarmed and nothing else was."""
    live = sys.stdout.isatty() and not args.plain
    if not live:
        log_to_stderr()
    else:
        logging.disable(logging.CRITICAL)  # The live view owns the terminal.
    with contextlib.ExitStack() as stack:
        folder = args.dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="genba-")))
        folder.mkdir(parents=True, exist_ok=True)
        return run_loop(_demo(args, folder, live=live))


async def _demo(args: argparse.Namespace, folder: Path, *, live: bool) -> int:
    stop = stop_on_signals()
    documents, problems = load([args.flows], _ANYWHERE)
    if problems or not documents:
        raise ConfigError("Not all flows can run:\n  " + "\n  ".join(problems))
    seed(folder / "state", [args.flows])
    notes: list[str] = []

    def happened(event: PlantEvent) -> None:
        notes.append(told(event))
        _log.info("%s", notes[-1])

    _log.info("Starting the plant …")
    async with Plant(folder / "plant", seed=args.seed, on_event=happened) as plant:
        manifest = plant.manifest()
        runtime = Runtime(
            documents,
            folder / "state",
            variables=variables(manifest),
            history=HistoryLimits(),
            explain=explain_options(args),
        )
        log = AlarmLog(runtime, float(manifest["t0"]))
        tasks = Tasks("demo")
        tasks.start("judge", log.run())
        watch = None
        if live:
            from gateway.cli.live import LiveView

            view = LiveView(runtime, "Genba demo")
            tasks.start("notes", _notes(view, notes, plant))
            watch = view.run
        if args.for_s is not None:
            tasks.start("end", _end_after(args.for_s, stop))
        end = tasks.start("watch the end", _when(stop, plant))
        try:
            shown = screens(args.listen, folder / "state", runtime.clock.now())
            await serve(runtime, args.port, stop, watch, shown=shown)
            ran_s = await end
        finally:
            await tasks.stop()
        verdict = judge(plant.schedule(ran_s), log.raised, ran_s, devices(manifest, log.raised))
    print(summary(verdict, ran_s, runtime, seed=args.seed))
    return 0 if args.for_s is None or verdict.good else 1


def variables(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Values for the flows' variables: where the plant's devices are."""
    found = manifest["devices"]
    return {
        "opcua_url": found["opcua"]["endpoint"],
        "modbus_url": f"tcp://{found['modbus']['host']}:{found['modbus']['port']}",
        "rtu_port": found["rtu"]["port"],
        "mqtt_url": f"mqtt://{found['broker']['host']}:{found['broker']['port']}",
        "scale1_port": found["scale1"]["port"],
        "scale2_port": found["scale2"]["port"],
    }


def devices(manifest: Mapping[str, Any], alarms: Sequence[Raised]) -> dict[str, str]:
    """The plant's device behind each communication alarm: its name begins with the device's."""
    names = sorted(manifest["devices"], key=len, reverse=True)
    return {a.tag: next((n for n in names if a.tag.startswith(n)), "") for a in alarms}


class AlarmLog:
    """Every annunciation of a run, in the plant's time.

    Args:
        runtime: The gateway.
        t0: When the plant was started [s since 1970].
    """

    def __init__(self, runtime: Runtime, t0: float) -> None:
        self.raised: list[Raised] = []
        self._runtime = runtime
        self._t0 = t0

    async def run(self) -> None:
        """Listen until cancelled."""
        async for event in self._runtime.book.follow():
            at_s = event.ts / 1e9 - self._t0
            if event.change == "raised" and at_s >= 0:  # Older ones are of a run before this.
                self.raised.append(Raised(at_s, event.tag, event.text))


def told(event: PlantEvent) -> str:
    """What happened to the plant, in one line."""
    if event.fault is None:
        return event.text
    return f"{event.text} {'begins' if event.kind == 'fault_begins' else 'ends'}"


async def _when(stop: asyncio.Event, plant: Plant) -> float:
    """The plant's time at the end of the run: what comes later is no part of the verdict."""
    await stop.wait()
    return plant.now()


async def _end_after(seconds: float, stop: asyncio.Event) -> None:
    await asyncio.sleep(seconds)
    stop.set()


async def _notes(view: Any, notes: list[str], plant: Plant) -> None:
    while True:
        view.note = f"plant {plant.now():.0f} s: {notes[-1] if notes else 'all is well'}"
        await asyncio.sleep(0.5)


def summary(verdict: Verdict, ran_s: float, runtime: Runtime, *, seed: int) -> str:
    """The end of a run, for people and for CI."""
    lines = ["", f"The plant ran {ran_s:.0f} s with seed {seed}.", ""]
    for one in verdict.found:
        fault = one.fault
        what = f"{fault.start_s:6.0f} s  {fault.kind:<13} {fault.tag or fault.device:<38}"
        if one.by is None:
            lines.append(f"MISSED {what} no alarm within {fault.detect_within_s:.0f} s")
        else:
            lines.append(
                f"found  {what} after {max(one.after_s or 0.0, 0.0):4.1f} s: {one.by.text}"
            )
    for fault in verdict.pending:
        what = f"{fault.start_s:6.0f} s  {fault.kind:<13} {fault.tag or fault.device:<38}"
        lines.append(f"open   {what} still has time")
    lines += [f"FALSE  {alarm.at_s:6.0f} s  {alarm.tag}: {alarm.text}" for alarm in verdict.false]
    counts = [status.counts for status in runtime.statuses]
    taken = sum(count["rows_in"] for count in counts)
    dropped = sum(wire["dropped"] for wire in runtime.wires())
    found = len(verdict.found) - len(verdict.missed)
    lines += [
        "",
        f"{found} of {len(verdict.found)} faults were alarmed, {len(verdict.false)} false alarms, "
        f"{verdict.consequences} further alarms were their consequences.",
        f"{taken} rows from devices, {dropped} dropped, {len(runtime.tags)} tags, "
        f"{runtime.store.commits} commits.",
        "GOOD" if verdict.good else "NOT GOOD",
    ]
    return "\n".join(lines)

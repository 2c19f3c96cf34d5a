"""genba run: run flows until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.api.local import FILE, remove_token, write_token
from gateway.cli._logging import log_to_stderr
from gateway.cli._telemetry import spans, telemetry
from gateway.cli._told import log_alarms, log_first_sample, tell_claim
from gateway.cli.main import take_values
from gateway.cli.notify import Notify
from gateway.cli.screens import Screens, door, screens
from gateway.cli.settings import Settings, read, take_settings
from gateway.cli.ways import Ways
from gateway.data.tasks import Tasks
from gateway.engine import restoring
from gateway.engine.clock import SystemClock
from gateway.engine.dashboards import seed
from gateway.engine.explain import ExplainOptions
from gateway.engine.history_days import HistoryLimits
from gateway.engine.runtime import Runtime
from gateway.engine.store_room import roomy_store
from gateway.errors import ConfigError
from gateway.flow.document import Document
from gateway.flow.lint import lint

PORT = 8780
AGAIN = -1
"""Instead of an exit code: start anew."""
_log = logging.getLogger("genba.run")


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser("run", help="run flows")
    take_settings(parser)
    parser.add_argument("--port-file", type=Path, help="write the port here once it answers")
    parser.add_argument(
        "--safe", action="store_true", help="start without flows, to mend one that does harm"
    )
    parser.add_argument(
        "--no-door",
        action="store_true",
        help="another process has the door of the fleet (fleet_listen): `genba ui`",
    )
    take_values(parser)
    parser.add_argument("--live", action="store_true", help="show a live view in the terminal")
    parser.set_defaults(run=run)


def load(paths: Sequence[Path], values: Mapping[str, str]) -> tuple[list[Document], list[str]]:
    """The flows in files and folders that can run, and what is wrong with the others.

    Each flow is checked as `genba lint` does. A flow with an error is left out and does not
    keep the others from running.

    Raises:
        ConfigError: A path is absent, or there are flows and none of them can run.
    """
    hint = "Name a *.flow.yaml or a folder of them."
    documents: dict[str, Document] = {}
    problems: list[str] = []
    for file in _files(paths, hint):
        try:
            document = Document.load(file)
        except ConfigError as error:
            problems.append(str(error))
            continue
        errors = (one for one in lint(document, values) if one.severity == "error")
        # A flow runs whatever is wrong with the tests inside it; `genba lint` says so.
        found = [str(one) for one in errors if not one.field.startswith("tests")]
        if document.name in documents:
            other = documents[document.name].file
            found.append(f"{file}: This flow is called {document.name!r}, as is that of {other}.")
        problems += found
        if not found:
            documents[document.name] = document
    if problems and not documents:
        raise ConfigError("No flow can run:\n  " + "\n  ".join(problems))
    return list(documents.values()), problems


def _files(paths: Sequence[Path], hint: str) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(path.glob("*.flow.yaml"))
        elif path.exists():
            files.append(path)
        else:
            raise ConfigError(f"There is no {path}.", hint=hint)
    return files


def variables(pairs: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` pairs over those of the environment (``GENBA_VAR_NAME``)."""
    found = {k[10:].lower(): v for k, v in os.environ.items() if k.startswith("GENBA_VAR_")}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"{pair!r} is no variable.", hint="Write --set NAME=VALUE.")
        found[name] = value
    return found


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    settings = read(args)
    usual = [path for path in (Path("flows"),) if path.is_dir()]
    named = [*settings["flows"]] or usual
    values = {**settings.variables, **variables(args.set)}
    documents, problems = ([], []) if args.safe else load(named, values)
    args.live = args.live and sys.stdout.isatty()
    if args.live:
        logging.disable(logging.CRITICAL)  # The live view owns the terminal.
    else:
        log_to_stderr(settings["log_level"], settings["log_format"])
    for text in settings.warnings:
        _log.warning("%s", text)
    for text in problems:
        _log.error("This flow does not run: %s", text)
    while True:
        code = run_loop(_run(documents, problems, named, values, settings, args))
        if code != AGAIN:
            return code
        if "NOTIFY_SOCKET" in os.environ:
            return 0  # systemd starts it anew, with a watchdog of its own.


async def _run(
    documents: list[Document],
    problems: list[str],
    named: list[Path],
    values: Mapping[str, str],
    settings: Settings,
    args: argparse.Namespace,
) -> int:
    state: Path = settings["state"]
    if (done := restoring.put_in_place(state)) is not None:
        _log.warning("The state is as a backup had it; what was before is in %s.", done["aside"])
    seed(state, named or [Path("flows")])
    runtime = Runtime(
        documents,
        state,
        variables=values,
        store=roomy_store(state / "genba.db"),
        tags_max=settings["tags_max"],
        history=HistoryLimits(settings["history_days_max"], settings["history_bytes_max"]),
        is_safe=args.safe,
        explain=ExplainOptions(deadline_s=settings["explain_deadline_s"])
        if settings["explanations"]
        else None,
        clock=(clock := SystemClock()),
        spans=spans(settings, clock),
    )
    for text in problems:
        runtime.lines.add(runtime.clock.now(), "error", "flows", f"A flow does not run: {text}")
    stop = stop_on_signals()
    watch = None
    if args.live:
        from gateway.cli.live import LiveView

        watch = LiveView(runtime, "Genba").run

    def told(port: int) -> None:
        if args.port_file is not None:
            args.port_file.write_text(str(port))

    names = tuple(settings["host_names"])
    shown = screens(settings["listen"], state, runtime.clock.now(), names)
    inlet = None
    if not args.no_door:
        inlet = door(settings["fleet_listen"], state, runtime.clock.now(), names)
    ways = Ways(
        shown,
        inlet,
        settings["wanted"],
        needs_door=settings["fleet_listen"] != "off",
        can_restart=True,
        also=telemetry(runtime, settings) if settings["telemetry_endpoint"] else None,
    )
    is_again = await serve(
        runtime, settings["port"], stop, watch, told, always=settings["accounts"], ways=ways
    )
    return AGAIN if is_again else 0


async def serve(
    runtime: Runtime,
    port: int,
    stop: asyncio.Event,
    watch: Callable[[], Coroutine[Any, Any, None]] | None = None,
    told: Callable[[int], None] | None = None,
    *,
    always: bool = False,
    shown: Screens | None = None,
    ways: Ways | None = None,
) -> bool:
    """Start the gateway, its API and its screens, wait for `stop`, end all in order.

    Returns: True when it is to be started anew.
    """
    tasks = Tasks("run")
    notify = Notify()
    notify.starting()
    try:
        async with asyncio.timeout(None) as limit:
            watching = tasks.start("stop", _cut_short(limit, stop))
            await runtime.start()
            watching.cancel()
    except TimeoutError:
        return False  # Told to stop while the start waits, for a disk or in a long replay.
    finally:
        await tasks.stop()
    server = None
    try:
        tasks.start("first", log_first_sample(runtime))
        # A second of imports: on a thread, so that they do not hold up the first sample.
        api = await asyncio.to_thread(importlib.import_module, "gateway.api.server")
        ways = ways or Ways(shown)
        server = ways.server(api, runtime, port, always=always)
        serving = tasks.start("api", server.run())
        _let_commands_in(runtime.state_dir, server)
        _log.info("The API is at %s", server.url)
        ways.open(tasks)
        await tell_claim(server, is_quiet=watch is not None)
        if told is not None:
            told(server.port)
        await notify.ready(f"Runs; the API is at {server.url}", runtime.store.beat)
        if watch is not None:
            tasks.start("live", watch())
        else:
            tasks.start("alarms", log_alarms(runtime))
        tasks.start("again", _stop_when(server.restores.again, stop))
        await stop.wait()
        await notify.stopping()
        server.stop()
        await asyncio.wait([serving], timeout=3)
    finally:
        if server is not None:
            remove_token(runtime.state_dir, server.access.local_token)
        await tasks.stop()
        await runtime.stop()
        _log.info("Stopped; the state is stored.")
    return bool(server.restores.again.is_set())


async def _stop_when(again: asyncio.Event, stop: asyncio.Event) -> None:
    await again.wait()
    stop.set()


def _let_commands_in(folder: Path, server: Any) -> None:
    try:
        write_token(folder, server.port, server.access.local_token)
    except OSError as error:  # A full disk keeps no gateway from running.
        _log.error("Commands must log in: %s cannot be written (%s).", folder / FILE, error)


async def _cut_short(limit: asyncio.Timeout, stop: asyncio.Event) -> None:
    await stop.wait()
    limit.reschedule(asyncio.get_running_loop().time())


def stop_on_signals() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


def run_loop(work: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine on the fastest loop there is."""
    factory = None
    if sys.platform == "linux":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)

"""``genba replay``: run recorded input through a flow again and say what differs."""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli import gently
from gateway.cli.main import take_values
from gateway.engine.clock import SystemClock
from gateway.errors import ConfigError, GatewayError

if TYPE_CHECKING:
    from gateway.cli.replay_plan import Plan
    from gateway.engine.replay import Steps
    from gateway.engine.store_read import StateReader

BESIDE_RECORDS: Final = 20_000  # From here on a second process is worth its start of a second.
EXAMPLES_MAX: Final = 1_000
PROGRESS_RECORDS: Final = 2_000


def add(commands: Any) -> None:
    """Declare the command and its options."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "replay",
        help="run recorded input through a flow again",
        description="Runs recorded input through a flow at full speed, writes nothing anywhere, "
        "and says what differs from what ran, or from an edited flow. "
        "Ends with 0 when nothing differs, 1 when something does, 2 when it cannot be done.",
    )
    # So that `--from -1h` is a value and not an option that nobody knows.
    parser._negative_number_matcher = re.compile(r"-\d")
    from gateway.api.local import default_state

    parser.add_argument("flow", help="name of a flow, as it ran then; or a flow file")
    parser.add_argument(
        "--from", dest="from_", default="-1h", metavar="TIME", help="-2h, yesterday 14:00, …"
    )
    parser.add_argument(
        "--to", default="now", metavar="TIME", help="likewise, or +30min after --from"
    )
    parser.add_argument("--against", type=Path, metavar="FILE", help="an edited flow to compare")
    parser.add_argument("--warm-up", metavar="TIME", help="run so much before --from, unreported")
    parser.add_argument(
        "--watch", action="append", default=[], metavar="NODE.PORT", help="compare this output too"
    )
    parser.add_argument("--state", type=Path, default=default_state(), help="folder of the state")
    parser.add_argument(
        "--examples", type=_count, default=5, metavar="N", help="differences shown for each place"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    take_values(parser)
    gently.take(parser)
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= EXAMPLES_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is no number; write 0 to {EXAMPLES_MAX}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Replay and print; 0 when nothing differs, 1 when something does, 2 when it cannot be."""
    if args.gently:
        gently.begin()
    try:
        report = _replay(args)
    except (GatewayError, OSError) as error:
        print(f"genba: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        from gateway.cli.replay_text import lines

        print("\n".join(lines(report, args.examples)))
    return int(report["differences"] > 0)


def _replay(args: argparse.Namespace) -> dict[str, Any]:
    from gateway.cli.replay_plan import plan_of
    from gateway.cli.run import variables
    from gateway.engine.replay import Steps
    from gateway.engine.store_read import StateReader

    clock = SystemClock()
    with StateReader(args.state / "genba.db") as reader:
        plan = plan_of(args, reader, variables(args.set), clock.now())
        recorded = plan.recorded
        records = reader.records(recorded.flow, recorded.first)
        steps = Steps(_told(records, plan.records, is_gentle=args.gently))
        gc.collect()
        gc.freeze()  # What was imported lives on: looking through it costs a twentieth.
        began = clock.monotonic()
        found = _against(plan, reader, steps, args) if plan.edited else _live(plan, reader, steps)
        seconds = clock.monotonic() - began
    warnings = [*plan.warnings, *found.pop("warnings"), *steps.damaged[: args.examples]]
    if steps.missing:
        warnings.append(f"{steps.missing} records between others are missing.")
    return {
        "flow": recorded.flow,
        "against": str(args.against) if args.against else None,
        "from": recorded.start,
        "to": recorded.end,
        "first": recorded.first,
        "started": plan.started,
        "warm_up_s": plan.warm_up_s,
        "records": steps.records,
        "rows": steps.rows,
        "damaged": len(steps.damaged),
        "missing": steps.missing,
        "seconds": round(seconds, 3),
        "warnings": warnings,
        **found,
    }


def _live(plan: Plan, reader: StateReader, steps: Steps) -> dict[str, Any]:
    from gateway.engine.replay_run import check_live

    recorded = plan.recorded
    player = recorded.player(reader, plan.stored)
    alarms = reader.alarms(recorded.flow, recorded.start, recorded.end)
    found = check_live(steps, player, alarms, recorded.span).as_dict()
    warnings = _said(dict(player.faults), "The flow")
    if reader.alarms_from() > recorded.start:
        warnings.append("Alarm events of that time were dropped already: there are too many.")
    return {**found, "faults": [dict(player.faults)], "warnings": warnings}


def _against(
    plan: Plan, reader: StateReader, steps: Steps, args: argparse.Namespace
) -> dict[str, Any]:
    from gateway.engine.replay_beside import Beside
    from gateway.engine.replay_run import check_edit
    from gateway.engine.shadow import Shadow

    recorded, edited = plan.recorded, plan.edited
    assert edited is not None
    player = recorded.player(reader, plan.stored)
    shadow = Shadow(
        edited,
        player.tags,
        watch=recorded.watch,
        writes=player.writes,
        settle_ns=None,
        kept=args.examples,
        newest=False,
    )
    if plan.stored is not None:
        shadow.adopt(recorded.document, plan.stored.states, plan.stored.now)
    is_long = plan.records >= BESIDE_RECORDS
    if is_long and (os.cpu_count() or 1) > 1:
        with Beside(recorded, shadow.compared.ids, steps) as beside:
            check_edit(steps, beside.step, shadow, recorded.span)
            if not shadow.disabled:
                beside.verify()
            faults = beside.faults
    else:
        check_edit(steps, player.step, shadow, recorded.span)
        faults = dict(player.faults)
    if shadow.disabled:
        raise ConfigError(f"The edited flow cannot be replayed. {shadow.disabled}")
    found = shadow.as_dict()
    theirs = found["faults"]
    warnings = [
        f"The edited flow has a source {node!r} of which NO input is recorded: nothing came from "
        "it in this replay, and whatever depends on it says nothing."
        for node in shadow.player.unfed(steps.inputs)
    ]
    warnings += [
        f"The input that {node!r} brought was not used: the edited flow has no node of this name."
        for node in shadow.player.unused(steps.inputs)
    ]
    warnings += _said(faults, "The recorded flow") + _said(theirs, "The edited flow")
    return {
        **found,
        "differences": found["differences"] + (faults != theirs),
        "faults": [faults, theirs],
        "written": list(shadow.compared.ledgers[1].written.items),
        "written_total": found["muted"],
        "warnings": warnings,
    }


def _said(faults: Mapping[str, int], whose: str) -> list[str]:
    return [f"{whose}: node {node!r} failed {n} times." for node, n in sorted(faults.items())]


def _told(
    records: Iterator[tuple[int, bytes]], total: int, *, is_gentle: bool
) -> Iterator[tuple[int, bytes]]:
    """The records; how far it is stands on a terminal meanwhile, or in lines for the gateway."""
    is_told = sys.stderr.isatty()
    head, tail = ("", "\n") if is_gentle else ("\r", " ")
    for number, record in enumerate(records):
        if (is_told or is_gentle) and number % PROGRESS_RECORDS == 0:
            done = number / max(total, 1)
            print(f"{head}{done:4.0%}", end=tail, file=sys.stderr, flush=True)
        yield record
    if is_told:
        print("\r     \r", end="", file=sys.stderr, flush=True)

"""``genba maketest``: a flow test of what was recorded in a span of time."""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.cli import gently
from gateway.cli.main import take_values
from gateway.errors import ConfigError, GatewayError


def add(commands: Any) -> None:
    """Declare the command and its options."""
    from gateway.api.local import default_state

    parser: argparse.ArgumentParser = commands.add_parser(
        "maketest",
        help="make a flow test of what was recorded",
        description="Takes what came into a flow in a span of time and what the flow gives for "
        "it, and puts that into the flow file as a test, which is run on the spot.",
    )
    parser._negative_number_matcher = re.compile(r"-\d")  # So that `--from -1min` is a value.
    parser.add_argument("flow", help="the flow's name")
    parser.add_argument("--from", dest="from_", default="-1min", metavar="TIME", help="-5min, …")
    parser.add_argument("--to", default="now", metavar="TIME", help="likewise, or +1min")
    parser.add_argument(
        "--node", action="append", default=[], help="expect what this one gives; else all ends"
    )
    parser.add_argument("--title", default="", help="what the test is called")
    parser.add_argument("--file", type=Path, help="the flow file; else what is deployed, printed")
    parser.add_argument("--state", type=Path, default=default_state(), help="folder of the state")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    take_values(parser)
    gently.take(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make it; 0 when it passes, 1 when it does not, 2 when it cannot be made."""
    if args.gently:
        gently.begin()
    try:
        made = _make(args)
        if args.file is not None and not args.json:
            from gateway.data.whole import write_whole

            write_whole(args.file, made["text"])
    except (GatewayError, OSError) as error:
        print(f"genba: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(made, ensure_ascii=False))
        return int(not made["passed"])
    for text in (*made["said"], *made["failures"]):
        print(text, file=sys.stderr)
    for end in made["differs"]:
        print(f"{end} gave something else then: the flow remembered what was before.")
    if args.file is None:
        print(made["text"], end="")
    else:
        print(f"{args.file} has the test {made['title']!r}.")
    return int(not made["passed"])


def _make(args: argparse.Namespace) -> dict[str, Any]:
    from gateway.cli.lint import settings
    from gateway.cli.moment import moment, show
    from gateway.cli.replay_plan import plan_of
    from gateway.engine.clock import SystemClock
    from gateway.engine.make_test import make, watch, watched
    from gateway.engine.replay import Steps
    from gateway.engine.store_read import StateReader
    from gateway.flow.document import Document
    from gateway.flow.variables import resolve

    now = SystemClock().now()
    with StateReader(args.state / "genba.db") as reader:
        start = moment(args.from_, now)
        end = min(moment(args.to, now, start), now)
        if args.file is not None:
            written = Document.load(args.file)
            values = settings(args.set)
        else:
            known = reader.revisions(args.flow)
            if not known:
                raise ConfigError(f"The state file has no flow {args.flow!r}.")
            written = Document.parse(known[-1].text, f"{args.flow}.flow.yaml")
            values = settings(args.set) or known[-1].variables
        document = written.with_values(lambda value: resolve(value, values))
        ends = watched(document, args.node)
        outputs = tuple(end for end in ends if _is_output(document, end[0]))
        words = argparse.Namespace(**vars(args) | {"against": None, "warm_up": None})
        words.gently, words.watch = True, []  # The flow is a name, whatever files lie about.
        plan = plan_of(words, reader, {}, now)
        recorded = replace(plan.recorded, watch=outputs)
        player = recorded.player(reader, plan.stored)
        steps = Steps(reader.records(args.flow, recorded.first))
        seen = watch(player, document, steps, start, end)
    made = make(document, seen, ends, end, _title(args.title or f"As on {show(start)}", written))
    return replace(made, said=(*plan.warnings, *made.said)).data(written)


def _is_output(document: Any, node: str) -> bool:
    cls = document.class_of(node)
    return cls is not None and cls.kind != "sink"


def _title(wanted: str, document: Any) -> str:
    """A title that no other test has."""
    taken = {test.title for test in document.tests}
    number, title = 1, wanted
    while title in taken:
        number += 1
        title = f"{wanted} ({number})"
    return title

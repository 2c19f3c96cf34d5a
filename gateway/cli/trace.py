"""``genba trace``: follow the newest recorded samples of a source through a flow, call by call."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from gateway.cli import gently
from gateway.errors import ConfigError, GatewayError

LAST_MAX: Final = 1_000


def add(commands: Any) -> None:
    """Declare the command and its options."""
    from gateway.api.local import default_state

    parser: argparse.ArgumentParser = commands.add_parser(
        "trace",
        help="follow recorded samples through a flow, node by node",
        description="Follows the newest recorded samples of a source through a copy of its flow "
        "and shows what each node got and gave. Nothing is written anywhere.",
    )
    parser.add_argument("flow", help="the flow's name")
    parser.add_argument("node", metavar="NODE[.PORT]", help="a source, or where was handed in")
    parser.add_argument("--last", type=int, default=1, metavar="N", help="newest rows (1)")
    parser.add_argument("--state", type=Path, default=default_state(), help="folder of the state")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    gently.take(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trace and print; 0 when it could be done, 2 when not."""
    if args.gently:
        gently.begin()
    try:
        found = _trace(args)
    except (GatewayError, OSError) as error:
        print(f"genba: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found, ensure_ascii=False) if args.json else "\n".join(lines(found)))
    return 0


def _trace(args: argparse.Namespace) -> dict[str, Any]:
    from gateway.engine.replay import Steps
    from gateway.engine.store_read import StateReader
    from gateway.engine.trace_recorded import newest, trace_recorded

    if not 1 <= args.last <= LAST_MAX:
        raise ConfigError(f"--last is from 1 to {LAST_MAX:,}.")
    node, _, port = args.node.partition(".")
    with StateReader(args.state / "genba.db") as reader:
        where = newest(reader, args.flow, node, port, args.last)
        plan = plan_between(args, reader, where.start, where.end + 1)
        player = plan.recorded.player(reader, plan.stored)
        steps = Steps(reader.records(args.flow, plan.recorded.first))
        said = list(plan.warnings)
        if plan.started == "fresh":
            said.append("No state of that time is stored: the flow was warmed up before.")
        return trace_recorded(player, steps, where, node, said)


def plan_between(args: argparse.Namespace, reader: Any, start: int, end: int) -> Any:
    """What to replay for the steps from start to end [ns], both in the recorded time."""
    from gateway.cli.replay_plan import plan_of
    from gateway.engine.clock import SystemClock

    words = argparse.Namespace(
        flow=args.flow,
        from_=_iso(start),
        to=_iso(end + 999),
        against=None,
        warm_up=None,
        watch=getattr(args, "watch", []),
        gently=True,  # The flow is a name, whatever files lie about.
    )
    return plan_of(words, reader, {}, max(SystemClock().now(), end + 1_000))


def _iso(ns: int) -> str:
    """A time in UTC, to the microsecond below."""
    seconds, rest = divmod(ns, 10**9)
    at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1_000)
    return at.isoformat()


def lines(found: dict[str, Any]) -> list[str]:
    """A trace for people."""
    from gateway.cli.moment import show

    said = [f"{found['flow']}, from {show(found['origin'], places=3)} on:"]
    for call in found["calls"]:
        head = f"{call['at']:>9.3f}s {call['node']}"
        said.append(f"{head} ({call['kind']})" if call["kind"] != "transform" else head)
        if call["got"]:
            said += _rows(f"got {call['port']}", call["got"], call["rows"])
        for left in call["gave"]:
            said += _rows(f"gave {left['port']}", left["text"], left["rows"])
        if call["error"]:
            said.append(f"{'':12}failed: {call['error']}")
    return said + [text for text in (*found["said"], found["cut"]) if text]


def _rows(head: str, text: str, count: int) -> list[str]:
    shown = text.splitlines() or [""]
    more = f" ({count:,} rows)" if count > 1 else ""
    return [f"{'':12}{head}{more}: {shown[0]}", *(f"{'':16}{line}" for line in shown[1:])]

"""genba revisions: the flows, their revisions, and what differs between two of them."""

from __future__ import annotations

import argparse
import difflib
import json
from typing import Any

from gateway.api.client_flows import FlowClient
from gateway.cli._flows import described, differences, take_address
from gateway.cli.words import printable


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "revisions", help="list or compare the revisions of a flow"
    )
    parser.add_argument("flow", nargs="?", help="the flow's name; without one all are listed")
    parser.add_argument("old", nargs="?", type=int, help="show what this revision changed")
    parser.add_argument("new", nargs="?", type=int, help="compare with this one instead")
    parser.add_argument("--text", action="store_true", help="the difference of the texts")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    take_address(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    client = FlowClient(args.api)
    if args.old is not None:
        print("\n".join(_difference(client, args) or ["Nothing differs."]))
        return 0
    rows = client.revisions(args.flow) if args.flow else client.flows()
    for row in rows:
        if args.json:
            print(json.dumps(row, ensure_ascii=False))
        elif args.flow:
            print(described(row))
        else:
            print(f"{printable(row['flow'])} ({row['state']}): {described(row)}")
    if not rows:
        print("There is no flow.")
    return 0


def _difference(client: FlowClient, args: argparse.Namespace) -> list[str]:
    """Between two revisions; with one number what that one changed."""
    numbers = (args.old, args.new)
    if args.new is None:
        known = [row["revision"] for row in client.revisions(args.flow)]
        before = max((number for number in known if number < args.old), default=0)
        numbers = (before, args.old)
    old, new = (_text(client, args.flow, number) for number in numbers)
    if args.text:
        one, other = (f"{args.flow} revision {number}" for number in numbers)
        lines = difflib.unified_diff(
            old.splitlines(), new.splitlines(), one, other, lineterm="", n=3
        )
        return [printable(line) for line in lines]
    return differences(old, new)


def _text(client: FlowClient, flow: str, number: int) -> str:
    """The text of a revision; before the first there was none."""
    if number == 0:
        return f"flow: {flow}\nversion: 1\nnodes: {{}}\n"
    return str(client.revision(flow, number)["text"])

"""genba shadow: an edited flow beside the live one, on the same input, with its effects muted."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from gateway.api.client_flows import FlowClient
from gateway.cli._flows import take_actor, take_address
from gateway.flow.document import Document


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "shadow", help="run an edited flow beside the live one, its effects muted"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    start = actions.add_parser("start", help="begin; the flow of that name must run")
    start.add_argument("file", type=Path, help="the edited flow file")
    take_actor(start)
    for name, about in (("show", "how it differs from the live flow"), ("stop", "end it")):
        action = actions.add_parser(name, help=about)
        action.add_argument("flow", help="the flow's name")
        action.add_argument("--json", action="store_true", help="print everything as JSON")
    for action in actions.choices.values():
        take_address(action)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    client = FlowClient(args.api)
    if args.action == "start":
        document = Document.load(args.file)
        said = client.start_shadow(document.name, args.file.read_text("utf-8"), args.actor)
        print(f"{document.name} has a shadow now. Look at it: genba shadow show {document.name}")
        print("\n".join(said), end="\n" * bool(said))
        return 0
    row = client.shadow(args.flow) if args.action == "show" else client.stop_shadow(args.flow)
    print(json.dumps(row, indent=1) if args.json else "\n".join(lines(row)))
    return 0


def lines(row: dict[str, Any]) -> list[str]:
    """A shadow in a few lines for people."""
    alarms = row["alarms"]
    found = [
        f"{row['flow']}: {row['steps']:,} steps, {row['step_ms']:.1f} ms each, "
        f"{row['differences']:,} differences, {row['muted']:,} writes muted.",
        "Alarms: " + ", ".join(f"{name} {_size(value)}" for name, value in alarms.items()),
    ]
    if row["disabled"]:
        found.append(f"It ended: {row['disabled']}")
    for end in (*row["ends"], *row["writes"]):
        here, there = end["rows"]
        found.append(
            f"  {end['end']}: {here:,} rows live, {there:,} in the shadow; {end['same']:,} alike, "
            f"{end['changed']:,} changed, {end['only_left']:,} only live, "
            f"{end['only_right']:,} only in the shadow"
        )
    return found


def _size(value: Any) -> Any:
    return len(value) if isinstance(value, list | dict) else value

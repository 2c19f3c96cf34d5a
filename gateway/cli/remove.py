"""genba remove: end a flow, and keep its revisions."""

from __future__ import annotations

import argparse
from typing import Any

from gateway.api.client_flows import FlowClient
from gateway.cli._flows import TIMEOUT_S, take_actor, take_address


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "remove", help="end a flow; its revisions are kept"
    )
    parser.add_argument("flow", help="the flow's name")
    take_actor(parser)
    take_address(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    client = FlowClient(args.api, timeout_s=TIMEOUT_S)
    done = client.remove(args.flow, args.actor, args.note)
    lines = [f"{args.flow} is removed. `genba rollback {args.flow}` runs it again.", *done["said"]]
    print("\n".join(lines))
    return 0

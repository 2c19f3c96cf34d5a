"""genba rollback: run an old revision of a flow again."""

from __future__ import annotations

import argparse
from typing import Any

from gateway.api.client_flows import FlowClient
from gateway.cli._flows import TIMEOUT_S, take_actor, take_address, told


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "rollback", help="run an old revision of a flow again, as a new one"
    )
    parser.add_argument("flow", help="the flow's name")
    parser.add_argument(
        "revision", nargs="?", type=int, help="which; by default the newest that differs"
    )
    take_actor(parser)
    take_address(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    client = FlowClient(args.api, timeout_s=TIMEOUT_S)
    done = client.rollback(args.flow, args.actor, args.note, args.revision)
    text = client.revision(args.flow, done["revision"])["text"]
    print("\n".join(told(done, text)))
    return 0

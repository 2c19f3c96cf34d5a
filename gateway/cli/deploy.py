"""genba deploy: let a flow file take the place of the flow that runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gateway.api.client_flows import FlowClient
from gateway.cli._flows import TIMEOUT_S, take_actor, take_address, told
from gateway.flow.document import Document


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "deploy", help="let a flow file take the place of the flow that runs"
    )
    parser.add_argument("file", type=Path, help="the flow file")
    parser.add_argument(
        "--base", type=int, help="the revision you edited; refused when another runs by now"
    )
    take_actor(parser)
    take_address(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    document = Document.load(args.file)
    client = FlowClient(args.api, timeout_s=TIMEOUT_S)
    text = document.text()
    done = client.deploy(document.name, text, args.actor, args.note, args.base)
    print("\n".join(told(done, text)))
    return 0

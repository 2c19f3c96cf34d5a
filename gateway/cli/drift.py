"""genba drift: how this gateway differs from what it should be."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.api.client_wanted import WantedClient
from gateway.cli._wanted import FOLDER, Drift, Wanted, gateway_drift, machine_drift, rows
from gateway.errors import Disconnected


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "drift", help="say how this gateway differs from what it should be"
    )
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="what it should be")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.add_argument("--api", help="address of the gateway")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns 0 when nothing differs, else 3."""
    wanted = Wanted(args.folder)
    found = list(machine_drift(wanted))
    try:
        found += gateway_drift(wanted, WantedClient(args.api))
    except Disconnected as error:
        found.append(Drift("gateway", "answers", str(error)))
    if args.json:
        print(json.dumps({"drift": rows(iter(found))}, ensure_ascii=False))
    elif not found:
        print("Nothing differs.")
    else:
        table = Table(box=None, pad_edge=False)
        for head in ("what", "wanted", "found"):
            table.add_column(head, overflow="fold")
        for one in found:
            table.add_row(one.what, one.wanted, one.found)
        Console(highlight=False, markup=False).print(table)
    return 3 if found else 0

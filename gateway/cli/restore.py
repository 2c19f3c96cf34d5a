"""genba restore: put a backup in the place of a state, on this device or on another."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gateway.api.local import default_state
from gateway.cli.backup import passphrase
from gateway.cli.words import local_time, printable
from gateway.engine import backup
from gateway.engine.clock import SystemClock


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "restore", help="put a backup in the place of the state of a gateway that is stopped"
    )
    parser.add_argument("file", type=Path, help="the backup")
    parser.add_argument("--state", type=Path, default=default_state(), help="folder for the state")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    with args.file.open("rb") as file:
        about, aside = backup.restore(
            file, passphrase(again=False), args.state, SystemClock().now()
        )
    made, version = local_time(int(about["made"])), printable(str(about["version"]))
    print(f"{args.state} is as it was at {made} (Genba {version}).")
    if aside:
        print(f"What was there before is in {args.state.with_name(aside)}.")
    return 0

"""genba backup: everything of a running gateway in one sealed file."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import Any

from gateway.api.client import URL
from gateway.api.client_accounts import AccountClient
from gateway.errors import ConfigError


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "backup", help="write everything of the running gateway into one sealed file"
    )
    parser.add_argument("file", type=Path, help="the backup; must not exist yet")
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    if args.file.exists():
        raise ConfigError(f"{args.file} is there already.", hint="Choose another name.")
    written = AccountClient(args.api, timeout_s=3600).backup(passphrase(again=True), args.file)
    print(f"{args.file}: {written:,} bytes. `genba restore {args.file}` puts it back.")
    return 0


def passphrase(*, again: bool) -> str:
    """Asked for, from a pipe, or from the file that ``$GENBA_PASSPHRASE_FILE`` names."""
    if named := os.environ.get("GENBA_PASSPHRASE_FILE"):
        return Path(named).read_text().rstrip("\n")
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    text = getpass.getpass("Passphrase of the backup: ")
    if again and text != getpass.getpass("Again: "):
        raise ConfigError("The two differ.")
    return text

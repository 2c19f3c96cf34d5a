"""genba reset: the gateway as it was on its first day, for its next place or its next owner."""

from __future__ import annotations

import argparse
import getpass
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from gateway.api.local import default_state
from gateway.cli.install import STATE, call, must_be_root
from gateway.cli.units import ENABLED, SECRETS_KEY
from gateway.cli.words import several
from gateway.data.whole import write_whole
from gateway.engine.clock import SystemClock
from gateway.engine.reset import reset
from gateway.errors import ConfigError

_SERVICES: Final = ("genba-engine.service", "genba-safe.service")


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "reset", help="delete all that this gateway has recorded, and who may use it"
    )
    parser.add_argument("--state", type=Path, default=default_state(), help="folder of the state")
    parser.add_argument("--name", help="name of this machine, to confirm; else it is asked for")
    parser.add_argument(
        "--certificates",
        action="store_true",
        help="delete keys and certificates as well; new ones are made at the next start",
    )
    parser.add_argument(
        "--archive", type=Path, metavar="FOLDER", help="keep the whole audit in a new folder"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    state = args.state.absolute()
    is_installed = state == Path("/") / STATE and Path("/run/systemd/system").is_dir()
    if is_installed:
        must_be_root()
    _confirmed(args.name, state)
    was_running = is_installed and any(map(_is_active, _SERVICES))
    if is_installed:
        call(["systemctl", "stop", *reversed(ENABLED), "genba-safe.service"])
    try:
        actor = f"user:{getpass.getuser()}"
        gone = reset(
            state,
            identity=args.certificates,
            archive=args.archive,
            actor=actor,
            now=SystemClock().now(),
        )
        if is_installed and args.certificates:
            _new_key()
    finally:
        if was_running:
            call(["systemctl", "start", "genba.target"])
    print(f"Deleted {several(len(gone), 'file')} and folders of {state}.")
    if args.archive is not None:
        print(f"The audit is in {args.archive}: genba audit verify --archive {args.archive}")
    kept = "are new" if args.certificates else "are kept"
    print(f"Keys and certificates {kept}. The settings are kept; see genba config show.")
    if was_running:
        print("It runs again. The new code: journalctl -u genba-engine | grep claim")
    return 0


def _confirmed(name: str | None, state: Path) -> None:
    """Raises ConfigError unless the name of this machine was given."""
    host = socket.gethostname()
    if name is None:
        if not sys.stdin.isatty():
            raise ConfigError(
                "Nothing was done: this deletes everything, and nobody can be asked.",
                hint=f"--name {host} confirms it.",
            )
        print(f"All flows, accounts, secrets, dashboards and records in {state} are deleted.")
        print("A backup can bring them back: genba docs backup")
        name = input(f"Type the name of this machine ({host}) to go on: ").strip()
    if name != host:
        raise ConfigError(f"This machine is {host!r}, not {name!r}: nothing was done.")


def _is_active(service: str) -> bool:
    done = subprocess.run(["systemctl", "is-active", "--quiet", service], check=False)
    return done.returncode == 0


def _new_key() -> None:
    """Another key for the secrets, in the place of the one that systemd lends the services."""
    if SECRETS_KEY.exists():
        write_whole(SECRETS_KEY, os.urandom(32), 0o600)

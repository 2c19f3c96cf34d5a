"""genba uninstall: take the services away again; what was recorded stays unless told otherwise."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import socket
from pathlib import Path
from typing import Any, Final

from gateway.cli.install import (
    CONFIG,
    STATE,
    UNIT_DIR,
    call,
    must_be_root,
    must_have_systemd,
)
from gateway.cli.units import SECRETS_KEY, UNITS, USER
from gateway.errors import ConfigError

TRIES: Final = 20
PAUSE_S: Final = 0.5


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "uninstall", help="take the services of systemd away again"
    )
    parser.add_argument(
        "--purge",
        metavar="HOSTNAME",
        help="delete state, settings and user as well; confirm with the name of this machine",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    must_be_root()
    must_have_systemd()
    root = Path("/")
    if args.purge is not None and args.purge != _host_name():
        raise ConfigError(
            f"This machine is {_host_name()!r}, not {args.purge!r}: nothing was done.",
            hint=f"--purge {_host_name()} deletes all that was recorded here.",
        )
    there = [name for name in UNITS if (root / UNIT_DIR / name).exists()]
    if there:
        alive = [name.replace("@.", "@*.") for name in there if "@." in name]
        call(["systemctl", "stop", *alive])  # Of templates only what runs can be named.
        call(["systemctl", "disable", "--now", *(name for name in there if "@." not in name)])
        # What systemd made for the units itself, and what it remembers of those that failed.
        call(["systemctl", "stop", "system-genba*.slice", "genba*.slice"])
        call(["systemctl", "reset-failed", "genba*"])
    for name in there:
        (root / UNIT_DIR / name).unlink()
    call(["systemctl", "daemon-reload"])
    print(f"Took {len(there)} units away.")
    if args.purge is None:
        print(f"State and settings are kept: /{STATE}, /{CONFIG.parent}")
        return 0
    aside = root.glob(f"{STATE}.before-*")  # What `genba restore` has moved out of the way.
    for path in (root / STATE, root / CONFIG.parent, *aside):
        shutil.rmtree(path, ignore_errors=True)
    SECRETS_KEY.unlink(missing_ok=True)
    _delete_user()
    print("Deleted the state, the settings and the user.")
    return 0


def _delete_user() -> None:
    """Delete the user of the services, whose last process may still be on its way out.

    Raises:
        ConfigError: Something of this user goes on running; with its number.
    """
    for left in reversed(range(TRIES)):
        try:
            call(["userdel", USER])
        except ConfigError:
            if not left:
                raise
            asyncio.run(asyncio.sleep(PAUSE_S))
        else:
            return


def _host_name() -> str:
    return socket.gethostname()

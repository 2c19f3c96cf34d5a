"""genba ui: the screens alone, for a gateway that runs in a process of its own (systemd)."""

from __future__ import annotations

import argparse
import asyncio
import logging
from typing import Any

from gateway.cli._logging import log_to_stderr
from gateway.cli.notify import Notify
from gateway.cli.run import run_loop, stop_on_signals
from gateway.cli.screens import door, screens
from gateway.cli.settings import Settings, read, take_settings
from gateway.cli.ways import Ways
from gateway.data.tasks import Tasks
from gateway.engine.clock import SystemClock
from gateway.errors import ConfigError

_log = logging.getLogger("genba.screens")


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "ui", help="run the screens of a gateway that runs elsewhere on this machine"
    )
    take_settings(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand until told to stop."""
    settings = read(args)
    log_to_stderr(settings["log_level"], settings["log_format"])
    return run_loop(_run(settings))


async def _run(settings: Settings) -> int:
    names = tuple(settings["host_names"])
    shown = screens(settings["listen"], settings["state"], SystemClock().now(), names)
    inlet = door(settings["fleet_listen"], settings["state"], SystemClock().now(), names)
    if shown is None and inlet is None:
        raise ConfigError("The screens are switched off.", hint="Set listen to an address.")
    url = " and ".join(one.url for one in (shown, inlet) if one is not None)
    stop, notify, tasks = stop_on_signals(), Notify(), Tasks("ui")
    try:
        Ways(shown, inlet).open(tasks)
        await notify.ready(f"Shown at {url}", _nothing)
        await stop.wait()
        await notify.stopping()
    finally:
        await tasks.stop()
    return 0


async def _nothing() -> None:
    """There is no writer thread here."""
    await asyncio.sleep(0)

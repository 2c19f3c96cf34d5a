"""genba ui: the screens alone, for a gateway that runs in a process of its own (systemd)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
from typing import Any

from gateway.cli._logging import log_to_stderr
from gateway.cli.notify import Notify
from gateway.cli.run import run_loop, stop_on_signals
from gateway.cli.screens import Screens, door, screens
from gateway.cli.settings import Settings, read, take_settings
from gateway.cli.ways import Ways
from gateway.data.tasks import Tasks
from gateway.engine.backoff import Backoff
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
    stop, notify, tasks = stop_on_signals(), Notify(), Tasks("ui")
    notify.starting()
    try:
        found = await _found(settings, stop)
        if found is None:
            return 0
        shown, inlet = found
        url = " and ".join(one.url for one in found if one is not None)
        Ways(shown, inlet).open(tasks)
        await notify.ready(f"Shown at {url}", _nothing)
        await stop.wait()
        await notify.stopping()
    finally:
        await tasks.stop()
    return 0


async def _found(
    settings: Settings, stop: asyncio.Event
) -> tuple[Screens | None, Screens | None] | None:
    """The screens and the door of the fleet; None when told to stop.

    What the disk refuses is waited for: a process that ended instead would soon have ended too
    often for systemd to start it again, and the disk is mended by people who look at the screens.

    Raises:
        ConfigError: A setting is wrong, which no wait mends.
    """
    names, state, backoff = tuple(settings["host_names"]), settings["state"], Backoff("ui")
    while not stop.is_set():
        now, shown = SystemClock().now(), None
        try:
            shown = screens(settings["listen"], state, now, names)
            inlet = door(settings["fleet_listen"], state, now, names)
        except ConfigError as error:
            if shown is not None:
                shown.close()
            if not isinstance(error.__cause__, OSError):
                raise
            wait_s = backoff.next_s()
            _log.error("%s Next try in %.0f s.", error, wait_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await stop.wait()
            continue
        if shown is None and inlet is None:
            raise ConfigError("The screens are switched off.", hint="Set listen to an address.")
        return shown, inlet
    return None


async def _nothing() -> None:
    """There is no writer thread here."""
    await asyncio.sleep(0)

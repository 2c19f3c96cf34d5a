"""genba doctor: checks the machine and the gateway, and says what to do."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from gateway.api.client import URL, Client
from gateway.cli import _doctor_gateway as gateway
from gateway.cli import _doctor_machine as machine
from gateway.cli._doctor import Finding, Place
from gateway.cli.settings import read, take_config, usual
from gateway.errors import ConfigError, Disconnected, Rejected

Check = Callable[[Place], Iterator[Finding]]
CHECKS: Final[tuple[Check, ...]] = (
    machine.clock,
    machine.disk,
    machine.permissions,
    machine.ports,
    machine.serial,
    gateway.services,
    gateway.certificates,
    gateway.connections,
    gateway.model,
    gateway.books,
    gateway.versions,
)
_STYLES: Final = {"ok": "green", "look": "yellow", "bad": "bold red"}


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor", help="check the machine and the gateway, and say what to do"
    )
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.add_argument("--state", type=Path, help="folder of the state; else that of the settings")
    take_config(parser)
    parser.add_argument("--json", action="store_true", help="everything, as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns 1 when something is bad."""
    found = examined(args)
    is_bad = any(one.level == "bad" for one in found)
    if args.json:
        rows = [asdict(one) for one in found]
        print(json.dumps({"ok": not is_bad, "findings": rows}, ensure_ascii=False))
        return int(is_bad)
    console = Console(soft_wrap=True, highlight=False)
    for one in found:
        line = Text(f"{one.level:<5}", _STYLES[one.level])
        console.print(line.append(f"{one.check:<10}{one.text}", "not bold default"))
        if one.todo:
            console.print(Text(f"{'':<15}-> {one.todo}", "default"))
    counts = {level: sum(one.level == level for one in found) for level in _STYLES}
    console.print(f"{counts['bad']} bad, {counts['look']} to look at, {counts['ok']} ok.")
    return int(is_bad)


def examined(args: argparse.Namespace) -> list[Finding]:
    """All findings; what cannot be looked at is one of them.

    Args:
        args: ``api``, ``state`` and ``config`` as `add` declares them.
    """
    wrong: list[Finding] = []
    try:
        settings = read(args)
    except ConfigError as error:  # The rest can still be looked at.
        wrong.append(Finding("settings", "bad", str(error), "genba config example"))
        settings = usual()
    state = args.state or settings["state"]
    place = Place(settings, state)
    wrong += _asked(place, args.api)
    return wrong + [one for check in CHECKS for one in check(place)]


def _asked(place: Place, api: str | None) -> list[Finding]:
    """Ask the gateway that runs, or else its state file."""
    client = Client(api)
    try:
        place.report = client.report()
        place.connections = client.connections()
        place.about = client.about()
        return []
    except Disconnected as error:
        place.trouble = str(error)
    except Rejected as error:
        place.trouble = f"The gateway answers and tells nothing: {error}"
        place.is_refused = True
        return []
    from gateway.engine.store_report import read_file

    try:
        place.report = read_file(place.state / "genba.db", place.clock.now())
    except (ConfigError, OSError) as error:
        if (place.state / "genba.db").exists():
            todo = "A backup puts it right: genba docs backup"
            return [Finding("books", "bad", str(error), todo)]
    return []

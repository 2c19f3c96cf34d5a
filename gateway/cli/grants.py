"""genba grants: what may be written to machines, within which limits."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from gateway.api.client import URL
from gateway.api.client_setpoints import SetpointClient
from gateway.cli.words import printable, several
from gateway.errors import ConfigError
from gateway.flow.findings import valid_config
from gateway.flow.grant import Grant
from gateway.flow.yaml_read import read


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "grants", help="list, set and remove write grants"
    )
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.set_defaults(run=run, verb="list", json=False)
    verbs = parser.add_subparsers(dest="verb", metavar="ACTION")
    listing = verbs.add_parser("list", help="list all write grants, also without an action")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    setting = verbs.add_parser("set", help="make write grants, or change them, from a file")
    setting.add_argument("file", help="YAML or JSON: a grant, or a list of them; - is a pipe")
    remove = verbs.add_parser("remove", help="end a write grant; its revisions are kept")
    remove.add_argument("name", help="the grant")


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    client = SetpointClient(args.api)
    if args.verb == "set":
        for grant in _read(args.file):  # All are good before the first is set.
            number = client.put_grant(grant.fact())
            print(printable(f"{grant.id} is set (revision {number}): {_words(grant)}."))
        return 0
    if args.verb == "remove":
        number = client.remove_grant(args.name)
        print(printable(f"{args.name} was removed (revision {number})."))
        return 0
    found = client.grants()
    for row in found["grants"]:
        print(json.dumps(row, ensure_ascii=False) if args.json else _line(row))
    for name in found["damaged"]:
        print(printable(f"{name} is DAMAGED: set it anew, or remove it."), file=sys.stderr)
    if not found["grants"] and not args.json:
        print("No write grant: no person can write a setpoint. See `genba docs setpoints`.")
    return 0


def _read(file: str) -> list[Grant]:
    text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    given = read(text, file).value
    rows = given if isinstance(given, list) else [given]
    found = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ConfigError(f"{file} holds no write grant.", hint="See `genba docs setpoints`.")
        name = str(row.get("id", f"grant {number}"))
        found.append(
            valid_config(Grant, row, lambda *path, name=name: ".".join((name, *map(str, path))))
        )
    return found


def _line(row: dict[str, Any]) -> str:
    keys = ("revision", "author", "ts")
    grant = Grant.model_validate({key: value for key, value in row.items() if key not in keys})
    return printable(f"{grant.id:<24} {_words(grant)} (revision {row['revision']})")


def _words(grant: Grant) -> str:
    parts = [f"{', '.join(grant.tags)} by {grant.flow}/{grant.node}, {grant.lo:g} to {grant.hi:g}"]
    parts += [] if grant.by == "both" else [f"{grant.by} only"]
    parts += [] if grant.step_max is None else [f"steps to {grant.step_max:g}"]
    parts += [] if grant.writes_per_min is None else [f"{grant.writes_per_min} writes a minute"]
    parts += [] if grant.change_per_min is None else [f"{grant.change_per_min:g} a minute"]
    parts += [several(len(grant.interlocks), "interlock")] if grant.interlocks else []
    parts += ["two people"] if grant.two_person else []
    return ", ".join(parts)

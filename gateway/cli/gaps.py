"""genba gaps: what sources have missed, from when to when, and why."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from typing import Any

from gateway.api.client import URL, Client
from gateway.cli.words import local_time, printable, span
from gateway.data.table import parse_time
from gateway.errors import ConfigError


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "gaps", help="list what sources have missed"
    )
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.add_argument(
        "--since", default="24h", help="how far back: 24h, 30min, 2026-11-26 or 2026-11-26T08:00"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    client = Client(args.api)
    rows = client.gaps(since_of(args.since, lambda: int(client.status()["now"])))
    for row in reversed(rows):
        print(json.dumps(row, ensure_ascii=False) if args.json else printable(_line(row)))
    if not rows and not args.json:
        print("No gap.")
    return 0


def since_of(text: str, now: Any) -> int:
    """A time [ns] from how long ago, or from a date with or without a time of this machine.

    Raises:
        ConfigError: It is neither.

    >>> since_of("1h", lambda: 7200 * 10**9) == 3600 * 10**9
    True
    """
    try:
        return int(now()) - parse_time(text)
    except ValueError:
        pass
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1e9)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is neither how long nor a time.", where="--since", hint="Write 24h."
        ) from error


def _line(row: dict[str, Any]) -> str:
    detail = ", ".join(f"{key}: {value}" for key, value in row["detail"].items())
    length = span(row["to"] - row["from"])
    when = f"{local_time(row['from'], fine=True)} to {local_time(row['to'], fine=True)} ({length})"
    return f"{when}  {row['flow']}/{row['source']}: {row['cause']}" + (
        f" ({detail})" if detail else ""
    )

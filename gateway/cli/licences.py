"""genba licences: what the gateway is made of, and under which terms."""

from __future__ import annotations

import argparse
import json
from typing import Any

from gateway.api.licences import bill, parts
from gateway.cli.words import printable


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "licences", help="list what the gateway is made of, with the licences"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--cyclonedx", action="store_true", help="a bill of materials, CycloneDX 1.6")
    form.add_argument("--json", action="store_true", help="one JSON object a line, with the texts")
    parser.add_argument("--text", metavar="NAME", help="print the licence texts of one part")
    parser.add_argument(
        "--all", action="store_true", help="also what is installed here and no part of the gateway"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    if args.cyclonedx:
        from gateway.engine.clock import SystemClock

        print(json.dumps(bill(SystemClock().now()), indent=1, ensure_ascii=False))
        return 0
    rows = [row for row in parts() if row["part"] or args.all]
    if args.text:
        return _texts(rows, args.text)
    for row in rows:
        if args.json:
            print(json.dumps(row, ensure_ascii=False))
        else:
            licence = printable(row["licence"]) or "not said"
            print(f"{row['name']:<28} {row['version']:<14} {row['kind']:<8} {licence}")
    if not args.json:
        print(f"{len(rows)} parts. `genba licences --text NAME` prints the terms of one.")
    return 0


def _texts(rows: list[dict[str, Any]], name: str) -> int:
    for row in rows:
        if row["name"].lower() == name.lower():
            print(f"{row['name']} {row['version']}: {row['licence'] or 'not said'}")
            print("\n".join(("", *row["texts"])) if row["texts"] else "It brings no text along.")
            return 0
    from gateway.errors import ConfigError
    from gateway.flow.findings import near

    raise ConfigError(f"No part is called {name!r}.", hint=near(name, [r["name"] for r in rows]))

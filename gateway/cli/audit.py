"""genba audit: who did what, and proof that no record of it was altered."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from gateway.api.client import URL
from gateway.api.client_accounts import AccountClient
from gateway.cli.words import local_time, printable, several


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "audit", help="list who did what, and check that no record was altered"
    )
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.add_argument("--state", type=Path, help="folder of a state, which is read instead")
    parser.set_defaults(run=run, verb="list", json=False, limit=100)
    verbs = parser.add_subparsers(dest="verb", metavar="ACTION")
    listing = verbs.add_parser("list", help="list the newest records, also without an action")
    listing.add_argument("--limit", type=int, default=100, help="how many")
    listing.add_argument("--json", action="store_true", help="one JSON object a line, with hashes")
    verbs.add_parser("verify", help="check every record against the one before")


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns 0 unless a record was altered."""
    if args.verb == "verify":
        return _verify(args)
    if args.state is not None:
        from gateway.engine.store_report import read_audit

        rows = read_audit(args.state / "genba.db", args.limit)
    else:
        rows = AccountClient(args.api).audit(args.limit)
    for row in reversed(rows):
        print(json.dumps(row, ensure_ascii=False) if args.json else _line(row))
    if not rows and not args.json:
        print("Nobody has done anything yet.")
    return 0


def _verify(args: argparse.Namespace) -> int:
    if args.state is not None:
        from gateway.engine.store_report import check_audit

        found = check_audit(args.state / "genba.db")
    else:
        found = AccountClient(args.api).audit_check()
    for text in found["broken"]:
        print(printable(text))
    rows = several(found["rows"], "record")
    if found["broken"]:
        print(f"The audit was altered: {several(len(found['broken']), 'fault')} in {rows}.")
        return 1
    print(f"{rows}, none altered. The newest hash is {found['head']}: keep it elsewhere.")
    return 0


def _line(row: dict[str, Any]) -> str:
    detail = ", ".join(f"{key}: {_value(value)}" for key, value in row["detail"].items())
    return printable(
        f"{row['id']:>6}  {local_time(row['ts'])}  {row['actor']:<16} {row['action']:<18} {detail}"
    )


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

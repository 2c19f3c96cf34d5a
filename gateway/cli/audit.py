"""genba audit: who did what, and proof that no record of it was altered."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from gateway.api.client import URL
from gateway.api.client_accounts import AccountClient
from gateway.cli.words import local_time, printable, several
from gateway.engine.store_archive import check, files


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
    verify = verbs.add_parser("verify", help="check every record against the one before")
    verify.add_argument("--archive", type=Path, help="folder with exported files to check instead")
    export = verbs.add_parser("export", help="copy the archive of older records into a folder")
    export.add_argument("folder", type=Path, help="where to; made when absent")
    export.add_argument("--take", action="store_true", help="remove on the gateway what was copied")


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns 0 unless a record was altered."""
    if args.verb == "verify":
        return _verify_archive(args.archive) if args.archive is not None else _verify(args)
    if args.verb == "export":
        return _export(AccountClient(args.api), args)
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


def _export(client: AccountClient, args: argparse.Namespace) -> int:
    """Copy the archive; what is removed on the gateway was read back and fits first."""
    rows = client.audit_archive()
    args.folder.mkdir(parents=True, exist_ok=True)
    written = []
    for row in rows:
        path = args.folder / Path(str(row["name"])).name
        path.write_bytes(client.audit_file(str(row["name"])))
        written.append(path)
    print(f"{several(len(written), 'file')} copied to {args.folder}.")
    if broken := list(check(written)):
        for text in broken:
            print(printable(text))
        print("Nothing was removed on the gateway.")
        return 1
    if args.take:
        for path in written:
            client.take_audit_file(path.name)
        print(f"{several(len(written), 'file')} removed on the gateway.")
    return 0


def _verify_archive(folder: Path) -> int:
    found = files(folder)
    broken = list(check(found))
    for text in broken:
        print(printable(text))
    count = several(len(found), "file")
    if broken:
        print(f"The archive was altered: {several(len(broken), 'fault')} in {count}.")
        return 1
    print(f"{count}, no record altered.")
    return 0


def _line(row: dict[str, Any]) -> str:
    detail = ", ".join(f"{key}: {_value(value)}" for key, value in row["detail"].items())
    return printable(
        f"{row['id']:>6}  {local_time(row['ts'])}  {row['actor']:<16} {row['action']:<18} {detail}"
    )


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

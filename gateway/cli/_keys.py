"""genba users token and genba users sessions: what lets somebody in without a password."""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

from gateway.api.client_accounts import AccountClient
from gateway.cli.words import local_time, printable, several
from gateway.errors import ConfigError

ROLES: Final = ("viewer", "operator", "engineer", "administrator")


def add_keys(verbs: Any) -> None:
    """Declare the verbs ``token`` and ``sessions``."""
    token: argparse.ArgumentParser = verbs.add_parser("token", help="API tokens for scripts")
    token.set_defaults(what="list", json=False)
    kinds = token.add_subparsers(dest="what", metavar="ACTION")
    make = kinds.add_parser("make", help="make one and print its secret, once")
    make.add_argument("name", help="what it is for")
    make.add_argument("--account", required=True, help="whose it is: it may never more than they")
    make.add_argument("--role", choices=ROLES, default="viewer", help="what it may")
    make.add_argument(
        "--scope", action="append", default=[], help="an action it is limited to; may be repeated"
    )
    make.add_argument("--days", type=int, default=90, help="how long it is good")
    make.add_argument("--writer", action="store_true", help="it may write setpoints")
    kinds.add_parser("revoke", help="end one").add_argument("id", help="as `token list` shows it")
    sessions: argparse.ArgumentParser = verbs.add_parser(
        "sessions", help="logins that have not ended"
    )
    sessions.set_defaults(what="list", json=False, id=None, account=None)
    acts = sessions.add_subparsers(dest="what", metavar="ACTION")
    end = acts.add_parser("end", help="end one login, or all of an account")
    which = end.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?", help="as `sessions list` shows it")
    which.add_argument("--account", help="end all logins of this account")
    for one in (kinds, acts):
        listing = one.add_parser("list", help="list all, also without an action")
        listing.add_argument("--json", action="store_true", help="one JSON object a line")


def run_token(client: AccountClient, args: argparse.Namespace) -> None:
    """Run one of the actions on API tokens."""
    match args.what:
        case "make":
            made = client.make_token(
                args.name,
                args.account,
                args.role,
                scopes=args.scope,
                days=args.days,
                writer=args.writer,
            )
            print(made["token"])
        case "revoke":
            client.revoke_token(args.id)
            print(f"The token {printable(args.id)} has ended.")
        case _:
            _show(client.tokens(), _token_line, "No token.", as_json=args.json)


def run_sessions(client: AccountClient, args: argparse.Namespace) -> None:
    """Run one of the actions on logins.

    Raises:
        ConfigError: The account has none.
    """
    if args.what != "end":
        _show(client.sessions(), _session_line, "Nobody is logged in.", as_json=args.json)
        return
    ids = [args.id]
    if args.account:
        ids = [row["id"] for row in client.sessions() if row["account"] == args.account]
        if not ids:
            raise ConfigError(f"{args.account!r} is logged in nowhere.")
    for one in ids:
        client.end_session(one)
    print(f"{several(len(ids), 'login')} ended.")


def _show(rows: list[dict[str, Any]], line: Any, none: str, *, as_json: bool) -> None:
    for row in rows:
        print(json.dumps(row, ensure_ascii=False) if as_json else line(row))
    if not rows and not as_json:
        print(none)


def _token_line(row: dict[str, Any]) -> str:
    may = row["role"] + (f", only {', '.join(row['scopes'])}" if row["scopes"] else "")
    used = f"last used {local_time(row['used'])}" if row["used"] else "never used"
    until = f"until {local_time(row['expires'])}"
    return printable(f"{row['id']}  {row['name']:<20} {row['account']:<16} {may}; {used}; {until}")


def _session_line(row: dict[str, Any]) -> str:
    seen = f"last seen {local_time(row['seen'])}"
    place = f"{row['address']}  {row['agent'][:60]}"
    return printable(f"{row['id']}  {row['account']:<16} {seen}  {place}")

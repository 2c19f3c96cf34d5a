"""genba users: accounts of the running gateway."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from typing import Any

from gateway.api.client import URL
from gateway.api.client_accounts import AccountClient
from gateway.cli._keys import ROLES, add_keys, run_sessions, run_token
from gateway.cli._openid import add_openid, run_openid
from gateway.cli.words import local_time, printable, several
from gateway.errors import ConfigError


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "users", help="list, add and change accounts, and claim a new gateway"
    )
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.set_defaults(run=run, verb="list", json=False)
    verbs = parser.add_subparsers(dest="verb", metavar="ACTION")
    listing = verbs.add_parser("list", help="list all accounts, also without an action")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    claim = verbs.add_parser("claim", help="make the first administrator of a new gateway")
    claim.add_argument("--code", help="from the console or the log; asked for when absent")
    new = verbs.add_parser("add", help="make an account")
    new.add_argument("--role", choices=ROLES, default="viewer", help="what they may")
    new.add_argument("--writer", action="store_true", help="they may write setpoints")
    password = verbs.add_parser("passwd", help="give an account a new password; its sessions end")
    role = verbs.add_parser("role", help="change what an account may; its sessions end")
    disable = verbs.add_parser("disable", help="end an account's sessions and let it in no more")
    enable = verbs.add_parser("enable", help="let a disabled account in again")
    for one in (claim, new, password, role, disable, enable):
        one.add_argument("name", help="the account")
    role.add_argument("role", choices=ROLES)
    grant = role.add_mutually_exclusive_group()
    grant.add_argument("--writer", action="store_true", default=None, help="may write setpoints")
    grant.add_argument("--no-writer", dest="writer", action="store_false", help="may not")
    add_keys(verbs)
    add_openid(verbs)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    client = AccountClient(args.api)
    match args.verb:
        case "claim":
            code = args.code or _asked("Code from the console or the log: ")
            client.claim(code, args.name, new_password())
            print(
                f"{args.name} is the administrator of this gateway. From now on it asks who acts."
            )
        case "add":
            client.add_user(args.name, new_password(), args.role, writer=args.writer)
            print(f"{args.name} was added as {args.role}.")
        case "passwd":
            client.set_password(args.name, new_password())
            print(f"{args.name} has a new password; all sessions have ended.")
        case "role":
            what = {"role": args.role}
            if args.writer is not None:
                what["writer"] = args.writer
            print(f"Changed: {_line(client.change_user(args.name, **what))}")
        case "disable" | "enable":
            is_disabled = args.verb == "disable"
            print(f"Changed: {_line(client.change_user(args.name, disabled=is_disabled))}")
        case "token":
            run_token(client, args)
        case "oidc":
            run_openid(client, args)
        case "sessions":
            run_sessions(client, args)
        case _:
            _list(client, as_json=args.json)
    return 0


def new_password() -> str:
    """A password that is typed twice, or the first line of what is piped in.

    Raises:
        ConfigError: The two differ.
    """
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass("New password (12 characters or more): ")
    if first != getpass.getpass("The same again: "):
        raise ConfigError("The two passwords differ.", hint="Nothing was changed. Try again.")
    return first


def _asked(text: str) -> str:
    if not sys.stdin.isatty():
        raise ConfigError("Claiming needs the code.", hint="Give it with --code.")
    return input(text)


def _list(client: AccountClient, *, as_json: bool) -> None:
    rows = client.users()
    for row in rows:
        print(json.dumps(row, ensure_ascii=False) if as_json else _line(row))
    if not rows and not as_json:
        print("No account. `genba users claim NAME` makes the first.")


def _line(row: dict[str, Any]) -> str:
    more = [f"made {local_time(row['made'])}"]
    more += ["writes setpoints"] if row["writer"] else []
    more += ["disabled"] if row["disabled"] else []
    if row["failures"]:
        at = local_time(row["failed"])
        more.append(f"{several(row['failures'], 'failed login')}, the last {at}")
    return printable(f"{row['name']:<16} {row['role']:<14} {', '.join(more)}")

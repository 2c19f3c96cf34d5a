"""genba secrets: which secrets are set, and set or remove one. None is ever printed."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from gateway.api.client import URL
from gateway.api.client_accounts import AccountClient
from gateway.cli.words import local_time
from gateway.errors import ConfigError


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "secrets", help="list, set and remove the secrets that flows name"
    )
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.set_defaults(run=run, verb="list")
    verbs = parser.add_subparsers(dest="verb", metavar="ACTION")
    verbs.add_parser("list", help="names of all secrets that are set, also without an action")
    put = verbs.add_parser("set", help="set a secret, asked for or from standard input")
    remove = verbs.add_parser("remove", help="forget a secret")
    for one in (put, remove):
        one.add_argument("name", help="the secret")


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    client = AccountClient(args.api)
    match args.verb:
        case "set":
            print(client.set_secret(args.name, _asked(args.name)))
        case "remove":
            print(client.remove_secret(args.name))
        case _:
            rows = client.secrets()
            for row in rows:
                when = local_time(row["changed"]) if row["changed"] else "-"
                print(f"{row['name']:<32} {row['where']:<12} {when}")
            if not rows:
                print("No secret is set.")
    return 0


def _asked(name: str) -> str:
    """The value: never an argument, which everybody on the machine could read."""
    if not sys.stdin.isatty():
        return sys.stdin.read().rstrip("\n")
    value = getpass.getpass(f"{name}: ")
    if value != getpass.getpass("Again: "):
        raise ConfigError("The two differ.")
    return value

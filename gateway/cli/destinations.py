"""genba destinations: where nodes of the web may send to and read from."""

from __future__ import annotations

import argparse
from typing import Any

from gateway.api.client import URL
from gateway.api.client_accounts import AccountClient


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "destinations", help="list and change where webhooks and other nodes may send to"
    )
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.set_defaults(run=run, verb="list")
    verbs = parser.add_subparsers(dest="verb", metavar="ACTION")
    verbs.add_parser("list", help="what is allowed, also without an action")
    allow = verbs.add_parser("allow", help="allow one more")
    forbid = verbs.add_parser("forbid", help="take one back")
    for one in (allow, forbid):
        one.add_argument("name", help="a name, name:port, an address or a network (10.0.0.0/24)")
    only = verbs.add_parser("only", help="on: nothing else is allowed; off: all but special ones")
    only.add_argument("state", choices=["on", "off"])


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    client = AccountClient(args.api)
    match args.verb:
        case "allow":
            client.change_destinations(allow=args.name)
            print(f"{args.name} is allowed.")
        case "forbid":
            print(client.forbid_destination(args.name))
        case "only":
            client.change_destinations(only=args.state == "on")
            print(_rule(args.state == "on"))
        case _:
            found = client.destinations()
            for name in found["allowed"]:
                print(name)
            print(_rule(bool(found["only"])))
    return 0


def _rule(only: bool) -> str:
    if only:
        return "Nothing else is allowed."
    return "Besides, all is allowed but this machine, link-local addresses and metadata services."

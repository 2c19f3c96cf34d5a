"""genba setpoint: write a value to a machine. Look, confirm, see what came of it."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import math
import sys
from typing import Any, Final

from gateway.api.client import URL
from gateway.api.client_setpoints import SetpointClient
from gateway.cli.words import local_time, printable
from gateway.errors import ConfigError

_TRIES: Final = 900
_PAUSE_S: Final = 0.2


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "setpoint", help="write a value to a machine: look, confirm, see what came of it"
    )
    parser.add_argument("tag", nargs="?", help="the tag to write; without one the last are listed")
    parser.add_argument("value", nargs="?", help="the value, in the tag's unit")
    parser.add_argument("--cause", default="", help="why, in words; it goes into the audit")
    parser.add_argument("--flow", default="", help="the flow, where several can write the tag")
    parser.add_argument("--node", default="", help="the sink, where several can write the tag")
    parser.add_argument(
        "--user", help="act as this account; the password is asked for, or read from a pipe"
    )
    parser.add_argument("--yes", action="store_true", help="confirm without asking")
    parser.add_argument("--confirm", metavar="TOKEN", help="confirm what somebody else has armed")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns 0 when it was written and is read back as it should be."""
    client = SetpointClient(args.api)
    if args.user:
        client.login(args.user, _password(args.user))
    if args.confirm:
        return _follow(client, args, client.confirm(args.confirm))
    if args.tag is None:
        for row in client.setpoints():
            print(json.dumps(row, ensure_ascii=False) if args.json else _line(row))
        return 0
    if args.value is None:
        raise ConfigError("Say which value is to be written.", hint="genba setpoint TAG VALUE")
    found = client.arm(
        args.tag, _number(args.value), flow=args.flow, node=args.node, cause=args.cause
    )
    if not args.json:
        _show(found)
    if not found["token"]:
        return _end(args, found)
    if _is_for_two(found):
        print(f"Somebody else confirms it: genba setpoint --confirm {found['token']}")
        return 0
    if not args.yes and not _confirmed(found):
        print("Nothing was written; it expires by itself.")
        return 1
    return _follow(client, args, client.confirm(found["token"]))


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"{text!r} is no number.", hint="Write it like 42.5.")
    return number


def _password(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return getpass.getpass(f"Password of {name}: ")


def _show(found: dict[str, Any]) -> None:
    before = "not known" if found["before"] is None else f"{found['before']:g}"
    where = f"{found['flow']}/{found['node']}"
    print(printable(f"{found['tag']} = {found['value']:g} by {where} (now {before})"))
    for check in found["checks"]:
        mark = "ok" if check["ok"] else "NO"
        print(printable(f"  {mark:<3} {check['rule']:<10} {check['text']}"))


def _is_for_two(found: dict[str, Any]) -> bool:
    return bool(found.get("two_person"))


def _confirmed(found: dict[str, Any]) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("Writing needs a confirmation.", hint="Give --yes where nobody can type.")
    return input(f"Write it? Type the value {found['value']:g} to confirm: ").strip() in (
        f"{found['value']:g}",
        repr(found["value"]),
    )


def _follow(client: SetpointClient, args: argparse.Namespace, found: dict[str, Any]) -> int:
    for _ in range(_TRIES):
        if found["is_over"]:
            break
        asyncio.run(asyncio.sleep(_PAUSE_S))
        found = client.setpoint(found["setpoint"])
    return _end(args, found)


def _end(args: argparse.Namespace, found: dict[str, Any]) -> int:
    print(json.dumps(found, ensure_ascii=False) if args.json else _line(found))
    return 0 if found["state"] == "written" else 1


def _line(row: dict[str, Any]) -> str:
    who = row["armed_by"]
    if row["confirmed_by"] not in ("", who):
        who = f"{who}, confirmed by {row['confirmed_by']}"
    cause = f" ({row['cause']})" if row["cause"] else ""
    text = f"{local_time(row['armed'])} {row['tag']} = {row['value']} {row['state']}: {row['text']}"
    return printable(f"{text} {who}{cause}")

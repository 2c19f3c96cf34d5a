"""genba dlq: dead letters of the running gateway. Look at them, give them back or let them go."""

from __future__ import annotations

import argparse
import getpass
import json
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.api.client import URL, Client
from gateway.cli.words import local_time, printable, several, size
from gateway.data.table import number
from gateway.errors import ConfigError

_TIMES: Final = ("ts", "start", "end")
_ERROR_CHARS: Final = 160


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "dlq", help="list, look at, replay and discard dead letters"
    )
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.set_defaults(run=run, verb="list", all=False, json=False)
    verbs = parser.add_subparsers(dest="verb", metavar="ACTION")
    listing = verbs.add_parser("list", help="list those that wait, also without an action")
    listing.add_argument("--all", action="store_true", help="those that are settled as well")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    show = verbs.add_parser("show", help="show why it was refused, and the message")
    show.add_argument("letter", type=int, help="its number")
    show.add_argument("--raw", type=Path, metavar="FILE", help="write the bytes that were kept")
    show.add_argument("--json", action="store_true", help="everything, as one JSON object")
    replay = verbs.add_parser("replay", help="give it to its node again")
    discard = verbs.add_parser("discard", help="let it go")
    for one in (replay, discard):
        one.add_argument("letters", type=int, nargs="+", metavar="LETTER", help="its number")
        one.add_argument("--actor", default=f"user:{getpass.getuser()}", help="who acts")
    discard.add_argument("--reason", default="", help="why, in your words")


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    client = Client(args.api)
    match args.verb:
        case "show":
            return _show(client, args)
        case "replay":
            for letter in args.letters:
                print(printable(client.replay_letter(letter, args.actor)))
        case "discard":
            if not args.reason:
                raise ConfigError("Discarding needs a reason.", hint='Add --reason "old test".')
            for letter in args.letters:
                print(printable(client.discard_letter(letter, args.actor, args.reason)))
        case _:
            _list(client, args)
    return 0


def _list(client: Client, args: argparse.Namespace) -> None:
    rows = client.letters("all" if args.all else "waiting")
    if args.json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return
    console = Console(soft_wrap=True, highlight=False)
    for row in rows:
        console.print(_line(row))
    if not rows:
        console.print("No dead letter.")


def _line(row: dict[str, Any]) -> Text:
    """Two lines a letter: what it is, then why."""
    state = "" if row["state"] == "waiting" else f", {row['state']}"
    what = f"{several(row['rows'], 'row')}, {size(row['bytes'])}, revision {row['revision']}{state}"
    place = f"{row['flow']}/{row['node']}" + (f".{row['port']}" if row["port"] else "")
    text = Text(f"{row['id']:>5}  {local_time(row['ts'])}  ").append(printable(place), "bold")
    return text.append(f"  {what}").append(f"\n       {_short(row['error'])}", "dim")


def _short(error: str) -> str:
    """The last line of an error: of a traceback, what was raised."""
    line = printable(error.strip().splitlines()[-1] if error.strip() else "no reason was given")
    return line if len(line) <= _ERROR_CHARS else f"{line[:_ERROR_CHARS]} …"


def _show(client: Client, args: argparse.Namespace) -> int:
    if args.raw is not None:
        data = client.letter_bytes(args.letter)
        args.raw.write_bytes(data)
        print(f"{len(data):,} bytes written to {args.raw}.")
        return 0
    letter = client.letter(args.letter)
    if args.json:
        print(json.dumps(letter, ensure_ascii=False))
        return 0
    console = Console(soft_wrap=True, highlight=False)
    console.print(_line(letter))
    for line in letter["error"].strip().splitlines():
        console.print(Text(f"  {printable(line)}"))
    if letter["text"]:
        console.print(Text("It could not be stored as a message. In words:", "dim"))
        console.print(Text(printable(letter["text"])))
    elif not letter["items"]:
        console.print(Text("There is no message: a timer was due.", "dim"))
    else:
        console.print(_table(letter["items"]))
    left = letter["rows"] - len(letter["items"])
    if left > 0 and letter["kind"] in ("samples", "alarms", "events"):
        console.print(Text(f"… and {several(left, 'row')} more.", "dim"))
    return 0


def _table(items: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE, pad_edge=False)
    names = list(items[0])
    for name in names:
        shown = "time" if name == "ts" else name
        table.add_column(shown, justify="right" if name == "value" else "left")
    for item in items:
        table.add_row(*(Text(_cell(name, item.get(name))) for name in names))
    return table


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name in _TIMES:
        return local_time(value, fine=True)
    if isinstance(value, dict):
        return printable(json.dumps(value, ensure_ascii=False))
    return number(value) if isinstance(value, float) else printable(str(value))

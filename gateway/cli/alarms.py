"""genba alarms: list, acknowledge and shelve alarms of the running gateway; their KPIs."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from gateway.api.client import URL, Client
from gateway.cli import _kpi
from gateway.cli.words import printable
from gateway.data.table import parse_time
from gateway.errors import ConfigError

_ACTIONS = {
    "ack": "acknowledge an alarm; without an occurrence the one that is shown now",
    "reset": "reset a latched alarm that was acknowledged",
    "shelve": "hide an alarm for a while, with a reason",
    "unshelve": "show a shelved alarm again",
    "suppress": "suppress an alarm by design",
    "unsuppress": "end a suppression by design",
    "remove_from_service": "take an alarm out of service, for maintenance",
    "return_to_service": "put an alarm back into service",
}


_ASKED_S = 0.1
_ASKED_MAX = 30
# What an action is about: the gateway refuses it otherwise, and says so only in its log.
_NEEDS = {
    "reset": ("state", ("LATUN", "LATACK"), "is not latched, so there is nothing to reset"),
    "unshelve": ("overlay", ("SHLVD",), "is not shelved"),
    "unsuppress": ("overlay", ("DSUPR",), "is not suppressed"),
    "return_to_service": ("overlay", ("OOSRV",), "is not out of service"),
}


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "alarms", help="list, acknowledge and shelve alarms"
    )
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.set_defaults(run=run, verb="list", hidden=False, history=False, json=False)
    verbs = parser.add_subparsers(dest="verb", metavar="ACTION")
    listing = verbs.add_parser(
        "list", help="list open alarms, which is also done without an action"
    )
    listing.add_argument("--hidden", action="store_true", help="those shelved or out of service")
    listing.add_argument("--history", action="store_true", help="the last events, oldest first")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    _kpi.add(verbs)
    for verb, about in _ACTIONS.items():
        one = verbs.add_parser(verb.replace("_", "-"), help=about)
        one.add_argument("alarm", help="id of the alarm, the end of it, or all")
        one.add_argument("--actor", default=f"user:{getpass.getuser()}", help="who acts")
        one.add_argument("--reason", default="", help="why, in your words")
        if verb == "ack":
            one.add_argument("--occurrence", type=int, help="which annunciation is meant")
        if verb == "shelve":
            one.add_argument("--for", dest="for_", default="1h", help="how long: 30min, 2h")


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    if args.verb == "kpi":
        return _kpi.run(args)
    client = Client(args.api)
    verb = (args.verb or "list").replace("-", "_")
    if verb != "list":
        print(printable(_act(client, verb, args)))
        return 0
    rows = _rows(client, args)
    if args.json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return 0
    console = Console(soft_wrap=True, highlight=False)
    for row in rows:
        console.print(_lines(row, is_history=args.history))
    if not rows:
        console.print("No alarm.")
    return 0


def _act(client: Client, verb: str, args: argparse.Namespace) -> str:
    """Ask the gateway for an action; returns what became of it."""
    more: dict[str, Any] = {"reason": args.reason} if args.reason else {}
    if verb == "shelve":
        if not args.reason:
            raise ConfigError("Shelving needs a reason.", hint='Add --reason "pump in repair".')
        try:
            more["for_s"] = parse_time(args.for_) / 1e9
        except ValueError as error:
            raise ConfigError(str(error), where="--for") from error
    if args.alarm in ("all", "*"):
        client.act(verb, "*", args.actor, **more)
        return f"{verb.replace('_', ' ')}: asked of all alarms"
    row = _find(client, args.alarm)
    alarm = row["alarm"]
    if verb in _NEEDS:
        field, wanted, text = _NEEDS[verb]
        if row[field] not in wanted:
            hint = "`genba alarms list --history` shows what became of it."
            raise ConfigError(f"The alarm {alarm} {text}.", hint=hint)
    if verb == "ack":
        more["occurrence"] = row["occurrence"] if args.occurrence is None else args.occurrence
    seen = client.alarms(history=True)
    told = client.act(verb, alarm, args.actor, **more)
    return _outcome(client, seen, alarm, told["actor"])


def _outcome(client: Client, seen: list[dict[str, Any]], alarm: str, actor: str) -> str:
    """What became of an action: the gateway takes it as input, and its node may refuse it.

    Args:
        client: Of the gateway.
        seen: The events before it.
        alarm: Of which.
        actor: As whom the gateway knows who did it: with accounts, not as who one says one is.

    Raises:
        ConfigError: It was refused, or the gateway is too busy to say.
    """
    known = {_event(row) for row in seen}
    for _ in range(_ASKED_MAX):
        for row in client.alarms(history=True):
            is_theirs = row["alarm"] == alarm and row["actor"] == actor
            if is_theirs and _event(row) not in known:
                return str(row["text"])
        asyncio.run(asyncio.sleep(_ASKED_S))
    raise ConfigError(
        f"The alarm {alarm} has not changed.", hint="The gateway's log says why it refused."
    )


def _event(row: dict[str, Any]) -> tuple[Any, ...]:
    """What an event is known by; the rest of a row may change as its alarm goes on."""
    return tuple(row[key] for key in ("alarm", "ts", "change", "occurrence", "overlay", "state"))


def _rows(client: Client, args: argparse.Namespace) -> list[dict[str, Any]]:
    if args.hidden:
        return [row for row in _newest(client) if row["overlay"] != "NONE"]
    return client.alarms(history=args.history)


def _newest(client: Client) -> list[dict[str, Any]]:
    """The newest event of every alarm in the history."""
    return list({row["alarm"]: row for row in client.alarms(history=True)}.values())


def _find(client: Client, wanted: str) -> dict[str, Any]:
    """The alarm with this id, or the only one whose id ends so.

    Raises:
        ConfigError: There is none, or more than one.
    """
    known = {row["alarm"]: row for row in [*_newest(client), *client.alarms()]}
    if wanted in known:
        return known[wanted]
    found = [row for name, row in known.items() if name.endswith(wanted)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(f"There is no alarm {wanted!r}.", hint="`genba alarms` lists them.")
    names = ", ".join(row["alarm"] for row in found)
    raise ConfigError(f"{wanted!r} may be {names}.", hint="Write more of the id.")


def _lines(row: dict[str, Any], *, is_history: bool) -> Text:
    """Two lines an alarm: when, how urgent, what and why; then the id that the verbs take."""
    at = datetime.fromtimestamp(row["ts" if is_history else "raised_ts"] / 1e9, UTC).astimezone()
    state = row["state"] if row["overlay"] == "NONE" else f"{row['state']}/{row['overlay']}"
    why = row["text"] if is_history else row["reason"]
    # As text, because a tag's name must not be read as markup.
    text = Text(f"{at:%Y-%m-%d %H:%M:%S}  {row['priority']:<7} {state:<6} ")
    text.append(printable(why), "bold" if row["state"] == "UNACK" else "")
    return text.append(f"\n    {printable(row['alarm'])}", "dim")

"""genba fleet: other gateways, without a cloud: how they are, and flows that go to them."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from gateway.api.client import URL
from gateway.api.client_fleet import FleetClient
from gateway.cli._fleet import lines_of, push_lines, row_of, trouble_of
from gateway.cli._flows import take_actor
from gateway.engine.clock import SystemClock
from gateway.engine.fleet_book import RINGS
from gateway.engine.fleet_parcel import seal, wrapped
from gateway.engine.signing import private_key
from gateway.errors import ConfigError
from gateway.flow.document import Document

KINDS: Final = {"gateway": "centres", "key": "keys"}
_LOOK_S: Final = 1.0


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "fleet", help="look at other gateways, and push flows to them"
    )
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.set_defaults(run=run, verb="list", json=False)
    verbs = parser.add_subparsers(dest="verb", metavar="ACTION")
    listing = verbs.add_parser("list", help="every gateway on a line, also without an action")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    show = verbs.add_parser("show", help="all that is known of one")
    show.add_argument("name")
    show.add_argument("--json", action="store_true", help="as one JSON object")
    verbs.add_parser("remove", help="look at one no more").add_argument("name")
    _add_peer(verbs.add_parser("add", help="look at one more, or at one in another way"))
    verbs.add_parser("identity", help="print the certificate that others must trust")
    key = verbs.add_parser("key", help="print the public key of the flows this gateway signs")
    key.add_argument("--new", action="store_true", help="make another key first")
    _add_trust(verbs)
    _add_push(verbs)


def _add_peer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("url", help="where it answers other gateways: https://10.0.0.5:8789")
    parser.add_argument("--fingerprint", default="", help="SHA-256 of its certificate")
    parser.add_argument("--authority", type=Path, help="or who signed it, a PEM file")
    parser.add_argument("--ring", choices=RINGS, default="ring1", help="when it gets flows")
    parser.add_argument("--group", action="append", default=[], help="may be repeated")
    parser.add_argument("--screens", default="", help="where its screens are, if elsewhere")
    parser.add_argument(
        "--token-file", type=Path, help="the token it made for us; - is standard input"
    )


def _add_trust(verbs: Any) -> None:
    trust = verbs.add_parser("trust", help="who may look at this gateway, and whose flows it takes")
    trust.set_defaults(kind="")
    kinds = trust.add_subparsers(dest="kind", metavar="WHAT")
    for kind, about in (
        ("gateway", "let a gateway in that shows this certificate, or one signed by it"),
        ("key", "take flows that are signed with this key"),
    ):
        one = kinds.add_parser(kind, help=about)
        one.add_argument("name")
        what = one.add_mutually_exclusive_group(required=True)
        what.add_argument("file", type=Path, nargs="?", help="PEM; - is standard input")
        what.add_argument("--remove", action="store_true", help="trust it no more")


def _add_push(verbs: Any) -> None:
    push = verbs.add_parser("push", help="send a flow to a group, ring by ring")
    push.add_argument("flow", help="a flow of this gateway, or with --key a flow file")
    push.add_argument("--group", required=True, help="to whom; * is every gateway")
    push.add_argument("--revision", type=int, help="which; by default the one that runs")
    push.add_argument("--key", type=Path, help="sign the file with this key, not the gateway's")
    push.add_argument("--soak-s", type=float, default=60.0, help="how long a ring is watched [s]")
    push.add_argument(
        "--alarms-more", type=int, default=3, help="so many more alarms than before are too many"
    )
    push.add_argument(
        "--failures-percent", type=float, default=0.0, help="of a ring that may fail [%%]"
    )
    push.add_argument("--no-wait", action="store_true", help="do not watch how it goes")
    take_actor(push)
    pushes = verbs.add_parser("pushes", help="how far pushes have come")
    pushes.add_argument("id", nargs="?", help="only this one, with its gateways")
    pushes.add_argument("--json", action="store_true", help="one JSON object a line")
    verbs.add_parser("stop", help="end a push; the ring it is in goes back").add_argument("id")


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns 3 when a push that was watched did not get through."""
    client = FleetClient(args.api, timeout_s=30.0)
    match args.verb:
        case "add":
            print(client.put_peer(args.name, **_peer(args)))
        case "remove":
            print(client.remove_peer(args.name))
        case "show":
            _show(client, args)
        case "identity":
            print(client.identity()["certificate"], end="")
        case "key":
            print(client.new_fleet_key() if args.new else _key(client), end="")
        case "trust":
            _trust(client, args)
        case "push":
            return _push(client, args)
        case "pushes":
            _pushes(client, args)
        case "stop":
            print(client.stop_push(args.id))
        case _:
            _list(client, args)
    return 0


def _peer(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {
        "url": args.url,
        "pin": args.fingerprint,
        "authority": args.authority.read_text() if args.authority else "",
        "ring": args.ring,
        "groups": args.group,
        "screens": args.screens,
    }
    if args.token_file is not None:
        found["token"] = _text(args.token_file).strip()
    return found


def _text(path: Path) -> str:
    return sys.stdin.read() if str(path) == "-" else path.read_text()


def _key(client: FleetClient) -> str:
    return client.identity()["key"] or client.new_fleet_key()


def _list(client: FleetClient, args: argparse.Namespace) -> None:
    found = client.fleet()
    if args.json:
        for row in found["peers"]:
            print(json.dumps(row, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    heads = ("gateway", "state", "version", "alarms", "drift", "heard", "ring", "groups")
    for head in heads:
        table.add_column(head, overflow="fold")
    now = SystemClock().now()
    for row in found["peers"]:
        table.add_row(*row_of(row, now))
    console = Console(highlight=False, markup=False)
    console.print(table if found["peers"] else "No other gateway is looked at.")
    for row in found["peers"]:
        if text := trouble_of(row):
            print(f"{row['name']}: {text}")


def _show(client: FleetClient, args: argparse.Namespace) -> None:
    row = next((one for one in client.fleet()["peers"] if one["name"] == args.name), None)
    if row is None:
        raise ConfigError(f"No gateway is called {args.name!r} here.", hint="genba fleet list")
    if args.json:
        print(json.dumps(row, ensure_ascii=False))
    else:
        print("\n".join(lines_of(row, SystemClock().now())))


def _trust(client: FleetClient, args: argparse.Namespace) -> None:
    if args.kind:
        kind = KINDS[args.kind]
        if args.remove:
            print(client.doubt(kind, args.name))
        else:
            print(client.believe(kind, args.name, _text(args.file)))
        return
    found = client.trust()
    for row in found["centres"]:
        print(f"gateway  {row['name']}  {row['subject']}  {row['sha256']}")
    for row in found["keys"]:
        print(f"key      {row['name']}  {row['id']}")
    if not found["centres"] and not found["keys"]:
        print("No other gateway is trusted.")


def _push(client: FleetClient, args: argparse.Namespace) -> int:
    rules = {
        "soak_s": args.soak_s,
        "alarms_more": args.alarms_more,
        "failures_percent": args.failures_percent,
    }
    what: dict[str, Any] = {"flow": args.flow, "revision": args.revision}
    if args.key is not None:
        document = Document.load(Path(args.flow))
        made = SystemClock().now()
        parcel = wrapped(document, "genba fleet push", args.actor, args.note, made)
        key = private_key(args.key.read_bytes(), str(args.key))
        what = {"sealed": seal(parcel, key).model_dump()}
    row = client.push(**what, group=args.group, note=args.note, actor=args.actor, rules=rules)
    if args.no_wait:
        print(f"The push {row['id']} has begun.")
        return 0
    return asyncio.run(_follow(client, row))


async def _follow(client: FleetClient, row: dict[str, Any]) -> int:
    """Say what happens until the push has ended; returns 0 when it got through."""
    said: set[str] = set()
    while True:
        for line in push_lines(row):
            if line not in said:
                said.add(line)
                print(line, flush=True)
        if row["state"] in ("done", "stopped"):
            print(f"The push is {row['state']}: {row['text']}")
            return 0 if row["state"] == "done" else 3
        await asyncio.sleep(_LOOK_S)
        row = await asyncio.to_thread(client.one_push, row["id"])


def _pushes(client: FleetClient, args: argparse.Namespace) -> None:
    rows = [client.one_push(args.id)] if args.id else client.pushes()
    for row in rows:
        if args.json:
            print(json.dumps(row, ensure_ascii=False))
            continue
        ring = f" in {row['ring']}" if row["ring"] else ""
        print(f"{row['id']}  {row['flow']} to {row['group']}: {row['state']}{ring}. {row['text']}")
        for line in push_lines(row) if args.id else ():
            print(f"  {line}")
    if not rows and not args.json:
        print("No flow was pushed from here.")

"""genba prompts: what flows ask language models, its versions, and the rules that choose."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from gateway.api.client import URL
from gateway.api.client_prompts import PromptClient
from gateway.cli.words import local_time, printable
from gateway.errors import ConfigError


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "prompts", help="list, show, save and try what flows ask language models"
    )
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.set_defaults(run=run, verb="list", json=False)
    verbs = parser.add_subparsers(dest="verb", metavar="ACTION")
    listing = verbs.add_parser("list", help="shared texts and who asks them; also without action")
    rules = verbs.add_parser("rules", help="every prompt in flows, with the rule that chooses it")
    show = verbs.add_parser("show", help="print a shared text as it is")
    save = verbs.add_parser("save", help="save a shared text; nodes ask it from the next event on")
    remove = verbs.add_parser("remove", help="delete a shared text; its versions stay in the audit")
    for one in (listing, rules):
        one.add_argument("--json", action="store_true", help="one JSON object a line")
    for one in (show, save, remove):
        one.add_argument("name", help="the shared text")
    which = show.add_mutually_exclusive_group()
    which.add_argument("--at", metavar="VERSION", help="as it was in this version")
    which.add_argument("--versions", action="store_true", help="list its versions instead")
    save.add_argument("file", help="the file with the text; - is standard input")
    save.add_argument("--note", default="", help="why, for those who read the versions")
    for one in (save, remove):
        one.add_argument("--base", help="only while the text is this version; of a new one ''")
    _add_try(verbs)


def _add_try(verbs: Any) -> None:
    tries = verbs.add_parser("try", help="print what would be asked about an event; asks nobody")
    what = tries.add_mutually_exclusive_group(required=True)
    what.add_argument("--name", help="with this shared text")
    what.add_argument("--file", help="with the text of a file; - is standard input")
    what.add_argument("--node", metavar="FLOW/NODE", help="with what the rules of a node choose")
    tries.add_argument("--data", default="{}", help="content of the event, a JSON object")
    tries.add_argument("--topic", default="", help="of the event")


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    client = PromptClient(args.api)
    match args.verb:
        case "show" if args.versions:
            _versions(client.prompt(args.name))
        case "show":
            _write(_text(client.prompt(args.name), args.at))
        case "save":
            version = client.save_prompt(
                args.name, _read(args.file), _base(client, args), args.note
            )
            print(f"{args.name} is saved as version {version}.")
        case "remove":
            client.remove_prompt(args.name, _base(client, args))
            print(f"{args.name} is deleted; `genba prompts show {args.name} --versions` has it.")
        case "try":
            _try(client, args)
        case "rules":
            _rules(client.prompts()["in_flows"], as_json=args.json)
        case _:
            _list(client.prompts()["texts"], as_json=args.json)
    return 0


def _base(client: PromptClient, args: argparse.Namespace) -> str:
    """The version that is changed: the one that was said, else the one that stands there now."""
    if args.base is not None:
        return str(args.base)
    found = [one for one in client.prompts()["texts"] if one["prompt"] == args.name]
    return str(found[0]["version"]) if found else ""


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is no text in UTF-8.", hint="Nothing was changed.") from error


def _text(found: dict[str, Any], version: str | None) -> str:
    """The text as it is, or as it was in a version.

    Raises:
        ConfigError: It has no such version, or is deleted.
    """
    if version is None and found["version"]:
        return str(found["text"])
    for one in found["revisions"]:
        if one["version"] == version:
            return str(one["text"])
    what = f"has no version {version!r}" if version is not None else "is deleted"
    name = found["prompt"]
    raise ConfigError(f"The prompt {name!r} {what}.", hint=f"genba prompts show {name} --versions")


def _write(text: str) -> None:
    """To the byte into a file or a pipe; to a terminal without what would steer it."""
    if sys.stdout.isatty():
        text = "\n".join(printable(line.expandtabs()) for line in text.split("\n"))
    sys.stdout.write(text)
    if sys.stdout.isatty() and not text.endswith("\n"):
        sys.stdout.write("\n")


def _versions(found: dict[str, Any]) -> None:
    for one in found["revisions"]:
        what = "deleted" if one["is_removal"] else one["version"]
        mark = "*" if one["version"] == found["version"] and not one["is_removal"] else " "
        at = local_time(one["ts"])
        print(printable(f"{mark} {what:<9} {at}  {one['by']:<20} {one['note']}".rstrip()))
    if not found["revisions"]:
        print("Nobody has saved it here; the file was put there.")


def _list(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    for row in rows:
        if as_json:
            print(json.dumps(row, ensure_ascii=False))
            continue
        users = ", ".join(row["used"]) or "nobody"
        print(printable(f"{row['prompt']:<20} {row['version']}  asked by {users}"))
        if row["by"]:
            by = f"by {row['by']} on {local_time(row['ts'])}"
            print(printable(f"{'':<20} {by}{': ' if row['note'] else ''}{row['note']}"))
    if not rows and not as_json:
        print("No shared text. `genba prompts save NAME FILE` makes one.")


def _rules(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """In the order in which a node tries them."""
    for row in rows:
        if as_json:
            print(json.dumps(row, ensure_ascii=False))
            continue
        when = json.dumps(row["when"], ensure_ascii=False) if row["when"] else "any event"
        where = f"{row['flow']}/{row['node']}"
        what = f"file {row['file']}" if row["file"] else "its own text"
        version = f"@{row['version']}" if row["version"] else ""
        print(printable(f"{where:<28} {row['prompt']}{version}: {when} -> {what}"))
        if row["problem"]:
            print(printable(f"{'':<28} {row['problem']}"))
    if not rows and not as_json:
        print("No flow that runs asks a model.")


def _try(client: PromptClient, args: argparse.Namespace) -> None:
    try:
        data = json.loads(args.data)
    except ValueError as error:
        raise ConfigError(f"--data is no JSON ({error}).") from error
    if not isinstance(data, dict):
        raise ConfigError("--data is no JSON object.", hint='Write it like \'{"text": "hello"}\'.')
    if args.node is not None:
        flow, slash, node = args.node.partition("/")
        if not slash:
            raise ConfigError(f"{args.node!r} is no FLOW/NODE.", hint="genba prompts rules")
        found = client.try_prompt(data, flow=flow, node=node, topic=args.topic)
    else:
        text = _read(args.file) if args.file else _text(client.prompt(args.name), None)
        found = client.try_prompt(data, text=text, topic=args.topic)
    if not found["messages"]:
        print("No rule of this node fits such an event, so nothing would be asked.")
        return
    for speaker, words in found["messages"]:
        print(f"{speaker}:")
        print("\n".join(f"  {printable(line)}" for line in words.split("\n")))

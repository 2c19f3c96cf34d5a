"""genba explain: why an alarm was raised, in words, and the facts behind it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

from gateway.api.client import URL
from gateway.api.client_explain import ExplainClient
from gateway.cli.words import local_time, printable
from gateway.errors import ConfigError

_ASKED_S: Final = 0.1
_ASKED_MAX: Final = 100
_OPEN: Final = ("waiting", "looking", "writing")


def add(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "explain", help="say why an alarm was raised, or export what was learnt"
    )
    parser.add_argument("alarm", help="id of the alarm, the end of it, or `export` for all")
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")
    parser.add_argument("--language", choices=("en", "ja"), default="en", help="of the text")
    parser.add_argument("--occurrence", type=int, default=0, help="which annunciation is meant")
    parser.add_argument("--facts", action="store_true", help="also print the facts behind it")
    parser.add_argument("--anew", action="store_true", help="explain it with what is known by now")
    parser.add_argument("--json", action="store_true", help="print all of it as one JSON object")
    parser.add_argument("--out", type=Path, help="of an export: the file; else standard output")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code."""
    client = ExplainClient(args.api)
    if args.alarm == "export":
        return _export(client, args.out)
    alarm = _find(client, args.alarm)
    found = client.explanation(alarm, args.occurrence, args.language)
    if args.anew or found["state"] in ("none", "dropped", "failed"):
        client.explain(alarm, args.occurrence, args.language)
        found = client.explanation(alarm, args.occurrence, args.language)
    for _ in range(_ASKED_MAX):
        if found["state"] not in _OPEN:
            break
        asyncio.run(asyncio.sleep(_ASKED_S))
        found = client.explanation(alarm, args.occurrence, args.language)
    if args.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        print("\n".join(_lines(found, with_facts=args.facts)))
    return 0 if found["text"] else 1


def _export(client: ExplainClient, out: Path | None) -> int:
    data = client.export_explanations()
    if out is None:
        sys.stdout.buffer.write(data)
        return 0
    out.write_bytes(data)
    print(f"{data.count(chr(10).encode())} explanations are in {out}.", file=sys.stderr)
    return 0


def _find(client: ExplainClient, wanted: str) -> str:
    """The id of the alarm that is meant: the whole of it, or the end of one.

    Raises:
        ConfigError: There is none, or more than one.
    """
    names = {str(row["alarm"]) for row in [*client.alarms(history=True), *client.alarms()]}
    if wanted in names:
        return wanted
    found = sorted(name for name in names if name.endswith(wanted))
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(f"There is no alarm {wanted!r}.", hint="`genba alarms` lists them.")
    raise ConfigError(f"{wanted!r} may be {', '.join(found)}.", hint="Write more of the id.")


def _lines(found: dict[str, Any], *, with_facts: bool) -> list[str]:
    text = found["text"]
    if not text:
        return [printable(found["note"] or "There is no explanation.")]
    lines = []
    for sentence in text["sentences"]:
        words = printable("".join(piece["text"] for piece in sentence["pieces"]))
        lines.append(words if sentence["is_checked"] else f"{words} [?]")
    by = "template" if text["by"] == "template" else text["by"]
    lines.append(printable(f"  ({by}{': ' + text['reason'] if text['reason'] else ''})"))
    for case in found["cases"]:
        said = f": {case['said']}" if case["said"] else ""
        when = local_time(case["ts"])
        lines.append(printable(f"  {when}  {case['alarm']}  {case['verdict']}{said}"))
    if with_facts:
        lines.append(json.dumps(found["sheet"], ensure_ascii=True, indent=1))
    return lines

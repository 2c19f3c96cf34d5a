"""``genba convert``: a flow from an export of Node-RED."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "convert",
        help="make a flow from an export of Node-RED",
        description="Prints the flow, and what became of each node on standard error. "
        "Ends with 0, or with 1 when something was left out.",
    )
    parser.add_argument("file", type=Path, help="the export: flows.json")
    parser.add_argument("--name", default="", help="name of the flow; else that of the file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the flow and the notes."""
    from gateway.errors import ConfigError
    from gateway.flow.nodered import convert, slug

    try:
        text = args.file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{args.file} is no text in UTF-8.") from error
    found = convert(text, args.name or slug(args.file.stem) or "imported")
    print(found.text, end="")
    for note in found.notes:
        verdict = note.verdict.replace("_", " ")
        print(f"{verdict:<8}  {note.node} ({note.type}): {note.text}", file=sys.stderr)
    return int(any(note.verdict == "left_out" for note in found.notes))

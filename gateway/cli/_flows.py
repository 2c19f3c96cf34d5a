"""What the commands about flows share: who acts, and what is said about a deploy."""

from __future__ import annotations

import argparse
import getpass
from datetime import UTC, datetime
from typing import Any

from gateway.api.client import URL
from gateway.cli.words import printable
from gateway.errors import ConfigError
from gateway.flow.compare import compare
from gateway.flow.document import Document

TIMEOUT_S = 60.0
"""How long a gateway may take for an edit: a source that goes away is waited for."""


def take_address(parser: argparse.ArgumentParser) -> None:
    """Declare ``--api``."""
    parser.add_argument("--api", help=f"address of the gateway; else $GENBA_API, else {URL}")


def take_actor(parser: argparse.ArgumentParser) -> None:
    """Declare who acts, and why."""
    parser.add_argument("--actor", default=f"user:{getpass.getuser()}", help="who acts")
    parser.add_argument("--note", default="", help="why, in your words")


def told(done: dict[str, Any], text: str) -> list[str]:
    """What became of an edit, and what it changed.

    Args:
        done: The gateway's answer.
        text: What runs now.
    """
    before = done["before"]
    if before is not None and before["revision"] == done["revision"]:
        return [*done["said"]]
    lines = [f"Revision {done['revision']} of {done['flow']} runs."]
    if before is not None:
        lines.append(f"It took the place of {described(before)}.")
        lines += differences(before["text"], text)
    return [*lines, *done["said"]]


def described(row: dict[str, Any]) -> str:
    """A revision in a line: number, author, time and note."""
    at = datetime.fromtimestamp(row["ts"] / 1e9, UTC).astimezone()
    note = f": {printable(row['note'])}" if row["note"] else ""
    return f"revision {row['revision']} by {printable(row['author'])}, {at:%Y-%m-%d %H:%M}{note}"


def differences(old: str, new: str) -> list[str]:
    """What differs between two texts; a text of before that cannot be read any more is said."""
    try:
        before, after = Document.parse(old), Document.parse(new)
    except ConfigError as error:
        return [f"They cannot be compared: {error}"]
    return [printable(line) for line in compare(before, after).lines()]

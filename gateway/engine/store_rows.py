"""Store rows: what stands in rows of the state file, written so that damage to it is found.

Each reader gives what is whole, and a sentence about what is not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from gateway.data.alarm import AlarmEvent
from gateway.data.tag import TAGS_MAX
from gateway.engine.codec import alarm_of
from gateway.engine.sealed import unseal
from gateway.errors import StateError

Row = tuple[Any, ...]


def alarm_key(flow: str, event: str) -> str:
    """What makes an alarm event of a flow the same event, and proves that it is whole."""
    return hashlib.blake2b(f"{flow}\n{event}".encode(), digest_size=16).hexdigest()


def whole_tags(rows: Sequence[Row]) -> tuple[list[dict[str, Any]], str]:
    """Facts of tags by code, from (code, sealed fact).

    A tag that is damaged keeps its code, under a name that no device has: so that what is
    stored under the code is not taken for another tag's.
    """
    facts: dict[int, dict[str, Any]] = {}
    for code, sealed in rows:
        try:
            facts[int(code)] = json.loads(unseal(str(sealed), code))
        except (StateError, ValueError):
            continue
    size = max((int(code) + 1 for code, _ in rows if 0 <= code < TAGS_MAX), default=0)
    lost = [code for code in range(size) if code not in facts]
    whole = [facts.get(code, {"name": f"damaged/{code}"}) for code in range(size)]
    return whole, f"{len(lost)} of {size} tags are damaged; they start fresh." if lost else ""


def whole_positions(flow: str, rows: Sequence[Row]) -> tuple[dict[str, Any], str]:
    """Source positions by node, from (node, sealed value)."""
    found, lost = {}, []
    for node, sealed in rows:
        try:
            found[str(node)] = json.loads(unseal(str(sealed), flow, node))
        except (StateError, ValueError):
            lost.append(str(node))
    text = f"The position of {', '.join(lost)} in {flow} is damaged; it reads from the beginning."
    return found, text if lost else ""


def whole_marks(
    flow: str, rows: Sequence[Row]
) -> tuple[dict[str, tuple[int, dict[str, Any]]], str]:
    """By sink: the record up to which its mark counts, and the mark; from (sink, seq, sealed)."""
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    lost = []
    for sink, seq, sealed in rows:
        try:
            found[str(sink)] = int(seq), json.loads(unseal(str(sealed), flow, sink, seq))
        except (StateError, ValueError):
            lost.append(str(sink))
    text = f"What {', '.join(lost)} in {flow} has taken is damaged; it may get rows twice."
    return found, text if lost else ""


def whole_alarms(rows: Sequence[Row]) -> tuple[list[AlarmEvent], str]:
    """Alarm events, from (flow, key, event)."""
    found, lost = [], 0
    for flow, key, event in rows:
        if alarm_key(flow, event) == key:
            found.append(alarm_of(json.loads(event)))
        else:
            lost += 1
    return found, f"{lost} alarm events are damaged and left out of the history." if lost else ""

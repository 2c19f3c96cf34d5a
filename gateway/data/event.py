"""Event: a JSON document with a time and a topic, for what is not a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: a log line, a webhook, a model's answer, a refused payload.

    Args:
        ts: When it happened [ns since 1970-01-01 UTC].
        topic: What it is about, with levels split by ``/``.
        data: A JSON object; numbers are finite.
        id: Names the event for ever, so that a second delivery can be recognised.
    """

    ts: int
    topic: str
    data: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""

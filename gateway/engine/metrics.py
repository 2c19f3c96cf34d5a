"""Counters and the newest value of every tag: what status, live view and metrics show."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gateway.data.batch import Batch
from gateway.data.tag import TagTable
from gateway.flow.node import Message

LINES_KEPT = 200


@dataclass(slots=True)
class NodeStatus:
    """How one node is, for people.

    Args:
        state: starting, connected, running, disconnected, faulted, misconfigured or stopped.
        text: The sentence under the node.
    """

    flow: str
    node: str
    type: str
    kind: str
    state: str = "starting"
    text: str = ""
    counts: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the API."""
        return {
            "flow": self.flow,
            "node": self.node,
            "type": self.type,
            "kind": self.kind,
            "state": self.state,
            "text": self.text,
            "counts": dict(sorted(self.counts.items())),
        }


class Live:
    """The newest value of every tag, and how many rows it has had."""

    def __init__(self, tags: TagTable) -> None:
        self.tags = tags
        self.value = np.full(tags.limit, np.nan)
        self.ts = np.zeros(tags.limit, np.int64)
        self.quality = np.full(tags.limit, 0x80320000, np.uint32)
        self.rows = np.zeros(tags.limit, np.int64)

    def observe(self, node: str, port: str, message: Message) -> None:
        """Take note of a message that left a port; late rows are not the newest."""
        if not isinstance(message, Batch) or port == "late":
            return
        tag = message.tag
        self.value[tag] = message.value  # Where a tag repeats, the last row stays.
        self.ts[tag] = message.ts
        self.quality[tag] = message.quality
        if len(tag) < 16:
            for code in tag.tolist():
                self.rows[code] += 1
        else:
            counted = np.bincount(tag)
            self.rows[: len(counted)] += counted

    def __iter__(self) -> Iterator[tuple[int, float, int, int, int]]:
        """(code, value, ts, quality, rows) of every tag, by code."""
        used = len(self.tags)
        columns = (self.value, self.ts, self.quality, self.rows)
        return zip(range(used), *(column[:used].tolist() for column in columns), strict=True)


class Lines:
    """The last sentences said to people, for the screens; the journal of the system has all."""

    def __init__(self) -> None:
        self.kept: deque[tuple[int, str, str, str]] = deque(maxlen=LINES_KEPT)
        self.number = 0

    def add(self, ts: int, level: str, where: str, text: str) -> None:
        """Remember one sentence."""
        self.kept.append((ts, level, where, text))
        self.number += 1

"""Counters and the newest value of every tag: what status, live view and metrics show."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Container, Iterator, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gateway.data.batch import Batch
from gateway.data.quality import BAD_WAITING
from gateway.data.tag import TagTable
from gateway.flow.node import Message

LINES_KEPT = 200
Observer = Callable[[str, str, Message], None]


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


class StatusBoard:
    """The statuses of all nodes, in the order in which they were made."""

    def __init__(self) -> None:
        self.all: list[NodeStatus] = []

    def of(self, flow: str, node: str, type_name: str, kind: str) -> NodeStatus:
        """The status of a node; a connection and a node may have one name."""
        for status in self.all:
            if (status.flow, status.node, status.type) == (flow, node, type_name):
                return status
        state = "running" if kind == "transform" else "starting"
        self.all.append(NodeStatus(flow, node, type_name, kind, state))
        return self.all[-1]

    def keep(self, flow: str, nodes: Set[tuple[str, str]]) -> None:
        """Forget the nodes of a flow but these (id, type), and the one that nobody wrote."""
        self.all = [
            s
            for s in self.all
            if s.flow != flow or (s.node, s.type) in nodes or s.type == "alarm.communication"
        ]

    def forget(self, flow: str) -> None:
        """Forget all nodes of a flow that is gone."""
        self.all = [s for s in self.all if s.flow != flow]

    def nodes(self, flow: str) -> dict[str, NodeStatus]:
        """The statuses of a flow's nodes by id."""
        return {s.node: s for s in self.all if s.flow == flow and s.kind != "connection"}


class Live:
    """The newest value of every tag, and how many rows it has had.

    A tag goes through many nodes under its name; its rows are counted where it comes from,
    which is the port that brought it first.
    """

    def __init__(self, tags: TagTable) -> None:
        self.tags = tags
        self.value = np.full(tags.limit, np.nan)
        self.ts = np.zeros(tags.limit, np.int64)
        self.quality = np.full(tags.limit, BAD_WAITING, np.uint32)
        self.rows = np.zeros(tags.limit, np.int64)
        self._origin = np.zeros(tags.limit, np.int32)
        self._ports: dict[tuple[str, str, str], int] = {}
        self._numbers = 0
        self.also: Callable[[Batch], None] | None = None
        """Called with all samples that are shown; it must not wait and not raise."""

    def observer(self, flow: str) -> Observer:
        """What a flow's graph calls with every message that leaves a port."""
        ports, value, ts, quality = self._ports, self.value, self.ts, self.quality
        rows, origin = self.rows, self._origin

        def observe(node: str, port: str, message: Message) -> None:
            if not isinstance(message, Batch) or port == "late":
                return  # Late rows are not the newest.
            if self.also is not None:
                self.also(message)
            number = ports.get((flow, node, port)) or self._number(flow, node, port)
            if len(message.tag) == 1:
                code = message.tag.item()
                value[code], ts[code] = message.value.item(), message.ts.item()
                quality[code] = message.quality.item()
                if (known := origin.item(code)) == number:
                    rows[code] += 1
                elif not known:
                    origin[code], rows[code] = number, 1
                return
            tag = message.tag
            value[tag] = message.value  # Where a tag repeats, the last row stays.
            ts[tag] = message.ts
            quality[tag] = message.quality
            owner = origin[tag]
            if not owner.all():
                origin[tag] = np.where(owner == 0, number, owner)
                owner = origin[tag]
            mine = tag if (owner == number).all() else tag[owner == number]
            counted = np.bincount(mine)
            rows[: len(counted)] += counted

        return observe

    def keep(self, flow: str, nodes: Container[str]) -> None:
        """Rows of a flow's nodes that are gone are counted where they come from next."""
        for key in [k for k in self._ports if k[0] == flow and k[1] not in nodes]:
            self._origin[self._origin == self._ports.pop(key)] = 0

    def origin(self, code: int) -> tuple[str, str, str] | None:
        """Flow, node and port where a tag comes from; None when it has not come yet."""
        number = int(self._origin[code])
        return next((key for key, known in self._ports.items() if known == number), None)

    def codes_from(self, flow: str, nodes: Container[str]) -> list[int]:
        """Codes of the tags that come from some nodes of a flow."""
        numbers = [n for key, n in self._ports.items() if key[0] == flow and key[1] in nodes]
        return [int(code) for code in np.flatnonzero(np.isin(self._origin, numbers))]

    def _number(self, flow: str, node: str, port: str) -> int:
        self._numbers += 1
        return self._ports.setdefault((flow, node, port), self._numbers)

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
        """Of the newest; those that are kept have the numbers up to it."""
        self.version = 0
        """Grows with every change, also of a line that was there."""
        self._changed: deque[int] = deque(maxlen=LINES_KEPT)
        self._growing: dict[tuple[str, str], int] = {}
        """Numbers of lines that may still grow, by place and key."""

    def add(self, ts: int, level: str, where: str, text: str) -> None:
        """Remember one sentence."""
        self.kept.append((ts, level, where, text))
        self.number += 1
        self.version += 1
        self._changed.append(self.version)

    def grow(self, ts: int, where: str, text: str, key: str, *, is_over: bool) -> None:
        """Put a line in the place of the one of the same key, which began it.

        Args:
            ts: When it began, where it is new [ns].
            where: Whose it is.
            text: The whole line so far.
            key: Names the line.
            is_over: It will not grow any more.
        """
        number = self._growing.get((where, key), 0)
        place = number - self.number - 1  # From the end: -1 is the newest.
        if number and -place <= len(self.kept):
            began, level, _, _ = self.kept[place]
            self.kept[place] = (began, level, where, text)
            self.version += 1
            self._changed[place] = self.version
        else:
            self.add(ts, "info", where, text)
            self._growing[where, key] = self.number
        if is_over:
            self._growing.pop((where, key), None)
        while len(self._growing) > LINES_KEPT:
            self._growing.pop(next(iter(self._growing)))

    def changed(self, version: int) -> list[tuple[int, tuple[int, str, str, str]]]:
        """Lines that are new or have grown since a version, each with its number."""
        first = self.number - len(self.kept) + 1
        pairs = zip(self._changed, self.kept, strict=True)
        return [(first + i, line) for i, (at, line) in enumerate(pairs) if at > version]

    def teller(self, now: Callable[[], int], where: str) -> Callable[[str, str], None]:
        """A function that remembers (level, sentence) of one place, but no sentence twice."""
        last = ""

        def tell(level: str, text: str) -> None:
            nonlocal last
            if text != last:
                self.add(now(), level, where, text)
            last = text

        return tell

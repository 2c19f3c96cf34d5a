"""Live flows: the state of nodes and wires, for the editor and for overviews."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.api.live_topics import Topic
from gateway.engine.graph import COMMUNICATION, Graph
from gateway.engine.outbox import Outbox, node_of_box
from gateway.engine.runner import FlowRunner
from gateway.engine.runtime import Runtime
from gateway.engine.taps import last_of
from gateway.flow.node import Message

ALL: Final = "*"
RATE_S: Final = 1.0
"""Rates are taken over so long, so that a slow poll does not make them jump [s]."""
_SILENT: Final = ("status", "late")
"""Ports whose messages say nothing of what a node gives."""
_Node = tuple[str, str, float, int, Any]
_Wire = tuple[float, int, int]


class Rates:
    """How fast some counts grow [1/s], over about the last second."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, NDArray[np.float64]]] = deque()

    def of(self, at_s: float, counts: Sequence[int]) -> NDArray[np.float64]:
        """The rates now.

        Args:
            at_s: A clock that is not set [s].
            counts: The same ones each time.
        """
        now = np.array(counts, np.float64)
        seen = self._seen
        while len(seen) > 1 and seen[1][0] <= at_s - RATE_S:
            seen.popleft()
        seen.append((at_s, now))
        before_s, before = seen[0]
        # Divided by the whole second from the first look on: else one row makes ten a second.
        rates = np.maximum(now - before, 0.0) / max(at_s - before_s, RATE_S)
        return np.where(rates < 100, np.round(rates, 1), np.round(rates))


class _Watched:
    """One flow that is watched.

    Args:
        runner: The flow.
        prefix: Before each of its ids.
    """

    def __init__(self, runner: FlowRunner, prefix: str) -> None:
        self.runner = runner
        self._prefix = prefix
        self._newest = runner.taps.add_newest()
        self._graph: Graph | None = None
        self.nodes: dict[str, _Node] = {}
        self.wires: dict[str, _Wire] = {}
        self._shown: dict[tuple[str, str], Message] = {}
        self._last: dict[str, Any] = {}

    def close(self) -> None:
        self.runner.taps.remove_newest(self._newest)

    def look(self, at_s: float) -> bool:
        """Read the flow as it is now; True when it is another revision."""
        graph = self.runner.graph
        is_new = graph is not self._graph
        if is_new:
            self._begin(graph)
        counts = graph.traffic.wires
        rows = [counts[ends].rows for ends in self._ends]
        books = self.runner.inbox.books
        rows += [books[n].journalled if n in books else 0 for n in self._sources]
        rates = self._rates.of(at_s, rows)
        wires, sources = rates[: len(self._ends)], rates[len(self._ends) :]
        into = np.bincount(self._targets, wires, len(self._index)) if len(wires) else None
        speed = (
            dict.fromkeys(self._index, 0.0)
            if into is None
            else dict(zip(self._index, into.tolist(), strict=True))
        )
        speed.update(zip(self._sources, sources.tolist(), strict=True))
        self._read_wires(wires.tolist())
        self._read_last()
        self._read_nodes(speed)
        return is_new

    def _begin(self, graph: Graph) -> None:
        """Learn what there is in a revision."""
        self._graph, self._rates = graph, Rates()
        self._index = {node: i for i, node in enumerate(graph.classes)}
        self._ends = [ends for ends in graph.traffic.wires if ends[2] != COMMUNICATION]
        self._names = [f"{self._prefix}{a}.{b}>{c}.{d}" for a, b, c, d in self._ends]
        self._targets = np.array([self._index[ends[2]] for ends in self._ends], np.intp)
        self._sources = [n for n, cls in graph.classes.items() if cls.kind == "source"]
        silent = {n for n, cls in graph.classes.items() if not cls.outputs or cls.kind == "sink"}
        self._feeds: dict[tuple[str, str], list[str]] = {}
        for source, port, target, _ in self._ends:
            if target in silent:
                self._feeds.setdefault((source, port), []).append(target)
        for key in [key for key in self._newest if key[0] not in graph.classes]:
            del self._newest[key]
        self.nodes, self.wires, self._shown, self._last = {}, {}, {}, {}

    def _read_wires(self, rates: list[float]) -> None:
        boxes: dict[str, list[Outbox]] = {}
        for name, box in self.runner.outboxes().items():
            boxes.setdefault(node_of_box(name), []).append(box)
        ends = {
            node: (sum(b.rows for b in mine), sum(sum(b.books.dropped.values()) for b in mine))
            for node, mine in boxes.items()
        }
        counts = self.runner.graph.traffic.wires
        for name, wire, rate in zip(self._names, self._ends, rates, strict=True):
            queued, dropped = ends.get(wire[2], (0, counts[wire].dropped))
            self.wires[name] = (rate, queued, dropped)

    def _read_last(self) -> None:
        """What each node gave last; a sink shows what it was given."""
        tags, shown = self.runner.graph.tags, self._shown
        for key, message in self._newest.items():
            if shown.get(key) is message or key[1] in _SILENT:
                continue
            shown[key] = message
            last = last_of(message, tags)
            for node in (key[0], *self._feeds.get(key, ())):
                self._last[node] = last

    def _read_nodes(self, speed: Mapping[str, float]) -> None:
        last = self._last
        for node, status in self.runner.statuses.items():
            if node not in self._index:
                continue  # While a deploy is under way it is told of once more.
            counts = status.counts
            errors = counts.get("faults", 0) + counts.get("rejected", 0)
            rate = speed.get(node, 0.0)
            name = self._prefix + node
            self.nodes[name] = (status.state, status.text, rate, errors, last.get(node))


class FlowTopic(Topic):
    """The state of the nodes and wires of one flow, or of all with ``*``.

    With ``*`` the name of the flow and a ``/`` stand before each id. The first answer and each
    after a deploy is ``whole``: what is not in it is not there any more.

    Args:
        runtime: The gateway.
        flow: Its name.
        hz: See `Topic`.
    """

    def __init__(self, runtime: Runtime, flow: str, hz: float) -> None:
        super().__init__(hz)
        self._runtime = runtime
        self._flow = flow
        self._watched: dict[str, _Watched] = {}
        self._whole = 0
        self._nodes: dict[str, _Node] = {}
        self._wires: dict[str, _Wire] = {}
        self._changed: dict[str, int] = {}
        self._is_begun = False

    def _look(self) -> None:
        runners = self._runtime.runners
        wanted = runners if self._flow == ALL else {self._flow: runners.get(self._flow)}
        is_new = not self._is_begun
        self._is_begun = True
        for name in list(self._watched):
            if wanted.get(name) is not self._watched[name].runner:
                self._watched.pop(name).close()
                is_new = True
        at_s = self._runtime.clock.monotonic()
        for name, runner in wanted.items():
            if runner is not None and name not in self._watched:
                prefix = f"{name}/" if self._flow == ALL else ""
                self._watched[name] = _Watched(runner, prefix)
            if name in self._watched:
                is_new |= self._watched[name].look(at_s)
        if is_new:
            self._nodes, self._wires, self._changed = {}, {}, {}
            self._whole = self.at
        for watched in self._watched.values():
            self._note(self._nodes, watched.nodes)
            self._note(self._wires, watched.wires)

    def _note(self, before: dict[str, Any], now: Mapping[str, Any]) -> None:
        """Remember what is not as it was; a node's id has no ``>``, which every wire's has."""
        changed, at = self._changed, self.at
        for name, row in now.items():
            if before.get(name) != row:
                before[name] = row
                changed[name] = at

    def _tell(self, since: int) -> bytes | None:
        is_whole = since < self._whole
        if is_whole and not self._watched:
            return orjson.dumps({"unknown": True}) if self._flow != ALL else _EMPTY
        changed = self._changed
        nodes = {
            name: {"state": row[0], "text": row[1], "rows_s": row[2], "errors": row[3]}
            | ({"last": row[4]} if row[4] is not None else {})
            for name, row in self._nodes.items()
            if is_whole or changed[name] > since
        }
        wires = {
            name: {"rows_s": row[0], "queued": row[1], "dropped": row[2]}
            for name, row in self._wires.items()
            if is_whole or changed[name] > since
        }
        if not is_whole and not nodes and not wires:
            return None
        found: dict[str, Any] = {"nodes": nodes, "wires": wires}
        if is_whole:
            found["whole"] = True
            found["revisions"] = {n: w.runner.revision for n, w in self._watched.items()}
        return orjson.dumps(found)

    def close(self) -> None:
        for watched in self._watched.values():
            watched.close()
        self._watched = {}


_EMPTY: Final = orjson.dumps({"nodes": {}, "wires": {}, "whole": True, "revisions": {}})

__all__ = ["FlowTopic", "Rates"]

"""Replay: recorded input runs through a flow again, at full speed, with no effect outside.

A replay is pure: journal records and a flow in, what left the flow out. Its sources, sinks and
workers are never made, so it cannot read, write or ask. What a worker answered and what an
operator did is part of the recorded input.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.data.event import Event
from gateway.data.tag import TagTable
from gateway.engine.codec import unpack_inputs
from gateway.engine.faults import FAULTS_MAX
from gateway.engine.graph import Graph
from gateway.engine.replay_ends import End
from gateway.engine.wiring import DEPLOYED, Input, Result, rows
from gateway.errors import StateError
from gateway.flow.document import Document
from gateway.flow.harness import BenchContext
from gateway.flow.node import Context, Message, Node, Sink, State

SAID_MAX: Final = 100
Record = tuple[int, bytes]
"""Number and block of a journal record."""
Revisions = Callable[[int], Document]
"""Gives the flow of a revision by its number. Raises ConfigError when it is not known."""


@dataclass
class ReplayContext(BenchContext):
    """What a replayed node may use: no clock, no secret; only its newest words are kept."""

    said: Any = field(default_factory=lambda: deque(maxlen=SAID_MAX))


class Player:
    """A flow that recorded input runs through.

    Args:
        document: The flow, its variables replaced.
        tags: A tag table of its own: what the flow derives goes in there.
        watch: Output ports whose messages count as an end of the flow, besides its sinks.
        revisions: The recorded revisions, which a replay of what ran follows; without it,
            `document` runs throughout.
        is_fresh: True when alarms may count their occurrences otherwise than they did when the
            input was recorded; see `unnumbered`.

    Raises:
        ConfigError: The flow cannot be made.
    """

    def __init__(
        self,
        document: Document,
        tags: TagTable,
        *,
        watch: Collection[End] = (),
        revisions: Revisions | None = None,
        is_fresh: bool = False,
    ) -> None:
        self.document = document
        self.tags = tags
        self.rows: Counter[End] = Counter()
        """Rows that left each output port, those of sources included."""
        self.faults: Counter[str] = Counter()
        """How often each node failed."""
        self.fault = ""
        """The newest failure in a line."""
        self.contexts: dict[str, ReplayContext] = {}
        self.is_fresh = is_fresh
        self._watch = frozenset(watch)
        self._watched: list[Input] = []
        self._revisions = revisions
        self.graph = self._new_graph(document)

    def _new_graph(self, document: Document) -> Graph:
        def make(node_id: str, cls: type[Node[Any]]) -> Context:
            ctx = ReplayContext(tags=self.tags, node_id=node_id, flow=document.name)
            self.contexts[node_id] = ctx
            return ctx

        return Graph(document, self.tags, make, observe=self._see)

    def _see(self, node: str, port: str, message: Message) -> None:
        self.rows[node, port] += rows(message)
        if (node, port) in self._watch:
            self._watched.append((node, port, message))

    def step(self, inputs: Sequence[Input], now: int) -> Result:
        """One recorded step; `outputs` holds what reached sinks, workers and watched ports."""
        number = deployed_revision(inputs)
        if number is not None:
            inputs = [item for item in inputs if item[:2] != DEPLOYED]
            if self._revisions is not None:
                self.deploy(self._revisions(number))
        if self.is_fresh:
            inputs = unnumbered(inputs)
        result = self.graph.step(inputs, now)
        if self._watched:
            result.outputs += self._watched
            self._watched = []
        for fault in result.faults:
            self.faults[fault.node] += 1
            self.fault = f"{fault.node} failed: {fault.text}"
            if self.faults[fault.node] < FAULTS_MAX:  # As the runner does it.
                self.graph.revive(fault.node)
        return result

    def deploy(self, document: Document) -> None:
        """Go on with another revision; nodes that did not change keep their state."""
        old = self.graph
        states = carried(self.document, document, old.snapshot())
        self.document = document
        self.graph = self._new_graph(document)
        self.adopt(states, old.now)

    def adopt(self, states: Mapping[str, State], now: int) -> list[str]:
        """Start from stored states instead of fresh; returns sentences about what did not fit."""
        self.graph.now = max(now, self.graph.now)
        return self.graph.restore(states)

    @property
    def ends(self) -> set[str]:
        """Ids of sinks and workers."""
        kinds = ("sink", "worker")
        return {node for node, cls in self.graph.classes.items() if cls.kind in kinds}

    @property
    def writes(self) -> set[str]:
        """Ids of the sinks and workers that can change the plant."""
        return {node for node in self.ends if _can_write(self.graph.classes[node])}

    def unfed(self, recorded: Collection[End]) -> list[str]:
        """Sources and workers of the flow of which no input was recorded."""
        known = {node for node, _ in recorded}
        kinds = ("source", "worker")
        return [n for n, cls in self.graph.classes.items() if cls.kind in kinds and n not in known]

    def unused(self, recorded: Collection[End]) -> list[str]:
        """Nodes of which input was recorded and that this flow does not have."""
        nodes = dict.fromkeys(node for node, _ in recorded if node)
        return [node for node in nodes if node not in self.graph.classes]


def _can_write(cls: type[Node[Any]]) -> bool:
    return cls.writes or (issubclass(cls, Sink) and cls.delivery == "fresh")


def deployed_revision(inputs: Sequence[Input]) -> int | None:
    """The revision that a marker among the inputs names; None without a marker."""
    for node, port, message in inputs:
        if (node, port) == DEPLOYED and isinstance(message, tuple):
            for event in message:
                if isinstance(event, Event) and isinstance(event.data.get("revision"), int):
                    return int(event.data["revision"])
    return None


def carried(old: Document, new: Document, states: Mapping[str, State]) -> dict[str, State]:
    """The states of nodes that are the same in both flows: a label or a wire may differ."""
    found = {}
    for node, state in states.items():
        before, after = old.nodes.get(node), new.nodes.get(node)
        if before is None or after is None:
            is_same = before is after  # In no file stands the alarm that every flow has.
        else:
            is_same = (before.type, before.config) == (after.type, after.config)
        if is_same:
            found[node] = state
    return found


def unnumbered(inputs: Sequence[Input], only: Collection[str] | None = None) -> list[Input]:
    """Acknowledgements mean the alarm as it stands, whatever occurrence the operator named.

    A replay that starts fresh, or a flow that raises more or fewer alarms, counts occurrences
    otherwise; the operator's answer to the alarm would be refused for its number alone.

    Args:
        inputs: Recorded input.
        only: Alarms this is done for; None for all.
    """
    found: list[Input] = []
    for node, port, message in inputs:
        if port == "operator" and isinstance(message, tuple):
            events = tuple(_unnumbered(e, only) for e in message if isinstance(e, Event))
            message = events or message
        found.append((node, port, message))
    return found


def _unnumbered(event: Event, only: Collection[str] | None) -> Event:
    if event.topic != "alarm/ack" or "occurrence" not in event.data:
        return event
    if only is not None and event.data.get("alarm") not in only:
        return event
    return replace(event, data={k: v for k, v in event.data.items() if k != "occurrence"})


class Steps:
    """Recorded steps, unpacked; what is damaged or missing is counted and passed over.

    Args:
        records: Journal records in order.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = 0
        self.rows = 0
        self.damaged: list[str] = []
        self.missing = 0
        """Records that should stand between others and do not."""
        self.seq = 0
        """Number of the record that was given out last."""
        self.inputs: Counter[End] = Counter()
        """Rows by the source's output, or the transform's input."""
        self._records = records

    def __iter__(self) -> Iterator[tuple[list[Input], int]]:
        for seq, block in self._records:
            if self.seq and seq > self.seq + 1:
                self.missing += seq - self.seq - 1
            self.seq = seq
            self.records += 1
            try:
                inputs, now = unpack_inputs(block)
            except StateError as error:
                self.damaged.append(f"Record {seq} is passed over: {error}")
                continue
            for node, port, message in inputs:
                count = rows(message)
                self.rows += count
                self.inputs[node, port] += count
            yield inputs, now

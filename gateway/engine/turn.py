"""Turn: the record with which another revision of a flow takes over, and what it tells whom.

It is input like any other: a replay of the journal swaps the graphs at the very same place and
steps the new one with the very same messages.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.data.alarm import AlarmEvent, AlarmState, Overlay
from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.engine.codec import pack_inputs
from gateway.engine.graph import Graph
from gateway.engine.store_entry import Entry, Revision
from gateway.engine.wiring import DEPLOYED, Input, rows
from gateway.flow.node import Message

_ENDED: Final = "The flow was changed: nothing watches this any more, or it is watched anew."


@dataclass(slots=True)
class Turn:
    """One revision takes the place of another, between two steps.

    Args:
        graph: The new revision; it has taken over what it keeps.
        revision: Its text and number.
        now: The time of the step [ns].
        inputs: The marker, and what the nodes that go on are told.
        ends: What ends the alarms that nobody watches any more.
        closed: Sinks and workers whose queue nobody will empty, with the rows that wait in it.
        positions: Source positions that mean nothing any more, as JSON, by node id.
    """

    graph: Graph
    revision: Revision
    now: int
    inputs: list[Input] = field(default_factory=list)
    ends: Sequence[AlarmEvent] = ()
    closed: Mapping[str, int] = field(default_factory=dict)
    positions: Mapping[str, str] = field(default_factory=dict)

    def entry(self, flow: str, seq: int) -> Entry:
        """All that is committed with it."""
        size = sum(rows(message) for _, _, message in self.inputs)
        return Entry(
            flow,
            seq,
            self.now,
            size,
            pack_inputs(self.inputs, self.now),
            positions=self.positions,
            closed=self.closed,
            alarms=self.ends,
            revision=self.revision,
        )


def turn_of(
    graph: Graph,
    old: Graph,
    revision: Revision,
    now: int,
    *,
    closed: Mapping[str, int],
    ends: Sequence[AlarmEvent],
    gone: Mapping[str, Batch | None],
    positions: Mapping[str, str],
) -> Turn:
    """The turn from one graph to another.

    Args:
        graph: The new one.
        old: The one that runs.
        revision: Of the new one.
        now: The time [ns].
        closed: Sinks and workers whose queue is closed, with the rows that wait in it.
        ends: What ends alarms.
        gone: Sources that are gone or others by now, each with what nobody brings any more.
        positions: Source positions that are forgotten.
    """
    data = {"revision": revision.number, "closed": sorted(closed)}
    inputs: list[Input] = [(*DEPLOYED, (Event(now, "engine/deployed", data),))]
    for node in dict.fromkeys(_node_of(event) for event in ends):
        mine = tuple(event for event in ends if _node_of(event) == node)
        inputs += _told(graph, old, node, "alarms", mine)
    for source, bad in gone.items():
        text = "The source was removed or changed."
        event = Event(now, "source/removed", {"source": source, "text": text})
        inputs += _told(graph, old, source, "status", (event,))
        if bad is not None and len(bad):
            inputs += _told(graph, old, source, "out", bad)
    return Turn(graph, revision, now, inputs, ends, closed, positions)


def _told(graph: Graph, old: Graph, node: str, port: str, message: Message) -> list[Input]:
    """A message for all that a node was wired to and that are still there."""
    found: list[Input] = []
    for source, out, target, into in old.traffic.wires:
        if (source, out) != (node, port) or target not in graph.classes:
            continue
        cls = graph.classes[target]
        if cls.kind in ("transform", "sink") and into in {port.name for port in cls.inputs}:
            found.append((target, into, message))
    return found


def ends_of(
    events: Iterable[AlarmEvent], flow: str, kept: Collection[str], now: int
) -> list[AlarmEvent]:
    """Ends of the alarms of a flow whose node is gone, or has forgotten them.

    Args:
        events: The newest event of each alarm.
        flow: The flow's name.
        kept: Nodes that go on.
        now: The time [ns].
    """
    return [
        replace(
            event,
            ts=max(now, event.ts),
            change="removed",
            state=AlarmState.NORM,
            overlay=Overlay.NONE,
            text=_ENDED,
            actor=f"flow:{flow}",
        )
        for event in sorted(events, key=lambda event: event.alarm)
        if event.alarm.startswith(f"{flow}/") and _node_of(event) not in kept
    ]


def _node_of(event: AlarmEvent) -> str:
    return event.alarm.partition("/")[2].partition(":")[0]


__all__ = ["Turn", "ends_of", "turn_of"]

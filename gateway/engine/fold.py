"""Fold: the state of a flow computed afresh from its journal alone.

State is a fold over the journal. So a graph that never stopped, fed with the whole journal of a
gateway that was killed again and again, must end in the same bits as that gateway: two digests
tell. It needs the whole journal, from the first record; where old records were dropped it says
so. It reads a copy of a state file or that of a gateway that has stopped, never a running one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.data.alarm import AlarmEvent
from gateway.data.tag import TagTable
from gateway.engine.codec import unpack_inputs
from gateway.engine.graph import Graph
from gateway.engine.store import Store
from gateway.engine.wiring import rows
from gateway.errors import StateError
from gateway.flow.document import Document
from gateway.flow.node import State

TAGS_MIN: Final = 10_000  # Room for tags that a flow makes of its own.


@dataclass(slots=True)
class Folded:
    """What the journal of a flow gives.

    Args:
        seq: Number of the last record.
        rows: Rows in all records.
        digest: Of the state after the last record.
        digests: Of the states after the records that were asked for.
        alarms: Every alarm event, in order.
    """

    seq: int = 0
    rows: int = 0
    digest: str = ""
    digests: dict[int, str] = field(default_factory=dict)
    alarms: list[AlarmEvent] = field(default_factory=list)


def digest_of(states: Mapping[str, State]) -> str:
    """SHA-256 over the states of all nodes, bit by bit: names, types, shapes and contents."""
    whole = hashlib.sha256()
    for node in sorted(states):
        for name in sorted(states[node]):
            array = states[node][name]
            whole.update(f"{node}\n{name}\n{array.dtype.str}\n{array.shape}\n".encode())
            whole.update(array.tobytes())
    return whole.hexdigest()


async def stored(store: Store, flow: str) -> tuple[int, str]:
    """(record, digest) of the newest checkpoint of a flow.

    Raises:
        StateError: There is none, or it is damaged.
    """
    if (found := await store.snapshot(flow)) is None:
        raise StateError(f"{flow} has no checkpoint yet.")
    if found.damaged:
        raise StateError(" ".join(found.damaged.values()))
    return found.seq, digest_of(found.states)


async def fold(store: Store, document: Document, marks: Collection[int] = ()) -> Folded:
    """Run the whole journal of a flow through a graph of its own.

    Args:
        store: The state file, open.
        document: The flow, with the values of its variables.
        marks: Records after which a digest is wanted too.

    Raises:
        StateError: The journal does not begin at its beginning, a record is lost, or a node
            fails.
    """
    facts = await store.tags()
    tags = TagTable(max(len(facts), TAGS_MIN))
    tags.load(facts)
    graph = Graph(document, tags)
    found = Folded()
    while records := await store.journal(document.name, found.seq):
        for seq, block in records:
            if seq != found.seq + 1:
                raise StateError(
                    f"The journal of {document.name} goes on with record {seq} after {found.seq}: "
                    "what lies between is not kept, so the state cannot be computed from it."
                )
            inputs, now = unpack_inputs(block)
            result = graph.step(inputs, now)
            for fault in result.faults:
                raise StateError(f"{fault.node} fails at record {seq}: {fault.text}.")
            found.alarms += [event for _, events in result.alarms for event in events]
            found.rows += sum(rows(message) for _, _, message in inputs)
            found.seq = seq
            if seq in marks:
                found.digests[seq] = digest_of(graph.snapshot())
    found.digest = digest_of(graph.snapshot())
    return found

"""From version 1 of the state file: what it kept in one block, in the tables of today.

Version 1 stored the states of a flow and the messages that waited for its sinks as one block,
and counted what each sink had taken. Here states become chunks, what waited becomes blocks of
the outbox, and the counts become marks, so that an update loses nothing that was acknowledged.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.engine.codec import unpack_inputs, unpack_states
from gateway.engine.lane import Waiting
from gateway.engine.packing import pack_messages
from gateway.engine.sealed import seal
from gateway.engine.store_rows import block_sum
from gateway.engine.store_state import Checkpoint, Saved
from gateway.engine.wiring import rows
from gateway.errors import StateError
from gateway.flow.node import State

_log = logging.getLogger("genba.store")
BLOCK_ROWS: Final = 5_000
_BOX: Final = "outbox:"
Cursors = Mapping[str, tuple[int, str]]
"""By sink: the number of the last message it took, and which text of the flow counted."""


def convert(db: sqlite3.Connection) -> None:
    """Bring over states, what waited and what was taken; the old tables are named old_…"""
    cursors: dict[str, dict[str, tuple[int, str]]] = defaultdict(dict)
    for flow, sink, delivered, revision in db.execute("SELECT * FROM old_cursor"):
        cursors[flow][sink] = (int(delivered), str(revision))
    snapshots = db.execute("SELECT flow, seq, ts, data FROM old_snapshot").fetchall()
    for flow, seq, ts, data in snapshots:
        try:
            _snapshot(db, flow, int(seq), int(ts), bytes(data), cursors.pop(flow, {}))
        except StateError as error:
            _log.error("The state of %s starts from its journal: %s", flow, error)
    for flow, known in cursors.items():  # It died before its first checkpoint.
        for sink, (delivered, revision) in known.items():
            mark = {"low": delivered, "offered": delivered, "text": revision}
            _outlet(db, flow, sink, 0, mark)


def _snapshot(
    db: sqlite3.Connection, flow: str, seq: int, ts: int, data: bytes, cursors: Cursors
) -> None:
    states, old = unpack_states(data)
    boxes: dict[str, dict[str, Any]] = old["outbox"]
    offered = {}
    for sink, numbers in boxes.items():
        waiting = _waiting(states, sink, numbers)
        low = int(numbers["delivered"])
        taken, revision = cursors.get(sink, (0, ""))
        if revision == old["revision"]:
            low = max(low, taken)
        waiting = [item for item in waiting if item.number > low]
        for part in _parts(waiting):
            block = pack_messages(part)
            last, size = part[-1].number, sum(rows(item.message) for item in part)
            values = (flow, sink, part[0].number, last, size)
            data = block_sum(*values, len(block)) + block
            db.execute("INSERT INTO outbox VALUES (?,?,?,?,?,?)", (*values, data))
        number = int(numbers["offered"])
        mark = {"low": low, "offered": number, "stored": number, "text": old["revision"]}
        _outlet(db, flow, sink, seq, mark)
        offered[sink] = [number, sum(rows(item.message) for item in waiting)]
    states = {node: state for node, state in states.items() if not node.startswith(_BOX)}
    head = {"now": old["now"], "revision": 0, "offered": offered}
    checkpoint, saved = Checkpoint(flow, seq, ts, states, head), Saved()
    for _ in checkpoint.slices(db, saved):
        pass
    checkpoint.finish(db, saved)


def _waiting(states: Mapping[str, State], sink: str, numbers: Mapping[str, Any]) -> list[Waiting]:
    inputs, _ = unpack_inputs(states[f"{_BOX}{sink}"]["block"].tobytes())
    return [
        Waiting(int(number), port, message)
        for number, (_, port, message) in zip(numbers["waiting"], inputs, strict=True)
    ]


def _parts(items: list[Waiting]) -> Iterator[list[Waiting]]:
    """Messages in runs of numbers without a hole, none much larger than a block."""
    part: list[Waiting] = []
    for item in items:
        is_full = sum(rows(one.message) for one in part) >= BLOCK_ROWS
        if part and (is_full or item.number != part[-1].number + 1):
            yield part
            part = []
        part.append(item)
    if part:
        yield part


def _outlet(
    db: sqlite3.Connection, flow: str, sink: str, seq: int, mark: Mapping[str, object]
) -> None:
    sealed = seal(json.dumps(mark), flow, sink, seq)
    db.execute("INSERT INTO outlet VALUES (?,?,?,?)", (flow, sink, seq, sealed))

"""Closing: what waited for a sink or worker that is no more is dropped, counted and said.

Nobody can empty such a queue: what a historian was to get must not become setpoints of a node
that is given the same name later. The count is part of the transaction that drops it, and is on
the status page for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from gateway.engine.journal import persist
from gateway.engine.outbox import node_of_box, of_node
from gateway.engine.store import Entry, Store

if TYPE_CHECKING:
    from gateway.engine.runner import FlowRunner


def closed_text(node: str, rows: int) -> str:
    """What people are told of a queue that was closed with so many rows in it."""
    return f"{node} is closed: {rows:,} rows that waited for it were dropped."


def told(closed: Mapping[str, int]) -> list[str]:
    """A sentence for each queue in which something waited."""
    return [closed_text(node, rows) for node, rows in closed.items() if rows]


async def close_queues(store: Store, runner: FlowRunner, nodes: Iterable[str]) -> dict[str, int]:
    """Begin queues anew that another sink of that name left.

    Returns: the rows that waited, by node; they are dropped with the next entry that names them.
    """
    boxes = runner.outboxes()
    found = {}
    for node in nodes:
        mine = of_node(boxes, node)
        waiting = sum(box.rows for box in mine.values())
        for box in mine.values():
            box.restore({}, (0, 0), ())
        found[node] = waiting if mine else await _stored_rows(store, runner.name, node)
    return found


async def _stored_rows(store: Store, flow: str, node: str) -> int:
    """Rows that wait on the disk for a node that has no queue in memory."""
    rows = 0
    for name in await store.queues(flow):
        if node_of_box(name) == node:
            rows += sum(block[2] for block in await store.blocks(flow, name))
    return rows


async def drop_orphans(store: Store, runner: FlowRunner) -> list[str]:
    """Close the queues on the disk that belong to no node of the flow.

    A deploy closes what it removes. These are left when the old revision was not known any more
    to say what it had: its text or the state was damaged.

    Returns: a sentence for each queue in which something waited.
    """
    if not runner.durable:  # Its queues are in memory; those on the disk are of another time.
        return []
    known = {node_of_box(name) for name in runner.outboxes()}
    gone = {node_of_box(name) for name in await store.queues(runner.name)} - known
    if not gone:
        return []
    closed = {node: await _stored_rows(store, runner.name, node) for node in sorted(gone)}
    now = runner.graph.now
    await persist(store, Entry(runner.name, runner.seq, now, closed=closed, urgent=True))
    return told(closed)


__all__ = ["close_queues", "closed_text", "drop_orphans", "told"]

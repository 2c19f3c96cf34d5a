"""Report: the page an operator reads first. Do the books balance, and what waits where?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.data.batch import Batch
from gateway.data.windows import Windows
from gateway.engine.bookkeeping import flow_books
from gateway.engine.health import OWN
from gateway.engine.lane import Block, Waiting
from gateway.engine.outbox import of_node
from gateway.engine.packing import unpack_messages
from gateway.engine.runner import FlowRunner
from gateway.engine.store import Store
from gateway.engine.store_report import read_records, waiting_for_stopped
from gateway.engine.view import flow_status
from gateway.engine.wear import day_of
from gateway.errors import StateError
from gateway.flow.node import Message

if TYPE_CHECKING:
    from gateway.engine.runtime import Runtime


def status_of(runtime: Runtime) -> dict[str, Any]:
    """Everything a screen shows but the tags, as plain values; it waits for nothing."""
    books = {name: flow_books(runner) for name, runner in runtime.booked.items()}
    return {
        "now": runtime.clock.now(),
        "since": runtime.since,
        "uptime_s": runtime.clock.monotonic() - runtime.started_s,
        "tags": len(runtime.tags),
        "nodes": [status.as_dict() for status in runtime.statuses],
        "wires": runtime.wires(),
        "flows": {name: flow_status(runner) for name, runner in runtime.runners.items()},
        "books": books,
        "unbalanced": sum(book["unbalanced"] for book in books.values()),
        "commits": runtime.store.commits,
        "bytes_written": runtime.store.bytes_written,
        "lines": [list(line) for line in runtime.lines.kept],
        "explanations": runtime.explainer.figures() if runtime.explainer is not None else None,
    }


async def report(runtime: Runtime) -> dict[str, Any]:
    """How the gateway is, as plain values; `unbalanced` must be 0.

    Raises:
        Disconnected: The state file cannot be read.
    """
    records = await disk_report(runtime)
    today = day_of(records["now"])
    wear = {today: 0, **records.pop("wear")}
    wear[today] += runtime.wear.pending
    flows, waiting = [], []
    for name, runner in runtime.booked.items():
        books = flow_books(runner)
        flows.append(
            {
                "flow": name,
                "own": name == OWN,
                "revision": runner.revision,
                "durability": "journal" if runner.durable else "memory",
                "checkpoint": records["checkpoints"].get(name),
                "stopped": runner.graph.faulted(),
                **books,
            }
        )
        waiting += [
            {"flow": name, "node": row["node"], "rows": row["waiting"]}
            for row in books["inputs"]
            if row["waiting"]
        ]
        for row in books["outlets"]:
            if row["queued"]:
                oldest = await _oldest(runtime.store, runner, row["node"])
                keys = ("node", "bytes", "backlog")
                kept = {key: row[key] for key in keys}
                waiting.append({"flow": name, **kept, "rows": row["queued"], "oldest": oldest})
    running = runtime.booked
    waiting += await runtime.store.run(lambda db: waiting_for_stopped(db, running))
    return {
        "running": True,
        "since": runtime.since,
        "tags": len(runtime.tags),
        "unbalanced": sum(flow["unbalanced"] for flow in flows),
        "flows": flows,
        "waiting": waiting,
        **records,
        "wear": wear,
        "alarms": runtime.book.counts(),
        "trouble": runtime.store.trouble,
        "left_out": runtime.left_out(),
    }


async def disk_report(runtime: Runtime) -> dict[str, Any]:
    """What the state file of a running gateway says.

    Raises:
        Disconnected: It cannot be read.
    """
    now = runtime.clock.now()
    records = await runtime.store.run(lambda db: read_records(db, now))
    return {"now": now, **records, "journal": runtime.store.segments.reach()}


async def _oldest(store: Store, runner: FlowRunner, node: str) -> int | None:
    """The time of what waits longest for a sink [ns], or None when that is not known."""
    found = [
        time
        for name, box in of_node(runner.outboxes(), node).items()
        if (time := await _oldest_of(store, runner.name, name, box.oldest())) is not None
    ]
    return min(found, default=None)


async def _oldest_of(
    store: Store, flow: str, name: str, head: Waiting | Block | None
) -> int | None:
    if isinstance(head, Block) and head.items:
        head = head.items[0]
    if isinstance(head, Block):
        data = await store.block(flow, name, head.first)
        try:
            items = unpack_messages(data, head.first) if data else []
        except StateError:  # Said when the sink comes to it.
            return None
        return _time_of(items[0].message) if items else None
    return None if head is None else _time_of(head.message)


def _time_of(message: Message) -> int:
    if isinstance(message, Batch):
        return int(message.ts[0])
    return int(message.start[0]) if isinstance(message, Windows) else message[0].ts

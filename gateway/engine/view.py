"""View: what a running flow looks like, as plain values for screens and metrics."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gateway.engine.graph import COMMUNICATION
from gateway.engine.outbox import of_node
from gateway.engine.runner import FlowRunner


def wires_of(runner: FlowRunner) -> list[dict[str, Any]]:
    """Every wire of a flow with its rows, its drops and what waits at its end.

    What a sink or a worker drops is counted at its outbox, for all its wires together.

    The wires to the communication alarm that every flow has are shown once they carried rows.
    """
    found = []
    outboxes = runner.outboxes()
    for (source, port, target, target_port), count in runner.graph.traffic.wires.items():
        if target == COMMUNICATION and not count.rows:
            continue
        queued, reasons = 0, count.reasons()
        if mine := of_node(outboxes, target).values():
            queued = sum(box.rows for box in mine)
            reasons = dict(+sum((box.books.dropped for box in mine), Counter()))
        found.append(
            {
                "flow": runner.name,
                "from": f"{source}.{port}",
                "to": f"{target}.{target_port}",
                "rows": count.rows,
                "dropped": sum(reasons.values()),
                "reasons": reasons,
                "queued": queued,
            }
        )
    return found


def flow_status(runner: FlowRunner) -> dict[str, Any]:
    """How a flow is, as plain values."""
    return {
        "revision": runner.revision,
        "durability": "journal" if runner.durable else "memory",
        "seq": runner.seq,
        "since": runner.since,
        "rows": runner.inbox.rows,
        "peak": runner.inbox.peak,
    }

"""View: what a running flow looks like, as plain values for screens and metrics."""

from __future__ import annotations

from typing import Any

from gateway.engine.graph import COMMUNICATION
from gateway.engine.runner import FlowRunner


def wires_of(runner: FlowRunner) -> list[dict[str, Any]]:
    """Every wire of a flow with its rows, its drops and what waits at its end.

    The wires to the communication alarm that every flow has are shown once they carried rows.
    """
    found = []
    for (source, port, target, target_port), count in runner.graph.wires.items():
        if target == COMMUNICATION and not count.rows:
            continue
        queued = dropped = 0
        if target in runner.egresses:
            egress = runner.egresses[target]
            queued, dropped = egress.queued_rows, egress.dropped_rows
        elif target in runner.workers:
            outbox = runner.workers[target].outbox
            queued, dropped = outbox.rows, outbox.books.dropped.total()
        found.append(
            {
                "flow": runner.name,
                "from": f"{source}.{port}",
                "to": f"{target}.{target_port}",
                "rows": count.rows,
                "dropped": count.dropped + dropped,
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
        "rows": runner.inbox.rows,
        "peak": runner.inbox.peak,
    }

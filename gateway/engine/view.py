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
            counts = egress.ctx.status.counts
            queued = egress.queued_rows
            dropped = counts["dropped_full"] + counts["dropped_stale"]
        elif target in runner.workers:
            worker = runner.workers[target]
            queued, dropped = worker.queued, worker.ctx.status.counts["dropped_full"]
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

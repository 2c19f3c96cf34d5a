"""Figures: how the gateway itself is, as numbers that a flow can read like any device's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.engine.bookkeeping import flow_books
from gateway.engine.fleet_self import raised_lately, unready

if TYPE_CHECKING:
    from gateway.engine.runtime import Runtime

_WELL: Final = ("connected", "running")


def figures_of(runtime: Runtime) -> dict[str, float]:
    """Every figure by its name, such as ``alarms/open`` and ``flow/press/rows``.

    Rows are counted since the gateway started; what waits is what is there now.
    """
    counts = runtime.book.counts()
    found: dict[str, float] = {
        "ready": not unready(runtime),
        "uptime": runtime.clock.monotonic() - runtime.started_s,
        "tags": len(runtime.tags),
        "alarms/open": len(runtime.book.open()),
        "alarms/raised": raised_lately(runtime),
        **{f"alarms/{name}": count for name, count in counts.items()},
        "flows/running": len(runtime.hosts),
        "flows/left_out": len(runtime.left_out()),
        "unbalanced": sum(flow_books(runner)["unbalanced"] for runner in runtime.booked.values()),
    }
    for name, runner in runtime.runners.items():
        found[f"flow/{name}/revision"] = runner.revision
        found[f"flow/{name}/rows"] = 0
        found[f"flow/{name}/troubled"] = 0
        found[f"flow/{name}/waiting"] = runner.inbox.rows + sum(
            egress.queued_rows for egress in runner.egresses.values()
        )
    for status in runtime.statuses:
        if status.flow not in runtime.hosts:
            continue
        if status.kind == "connection":
            name = f"connection/{status.flow}.{status.node}/connected"
            found[name] = status.state in _WELL
        found[f"flow/{status.flow}/rows"] += status.counts["rows_in"]
        found[f"flow/{status.flow}/troubled"] += status.state in (
            "disconnected",
            "faulted",
            "misconfigured",
        )
    return {name: float(value) for name, value in found.items()}


__all__ = ["figures_of"]

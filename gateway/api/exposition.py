"""Exposition: the gateway's counters for Prometheus and all that reads its text form."""

from __future__ import annotations

from gateway.engine.runtime import Runtime


def metrics_text(runtime: Runtime) -> str:
    """Counters in Prometheus' text form.

    Source: Prometheus text-based exposition format 0.0.4.
    """
    nodes = [
        (_labels(flow=status.flow, node=status.node, count=name), n)
        for status in runtime.statuses
        for name, n in sorted(status.counts.items())
    ]
    running = [
        (_labels(flow=s.flow, node=s.node), int(s.state in ("running", "connected")))
        for s in runtime.statuses
    ]
    wires = runtime.wires()
    ends = [_labels(flow=w["flow"], **{"from": w["from"], "to": w["to"]}) for w in wires]
    families: list[tuple[str, str, str, list[tuple[str, int]]]] = [
        ("genba_node_total", "counter", "What a node counted.", nodes),
        ("genba_node_up", "gauge", "1 while a node runs or is connected.", running),
        (
            "genba_wire_rows_total",
            "counter",
            "Rows that went over a wire.",
            [(end, wire["rows"]) for end, wire in zip(ends, wires, strict=True)],
        ),
        (
            "genba_wire_queued",
            "gauge",
            "What waits at the end of a wire.",
            [(end, wire["queued"]) for end, wire in zip(ends, wires, strict=True)],
        ),
        (
            "genba_inbox_rows",
            "gauge",
            "Rows that came in and wait for their flow.",
            [(_labels(flow=name), r.inbox.rows) for name, r in runtime.runners.items()],
        ),
        (
            "genba_inbox_rows_max",
            "gauge",
            "How many may wait until the sources are held back.",
            [(_labels(flow=name), r.inbox.rows_max) for name, r in runtime.runners.items()],
        ),
        ("genba_alarms_open", "gauge", "Alarms that are open.", [("", len(runtime.book.open()))]),
        ("genba_commits_total", "counter", "Commits to disk.", [("", runtime.store.commits)]),
    ]
    lines = []
    for family, kind, about, rows in families:
        lines += [f"# HELP {family} {about}", f"# TYPE {family} {kind}"]
        lines += [f"{family}{labels} {value}" for labels, value in rows]
    return "\n".join(lines) + "\n"


def _labels(**labels: str) -> str:
    """Labels in braces, escaped as the format says."""
    escaped = {
        k: v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        for k, v in labels.items()
    }
    return "{" + ",".join(f'{k}="{v}"' for k, v in escaped.items()) + "}"

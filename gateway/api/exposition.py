"""Exposition: the gateway's counters for Prometheus and all that reads its text form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.api.exposition_models import Family, Rows, model_families
from gateway.api.exposition_names import BY_NAME
from gateway.engine.bookkeeping import flow_books
from gateway.engine.runtime import Runtime


def metrics_text(runtime: Runtime, found: Mapping[str, Any] | None = None) -> str:
    """Counters in Prometheus' text form.

    Args:
        runtime: The gateway.
        found: What `disk_report` found; without it the figures from the disk are left out.

    Source: Prometheus text-based exposition format 0.0.4.
    """
    lines = []
    for family, rows in families(runtime, found):
        known = BY_NAME[family]
        lines += [f"# HELP {family} {known.about}", f"# TYPE {family} {known.kind}"]
        lines += [f"{family}{_text(labels)} {value}" for labels, value in rows]
    return "\n".join(lines) + "\n"


def families(runtime: Runtime, found: Mapping[str, Any] | None = None) -> list[Family]:
    """All counters with their values, by name; the arguments are those of `metrics_text`."""
    nodes: Rows = [
        (_labels(flow=status.flow, node=status.node, count=name), n)
        for status in runtime.statuses
        for name, n in sorted(status.counts.items())
    ]
    running: Rows = [
        (_labels(flow=s.flow, node=s.node), int(s.state in ("running", "connected")))
        for s in runtime.statuses
    ]
    wires = runtime.wires()
    ends = [_labels(flow=w["flow"], **{"from": w["from"], "to": w["to"]}) for w in wires]
    told: list[Family] = [
        ("genba_node_total", nodes),
        ("genba_node_up", running),
        (
            "genba_wire_rows_total",
            [(end, wire["rows"]) for end, wire in zip(ends, wires, strict=True)],
        ),
        (
            "genba_wire_queued",
            [(end, wire["queued"]) for end, wire in zip(ends, wires, strict=True)],
        ),
        (
            "genba_inbox_rows",
            [(_labels(flow=name), r.inbox.rows) for name, r in runtime.runners.items()],
        ),
        (
            "genba_inbox_rows_max",
            [(_labels(flow=name), r.inbox.rows_max) for name, r in runtime.runners.items()],
        ),
        ("genba_alarms_open", [({}, len(runtime.book.open()))]),
        ("genba_commits_total", [({}, runtime.store.commits)]),
    ]
    told += _books(runtime)
    told += _history(runtime)
    told += _explanations(runtime)
    told += model_families(runtime.models)
    if (spans := runtime.spans) is not None:
        became: Rows = [({"what": "sent"}, spans.sent), ({"what": "dropped"}, spans.dropped)]
        told.append(("genba_spans_total", became))
    if found is not None:
        told += _disk(runtime, found)
    return told


def _books(runtime: Runtime) -> list[Family]:
    """The books of every flow; what is unbalanced must be 0."""
    unbalanced: Rows = []
    inputs: Rows = []
    outlets: Rows = []
    queued: Rows = []
    size: Rows = []
    for flow, runner in runtime.booked.items():
        books = flow_books(runner)
        unbalanced.append((_labels(flow=flow), books["unbalanced"]))
        for row in books["inputs"]:
            for what in ("read", "journalled", "refused", "given_back", "lost", "unwired"):
                inputs.append((_labels(flow=flow, node=row["node"], what=what), row[what]))
            queued.append((_labels(flow=flow, node=row["node"]), row["waiting"]))
        for row in books["outlets"]:
            ends = {what: row[what] for what in ("offered", "delivered", "dead")}
            ends |= {f"dropped_{reason}": n for reason, n in sorted(row["dropped"].items())}
            for what, n in ends.items():
                outlets.append((_labels(flow=flow, node=row["node"], what=what), n))
            queued.append((_labels(flow=flow, node=f"{row['node']}/outbox"), row["queued"]))
            size.append((_labels(flow=flow, node=row["node"]), row["bytes"]))
    return [
        ("genba_unbalanced_rows", unbalanced),
        ("genba_input_rows_total", inputs),
        ("genba_outlet_rows_total", outlets),
        ("genba_waiting_rows", queued),
        ("genba_outbox_bytes", size),
    ]


def _explanations(runtime: Runtime) -> list[Family]:
    """What became of alarms that were to be explained."""
    if runtime.explainer is None:
        return []
    counts = runtime.explainer.figures()["counts"]
    rows = [(_labels(what=what), count) for what, count in counts.items()]
    return [("genba_explanations_total", rows)]


def _history(runtime: Runtime) -> list[Family]:
    """What is kept for trends, and what of it was lost."""
    history = runtime.history
    if history is None:
        return []
    rows: Rows = [
        (_labels(what="written"), history.rows),
        (_labels(what="dropped"), history.dropped),
        (_labels(what="outside"), history.outside),
    ]
    stopped = int(history.days.is_stopped)
    return [
        (
            "genba_history_rows_total",
            rows,
        ),
        ("genba_history_waiting_rows", [({}, history.waiting_rows)]),
        ("genba_history_stopped", [({}, stopped)]),
    ]


def _disk(runtime: Runtime, found: Mapping[str, Any]) -> list[Family]:
    """What the state file says."""
    now = found["now"]
    ages: Rows = [
        (_labels(flow=flow), max(now - ts, 0) // 10**9)
        for flow, ts in sorted(found["checkpoints"].items())
    ]
    gaps: Rows = [
        (_labels(flow=g["flow"], source=g["source"], cause=g["cause"]), g["count"])
        for g in found["gaps"]
    ]
    journal: Rows = [(_labels(flow=flow), j["bytes"]) for flow, j in found["journal"].items()]
    letters = found["letters"]
    written = runtime.wear.written
    return [
        ("genba_dead_letters", [({}, letters["waiting"])]),
        (
            "genba_dead_letters_dropped_total",
            [({}, letters["dropped"])],
        ),
        ("genba_gaps_day", gaps),
        ("genba_checkpoint_age_seconds", ages),
        ("genba_journal_bytes", journal),
        ("genba_written_bytes_total", [({}, written)]),
    ]


def _labels(**labels: str) -> Mapping[str, str]:
    """Labels by name, in the order in which they are told."""
    return labels


def _text(labels: Mapping[str, str]) -> str:
    """Labels in braces, escaped as the format says."""
    if not labels:
        return ""
    escaped = {
        k: v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        for k, v in labels.items()
    }
    return "{" + ",".join(f'{k}="{v}"' for k, v in escaped.items()) + "}"

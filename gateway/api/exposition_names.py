"""Names of the counters: what `/metrics` tells, by stable names. The help page is made of this.

A name, its kind and its labels keep their meaning; what is new gets a new name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One name.

    Args:
        name: As Prometheus knows it.
        kind: A counter only grows until the gateway starts anew.
        labels: Their names, in the order in which they are written.
        about: One sentence.
    """

    name: str
    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    about: str


def _of(name: str, kind: Literal["counter", "gauge"], labels: str, about: str) -> Metric:
    return Metric(name, kind, tuple(labels.split()), about)


METRICS: Final = (
    _of("genba_node_total", "counter", "flow node count", "What a node counted."),
    _of("genba_node_up", "gauge", "flow node", "1 while a node runs or is connected."),
    _of("genba_wire_rows_total", "counter", "flow from to", "Rows that went over a wire."),
    _of("genba_wire_queued", "gauge", "flow from to", "What waits at the end of a wire."),
    _of("genba_inbox_rows", "gauge", "flow", "Rows that came in and wait for their flow."),
    _of(
        "genba_inbox_rows_max",
        "gauge",
        "flow",
        "How many may wait until the sources are held back.",
    ),
    _of("genba_alarms_open", "gauge", "", "Alarms that are open."),
    _of("genba_commits_total", "counter", "", "Commits to disk."),
    _of("genba_unbalanced_rows", "gauge", "flow", "Rows nobody can account for; must be 0."),
    _of("genba_input_rows_total", "counter", "flow node what", "Rows that came in."),
    _of(
        "genba_outlet_rows_total",
        "counter",
        "flow node what",
        "Rows for a sink or worker, and theirs.",
    ),
    _of("genba_waiting_rows", "gauge", "flow node", "Rows that wait, in an inbox or an outbox."),
    _of("genba_outbox_bytes", "gauge", "flow node", "About how many bytes wait in an outbox."),
    _of(
        "genba_history_rows_total", "counter", "what", "Samples for trends, by what became of them."
    ),
    _of("genba_history_waiting_rows", "gauge", "", "Samples for trends that wait."),
    _of("genba_history_stopped", "gauge", "", "1 while trends have no room."),
    _of(
        "genba_explanations_total",
        "counter",
        "what",
        "Explanations of alarms, by what became of them.",
    ),
    _of(
        "genba_model_questions_total", "counter", "model what", "Questions, by what became of them."
    ),
    _of(
        "genba_model_tokens_total", "counter", "model way", "Tokens asked (in) and answered (out)."
    ),
    _of(
        "genba_model_seconds_total",
        "counter",
        "model until",
        "Until the first and the last piece of answers.",
    ),
    _of("genba_model_cost_total", "counter", "model", "In the currency of its prices."),
    _of("genba_model_waiting", "gauge", "model", "Questions that wait."),
    _of("genba_model_answers_kept", "gauge", "", "Answers that are kept."),
    _of("genba_spans_total", "counter", "what", "Spans for a collector, by what became of them."),
    _of("genba_dead_letters", "gauge", "", "Dead letters that wait for a decision."),
    _of("genba_dead_letters_dropped_total", "counter", "", "Dead letters lost for lack of room."),
    _of("genba_gaps_day", "gauge", "flow source cause", "Gaps that ended within 24 hours."),
    _of("genba_checkpoint_age_seconds", "gauge", "flow", "Age of the newest checkpoint."),
    _of("genba_journal_bytes", "gauge", "flow", "Size of the journal that is kept."),
    _of("genba_written_bytes_total", "counter", "", "Bytes written since the start."),
)
BY_NAME: Final = {one.name: one for one in METRICS}


def metrics_table() -> str:
    """All names, as a table for their guide."""
    rows = ["| name | kind | labels | what |", "| - | - | - | - |"]
    for one in METRICS:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        rows.append(f"| `{one.name}` | {one.kind} | {labels} | {one.about} |")
    return "\n".join(rows) + "\n"

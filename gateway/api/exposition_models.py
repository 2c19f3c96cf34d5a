"""Counters of models for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from gateway.engine.models_pool import ModelPool

Rows: TypeAlias = list[tuple[Mapping[str, str], float]]
"""Values, each with its labels by name."""
Family: TypeAlias = tuple[str, Rows]
"""All values of one name."""


def model_families(pool: ModelPool) -> list[Family]:
    """Questions, tokens, time and cost by model."""
    questions: Rows = []
    tokens: Rows = []
    seconds: Rows = []
    cost: Rows = []
    waiting: Rows = []
    for row in pool.rows():
        name, tally = row["model"], pool.tallies.of(row["model"])
        questions += [({"model": name, "what": w}, n) for w, n in row["counts"].items()]
        tokens += [
            ({"model": name, "way": "in"}, tally.tokens_in),
            ({"model": name, "way": "out"}, tally.tokens_out),
        ]
        seconds += [
            ({"model": name, "until": "first"}, tally.first_s),
            ({"model": name, "until": "last"}, tally.took_s),
        ]
        cost.append(({"model": name}, tally.cost))
        waiting.append(({"model": name}, row["waiting"]))
    return [
        ("genba_model_questions_total", questions),
        ("genba_model_tokens_total", tokens),
        ("genba_model_seconds_total", seconds),
        ("genba_model_cost_total", cost),
        ("genba_model_waiting", waiting),
        ("genba_model_answers_kept", [({}, pool.answers.rows)]),
    ]


__all__ = ["Family", "Rows", "model_families"]

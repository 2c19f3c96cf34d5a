"""Counters of models for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from gateway.engine.models_pool import ModelPool

Rows = list[tuple[str, float]]


def model_families(pool: ModelPool, labels: Callable[..., str]) -> list[tuple[str, Rows]]:
    """Questions, tokens, time and cost by model.

    Args:
        pool: All models.
        labels: Makes labels in braces.
    """
    questions: Rows = []
    tokens: Rows = []
    seconds: Rows = []
    cost: Rows = []
    waiting: Rows = []
    for row in pool.rows():
        name, tally = row["model"], pool.tallies.of(row["model"])
        questions += [(labels(model=name, what=w), n) for w, n in row["counts"].items()]
        tokens += [
            (labels(model=name, way="in"), tally.tokens_in),
            (labels(model=name, way="out"), tally.tokens_out),
        ]
        seconds += [
            (labels(model=name, until="first"), tally.first_s),
            (labels(model=name, until="last"), tally.took_s),
        ]
        cost.append((labels(model=name), tally.cost))
        waiting.append((labels(model=name), row["waiting"]))
    return [
        ("genba_model_questions_total", questions),
        ("genba_model_tokens_total", tokens),
        ("genba_model_seconds_total", seconds),
        ("genba_model_cost_total", cost),
        ("genba_model_waiting", waiting),
        ("genba_model_answers_kept", [("", pool.answers.rows)]),
    ]


__all__ = ["model_families"]

"""Tally: what each model has done, what it costs today, and how it is, in numbers."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from gateway.engine.models_answer import Answer, Answerer, length_of
from gateway.engine.models_choice import Known
from gateway.engine.models_limits import DAY_NS, Spent, cost_of, over_budget
from gateway.engine.store_answers import Answers
from gateway.flow.generate import Ask
from gateway.flow.models import Model, ModelList
from gateway.flow.node import Clock

_LATENCIES: Final = 50


@dataclass(slots=True)
class Tally:
    """What one model has done since the start.

    Args:
        counts: asked, answered, cached, late, and failures by kind.
        tokens_in: Asked [tokens].
        tokens_out: Answered [tokens].
        cost: In the currency of its price list.
        took_s: All answers together [s].
        first_s: Until their first pieces [s].
        latencies: Of the last answers [s].
        spent: Today.
    """

    counts: Counter[str] = field(default_factory=Counter)
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    took_s: float = 0.0
    first_s: float = 0.0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES))
    spent: Spent = field(default_factory=Spent)


class Tallies:
    """Those of all models.

    Args:
        answers: Where is written down what was used.
        clock: The time.
    """

    def __init__(self, answers: Answers, clock: Clock) -> None:
        self._answers = answers
        self._clock = clock
        self._is_loaded = False
        self.all: dict[str, Tally] = {}

    def of(self, name: str) -> Tally:
        """That of one model, with today's day."""
        tally = self.all.setdefault(name, Tally())
        tally.spent.turn(self._clock.now())
        return tally

    def count(self, name: str, what: str) -> None:
        """Count something that a model did."""
        self.of(name).counts[what] += 1

    async def load(self) -> None:
        """What was spent today before this process began counts as well."""
        if self._is_loaded:
            return
        self._is_loaded = True
        for name, (tokens, cost) in (await self._answers.spent(self._day())).items():
            spent = self.of(name).spent
            spent.tokens, spent.cost = spent.tokens + tokens, spent.cost + cost

    def known(self, found: ModelList, ask: Ask) -> dict[str, Known]:
        """What the choice of a model goes by."""
        known = {}
        tokens = length_of(ask)
        for name, model in found.models.items():
            tally = self.of(name)
            cost = cost_of(model, tokens, ask.tokens_max)
            budget = over_budget(model, tally.spent, tokens + ask.tokens_max, cost)
            usual = median(tally.latencies) if tally.latencies else None
            known[name] = Known(usual, cost, budget)
        return known

    @contextmanager
    def put_by(self, name: str, model: Model, ask: Ask) -> Iterator[None]:
        """While a question is under way, what it will cost at most is counted as spent."""
        spent, tokens_in = self.of(name).spent, length_of(ask)
        cost, tokens = cost_of(model, tokens_in, ask.tokens_max), tokens_in + ask.tokens_max
        spent.reserved_tokens += tokens
        spent.reserved_cost += cost
        try:
            yield
        finally:
            spent.reserved_tokens -= tokens
            spent.reserved_cost -= cost

    async def settle(
        self, name: str, answer: Answer, cost: float, first_s: float, took_s: float
    ) -> None:
        """An answer came; what it took is counted and written down."""
        tally = self.of(name)
        tally.counts["answered"] += 1
        tally.tokens_in += answer.tokens_in
        tally.tokens_out += answer.tokens_out
        tally.cost += cost
        tally.first_s += first_s
        tally.took_s += took_s
        tally.latencies.append(took_s)
        tally.spent.tokens += answer.tokens_in + answer.tokens_out
        tally.spent.cost += cost
        tokens = (answer.tokens_in, answer.tokens_out)
        await self._answers.spend(self._day(), name, *tokens, cost)

    def _day(self) -> int:
        return self._clock.now() // DAY_NS

    def rows(self, found: ModelList, runners: Mapping[str, Answerer]) -> list[dict[str, Any]]:
        """Every model with how it is, for a screen."""
        rows = []
        for name, model in found.models.items():
            tally, runner = self.of(name), runners.get(name)
            answered = tally.counts["answered"]
            rows.append(
                {
                    "model": name,
                    "options": model.model_dump(mode="json"),
                    "state": runner.state if runner is not None else "stopped",
                    "waiting": runner.waiting if runner is not None else 0,
                    "jail": list(getattr(runner, "jail", ())),
                    "counts": dict(sorted(tally.counts.items())),
                    "tokens_in": tally.tokens_in,
                    "tokens_out": tally.tokens_out,
                    "cost": tally.cost,
                    "latency_s": median(tally.latencies) if tally.latencies else None,
                    "first_s": tally.first_s / answered if answered else None,
                    "tokens_today": tally.spent.tokens,
                    "cost_today": tally.spent.cost,
                }
            )
        return rows


__all__ = ["Tallies", "Tally"]

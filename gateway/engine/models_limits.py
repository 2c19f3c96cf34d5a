"""Limits of what a model may cost: so many a minute, and so much a day.

A minute's bound is kept by waiting, a day's by asking another model. What a question will cost is
reckoned before it is sent, and put right when the server has counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.flow.models import Model, ServerModel
from gateway.flow.node import Clock

DAY_NS = 86_400 * 10**9


class _Bucket:
    """So many a minute, of which a minute's worth may come at once."""

    def __init__(self, per_min: int, clock: Clock) -> None:
        self._per_s = per_min / 60.0
        self._most = float(per_min)
        self._level = float(per_min)
        self._clock = clock
        self._at = clock.monotonic()

    def wait_s(self, n: float) -> float:
        if not self._most:
            return 0.0
        now = self._clock.monotonic()
        self._level = min(self._level + (now - self._at) * self._per_s, self._most)
        self._at = now
        # One that is larger than a whole minute waits for a full bucket, not for ever.
        return max(min(n, self._most) - self._level, 0.0) / self._per_s

    def take(self, n: float) -> None:
        self._level -= n


class Pace:
    """Questions and tokens a minute.

    Args:
        requests_per_min: 0 is no bound.
        tokens_per_min: 0 is no bound.
        clock: The time.
    """

    def __init__(self, requests_per_min: int, tokens_per_min: int, clock: Clock) -> None:
        self._requests = _Bucket(requests_per_min, clock)
        self._tokens = _Bucket(tokens_per_min, clock)

    def wait_s(self, tokens: int) -> float:
        """How long a question must wait [s]."""
        return max(self._requests.wait_s(1), self._tokens.wait_s(tokens))

    def take(self, tokens: int) -> None:
        """A question is sent now."""
        self._requests.take(1)
        self._tokens.take(tokens)

    def settle(self, reckoned: int, counted: int) -> None:
        """The server has counted."""
        if counted:
            self._tokens.take(counted - reckoned)


@dataclass(slots=True)
class Spent:
    """What one model has used on one day.

    Args:
        day: Days since 1970-01-01 UTC.
        tokens: Asked and answered.
        cost: In the currency of its price list.
        reserved_tokens: Of questions under way.
        reserved_cost: Likewise.
    """

    day: int = 0
    tokens: int = 0
    cost: float = 0.0
    reserved_tokens: int = 0
    reserved_cost: float = 0.0

    def turn(self, now: int) -> None:
        """A new day begins with nothing spent; `now` [ns]."""
        if (day := now // DAY_NS) != self.day:
            self.day, self.tokens, self.cost = day, 0, 0.0


def cost_of(model: Model, tokens_in: int, tokens_out: int) -> float:
    """What an answer costs."""
    if not isinstance(model, ServerModel):
        return 0.0
    return (tokens_in * model.price_in + tokens_out * model.price_out) / 1e6


def over_budget(model: Model, spent: Spent, tokens: int, cost: float) -> str:
    """Why a question would be too much for today; empty when it is not."""
    if not isinstance(model, ServerModel):
        return ""
    used = spent.tokens + spent.reserved_tokens
    if model.tokens_per_day and used + tokens > model.tokens_per_day:
        return f"{used} of {model.tokens_per_day} tokens of today are used (tokens_per_day)"
    paid = spent.cost + spent.reserved_cost
    if model.cost_per_day and paid + cost > model.cost_per_day:
        return f"{paid:.4g} of {model.cost_per_day:g} of today is spent (cost_per_day)"
    return ""


__all__ = ["Pace", "Spent", "cost_of", "over_budget"]

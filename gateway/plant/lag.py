"""First-order lags with closed solutions: heat, oil in a tank, and the course of damage.

A lag obeys tau · dy/dt = x − y. For each input x used here y has a closed form, so any moment
of the plant can be had without stepping there. The tests compare each with a stepped solution.
Source: the solutions of that linear equation for a sine, a pulse train, a step and a ramp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


def sine(t: float, period: float, tau: float) -> float:
    """The lagged answer to sin(2πt/period), long after the start."""
    w = 2.0 * math.pi / period
    return math.sin(w * t - math.atan(w * tau)) / math.hypot(1.0, w * tau)


def pulses(u: float, on: float, off: float, period: float, tau: float) -> float:
    """The lagged answer to a load that is 1 from `on` to `off` of each period and else 0.

    `u` is the time within the period [s]. The state has settled: each period is like the last.
    """
    width = off - on
    at_off = (1.0 - math.exp(-width / tau)) / (1.0 - math.exp(-period / tau))
    if on <= u < off:
        at_on = at_off * math.exp(-(period - width) / tau)
        return 1.0 + (at_on - 1.0) * math.exp(-(u - on) / tau)
    return at_off * math.exp(-((u - off) % period) / tau)


@dataclass(frozen=True, slots=True)
class Course:
    """The course of a damage: it grows from 0 to 1 in `rise`, stays, and is mended at `end`."""

    start: float
    rise: float
    end: float

    def now(self, t: float) -> float:
        """The damage, 0 to 1."""
        if not self.start <= t < self.end:
            return 0.0
        return min(1.0, (t - self.start) / self.rise)

    def lagged(self, t: float, tau: float) -> float:
        """What has come of it behind a lag, 0 to 1; it fades after `end`."""
        rise = min(self.rise, self.end - self.start)
        top = rise / self.rise
        y = _ramp(t - self.start, tau) - _ramp(t - self.start - rise, tau)
        return y / self.rise - top * _step(t - self.end, tau)


def _step(t: float, tau: float) -> float:
    return 1.0 - math.exp(-t / tau) if t > 0.0 else 0.0


def _ramp(t: float, tau: float) -> float:
    return t - tau * (1.0 - math.exp(-t / tau)) if t > 0.0 else 0.0

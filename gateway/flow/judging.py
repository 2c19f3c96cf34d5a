"""Judging: may this value be written now? Pure rules over a grant and what is known.

Each rule gives a check with a sentence, also where it holds, because who arms a setpoint is
shown all of them. What is not known refuses: a rule that cannot be checked does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.data import quality

if TYPE_CHECKING:
    from gateway.flow.grant import Grant

MINUTE_S: Final = 60.0
_SLACK: Final = 1e-9
"""Share of a limit by which sums of floats may be wrong."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest sample of a tag.

    Args:
        tag: Its name.
        value: What it was.
        quality: An OPC UA StatusCode.
        age_s: How old it is [s]; negative when its clock is ahead.
        mark: Another one for each sample, so that a new one is known from the one before.
    """

    tag: str
    value: float
    quality: int
    age_s: float
    mark: Any = None

    def problem(self, age_max_s: float) -> str:
        """Why it is not believed, or empty."""
        if self.quality >> 30 or not math.isfinite(self.value):
            return f"{self.tag} is {quality.name(self.quality)}."
        if not -age_max_s <= self.age_s <= age_max_s:
            return f"{self.tag} is {self.age_s:.0f} s old, and {age_max_s:g} s is the limit."
        return ""


@dataclass(frozen=True, slots=True)
class Check:
    """One rule and what came of it, in words."""

    rule: str
    ok: bool
    text: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the API."""
        return {"rule": self.rule, "ok": self.ok, "text": self.text}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a target when it is judged.

    Args:
        look: The newest sample of a tag; None when there is none since the start.
        writes: (seconds ago, change) of each write of the last minute.
        known_s: For how long all writes are known [s]; less than for ever only where the
            record of those before the start is damaged.
        unsettled: Values that were written and that the read-back tag may not show yet.
    """

    look: Callable[[str], Seen | None]
    writes: Sequence[tuple[float, float]] = ()
    known_s: float = math.inf
    unsettled: tuple[float, ...] = ()


@dataclass(slots=True)
class Verdict:
    """All checks of one write.

    Args:
        checks: Of every rule that applies.
        current: What the device holds now, where that is known.
        change: Most by which this write changes it; 0 where that is not known.
    """

    checks: list[Check] = field(default_factory=list)
    current: Seen | None = None
    change: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it may be written."""
        return all(check.ok for check in self.checks)

    def refusal(self) -> str:
        """The sentences of the rules that do not hold."""
        return " ".join(check.text for check in self.checks if not check.ok)


def judge(grant: Grant, tag: str, value: float, facts: Facts) -> Verdict:
    """Ask every rule of a grant about one value."""
    verdict = Verdict()
    checks = verdict.checks
    if not math.isfinite(value):
        checks.append(Check("number", False, f"{value} is no number that can be written."))
        return verdict
    checks.append(_range(grant, value))
    verdict.current, problem = _current(grant, tag, facts)
    if verdict.current is not None:
        references = (verdict.current.value, *facts.unsettled)
        verdict.change = max(abs(value - one) for one in references)
    if grant.step_max is not None:
        checks.append(_step(grant.step_max, verdict, problem))
    if grant.writes_per_min is not None:
        checks.append(_rate(grant.writes_per_min, facts))
    if grant.change_per_min is not None:
        checks.append(_change(grant.change_per_min, verdict, facts, problem))
    for lock in grant.interlocks:
        ok, text = lock.holds(value, verdict.current, facts.look, grant.input_age_s)
        checks.append(Check("interlock", ok, text))
    return verdict


def _range(grant: Grant, value: float) -> Check:
    if grant.lo <= value <= grant.hi:
        return Check("range", True, f"{value:g} is within {grant.lo:g} to {grant.hi:g}.")
    return Check("range", False, f"{value:g} is outside {grant.lo:g} to {grant.hi:g}.")


def _current(grant: Grant, tag: str, facts: Facts) -> tuple[Seen | None, str]:
    name = grant.read_back.get(tag)
    if name is None:
        return None, f"what {tag} holds now is not known."
    seen = facts.look(name)
    if seen is None:
        return None, f"{name} has had no value since the gateway started."
    if seen.age_s >= facts.known_s - grant.read_back_s:
        return None, "what was written before the gateway started is not known."
    problem = seen.problem(grant.input_age_s)
    return (None, problem) if problem else (seen, "")


def _step(step_max: float, verdict: Verdict, problem: str) -> Check:
    if verdict.current is None:
        return Check("step", False, f"The step cannot be checked: {problem}")
    step = verdict.change
    if step <= step_max:
        text = f"The step of {step:g} is within {step_max:g}."
        return Check("step", True, text)
    return Check("step", False, f"The step of {step:g} is more than {step_max:g}.")


def _since_start(facts: Facts) -> str:
    """A sentence while writes of the last minute may be unknown, or empty."""
    if facts.known_s >= MINUTE_S:
        return ""
    left = math.ceil(MINUTE_S - facts.known_s)
    return f"What was written before the gateway started is not known; wait {left} s."


def _rate(most: int, facts: Facts) -> Check:
    if why := _since_start(facts):
        return Check("rate", False, why)
    count = sum(1 for ago_s, _ in facts.writes if ago_s < MINUTE_S)
    if count < most:
        return Check("rate", True, f"{count} of {most} writes of this minute are used.")
    return Check("rate", False, f"There were {count} writes within a minute, and {most} may be.")


def _change(most: float, verdict: Verdict, facts: Facts, problem: str) -> Check:
    if why := _since_start(facts):
        return Check("change", False, why)
    if verdict.current is None:
        return Check("change", False, f"The change cannot be checked: {problem}")
    used = math.fsum(change for ago_s, change in facts.writes if ago_s < MINUTE_S)
    total = used + verdict.change
    if total <= most * (1 + _SLACK):
        return Check("change", True, f"The change of this minute, {total:g}, is within {most:g}.")
    text = f"The change within a minute would be {total:g}, and {most:g} may be."
    return Check("change", False, text)


def inputs_of(
    inputs: Mapping[str, str], look: Callable[[str], Seen | None], age_s: float
) -> tuple[dict[str, float], str]:
    """The values of an interlock's inputs by name, and what is wrong with the first bad one."""
    found: dict[str, float] = {}
    for name, tag in inputs.items():
        seen = look(tag)
        if seen is None:
            return {}, f"{tag} has had no value since the gateway started."
        if problem := seen.problem(age_s):
            return {}, problem
        found[name] = seen.value
    return found, ""


__all__ = ["MINUTE_S", "Check", "Facts", "Seen", "Verdict", "inputs_of", "judge"]

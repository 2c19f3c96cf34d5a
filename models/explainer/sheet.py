"""Fact sheet: all that an explanation may say about one alarm, as plain values.

It is made by `facts` from data, and everything after it (ranking of causes, prompt, template,
check) is a function of it. Nothing in it has been worded yet. Times are event times
[ns since 1970-01-01 UTC]; NaN means that a number is not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from models.explainer.vocabulary import (
    Asset,
    ChangeKind,
    Direction,
    Doubt,
    Quantity,
    Shape,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Signal:
    """One tag and what kind of thing it measures.

    Args:
        tag: Its name, of at most 255 characters; never goes into a prompt.
        unit: UCUM code; empty when unknown.
        asset: What it is measured at.
        quantity: What is measured.
        about: The engineer's sentence about it; never goes into a prompt.
    """

    tag: str
    unit: str = ""
    asset: Asset = "other"
    quantity: Quantity = "other"
    about: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """What one signal did around the alarm.

    Args:
        signal: Which.
        shape: The form of what it did.
        direction: Which way.
        onset_ns: When it left its normal course; 0 when that cannot be told.
        size: Its largest departure from the baseline since then, in the signal's unit.
        sigmas: The same in standard deviations of the baseline.
        rate_per_min: How fast it changes now [unit per minute].
        lead_s: Its onset relative to the alarmed signal's [s]; negative is earlier.
        correlation: With the alarmed signal at the best lag, -1 to 1.
        period_s: Of an oscillation [s].
        is_new: It is a step that is younger than a spike may last: nobody can know yet whether it
            stays.
    """

    signal: Signal
    shape: Shape = "unclear"
    direction: Direction = "none"
    onset_ns: int = 0
    size: float = math.nan
    sigmas: float = math.nan
    rate_per_min: float = math.nan
    lead_s: float = math.nan
    correlation: float = math.nan
    period_s: float = math.nan
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is normal: the good samples before the onset.

    Args:
        mean: Their mean, in the signal's unit.
        sd: Their standard deviation.
        rows: How many.
        from_ns: The first.
        to_ns: The last.
        yesterday: Mean of the same hour of the day before; NaN without data.
        yesterday_rows: How many samples that is.
        cycle_s: Where the signal repeats itself, as that of a press does: how long a cycle is
            [s]; `sd` and every departure are then taken from the usual value at that moment of
            the cycle. NaN without one.
    """

    mean: float
    sd: float
    rows: int
    from_ns: int
    to_ns: int
    yesterday: float = math.nan
    yesterday_rows: int = 0
    cycle_s: float = math.nan


@dataclass(frozen=True, slots=True)
class Before:
    """An alarm that came shortly before: the first of them is the first-out."""

    alarm: str
    tag: str
    condition: str
    ts: int
    priority: str
    lead_s: float


@dataclass(frozen=True, slots=True)
class Hole:
    """Data that is missing: which source, and from when until when [ns]."""

    source: str
    cause: str
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class Change:
    """Something that people changed, and when [ns]. `what` and `who` are their words."""

    kind: ChangeKind
    ts: int
    what: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A case like this one from before, and what an operator said of it.

    Args:
        alarm: The alarm then.
        ts: When [ns].
        likeness: 0 to 1.
        verdict: What the operator said of the explanation.
        cause: The id of the cause that was right; empty when it is none we know.
        said: The operator's words; never go into a prompt.
        named: The id of the cause that its explanation had named first.
    """

    alarm: str
    ts: int
    likeness: float
    verdict: Verdict
    cause: str = ""
    said: str = ""
    named: str = ""


@dataclass(frozen=True, slots=True)
class FactSheet:
    """One alarm and the evidence.

    Args:
        alarm: The alarm's id; with `occurrence` it names the annunciation.
        occurrence: Which of its annunciations.
        ts: When it was raised [ns].
        condition: Such as HIHI, HI, LO, LOLO, DEV, RATE, SCORE, STALE, COMM.
        priority: low, medium, high or urgent.
        value: What decided it, in the signal's unit.
        limit: What that was compared with.
        move: What the alarmed signal did; its signal is the alarmed one.
        baseline: What is normal for it; None when nothing is known.
        to_limit_s: Time until the next limit at the present rate [s].
        next_limit: That limit.
        others: What other signals did, the earliest onset first; only those that moved.
        steady: Signals near it that did not move.
        before: Alarms shortly before, the earliest first.
        incident: Ids of all alarms that are open and belong together, this one among them.
        bad_percent: Share of samples of bad quality since the onset, 0 to 100.
        holes: Missing data near the alarm.
        changes: What people changed shortly before, the newest first.
        cases: Similar cases, the most alike first.
        doubts: Why an explanation may be wrong.
    """

    alarm: str
    occurrence: int
    ts: int
    condition: str
    priority: str
    value: float
    limit: float
    move: Move
    baseline: Baseline | None = None
    to_limit_s: float = math.nan
    next_limit: float = math.nan
    others: tuple[Move, ...] = ()
    steady: tuple[Signal, ...] = ()
    before: tuple[Before, ...] = ()
    incident: tuple[str, ...] = ()
    bad_percent: float = 0.0
    holes: tuple[Hole, ...] = ()
    changes: tuple[Change, ...] = ()
    cases: tuple[Case, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    @property
    def signal(self) -> Signal:
        """The alarmed signal."""
        return self.move.signal

    @property
    def first_mover(self) -> Move:
        """The signal that left its normal course first: the alarmed one when none was earlier."""
        return min((self.move, *self.others), key=lambda one: one.onset_ns or self.ts)

    def to_json(self) -> dict[str, Any]:
        """Plain values; NaN becomes None.

        >>> sheet = FactSheet("f/n:t:HI", 1, 0, "HI", "high", 9.5, 9.0, Move(Signal("t")))
        >>> FactSheet.from_json(sheet.to_json()) == sheet
        True
        """
        plain = _plain(asdict(self))
        assert isinstance(plain, dict)
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """A sheet that `to_json` wrote.

        Raises:
            ValueError: It is none.
        """
        try:
            found = dict(data)
            found["move"] = _move(data["move"])
            found["baseline"] = Baseline(**_known(data["baseline"])) if data["baseline"] else None
            found["others"] = tuple(_move(one) for one in data["others"])
            found["steady"] = tuple(Signal(**one) for one in data["steady"])
            for name, kind in (("before", Before), ("holes", Hole), ("changes", Change)):
                found[name] = tuple(kind(**_known(one)) for one in data[name])
            found["cases"] = tuple(Case(**_known(one)) for one in data["cases"])
            for name in ("incident", "doubts"):
                found[name] = tuple(data[name])
            numbers = ("value", "limit", "to_limit_s", "next_limit")
            found |= {name: _number(data[name]) for name in numbers}
            return cls(**{field.name: found[field.name] for field in fields(cls)})
        except (KeyError, TypeError) as error:
            raise ValueError(f"This is no fact sheet: {error!r}.") from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _known(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: math.nan if one is None else one for key, one in data.items()}


def _move(data: Mapping[str, Any]) -> Move:
    return Move(
        Signal(**data["signal"]), **_known({k: v for k, v in data.items() if k != "signal"})
    )

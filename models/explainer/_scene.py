"""Scene: a fact sheet with what its words and its values both need to know."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from models.explainer import amounts
from models.explainer.causes import LEAD_S, Cause
from models.explainer.sheet import Change, FactSheet, Hole, Move
from models.explainer.text import Language

LETTERS: Final = ("a", "b", "c")
"""The other signals a text may speak of, by onset."""
SECOND: Final = 0.5
"""The second cause is worth a word when it has this share of the first one's weight."""
SIGMAS_MAX: Final = 1000.0
_SIGN: Final = {"HIHI": 1, "HI": 1, "LO": -1, "LOLO": -1}
_IN_SECONDS: Final = ("STALE", "COMM")
_AHEAD_S_MAX: Final = 7 * 86_400.0


@dataclass(frozen=True)
class Scene:
    """A sheet, seen for one language.

    Args:
        sheet: The facts.
        causes: Its ranked causes.
        language: Of the texts.
        zone: IANA name of the time zone.
    """

    sheet: FactSheet
    causes: Sequence[Cause]
    language: Language
    zone: str

    @cached_property
    def others(self) -> tuple[Move, ...]:
        """At most three other signals: the first mover and the two that moved most, by onset."""
        known = sorted(self.sheet.others, key=lambda one: _last(one.lead_s))
        rest = sorted(known[1:], key=lambda one: -_weight(one))[: len(LETTERS) - 1]
        return tuple(one for at, one in enumerate(known) if at == 0 or one in rest)[: len(LETTERS)]

    @cached_property
    def onset(self) -> int:
        """When it began [ns]; 0 when that is not known."""
        onset = self.sheet.move.onset_ns
        return onset if 0 < onset <= self.sheet.ts else 0

    @property
    def since_s(self) -> float:
        """From the onset to the alarm [s]."""
        return (self.sheet.ts - self.onset) / 1e9 if self.onset else math.nan

    @property
    def signed(self) -> tuple[float, float]:
        """Value and limit as they are shown: of a deviation, a rate or a score only the size."""
        sheet = self.sheet
        if sheet.condition in ("DEV", "RATE", "SCORE"):
            return abs(sheet.value), abs(sheet.limit)
        return sheet.value, sheet.limit

    @property
    def beyond(self) -> int:
        """1 when the value is above its limit, -1 below, 0 when neither can be said."""
        value, limit = self.signed
        sign = _SIGN.get(self.sheet.condition, 0)
        if sign and math.isfinite(value) and math.isfinite(limit):
            return sign if (value - limit) * sign > 0 else 0
        return 0

    @property
    def side(self) -> int:
        """1 when a deviation, rate or score is to the plus side, -1 to the minus side, else 0."""
        value = self.sheet.value
        if self.sheet.condition not in ("DEV", "RATE", "SCORE") or not math.isfinite(value):
            return 0
        return int(math.copysign(1, value)) if value else 0

    @property
    def is_in_seconds(self) -> bool:
        """Whether value and limit are times of silence [s]."""
        return self.sheet.condition in _IN_SECONDS

    @property
    def has_next(self) -> bool:
        """Whether the time to the next limit is worth a word."""
        sheet = self.sheet
        return 0 < sheet.to_limit_s <= _AHEAD_S_MAX and math.isfinite(sheet.next_limit)

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """What people changed before the alarm, the newest first."""
        return tuple(one for one in self.sheet.changes if 0 < one.ts <= self.sheet.ts)

    @cached_property
    def holes(self) -> tuple[Hole, ...]:
        """Missing data with a length."""
        return tuple(one for one in self.sheet.holes if 0 < one.from_ns < one.to_ns)

    @property
    def hole(self) -> Hole | None:
        """The longest of them."""
        return max(self.holes, key=lambda one: one.to_ns - one.from_ns, default=None)

    @property
    def before_s(self) -> float:
        """How long before this one the first of the earlier alarms came [s]."""
        first = self.sheet.before[0]
        ago = (self.sheet.ts - first.ts) / 1e9
        return abs(first.lead_s) if math.isfinite(first.lead_s) else ago

    @property
    def has_second(self) -> bool:
        """Whether a second cause is nearly as likely as the first."""
        found = self.causes
        return len(found) > 1 and found[1].weight >= SECOND * found[0].weight

    def unit(self, move: Move) -> str:
        """The unit of a signal as people write it."""
        return amounts.unit_text(move.signal.unit, is_turning=move.signal.quantity == "speed")


def timing(move: Move) -> str:
    """When another signal began, against the alarmed one: before, after, same or unsure."""
    if not math.isfinite(move.lead_s):
        return "unsure"
    if abs(move.lead_s) <= LEAD_S:
        return "same"
    return "before" if move.lead_s < 0 else "after"


def _last(lead_s: float) -> float:
    return lead_s if math.isfinite(lead_s) else math.inf


def _weight(move: Move) -> float:
    sigmas = min(abs(move.sigmas), 100.0) if math.isfinite(move.sigmas) else 1.0
    return sigmas * (abs(move.correlation) if math.isfinite(move.correlation) else 0.5)

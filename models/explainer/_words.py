"""Words: each side of a fact sheet in the closed vocabulary. `slots.of` puts them in order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Final

from models.explainer._scene import LETTERS, SIGMAS_MAX, Scene, timing
from models.explainer.causes import JUST_S, supports
from models.explainer.knowledge import entries
from models.explainer.text import tame

_COUNTS: Final = ("none", "one", "two", "three")
_CONDITIONS: Final = ("hihi", "hi", "lo", "lolo", "dev", "rate", "score", "stale", "comm")
_SAME_SIGMAS: Final = 2.0
_SOON_S: Final = 600.0
_CLEAR: Final = 0.55
_LIKELY: Final = 0.3
_CLOSE: Final = 0.7
_ORDER_S: Final = 1.0


def words(scene: Scene) -> Iterator[str]:
    """The words, in no order; some may come twice."""
    yield from _alarm(scene)
    yield from _course(scene)
    yield from _others(scene)
    yield from _past(scene)
    yield from _cases(scene)
    yield from _causes(scene)
    yield from (f"doubt.{doubt}" for doubt in scene.sheet.doubts)


def _alarm(scene: Scene) -> Iterator[str]:
    sheet = scene.sheet
    condition = sheet.condition.lower()
    yield f"cond.{condition if condition in _CONDITIONS else 'other'}"
    is_known = sheet.priority in ("low", "medium", "high", "urgent")
    yield f"prio.{sheet.priority if is_known else 'other'}"
    yield f"shape.{sheet.move.shape}"
    yield f"dir.{sheet.move.direction}"
    yield f"asset.{sheet.signal.asset}"
    yield f"q.{sheet.signal.quantity}"
    value, limit = scene.signed
    if math.isfinite(value):
        yield "val.known"
        if math.isfinite(limit):
            yield "val.beyond" if scene.beyond else "val.at"
    if math.isfinite(limit):
        yield "lim.known"
    if scene.side:
        yield "side.plus" if scene.side > 0 else "side.minus"


def _course(scene: Scene) -> Iterator[str]:
    sheet, move = scene.sheet, scene.sheet.move
    if 0 < abs(move.size) < math.inf:
        yield "size.known"
    sigmas = abs(move.sigmas)
    if 1.0 <= sigmas <= SIGMAS_MAX:
        yield "far." + ("little" if sigmas < 4 else "clear" if sigmas < 10 else "far")
    if scene.onset:
        yield "onset.known"
        # Of a jump that may be a spike yet no time is worth telling; that it is new is.
        yield "onset.now" if move.is_new else _since(scene.since_s)
    if 0 < abs(move.rate_per_min) < math.inf and move.direction != "none":
        yield "rate.known"
    if 0 < move.period_s < math.inf:
        yield "period.known"
    yield from _usual(scene)
    if scene.has_next:
        yield "ahead.soon" if sheet.to_limit_s <= _SOON_S else "ahead.later"
    else:
        yield "ahead.none"


def _since(seconds: float) -> str:
    if seconds < 1.0:
        return "onset.now"
    for name, below in (("seconds", 120.0), ("minutes", 7200.0), ("hours", 172_800.0)):
        if seconds < below:
            return f"since.{name}"
    return "since.days"


def _usual(scene: Scene) -> Iterator[str]:
    base = scene.sheet.baseline
    if base is None or not math.isfinite(base.mean):
        yield from ("base.none", "yesterday.none")
        return
    yield "base.known"
    has_scatter = 0 < base.sd < math.inf
    if has_scatter:
        yield "scatter.known"
    if not math.isfinite(base.yesterday) or base.yesterday_rows < 1:
        yield "yesterday.none"
        return
    near = _SAME_SIGMAS * base.sd if has_scatter else 0.02 * abs(base.mean)
    if abs(base.yesterday - base.mean) <= near:
        yield "yesterday.same"
        return
    is_reading = _reads(scene) and abs(base.yesterday - scene.sheet.value) <= near
    yield "yesterday.now" if is_reading else "yesterday.other"


def _reads(scene: Scene) -> bool:
    """Whether the alarm's value is a reading of the signal, and no difference, rate or time."""
    return scene.sheet.condition in ("HIHI", "HI", "LO", "LOLO")


def _others(scene: Scene) -> Iterator[str]:
    count = len(scene.sheet.others)
    yield f"others.{_COUNTS[count] if count < len(_COUNTS) else 'many'}"
    for letter, move in zip(LETTERS, scene.others, strict=False):
        yield f"{letter}.{timing(move)}"
        yield f"{letter}.{move.direction}"
        yield f"{letter}.{move.shape}"
        yield f"{letter}.q_{move.signal.quantity}"
        if 0 < abs(move.size) < math.inf and move.direction != "none":
            yield f"{letter}.sized"
        if 0 < move.onset_ns <= scene.sheet.ts:
            yield f"{letter}.onset"
        if abs(move.correlation) >= _CLOSE:
            yield f"{letter}.close" if move.correlation > 0 else f"{letter}.counter"
    leads = [move.lead_s for move in scene.others]
    yield "first.a" if leads and timing(scene.others[0]) == "before" else "first.self"
    if len(leads) > 1 and all(
        later - earlier > _ORDER_S for earlier, later in itertools.pairwise(leads)
    ):
        yield "order.clear"
    steady = len(scene.sheet.steady)
    yield f"steady.{'none' if not steady else 'one' if steady == 1 else 'many'}"


def _past(scene: Scene) -> Iterator[str]:
    sheet = scene.sheet
    yield f"before.{_few(len(sheet.before))}"
    if sheet.before:
        first = sheet.before[0]
        is_same = first.tag == sheet.signal.tag
        yield (
            "prior.comm"
            if first.condition in ("COMM", "STALE")
            else ("prior.same" if is_same else "prior.other")
        )
    yield f"incident.{'many' if len(sheet.incident) > 1 else 'one'}"
    if scene.changes:
        newest = scene.changes[0]
        yield f"change.{newest.kind}"
        ago_s = ((scene.onset or sheet.ts) - newest.ts) / 1e9
        yield "change.just" if ago_s <= JUST_S else "change.earlier"
        if tame(newest.what):
            yield "change.named"
        if len(scene.changes) > 1:
            yield "change.many"
    else:
        yield "change.none"
    yield f"hole.{_few(len(scene.holes))}"
    if sheet.bad_percent >= 1.0:
        yield "bad.some"


def _cases(scene: Scene) -> Iterator[str]:
    cases = scene.sheet.cases
    yield f"case.{_few(len(cases))}"
    if not cases:
        return
    first = cases[0]
    if first.verdict in ("right", "wrong"):
        yield f"case.{first.verdict}"
    if first.cause in entries():
        yield "case.named"
        is_same = bool(scene.causes) and scene.causes[0].id == first.cause
        yield "case.agrees" if is_same else "case.differs"


def _causes(scene: Scene) -> Iterator[str]:
    first = scene.causes[0]
    entry = entries()[first.id]
    sure = first.weight
    yield "cause." + ("clear" if sure >= _CLEAR else "likely" if sure >= _LIKELY else "open")
    yield f"kind.{entry.kind}"
    if scene.has_second:
        yield "second.known"
        other = entries()[scene.causes[1].id]
        yield "second.same_kind" if other.kind == entry.kind else "second.other_kind"
    for letter, move in zip(LETTERS, scene.others, strict=False):
        if supports(entry, move):
            yield f"fits.{letter}"


def _few(count: int) -> str:
    return "none" if not count else "one" if count == 1 else "many"

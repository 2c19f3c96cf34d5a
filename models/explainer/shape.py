"""Shape: the form of what a signal did, as a person would call it who looks at its trend."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from models.explainer.column import Column, Floats
from models.explainer.course import autocorrelation, longest
from models.explainer.excursion import CAP, OUTSIDE, Found, extent
from models.explainer.vocabulary import Direction, Shape

_STEP_SHARE = 0.35  # A ramp takes 0.7 of its time from 15 to 85 percent of its height.
_STEP_ROWS = 2.5
_SSE_ROWS = 8
_LEVEL_ROWS = 16
SHORT_ROWS = 5
SHORT_S = 10.0
SHORT_SHARE = 0.2
_RAIL = 1e-3
_RAIL_ROWS = 5
_LIVE = 0.5
_SWING = 2.5
_SWING_ROWS = 10
_SWING_MEAN = 2.0  # Mean of |z|; of normal noise it is 0.8.
_PAUSES = (8, 32, 128)
_QUIET = 1.6
_FLIPS_MIN = 4
_ONE_SIDED = 0.6
_LOPSIDED = 0.3
_PERIODIC = 0.5
_GRID_MAX = 1024


@dataclass(frozen=True, slots=True)
class Form:
    """The shape with what belongs to it; times in seconds after the alarm."""

    shape: Shape = "unclear"
    direction: Direction = "none"
    onset_s: float = math.nan
    size: float = math.nan
    sigmas: float = math.nan
    rate_per_s: float = math.nan
    period_s: float = math.nan
    uncertain_s: float = 0.0
    is_new: bool = False


def of(
    found: Found, low: float, high: float, still: tuple[int, int] | None, start_s: float
) -> Form:
    """The form of an excursion, or of a standstill (first and last sample) where there is one.

    Args:
        found: The excursion.
        low: Low end of the signal's range; NaN when unknown.
        high: High end of it.
        still: What `silence.standstill` found.
        start_s: From when the excursion was searched for.
    """
    if still is not None:
        first, last = still
        form = _sized(found, first, last)
        at_end = _at_end(found, float(found.column.x[first]), low, high)
        onset = float(found.column.t[first])
        if at_end == "none" and not math.isfinite(high - low) and _is_beyond(found, first):
            at_end = form.direction  # Never seen before, and not a stir: a converter's end.
        if at_end != "none":
            return Form("saturation", at_end, onset, form.size, form.sigmas)
        return Form("stuck", "none", onset)
    if (swing := _swing(found, start_s)) is not None:
        return swing
    if found.first < 0:
        return _growing(found)
    form = _sized(found, found.first, found.last)
    rail = _rail(found, low, high)
    if rail:
        return replace(form, shape="saturation")
    if _is_short(found):
        return replace(form, shape="spike")
    return _step_or_drift(found, form)


def _sized(found: Found, first: int, last: int) -> Form:
    """Direction, onset and size of an excursion whose shape is not known yet."""
    part = slice(first, last + 1)
    departure = found.departure[part]
    is_up = found.sign > 0.0 if found.first >= 0 else float(np.median(departure)) >= 0.0
    at = int(np.argmax(departure) if is_up else np.argmin(departure))
    size = float(departure[at])
    direction: Direction = "up" if is_up else "down"
    sigmas = float(found.sigmas[part][at])
    return Form("unclear", direction, float(found.column.t[first]), size, sigmas)


def _growing(found: Found) -> Form:
    """A signal that has not left its course, which may itself be a slow way off."""
    if not found.course.slope:
        return Form()
    direction: Direction = "up" if found.course.slope > 0.0 else "down"
    return Form("drift", direction, rate_per_s=found.course.slope)


def _is_short(found: Found) -> bool:
    """Whether it was one short peak that is over.

    Short is: at most five samples, or ten seconds, and then no more than a fifth of what is known.
    """
    size = found.sign * found.departure[found.first :]
    high = np.flatnonzero(size[: found.last - found.first + 1] >= 0.5 * np.max(size))
    if not len(high):
        return False
    first, last = found.first + int(high[0]), found.first + int(high[-1])
    rest = size[int(high[-1]) + 1 :]
    if len(rest) < 2 or float(np.median(rest[:SHORT_ROWS])) > 0.3 * float(np.max(size)):
        return False
    duration = float(found.column.t[last] - found.column.t[first])
    known = found.course.to_s - found.course.from_s
    return last - first < SHORT_ROWS or duration <= min(SHORT_S, SHORT_SHARE * known)


def _at_end(found: Found, value: float, low: float, high: float) -> Direction:
    """Which end of the known range a value is."""
    if math.isfinite(low) and math.isfinite(high) and high > low:
        if value >= high - _RAIL * (high - low):
            return "up"
        return "down" if value <= low + _RAIL * (high - low) else "none"
    return "none"


def _is_beyond(found: Found, first: int) -> bool:
    """Whether a value lies far outside of all values before it."""
    x = found.column.x
    is_new = x[first] > np.max(x[:first]) or x[first] < np.min(x[:first])
    return bool(is_new) and abs(float(found.sigmas[first])) > OUTSIDE


def _rail(found: Found, low: float, high: float) -> bool:
    """Whether a signal that lived now lies at the end of its range for most of the excursion."""
    if found.course.repeats > _LIVE:
        return False
    x = found.column.x[found.first : found.last + 1]
    if len(x) < _RAIL_ROWS:
        return False
    if math.isfinite(low) and math.isfinite(high) and high > low:
        room = _RAIL * (high - low)
        return float(np.mean((x >= high - room) | (x <= low + room))) >= _LIVE
    same = x[1:] == x[:-1]
    return longest(same) + 1 >= max(_RAIL_ROWS, 2 * found.course.run + 1, len(x) // 2)


def _step_or_drift(found: Found, form: Form) -> Form:
    """A jump that stays, or a slow way off, by how long the way took.

    The onset of a gradual rise is where the line through its first half meets the usual course: it
    is seen only when it has left the noise, and the steeper one of two would always seem the first.
    """
    t = found.column.t[found.first : found.last + 1]
    y = _smooth(found.sign * found.departure[found.first : found.last + 1])
    top = max(float(np.percentile(y, 90.0)), 0.8 * float(np.max(y)))
    late = int(np.argmax(y >= 0.85 * top))
    below = np.flatnonzero(y[:late] < 0.15 * top)
    early = int(below[-1]) + 1 if len(below) else 0
    end = len(y) - 1 - int(np.argmax(y[::-1] >= 0.5 * top))
    rise, length = float(t[late] - t[early]), float(t[end] - t[early])
    every = 0.0 if math.isnan(found.column.every) else found.column.every
    if end - early < _SSE_ROWS:
        is_step = _is_plateau(t[early : end + 1], y[early : end + 1])
    else:
        is_step = rise <= max(_STEP_ROWS * every, _STEP_SHARE * length)
    form = replace(form, shape="step" if is_step else "drift", onset_s=float(t[early]))
    half = early + int(np.argmax(y[early : late + 1] >= 0.5 * top))
    until = (half if half - early >= 2 else late) + 1
    _, meets = _line(t[early:until], y[early:until])
    level, noise = _level(found, found.column.index(min(meets, float(t[early]))))
    slope, meets = _line(t[early:until], y[early:until] - level)
    if slope <= 0.0 or (is_step and rise <= _STEP_ROWS * every):
        return form
    onset = min(max(meets, float(t[early]) - length), float(t[early]))
    blur = 1.5 * noise / slope + 0.04 * rise
    rate = math.nan if is_step else _rate(found, t[: end + 1], y[: end + 1], early, late)
    return replace(form, onset_s=onset, rate_per_s=rate, uncertain_s=blur)


def _level(found: Found, at: int) -> tuple[float, float]:
    """Where the signal lay just before, and how much it varied there.

    A slow wave below the event would else move the onset by its height over the slope.
    """
    before = found.sign * found.departure[max(at - _LEVEL_ROWS - 2, 0) : max(at - 2, 0)]
    if len(before) < _LEVEL_ROWS:
        return 0.0, found.course.sd
    room = 2.0 * found.course.sd
    level = min(max(float(np.median(before)), -room), room)
    return level, max(float(np.std(before)), 0.6 * found.course.sd)


def _is_plateau(t: Floats, y: Floats) -> bool:
    """Whether few samples since the onset lie about a level rather than about a line."""
    if len(t) < 3:
        return True
    time = t - np.mean(t)
    flat = y - np.mean(y)
    square = float(np.sum(time * time))
    slope = float(np.sum(time * flat)) / square if square > 0.0 else 0.0
    # A line takes the signal a good part of its way, and does most of what varies about the level.
    is_slope = slope * float(t[-1] - t[0]) >= 0.3 * float(np.max(y))
    return not is_slope or slope * slope * square < 0.75 * float(np.sum(flat * flat))


def _rate(found: Found, t: Floats, y: Floats, early: int, late: int) -> float:
    """How fast a drift goes now [unit per second]; NaN when it has come back."""
    if found.is_over:
        return math.nan
    rest = late if len(t) - late >= SHORT_ROWS else early
    slope, _ = _line(t[rest:], y[rest:])
    return found.sign * slope


def _smooth(y: Floats) -> Floats:
    """Running median of three, which removes single strays and keeps edges."""
    if len(y) < 3:
        return y
    found = y.copy()
    found[1:-1] = np.median(np.stack((y[:-2], y[1:-1], y[2:])), axis=0)
    return found


def _line(t: Floats, y: Floats) -> tuple[float, float]:
    """Slope of the least squares line, and where it crosses zero."""
    time = t - np.mean(t)
    square = float(np.sum(time * time))
    if square <= 0.0:
        return 0.0, float(np.mean(t))
    slope = float(np.sum(time * y)) / square
    return slope, float(np.mean(t) - np.mean(y) / slope) if slope else float(np.mean(t))


def _swing(found: Found, start_s: float) -> Form | None:
    """Oscillation or noise: the signal is far off on both sides by turns, at `start_s` and before.

    A slow swing is near its middle for a while, so a stretch is looked for that allows for
    longer and longer pauses, until one has turned often enough.
    """
    column, z = found.column, found.sigmas
    at = column.index(start_s)
    if at < _SWING_ROWS or not (np.abs(z[max(at - _PAUSES[-1], 0) : at + 1]) > OUTSIDE).any():
        return None
    weight = np.minimum(np.abs(z), CAP) - _QUIET
    for pause in _PAUSES:
        first, last, _ = extent(weight, at, pause * _QUIET)
        if _is_swing(z[first : last + 1]):
            break
    else:
        return None
    window = z[first : last + 1]
    peak = first + int(np.argmax(np.abs(window)))
    size, sigmas = abs(float(found.departure[peak])), abs(float(z[peak]))
    period = _period(column, found.departure, first, last)
    shape: Shape = "noise" if math.isnan(period) else "oscillation"
    return Form(shape, "none", float(column.t[first]), size, sigmas, period_s=period)


def _is_swing(z: Floats) -> bool:
    """Whether a stretch turns often, is about as far off on either side, and mostly is off."""
    if len(z) < _SWING_ROWS:
        return False
    middle = float(np.median(z))
    if abs(middle) <= min(3.0, float(np.std(z))):  # A slow wave carries it to one side a little.
        z = z - middle
    far = np.sign(z[np.abs(z) > _SWING])
    flips = int(np.count_nonzero(far[1:] != far[:-1]))
    if flips < _FLIPS_MIN or abs(float(np.mean(far))) > _ONE_SIDED:
        return False
    top, bottom = float(np.max(z)), float(-np.min(z))
    if min(top, bottom) < _LOPSIDED * max(top, bottom):
        return False
    return float(np.mean(np.minimum(np.abs(z), CAP))) >= _SWING_MEAN


def _period(column: Column, departure: Floats, first: int, last: int) -> float:
    """Period of a swing [s], NaN when it has none: the first high peak of the autocorrelation."""
    t, y = column.t[first : last + 1], departure[first : last + 1]
    count = min(int((t[-1] - t[0]) / column.every) + 1, _GRID_MAX)
    if count < 8:
        return math.nan
    grid = np.linspace(t[0], t[-1], count)
    likeness = autocorrelation(np.interp(grid, t, y))[: count // 2 + 1]
    peaks = np.flatnonzero((likeness[1:-1] >= likeness[:-2]) & (likeness[1:-1] > likeness[2:])) + 1
    # Of little noise some peak is high by chance: 1 ÷ √n is the sd of a lag's value.
    least = _PERIODIC + 1.0 / math.sqrt(count)
    peaks = peaks[(peaks >= 2) & (likeness[peaks] >= least)] if len(peaks) else peaks
    if not len(peaks):
        return math.nan
    best = peaks[np.argmax(likeness[peaks] >= 0.9 * np.max(likeness[peaks]))]
    return float(best * (t[-1] - t[0]) / (count - 1))

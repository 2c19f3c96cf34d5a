"""Course: what is normal for a signal, its cycle and its steady growth included.

A press swings between 90 and 210 bar six seconds long and that is normal; only what departs from
the usual course at that moment of the cycle is news. So a cycle is looked for, folded into a
profile and taken out, and a signal that grows steadily (a counter) is compared with its line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.explainer.column import Floats

SIGMAS_MAX = 1e6
"""Greatest departure in standard deviations: what a signal without spread gets."""

MAD_TO_SD = 1.4826
"""1 ÷ Φ⁻¹(3/4). Source: Rousseeuw and Croux (1993), JASA 88(424) 1273, eq. 1.1."""

_BLOCKS = 8
_CYCLE_ROWS_MAX = 2048
_CYCLE_LIKENESS = 0.6
_CYCLES_MIN = 3
_BINS_MAX = 64
_STEADY = 0.97  # Share of the variance that a line explains in a signal that grows steadily,
_COUNTING = 0.8  # and in one that never turns back, as a counter: it grows in steps.
_FEW = 16


@dataclass(frozen=True, slots=True)
class Course:
    """The usual course of one signal, learnt from samples before something happened.

    Args:
        mean: Of the samples it was learnt from.
        sd: Their standard deviation about the usual course.
        rows: How many.
        from_s: The first [s after the alarm].
        to_s: The last.
        low: Lowest usual departure from the course, not above zero by much.
        high: Highest usual departure.
        cycle_s: Length of its cycle [s]; NaN without one.
        profile: Its departure from the mean through the cycle, (bins,); empty without one.
        spread: Standard deviation at each bin, (bins,).
        slope: Steady growth [unit per second].
        middle_s: Where the line of growth passes through the mean [s after the alarm].
        repeats: Share of samples that equal the one before.
        run: The longest run of equal samples.
    """

    mean: float
    sd: float
    rows: int
    from_s: float
    to_s: float
    low: float
    high: float
    cycle_s: float
    profile: Floats
    spread: Floats
    slope: float
    middle_s: float
    repeats: float
    run: int

    def expected(self, t: Floats) -> Floats:
        """The usual value at these times, (n,)."""
        level = self.mean + self.slope * (t - self.middle_s)
        if len(self.profile):
            level = level + self._around(t, self.profile)
        return level

    def sigmas(self, t: Floats, departure: Floats) -> Floats:
        """Departures from the course in standard deviations at these times, (n,).

        A line is the less certain the further it is carried on, and a profile the fewer cycles
        it was learnt from.
        """
        sd = np.full(len(t), self.sd)
        if len(self.profile):
            cycles = max((self.to_s - self.from_s) / self.cycle_s, 1.0)
            sd = self._around(t, self.spread) * (1.0 + 2.0 / cycles)
        if self.slope:
            span = max(self.to_s - self.from_s, 1e-9)
            sd = sd * (1.0 + 3.0 * np.maximum(t - self.to_s, 0.0) / span)
        limited: Floats = np.clip(departure / sd, -SIGMAS_MAX, SIGMAS_MAX)
        return limited

    def _around(self, t: Floats, bins: Floats) -> Floats:
        phase = np.mod((t - self.to_s) / self.cycle_s, 1.0) * len(bins)
        left = np.floor(phase)
        share = phase - left
        at = left.astype(np.intp)
        found: Floats = bins[at % len(bins)] * (1.0 - share) + bins[(at + 1) % len(bins)] * share
        return found


def learn(t: Floats, x: Floats) -> Course | None:
    """The usual course of samples in order of time; None of fewer than two."""
    if len(t) < 2:
        return None
    slope, middle = _growth(t, x)
    level = x - slope * (t - middle)
    kept = usual(level)
    mean = float(np.mean(level[kept]))
    every = float(np.median(np.diff(t)))
    cycle_s = math.nan if slope else _cycle(t, np.clip(level, *_span(level[kept])), every)
    profile = spread = np.zeros(0)
    departure = level - mean
    sd = _spread(departure[kept], x)
    if math.isfinite(cycle_s):
        cycle_s = _tuned(t, departure, cycle_s, every)
        bins = _fold(t, departure, cycle_s, every)
        found = Course(
            mean, sd, len(t), 0.0, t[-1], 0.0, 0.0, cycle_s, bins, bins, 0.0, 0.0, 0.0, 0
        )
        rest = x - found.expected(t)
        still = usual(rest)
        folded_sd = _spread(rest[still], x)
        if folded_sd <= 0.6 * sd:
            departure, kept, sd, profile = rest, still, folded_sd, bins
            each = MAD_TO_SD * _fold(t, np.abs(rest), cycle_s, every)
            spread = np.maximum(each, sd)
    cycle_s = cycle_s if len(profile) else math.nan
    low, high = _span(departure[kept])
    same = x[1:] == x[:-1]
    return Course(
        mean,
        sd,
        int(np.count_nonzero(kept)),
        float(t[0]),
        float(t[-1]),
        low,
        high,
        cycle_s,
        profile,
        spread,
        slope,
        middle,
        float(np.mean(same)),
        longest(same) + 1,
    )


def usual(x: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which samples are no strangers, (n,): what happens once in a while is usual, an incident not.

    The samples are cut into blocks of equal length; the median of the blocks' lowest and highest
    values is untouched by an incident in fewer than half of them, and short pulses that come in
    every block stay. Half of the span beyond it is allowed for slow changes.
    """
    if len(x) < _FEW:
        middle = np.median(x)
        far = np.abs(x - middle)
        return far <= max(6.0 * MAD_TO_SD * float(np.median(far)), float(np.max(far)) * 0.5)
    size = len(x) // _BLOCKS
    blocks = x[: size * _BLOCKS].reshape(_BLOCKS, size)
    # The lower median of the lows and the upper one of the highs: some sample is always between.
    low = float(np.sort(blocks.min(axis=1))[(_BLOCKS - 1) // 2])
    high = float(np.sort(blocks.max(axis=1))[_BLOCKS // 2])
    room = 0.5 * (high - low) + 1e-9 * max(abs(low), abs(high))
    return (x >= low - room) & (x <= high + room)


def longest(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    """Length of the longest run of True.

    >>> longest(np.array([True, True, False, True])), longest(np.array([False]))
    (2, 0)
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return int(np.max(edges[1::2] - edges[::2])) if len(edges) else 0


def _span(x: Floats) -> tuple[float, float]:
    return float(np.min(x)), float(np.max(x))


def _spread(departure: Floats, x: Floats) -> float:
    """Standard deviation, at least what a quantised or a constant sensor hides.

    A third of the smallest step: one step is then no event, two are. Source for rounding as a
    spread of step ÷ √12: Widrow and Kollár (2008), Quantization Noise, ch. 3.
    """
    levels = np.unique(x[-512:])
    step = float(np.min(np.diff(levels))) if len(levels) > 1 else 0.0
    least = max(step / 3.0, 1e-9 * float(np.max(np.abs(x))), 1e-12)
    return max(float(np.std(departure)), least)


def _growth(t: Floats, x: Floats) -> tuple[float, float]:
    """Slope and centre of a line, where the signal grows so steadily that the line is the norm."""
    middle = float(np.mean(t))
    if len(t) < _FEW:
        return 0.0, middle
    time, value = t - middle, x - np.mean(x)
    total = float(np.sum(value * value))
    square = float(np.sum(time * time))
    if total <= 0.0 or square <= 0.0:
        return 0.0, middle
    slope = float(np.sum(time * value)) / square
    steps = np.diff(x)
    rises, falls = int(np.count_nonzero(steps > 0.0)), int(np.count_nonzero(steps < 0.0))
    share = _COUNTING if min(rises, falls) == 0 and max(rises, falls) > 2 else _STEADY
    return (slope if slope * slope * square >= share * total else 0.0), middle


def _cycle(t: Floats, x: Floats, every: float) -> float:
    """Length of the cycle [s], NaN without one: the first high peak of the autocorrelation.

    Source: Box, Jenkins and Reinsel (2008), Time Series Analysis, 4th ed., §2.1.4, computed by FFT
    (Wiener-Khinchin); a peak at a multiple makes the estimate sharper by that multiple.
    """
    count = min(int((t[-1] - t[0]) / every) + 1, _CYCLE_ROWS_MAX) if every > 0 else 0
    if count < 4 * _CYCLES_MIN or len(t) < 4 * _CYCLES_MIN:
        return math.nan
    grid = t[-1] - every * np.arange(count - 1, -1, -1.0)
    likeness = autocorrelation(np.interp(grid, t, x))
    top = likeness[: count // _CYCLES_MIN + 1]
    peaks = np.flatnonzero((top[1:-1] >= top[:-2]) & (top[1:-1] > top[2:])) + 1
    peaks = peaks[(peaks >= 4) & (top[peaks] >= _CYCLE_LIKENESS)] if len(peaks) else peaks
    if not len(peaks) or float(np.min(top[: peaks[0]])) > 0.5 * _CYCLE_LIKENESS:
        return math.nan
    lag = float(peaks[np.argmax(top[peaks] >= 0.9 * np.max(top[peaks]))])
    for multiple in (2, 4, 8, 16, 32):
        around = round(lag * multiple)
        if around + 3 > count * 2 // 3:
            break
        near = likeness[around - 2 : around + 3]
        lag = (around - 2 + _vertex(near)) / multiple
    return lag * every


def _vertex(y: Floats) -> float:
    """Where the parabola through the highest value and its neighbours has its top."""
    at = int(np.argmax(y))
    if not 0 < at < len(y) - 1:
        return float(at)
    bend = float(y[at - 1] - 2.0 * y[at] + y[at + 1])
    return at + (0.5 * float(y[at - 1] - y[at + 1]) / bend if bend < 0.0 else 0.0)


def _tuned(t: Floats, x: Floats, cycle_s: float, every: float) -> float:
    """The cycle's length made exact, so that the profile still fits many cycles later.

    Where the length is wrong, a sample lies from its profile by the slope of the profile times a
    time that grows with t: one Gauss-Newton step of least squares for that growth.
    """
    bins = _fold(t, x, cycle_s, every)
    count = len(bins)
    phase = np.mod((t - t[-1]) / cycle_s, 1.0) * count
    left = np.floor(phase).astype(np.intp)
    here, after = bins[left % count], bins[(left + 1) % count]
    steep = (after - here) * count / cycle_s
    rest = x - here - (after - here) * (phase - left)
    limit = 4.0 * float(np.median(np.abs(rest)))
    rest = np.clip(rest, -limit, limit)
    time = t - t[-1]
    one, two, three = (float(np.sum(steep * steep * time**power)) for power in (0, 1, 2))
    least = one * three - two * two
    if least <= 1e-9 * one * three:
        return cycle_s
    growth = -(one * float(np.sum(rest * steep * time)) - two * float(np.sum(rest * steep))) / least
    return cycle_s * (1.0 + growth) if abs(growth) < 0.02 else cycle_s


def autocorrelation(x: Floats) -> Floats:
    """Of a signal on an even grid with itself at each lag, (n,); 1 at lag 0, 0 when constant."""
    n = len(x)
    scale = float(np.max(np.abs(x - np.mean(x)))) if n else 0.0
    if scale <= 0.0:
        return np.zeros(n)
    spectrum = np.fft.rfft((x - np.mean(x)) / scale, 2 * n)
    raw = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, 2 * n)[:n]
    found: Floats = raw / raw[0] * n / np.arange(n, 0, -1.0) if raw[0] > 0 else np.zeros(n)
    return found


def _fold(t: Floats, x: Floats, cycle_s: float, every: float) -> Floats:
    """Median of the samples about each bin of the cycle, (bins,); an empty one is interpolated.

    Bins are centred on the last sample and whole parts of a cycle from there: samples that come
    evenly then lie in the middle of their bins and not by rounding in one or the other.
    """
    count = int(min(max(round(cycle_s / max(every, 1e-9)), 4), _BINS_MAX))
    phase = np.mod((t - t[-1]) / cycle_s, 1.0)
    bins = np.round(phase * count).astype(np.intp) % count
    # By value and then, stably, by bin; as short numbers the bins are sorted digit by digit.
    by_value = np.argsort(x)
    order = by_value[np.argsort(bins[by_value].astype(np.uint16), kind="stable")]
    size = np.bincount(bins, minlength=count)
    first = np.concatenate(([0], np.cumsum(size)[:-1]))
    full = np.flatnonzero(size)
    middle = 0.5 * (
        x[order[first[full] + (size[full] - 1) // 2]] + x[order[first[full] + size[full] // 2]]
    )
    return np.interp(np.arange(count), full, middle, period=count)

"""Spectrum: bands, peaks and envelope of a vibration signal.

The Fourier transform differs in its last bits between processors: results are compared
with a tolerance of 1e-9, not bit by bit.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Taper = Literal["hann", "flat_top", "rectangular"]

_COSINES: dict[Taper, tuple[float, ...]] = {
    "rectangular": (1.0,),
    "hann": (0.5, 0.5),
    "flat_top": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
}
"""Coefficients of the cosine sum; signs alternate.

Source: Harris (1978), Proc. IEEE 66(1) 51; flat top, D'Antona and Ferrero (2006), Digital
Signal Processing for Measurement Systems, table 2.2.
"""


def taper(kind: Taper, n: int) -> Floats:
    """The n weights of a window function, in the periodic form that spectra want.

    >>> taper("hann", 4)
    array([0. , 0.5, 1. , 0.5])
    """
    turn = 2 * np.pi * np.arange(n) / n
    weights = np.zeros(n)
    for order, coefficient in enumerate(_COSINES[kind]):
        weights += (-1) ** order * coefficient * np.cos(order * turn)
    return weights


def uniform(ts: NDArray[np.int64], value: Floats, jitter_max: float = 0.05) -> tuple[float, Floats]:
    """(rate [Hz], samples) at equal distances, as the transform needs them.

    Where no sample is further than `jitter_max` of the interval from its place the values
    are taken as they are; otherwise they are interpolated linearly at as many equal steps.
    Fewer than four samples, or none at different times, give a rate of NaN and no samples.

    Args:
        ts: Timestamps [ns], (n,), ascending.
        value: Samples, (n,).
        jitter_max: Share of the sampling interval.
    """
    n = len(ts)
    elapsed = (ts - ts[:1]) / 1e9
    if n < 4 or elapsed[-1] <= 0:
        return np.nan, np.zeros(0)
    interval = float(elapsed[-1]) / (n - 1)
    places = np.arange(n) * interval
    if np.max(np.abs(elapsed - places)) <= jitter_max * interval:
        return 1 / interval, value
    return 1 / interval, np.interp(places, elapsed, value)


class Spectrum:
    """The one-sided spectrum of n samples less their mean: m = n // 2 + 1 lines.

    Amplitudes are divided by the taper's sum, so that a sine on a line shows its peak
    value; powers by the sum of its squares, so that the powers of all lines add up to the
    signal's mean square. The two differ by the taper's noise bandwidth and are never mixed.

    Source: Heinzel, Rüdiger and Schilling (2002), "Spectrum and spectral density estimation
    by the DFT", Max-Planck-Institut für Gravitationsphysik, eq. 19 to 24.

    Args:
        samples: Equally spaced, (n,), n ≥ 4.
        rate: Samples per second [Hz].
        kind: Window function. Hann suits most; flat_top reads amplitudes; rectangular is
            for signals that fit the window with a whole number of periods.

    >>> t = np.arange(1000) / 1000.0
    >>> s = Spectrum(3.0 * np.sin(2 * np.pi * 50.2 * t), 1000.0)
    >>> hz, amplitude = s.peak(10.0, 400.0)
    >>> round(hz, 2), round(amplitude, 2), round(s.band_rms(40.0, 60.0), 2)
    (50.2, 3.0, 2.12)
    """

    def __init__(self, samples: Floats, rate: float, kind: Taper = "hann") -> None:
        n = len(samples)
        if n < 4:
            raise ValueError(f"{n} samples have no spectrum; at least 4 are needed.")
        self.rate = rate
        self.hz: Floats = np.arange(n // 2 + 1, dtype=np.float64) * (rate / n)
        """Frequency of each line [Hz], (m,)."""
        self._kind = kind
        self._centred = samples - samples.mean()
        weights = taper(kind, n)
        magnitude = np.abs(np.fft.rfft(self._centred * weights))
        twice = np.full(len(magnitude), 2.0)  # the lines of negative frequency fold onto these
        twice[0] = 1.0
        if n % 2 == 0:
            twice[-1] = 1.0  # the Nyquist line has no partner
        self.amplitude: Floats = twice * magnitude / weights.sum()
        """Peak amplitude of each line, in the tag's unit, (m,)."""
        self.power: Floats = twice * magnitude**2 / (n * (weights * weights).sum())
        """Mean square of each line, in the tag's unit squared, (m,)."""

    @property
    def rms(self) -> float:
        """RMS without the mean, of the whole signal."""
        return float(np.sqrt(np.mean(self._centred * self._centred)))

    def band_rms(self, low: float, high: float) -> float:
        """RMS of the lines in [low, high) [Hz]; bands add in squares.

        NaN when no line lies in the band: it is beyond half the sampling rate, or narrower
        than the distance of two lines.
        """
        band = self._band(low, high)
        return float(np.sqrt(self.power[band].sum())) if band.any() else np.nan

    def peak(self, low: float = 0.0, high: float = np.inf) -> tuple[float, float]:
        """(frequency [Hz], peak amplitude) of the strongest line in [low, high).

        With the Hann taper both are refined from the stronger neighbour, which is exact
        for a single sine; other tapers give the line itself. (NaN, NaN) when the band has
        no line or the signal is constant.

        Source: Grandke (1983), IEEE Trans. Instrum. Meas. 32(2) 350, eq. 10 and 13.
        """
        lines = np.flatnonzero(self._band(low, high))
        if lines.size == 0 or self.amplitude[lines].max() == 0:
            return np.nan, np.nan
        line = int(lines[np.argmax(self.amplitude[lines])])
        amplitude = float(self.amplitude[line])
        if self._kind != "hann" or not 1 < line < len(self.hz) - 2:
            return float(self.hz[line]), amplitude
        left, right = float(self.amplitude[line - 1]), float(self.amplitude[line + 1])
        side = 1.0 if right >= left else -1.0
        ratio = min(max(left, right) / amplitude, 1.0)
        # Never more than half a line: a neighbour outside the band may be the stronger one.
        shift = min(max((2 * ratio - 1) / (1 + ratio), 0.0), 0.5)
        corrected = amplitude * (1 - shift * shift) / float(np.sinc(shift))
        return float(self.hz[line] + side * shift * self.hz[1]), corrected

    def envelope(self, low: float, high: float) -> Floats:
        """The envelope of the signal between `low` and `high` [Hz], (n,).

        The band around a resonance is cut out in the frequency domain and made analytic:
        its magnitude is the envelope, whose own spectrum shows how often a bearing defect
        strikes the resonance.

        Source: analytic signal, Marple (1999), IEEE Trans. Signal Process. 47(9) 2600;
        envelope analysis, Randall and Antoni (2011), Mech. Syst. Signal Process. 25(2) 485, §5.
        """
        n = len(self._centred)
        lines = np.fft.rfft(self._centred)
        band = self._band(low, high)
        if n % 2 == 0:
            lines[-1] *= 0.5  # the Nyquist line is its own mirror image
        lines[0] *= 0.5
        analytic = np.zeros(n, np.complex128)
        analytic[: len(lines)] = 2.0 * np.where(band, lines, 0.0)
        return np.abs(np.fft.ifft(analytic))

    def of_envelope(self, low: float, high: float) -> Spectrum:
        """The spectrum of the envelope between `low` and `high` [Hz]."""
        return Spectrum(self.envelope(low, high), self.rate, self._kind)

    def _band(self, low: float, high: float) -> NDArray[np.bool_]:
        band: NDArray[np.bool_] = (self.hz >= low) & (self.hz < high)
        return band

    @cached_property
    def total(self) -> float:
        """RMS by the lines: equal to `rms` but for the taper's weighting of the samples."""
        return float(np.sqrt(self.power.sum()))

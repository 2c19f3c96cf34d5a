"""The spectrum against scipy, and against signals whose contents are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from models.spectrum import Spectrum, Taper, taper, uniform

SCIPY = {"hann": "hann", "flat_top": "flattop", "rectangular": "boxcar"}


def sine(hz: float, amplitude: float, n: int, rate: float) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(n) / rate + 0.3)


@pytest.mark.parametrize("kind", SCIPY)
@pytest.mark.parametrize("n", [4, 5, 64, 257])
def test_tapers_equal_scipy(kind: Taper, n: int) -> None:
    np.testing.assert_allclose(taper(kind, n), signal.get_window(SCIPY[kind], n), atol=1e-12)


@pytest.mark.parametrize("kind", SCIPY)
@pytest.mark.parametrize("n", [256, 255])
def test_power_equals_scipy(kind: Taper, n: int) -> None:
    x = np.random.default_rng(0).normal(3, 1, n)
    spectrum = Spectrum(x, 100.0, kind)
    hz, density = signal.periodogram(x, 100.0, SCIPY[kind], detrend="constant")
    np.testing.assert_allclose(spectrum.hz, hz)
    np.testing.assert_allclose(spectrum.power, density * 100.0 / n, atol=1e-12)


@pytest.mark.parametrize("n", [512, 511])
def test_the_lines_add_up_to_the_rms(n: int) -> None:
    x = np.random.default_rng(1).normal(5, 2, n)
    spectrum = Spectrum(x, 1.0, "rectangular")
    assert spectrum.total == pytest.approx(spectrum.rms, rel=1e-12)
    assert spectrum.rms == pytest.approx(x.std(), rel=1e-12)


def test_bands_add_in_squares_and_do_not_share_a_line() -> None:
    x = np.random.default_rng(2).normal(size=1000)
    spectrum = Spectrum(x, 1000.0)
    low, high = spectrum.band_rms(0, 100), spectrum.band_rms(100, 501)
    assert low**2 + high**2 == pytest.approx(spectrum.total**2, rel=1e-12)


@pytest.mark.parametrize("kind", SCIPY)
def test_a_sine_on_a_line_shows_its_amplitude(kind: Taper) -> None:
    spectrum = Spectrum(sine(50, 3.0, 1000, 1000), 1000.0, kind)
    assert spectrum.peak() == (pytest.approx(50.0), pytest.approx(3.0))
    assert spectrum.band_rms(40, 60) == pytest.approx(3 / np.sqrt(2), rel=1e-6)


@pytest.mark.parametrize("between", [0.0, 0.1, 0.3, 0.5, 0.7, 0.95])
def test_a_sine_between_two_lines_is_found_exactly(between: float) -> None:
    hz = 50 + between
    found, amplitude = Spectrum(sine(hz, 3.0, 1000, 1000), 1000.0).peak()
    assert found == pytest.approx(hz, abs=1e-3)
    assert amplitude == pytest.approx(3.0, rel=1e-3)


def test_the_strongest_line_of_a_band() -> None:
    x = sine(50, 3.0, 1000, 1000) + sine(120, 1.0, 1000, 1000)
    spectrum = Spectrum(x, 1000.0)
    assert spectrum.peak(100, 200) == (pytest.approx(120, abs=1e-3), pytest.approx(1, rel=1e-3))
    assert np.isnan(spectrum.peak(600, 700)).all()


def test_a_band_without_lines_has_no_rms() -> None:
    spectrum = Spectrum(sine(50, 3.0, 1000, 1000), 1000.0)
    assert np.isnan(spectrum.band_rms(501, 900))
    assert np.isnan(spectrum.band_rms(50.1, 50.9))


def test_a_constant_has_no_peak() -> None:
    spectrum = Spectrum(np.full(100, 7.0), 10.0)
    assert np.isnan(spectrum.peak()).all()
    assert spectrum.rms == spectrum.band_rms(0, 5) == 0


@pytest.mark.parametrize("n", [400, 401])
def test_the_envelope_equals_scipy(n: int) -> None:
    x = np.random.default_rng(3).normal(size=n)
    x -= x.mean()
    expected = np.abs(signal.hilbert(x))
    np.testing.assert_allclose(Spectrum(x, 100.0).envelope(0, np.inf), expected, atol=1e-12)


def test_the_envelope_shows_how_often_a_bearing_is_struck() -> None:
    rate, n, strikes_hz, resonance_hz = 20_000.0, 20_000, 87.0, 3_000.0
    t = np.arange(n) / rate
    since = t % (1 / strikes_hz)
    ringing = 0.2 * np.exp(-since * 800) * np.sin(2 * np.pi * resonance_hz * since)
    shaft = 2.0 * np.sin(2 * np.pi * 25 * t)  # ten times as strong, and not the fault
    noise = np.random.default_rng(4).normal(0, 0.05, n)
    spectrum = Spectrum(ringing + shaft + noise, rate)
    assert spectrum.peak()[0] == pytest.approx(25, abs=0.1)
    found, amplitude = spectrum.of_envelope(2_000, 4_000).peak(10, 500)
    assert found == pytest.approx(strikes_hz, abs=0.5)
    assert amplitude > 0.01


def test_even_samples_are_taken_as_they_are() -> None:
    ts = np.array([0, 1_000, 2_000, 3_040, 4_000]) * 1000
    x = np.array([1.0, 2.0, 9.0, 4.0, 5.0])
    rate, samples = uniform(ts, x)
    assert rate == pytest.approx(1000.0)
    assert samples is x


def test_uneven_samples_are_interpolated() -> None:
    rng = np.random.default_rng(5)
    t = np.sort(rng.uniform(0, 10, 4000))
    rate, samples = uniform((t * 1e9).astype(np.int64), np.sin(2 * np.pi * 3 * t))
    assert len(samples) == 4000
    hz, amplitude = Spectrum(samples, rate).peak()
    assert hz == pytest.approx(3.0, abs=0.02)
    assert amplitude == pytest.approx(1.0, rel=0.01)


def test_too_few_samples_have_no_rate() -> None:
    for ts in ([], [0], [0, 1, 2], [5, 5, 5, 5, 5]):
        rate, samples = uniform(np.array(ts, np.int64), np.zeros(len(ts)))
        assert np.isnan(rate)
        assert len(samples) == 0
    with pytest.raises(ValueError, match="at least 4"):
        Spectrum(np.zeros(3), 1.0)

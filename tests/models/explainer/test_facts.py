"""The fact sheet of made signals whose shape is known, one at a time."""

from __future__ import annotations

import numpy as np
import pytest

from models.explainer import facts
from models.explainer.evidence import Evidence, Raised, Rows, Track

ZERO_NS = 1_800_000_000 * 10**9
EVERY_S = 0.5
N = 1200
RNG_SEED = 11
TAG = "hall/press1/bearing/vibration"


def rows(x: np.ndarray, every_s: float = EVERY_S) -> Rows:
    ts = ZERO_NS + (np.arange(len(x)) * every_s * 1e9).astype(np.int64)
    return Rows(ts, np.asarray(x, float), np.zeros(len(x), np.uint32))


def calm(name: int = 0) -> np.ndarray:
    return np.random.default_rng([RNG_SEED, name]).normal(50.0, 0.5, N)


def evidence(
    x: np.ndarray,
    *others: np.ndarray,
    condition: str = "HI",
    low: float = np.nan,
    high: float = np.nan,
) -> Evidence:
    tracks = [Track(TAG, rows(x), "mm/s", low=low, high=high)]
    tracks += [Track(f"hall/press1/part{i}/value", rows(y)) for i, y in enumerate(others)]
    at = ZERO_NS + round((N - 1) * EVERY_S * 1e9)
    return Evidence(Raised(f"f/n:{TAG}:{condition}", TAG, at, condition), tracks=tuple(tracks))


def made(shape: str) -> np.ndarray:
    x = calm()
    since = np.arange(N) - 1000
    later = since >= 0
    match shape:
        case "spike":
            x[1180:1184] += 9.0
        case "step":
            x[later] += 6.0
        case "drift":
            x[later] += 0.05 * since[later]
        case "oscillation":
            x[later] += 4.0 * np.sin(2 * np.pi * since[later] / 20.0)
        case "noise":
            x[later] += np.random.default_rng(7).normal(0.0, 3.0, int(later.sum()))
        case "stuck":
            x[later] = x[1000]
        case "saturation":
            x[later] = 100.0
        case "dropout":
            x = x[:1000]
    return x


@pytest.mark.parametrize(
    "shape",
    ["spike", "step", "drift", "oscillation", "noise", "stuck", "saturation", "dropout"],
)
def test_the_shape_is_what_a_person_would_call_it(shape: str) -> None:
    move = facts.sheet(evidence(made(shape), low=0.0, high=100.0)).move
    assert move.shape == shape
    begin = 1180 if shape == "spike" else 1000
    assert (move.onset_ns - ZERO_NS) * 1e-9 == pytest.approx(begin * EVERY_S, abs=8 * EVERY_S)


def test_nothing_unusual_is_unclear_and_neighbours_are_steady() -> None:
    sheet = facts.sheet(evidence(calm(), calm(1), calm(2)))
    assert sheet.move.shape == "unclear"
    assert sheet.move.onset_ns == 0
    assert not sheet.others
    assert len(sheet.steady) == 2


def test_who_moved_first_is_known_from_the_onsets() -> None:
    cause, effect = calm(1), calm()
    cause[900:] -= 5.0
    effect[1000:] += 6.0
    sheet = facts.sheet(evidence(effect, cause, calm(2)))
    (other,) = sheet.others
    assert sheet.first_mover is other
    assert other.direction == "down"
    assert other.lead_s == pytest.approx(-50.0, abs=1.0)

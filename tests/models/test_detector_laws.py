"""Laws that hold for every detector: how the input is cut, saved or mixed changes no bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.cusum import Cusum
from models.ewma import Ewma
from models.flatline import Flatline
from models.kernel import Detector
from models.rate import Rate
from models.robust_z import RobustZ
from models.seasonal import Seasonal
from models.sigma import Sigma

S = 10**9
LIMIT = 8
Row = tuple[int, int, float]

DETECTORS: dict[str, Callable[[], Detector]] = {
    "sigma": lambda: Sigma(LIMIT, window_s=10, min_rows=3, rows_max=20),
    "sigma, small ring": lambda: Sigma(LIMIT, window_s=1000, min_rows=2, rows_max=4),
    "sigma, refusing": lambda: Sigma(
        LIMIT, window_s=30, min_rows=3, resolution=0.5, refuse_above=3, refuse_rows_max=2
    ),
    "robust_z": lambda: RobustZ(LIMIT, window_s=10, min_rows=3, rows_max=18),
    "ewma": lambda: Ewma(LIMIT, rows=4, resolution=0.1, relearn_rows=3),
    "ewma, given": lambda: Ewma(LIMIT, mean=1.0, sd=1.0),
    "cusum": lambda: Cusum(LIMIT, rows=4, resolution=0.1, relearn_rows=3),
    "flatline": lambda: Flatline(LIMIT, band=0.5, gap_s=20),
    "rate": lambda: Rate(LIMIT, horizon_s=8),
    "seasonal": lambda: Seasonal(
        LIMIT, period_s=8, bins=3, min_rows=2, min_periods=2, memory_rows=5,
        refuse_above=3, refuse_rows_max=1, resolution=0.5,
    ),
}  # fmt: skip

# Few tags, few values, few gaps: what matters happens at equalities, not at random floats.
ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 5]),
        st.sampled_from([0, 1, 1, 1, 2, 5, -3, 40]),
        st.sampled_from([1.0, 1.0, 1.5, 2.0, -2.0, 1e6, -0.0, np.nan, np.inf, 1e200]),
    ),
    min_size=20,
    max_size=80,
)


def at_times(steps: list[Row]) -> list[Row]:
    """Rows at absolute times [ns], each a step in seconds after the one before."""
    now, rows = 1_700_000_000, []
    for tag, step, value in steps:
        now += step
        rows.append((tag, now * S, value))
    return rows


def feed(detector: Detector, rows: list[Row]) -> NDArray[np.float64]:
    """Scores of rows in their order, given as rounds in which no tag repeats."""
    scores = np.full(len(rows), np.nan)
    seen: dict[int, int] = {}
    rounds: list[list[int]] = []
    for index, (tag, _, _) in enumerate(rows):
        turn = seen.get(tag, 0)
        seen[tag] = turn + 1
        rounds[turn : turn + 1] = [(rounds[turn] if turn < len(rounds) else []) + [index]]
    for part in rounds:
        tag, ts, value = zip(*[rows[i] for i in part], strict=True)
        scores[part] = detector.score(
            np.array(tag, np.uint16), np.array(ts, np.int64), np.array(value)
        )
    return scores


def same_bits(left: NDArray[np.float64], right: NDArray[np.float64]) -> None:
    np.testing.assert_array_equal(left.view(np.int64), right.view(np.int64))


every_detector = pytest.mark.parametrize("make", DETECTORS.values(), ids=DETECTORS)


@every_detector
@given(steps=ROWS, data=st.data())
@settings(max_examples=60, deadline=None)
def test_cuts_and_restarts_are_invisible(
    make: Callable[[], Detector], steps: list[Row], data: st.DataObject
) -> None:
    rows = at_times(steps)
    whole = feed(make(), rows)
    cuts = sorted(data.draw(st.lists(st.integers(1, len(rows) - 1), max_size=6, unique=True)))
    detector, parts = make(), []
    for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        parts.append(feed(detector, rows[start:end]))
        saved = detector.save()
        detector = make()
        detector.load(saved)
    same_bits(np.concatenate(parts), whole)


@every_detector
@given(steps=ROWS)
@settings(max_examples=25, deadline=None)
def test_other_tags_do_not_disturb(make: Callable[[], Detector], steps: list[Row]) -> None:
    rows = at_times(steps)
    alone = feed(make(), [row for row in rows if row[0] == 1])
    mixed = feed(make(), rows)[[row[0] == 1 for row in rows]]
    same_bits(mixed, alone)


@every_detector
@given(steps=ROWS)
@settings(max_examples=25, deadline=None)
def test_unusable_values_get_no_score_and_leave_no_trace(
    make: Callable[[], Detector], steps: list[Row]
) -> None:
    rows = at_times(steps)
    usable = [abs(value) <= 1e150 for _, _, value in rows]
    scores = feed(make(), rows)
    assert np.isnan(scores[np.logical_not(usable)]).all()
    assert np.isfinite(scores[~np.isnan(scores)]).all()
    clean = feed(make(), [row for row, ok in zip(rows, usable, strict=True) if ok])
    same_bits(scores[usable], clean)


@every_detector
def test_an_empty_round_changes_nothing(make: Callable[[], Detector]) -> None:
    detector = make()
    feed(detector, [(0, i * S, float(i % 3)) for i in range(30)])
    before = detector.save()
    empty = detector.score(np.zeros(0, np.uint16), np.zeros(0, np.int64), np.zeros(0))
    assert len(empty) == 0
    after = detector.save()
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name])


@every_detector
def test_inputs_are_untouched(make: Callable[[], Detector]) -> None:
    detector = make()
    for i in range(30):
        columns = np.array([0, 1], np.uint16), np.array([i, i]) * S, np.array([1.0, -0.0]) * i
        for column in columns:
            column.flags.writeable = False
        detector.score(*columns)


@every_detector
def test_saved_state_is_a_copy_of_the_used_tags_only(make: Callable[[], Detector]) -> None:
    detector = make()
    rows = [(tag, i * S, float(i % 4)) for i in range(40) for tag in (2, 6)]
    feed(detector, rows)
    saved = detector.save()
    assert saved["tag"].tolist() == [2, 6]
    assert all(len(array) % 2 == 0 and len(array) <= 80 for array in saved.values())
    frozen = {name: array.copy() for name, array in saved.items()}
    feed(detector, [(tag, ts + 40 * S, value) for tag, ts, value in rows])
    for name, array in frozen.items():
        np.testing.assert_array_equal(array, saved[name])


@every_detector
def test_load_replaces_all_there_was(make: Callable[[], Detector]) -> None:
    detector, fresh = make(), make()
    feed(detector, [(tag, i * S, float(i)) for i in range(40) for tag in (0, 3)])
    detector.load(fresh.save())
    rows = [(tag, i * S, float(i % 5)) for i in range(40) for tag in (0, 3)]
    same_bits(feed(detector, rows), feed(fresh, rows))


@every_detector
def test_load_refuses_what_does_not_fit_and_changes_nothing(
    make: Callable[[], Detector],
) -> None:
    detector = make()
    feed(detector, [(tag, i * S, float(i % 3)) for i in range(30) for tag in (0, 3)])
    good = detector.save()
    array_name = next(name for name in good if name != "tag")
    broken = [
        {k: v for k, v in good.items() if k != array_name},
        {**good, "more": np.zeros(2)},
        {**good, array_name: good[array_name][:-1]},
        {**good, "tag": np.array([0, LIMIT], np.uint16)},
        {**good, "tag": np.array([3, 0], np.uint16)},
    ]
    for state in broken:
        with pytest.raises(ValueError):
            detector.load(state)
    for name, array in detector.save().items():
        np.testing.assert_array_equal(array, good[name])

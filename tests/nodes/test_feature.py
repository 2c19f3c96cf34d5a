"""The feature nodes: examples, the laws, names, units and qualities."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from pydantic import ValidationError

from gateway import NO_WINDOWS, Batch, Tag, Transform, Windows, quality
from gateway.flow import harness
from gateway.flow.node import Example
from gateway.flow.registry import names, node_class
from nodes.feature.statistics import Name

S = 10**9
NODES = {name: node_class(name) for name in names() if name.startswith("feature.")}
CASES = [
    pytest.param(cls, example, id=f"{name}: {example.title}")
    for name, cls in NODES.items()
    for example in cls.examples
]
EVERYTHING: dict[str, dict[str, Any]] = {
    "feature.statistics": {
        "features": list(get_args(Name)),
        "percentiles": [5, 99.5],
        "time_above": [-1, 2.5],
    },
    "feature.spectrum": {"bands_hz": [[0, 1], [2, 4]], "envelope_hz": [1, 4]},
}


def node(name: str, config: dict[str, Any], *tags: Tag) -> Any:
    ctx = harness.BenchContext(tags=harness.TagTable(200))
    for tag in tags or (Tag("a"), Tag("b"), Tag("c")):
        ctx.tags.add(tag)
    return harness.make(node_class(name), config, ctx)


def windows(*parts: tuple[int, list[float], list[int]], step: float = 0.1) -> Windows:
    """Windows of (tag, values, qualities), a tenth of a second between rows."""
    made = []
    for start, (tag, values, status) in enumerate(parts):
        ts = start * 100 * S + (np.arange(len(values)) * step * S).astype(np.int64)
        made.append(
            Windows(
                np.array([tag], np.uint16),
                np.array([start * 100 * S]),
                np.array([(start + 1) * 100 * S]),
                np.array([0, len(values)], np.intp),
                Batch.columns(np.full(len(values), tag), ts, values, status),
            )
        )
    return Windows.concat(made).freeze()


def samples(made: Any, given: Windows) -> dict[str, tuple[float, int]]:
    """(value, quality) by derived name, of one window."""
    out = made.process(given, "in")["out"]
    assert (out.ts == given.end[0]).all()
    return {made.ctx.tags.name(t): (v, q) for t, _, v, q in out.rows()}


@pytest.mark.parametrize(("cls", "example"), CASES)
def test_examples_hold(cls: type[Transform[Any, Any]], example: Example) -> None:
    got, expected = harness.run_example(cls, example), harness.expected(cls, example)
    assert {port: got[port] for port in expected} == expected


@pytest.mark.parametrize("name", NODES)
def test_how_windows_arrive_together_is_invisible(name: str) -> None:
    rng = np.random.default_rng(3)
    parts = []
    for i in range(60):
        n = int(rng.choice([0, 1, 2, 3, 4, 5, 30, 31]))
        values = rng.choice([0.0, 1.0, -1.0, 2.5, 7.125, np.nan], n).tolist()
        status = rng.choice([0, 0, 0, 0x40000000, 0x80000000], n).tolist()
        parts.append((i % 3, values, status))
    whole = windows(*parts)

    def outcome(size: int) -> tuple[str, list[str]]:
        made, rows = node(name, EVERYTHING[name]), []
        for start in range(0, 60, size):
            each = [harness.window(whole, i) for i in range(start, min(start + size, 60))]
            rows += list(made.process(Windows.concat(each), "in")["out"].rows())
        return repr(rows), made.ctx.tags.names()

    assert outcome(60)[0].count("(") > 300
    for size in (1, 7, 59):
        assert outcome(size) == outcome(60)


@pytest.mark.parametrize("name", NODES)
def test_no_windows_give_nothing_and_an_empty_one_is_bad(name: str) -> None:
    made = node(name, EVERYTHING[name])
    assert made.process(NO_WINDOWS, "in") == {}
    out = made.process(windows((0, [], [])), "in")["out"]
    facts = [made.ctx.tags.name(int(tag)) in ("a#count", "a#percent_good") for tag in out.tag]
    assert (out.quality[np.logical_not(facts)] == quality.BAD).all()
    assert (out.value[facts] == 0).all()


@pytest.mark.parametrize("name", NODES)
def test_extreme_values_raise_no_warning_and_leave_bad(name: str) -> None:
    made = node(name, EVERYTHING[name])
    values = [1e308, -1e308, 1e308, 1e308, -1e308, 5e-324, 0.0, -0.0, 1e308]
    for given in (values, values[:4], [1e308] * 8, [5e-324] * 8):
        out = made.process(windows((0, given, [0] * len(given))), "in")["out"]
        assert ((out.quality >= quality.BAD) == ~np.isfinite(out.value)).all()


def test_every_feature_has_its_name_and_unit() -> None:
    made = node("feature.statistics", EVERYTHING["feature.statistics"], Tag("a", unit="mm/s"))
    got = samples(made, windows((0, [1.0, 2.0, 4.0, -3.0], [0] * 4)))
    assert all(status == quality.GOOD for _, status in got.values())
    units = {tag.name.partition("#")[2]: tag.unit for tag in made.ctx.tags}
    assert units == {
        "": "mm/s", "mean": "mm/s", "sd": "mm/s", "min": "mm/s", "max": "mm/s",
        "range": "mm/s", "median": "mm/s", "sum": "mm/s", "rms": "mm/s",
        "p5": "mm/s", "p99.5": "mm/s", "rate": "mm/s/s", "slope": "mm/s/s",
        "count": "1", "crest_factor": "1", "skew": "1", "kurtosis": "1",
        "zero_crossings": "1", "percent_good": "%", "time_above_-1": "s", "time_above_2.5": "s",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("bad_rows", "status"),
    [(20, quality.GOOD), (21, quality.UNCERTAIN_SUBNORMAL), (100, quality.BAD)],
)
@pytest.mark.parametrize("name", NODES)
def test_exactly_the_least_share_of_good_samples_is_enough(
    name: str, bad_rows: int, status: int
) -> None:
    made = node(name, {"good_percent_min": 80})
    codes = [quality.BAD] * bad_rows + [quality.GOOD] * (100 - bad_rows)
    got = samples(made, windows((0, np.sin(np.arange(100.0)).tolist(), codes)))
    assert {q for _, q in got.values()} == {status}


def test_a_vibration_shows_its_speed_and_its_defect() -> None:
    rate, t = 20_000.0, np.arange(20_000) / 20_000.0
    since = t % (1 / 87.0)
    x = 2 * np.sin(2 * np.pi * 25 * t)
    x += 0.2 * np.exp(-800 * since) * np.sin(2 * np.pi * 3000 * since)
    made = node(
        "feature.spectrum",
        {"bands_hz": [[10, 100], [2000, 4000], [20_000, 30_000]], "envelope_hz": [2000, 4000]},
        Tag("a", unit="g"),
    )
    got = samples(made, windows((0, x.tolist(), [0] * len(x)), step=1 / rate))
    assert got["a#peak_hz"][0] == pytest.approx(25, abs=0.01)
    assert got["a#peak"][0] == pytest.approx(2, rel=0.01)
    assert got["a#rms_10_100"][0] == pytest.approx(np.sqrt(2), rel=0.01)
    assert got["a#envelope_peak_hz"][0] == pytest.approx(87, abs=0.5)
    assert got["a#rms_20000_30000"][1] == quality.BAD  # beyond half the sampling rate
    units = {tag.name: tag.unit for tag in made.ctx.tags}
    assert units["a#rms"] == units["a#peak"] == "g"
    assert units["a#peak_hz"] == "Hz"


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("feature.statistics", {"features": []}, "nothing to compute"),
        ("feature.statistics", {"features": ["mean", "mean"]}, "mean is named twice"),
        ("feature.statistics", {"percentiles": [101]}, "less than or equal to 100"),
        ("feature.statistics", {"features": ["average"]}, "Input should be 'mean'"),
        ("feature.spectrum", {"bands_hz": [[5, 5]]}, "is empty"),
        ("feature.spectrum", {"envelope_hz": [9, 5]}, "put the lower end first"),
        ("feature.spectrum", {"bands_hz": [[1, 5], [1, 5]]}, "named twice"),
    ],
)
def test_wrong_settings_are_refused(name: str, config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        node(name, config)

"""Whatever comes in: no error, no warning, the same sheet again, and none of it out of bounds."""

from __future__ import annotations

import json
import math
import os
import warnings
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.explainer import facts
from models.explainer.evidence import Evidence, Limit, Raised, Rows, Track
from models.explainer.others import OTHERS_MAX, STEADY_MAX
from models.explainer.sheet import Change, FactSheet, Hole

EXAMPLES = 100 if os.environ.get("GENBA_TORTURE") else 3
ZERO_NS = 1_800_000_000 * 10**9
TAGS = ("a/b/c", "a/b/c#mean", "a/b/d", "a/b1/c", "a/b2/c", "温度", "", "x" * 400, "<b>{}", "src")

values = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True, width=64),
    st.sampled_from([0.0, -0.0, 1.0, 1.0, 5e-324, 1e150, -1e100, 1e99, 1e308]),
)
times = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(ZERO_NS - 10**11, ZERO_NS + 10**11),
    st.integers(-100, 20).map(lambda s: ZERO_NS + s * 10**9),
)
codes = st.sampled_from([0, 0, 0, 0x40000000, 0x80000000, 0x808C0000, 0xFFFFFFFF])


@st.composite
def some_rows(draw: st.DrawFn) -> Rows:
    n = draw(st.integers(0, 60))
    if draw(st.booleans()):  # A plain signal with a few strange samples.
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        ts = ZERO_NS - np.arange(n, 0, -1) * 10**9
        x = np.round(rng.normal(0.0, 1.0, n), draw(st.integers(0, 4)))
        x = x * draw(st.sampled_from([1.0, 0.0, 1e-300, 1e90]))
        for at in draw(st.lists(st.integers(0, max(n - 1, 0)), max_size=4)) if n else []:
            x[at] = draw(values)
        return Rows(ts, x, np.zeros(n, np.uint32))
    column = lambda of: draw(st.lists(of, min_size=n, max_size=n))  # noqa: E731 - three alike
    return Rows(
        np.array(column(times), np.int64),
        np.array(column(values), np.float64),
        np.array(column(codes), np.uint32),
    )


@st.composite
def some_evidence(draw: st.DrawFn) -> Evidence:
    tags = draw(st.lists(st.sampled_from(TAGS), max_size=6))
    bound = st.floats(allow_nan=True, allow_infinity=True)
    tracks = tuple(
        Track(
            tag,
            draw(some_rows()),
            draw(st.sampled_from(["", "mm/s", "Cel", "{x}/s", "%"])),
            low=draw(bound),
            high=draw(bound),
            source=draw(st.sampled_from(["", "src"])),
            yesterday=draw(some_rows()),
            limits=tuple(Limit("HI", x) for x in draw(st.lists(values, max_size=2))),
        )
        for tag in tags
    )
    ts = draw(st.one_of(st.just(ZERO_NS), times))
    condition = draw(st.sampled_from(["HI", "SCORE", "BAD", "COMM", "STALE", ""]))
    raised = Raised("f/n:t", draw(st.sampled_from(TAGS)), ts, condition, value=draw(values))
    return Evidence(
        raised,
        draw(st.sampled_from([0, ZERO_NS, ZERO_NS + 20 * 10**9, 2**62])),
        tracks,
        tuple(replace(raised, alarm=name, ts=draw(times)) for name in "ab"),
        ("f/other:t",),
        (Hole("src", "away", draw(times), draw(times)),),
        (Change("deploy", draw(times)), Change("maintenance", ZERO_NS - 10**9)),
        started_ns=draw(st.sampled_from([0, ZERO_NS - 10**9])),
        clock_set_ns=draw(st.sampled_from([0, ZERO_NS])),
    )


@settings(max_examples=20 * EXAMPLES, deadline=None)
@given(some_evidence())
def test_any_evidence_gives_a_sheet_without_a_warning(evidence: Evidence) -> None:
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        sheet = facts.sheet(evidence)
    assert len(sheet.others) <= OTHERS_MAX
    assert len(sheet.steady) <= STEADY_MAX
    assert 0.0 <= sheet.bad_percent <= 100.0
    moves = (sheet.move, *sheet.others)
    assert all(not math.isinf(one.size) and not math.isinf(one.sigmas) for one in moves)
    assert all(len(one.signal.tag) <= 255 for one in moves)
    plain = json.loads(json.dumps(sheet.to_json(), allow_nan=False))
    assert FactSheet.from_json(plain).to_json() == sheet.to_json()


@settings(max_examples=8 * EXAMPLES, deadline=None)
@given(some_evidence())
def test_the_order_in_which_it_comes_changes_nothing(evidence: Evidence) -> None:
    tracks = {track.tag: track for track in evidence.tracks}  # Of one tag the last would count.
    one = replace(evidence, tracks=tuple(tracks.values()))
    turned = []
    for track in reversed(one.tracks):
        rows = track.rows
        order = np.arange(len(rows.ts))[::-1]
        if len(np.unique(rows.ts)) == len(rows.ts):  # Of one time the last would count.
            rows = Rows(rows.ts[order], rows.value[order], rows.quality[order])
        turned.append(replace(track, rows=rows))
    other = replace(
        one,
        tracks=tuple(turned),
        before=one.before[::-1],
        holes=one.holes[::-1],
        changes=one.changes[::-1],
    )
    assert facts.sheet(one).to_json() == facts.sheet(other).to_json()

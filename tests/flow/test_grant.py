"""Write grants and their rules, each by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.flow.grant import Grant, shared
from gateway.flow.judging import Facts, Seen, judge

GIVEN: dict[str, Any] = {"id": "a", "flow": "f", "node": "n", "tags": ["sp"], "lo": 0, "hi": 100}
BACK: dict[str, Any] = {"read_back": {"sp": "pv"}, "read_back_s": 5}


def grant(**what: Any) -> Grant:
    return Grant.model_validate({**GIVEN, **what})


def looks(**seen: float | Seen) -> Callable[[str], Seen | None]:
    """Newest samples by tag; a number is Good and one second old."""
    found = {k: v if isinstance(v, Seen) else Seen(k, v, 0, 1.0) for k, v in seen.items()}
    return found.get


def said(rules: Grant, value: float, facts: Facts) -> str:
    """Why it is refused; empty when it may be written."""
    return judge(rules, "sp", value, facts).refusal()


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"lo": 5, "hi": 4}, "`lo` is above `hi`"),
        ({"lo": math.nan}, "finite"),
        ({"hi": math.inf}, "finite"),
        ({"tags": []}, "at least 1"),
        ({"tags": ["sp", "sp"]}, "stands there twice"),
        ({"read_back": {"other": "pv"}}, "which is not in tags"),
        ({"step_max": 1}, "need to know what holds now"),
        ({"change_per_min": 1}, "need to know what holds now"),
        ({"interlocks": [{"when": "value > current"}]}, "need to know what holds now"),
        ({"interlocks": [{"when": "open(1)"}]}, "no function 'open'"),
        ({"interlocks": [{"when": "a.b"}]}, "not allowed"),
        ({"interlocks": [{"when": "x > 1"}]}, "not known here"),
        ({"interlocks": [{"when": "1 > 0", "inputs": {"x": "t"}}]}, "'x' is not used"),
        ({"interlocks": [{"when": "value", "inputs": {"value": "t"}}]}, "cannot name an input"),
        ({"max_age_s": 31}, "less than or equal to 30"),
        ({"id": "A b"}, "pattern"),
        ({"unknown": 1}, "Extra inputs"),
    ],
)
def test_what_is_no_grant(what: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        grant(**what)


def test_the_range_holds_its_ends_and_refuses_what_is_no_number() -> None:
    facts = Facts(looks())
    assert [v for v in (-0.1, 0.0, -0.0, 100.0, 100.1) if not said(grant(), v, facts)] == [
        0.0, -0.0, 100.0,
    ]  # fmt: skip
    for odd in (math.nan, math.inf, -math.inf):
        assert "is no number" in said(grant(), odd, facts)


def test_a_step_holds_for_all_that_may_hold_now() -> None:
    rules = grant(**BACK, step_max=5)
    assert said(rules, 45.0, Facts(looks(pv=50.0))) == ""
    assert said(rules, 44.9, Facts(looks(pv=50.0))) == "The step of 5.1 is more than 5."
    assert "step of 9" in said(rules, 46.0, Facts(looks(pv=50.0), unsettled=(50.0, 55.0)))
    assert "no value since the gateway" in said(rules, 50.0, Facts(looks()))
    assert "Bad" in said(rules, 50.0, Facts(looks(pv=Seen("pv", 50.0, 0x80000000, 1.0))))
    assert "11 s old" in said(rules, 50.0, Facts(looks(pv=Seen("pv", 50.0, 0, 11.0))))
    assert "-11 s old" in said(rules, 50.0, Facts(looks(pv=Seen("pv", 50.0, 0, -11.0))))


def test_rates_count_the_last_minute() -> None:
    rules = grant(**BACK, writes_per_min=2, change_per_min=20)
    facts = Facts(looks(pv=50.0), writes=[(59.9, 10.0), (60.0, 9.0)])
    assert said(rules, 60.0, facts) == ""
    assert said(rules, 61.0, facts) == "The change within a minute would be 21, and 20 may be."
    facts = Facts(looks(pv=50.0), writes=[(1.0, 0.0), (2.0, 0.0)])
    assert said(rules, 50.0, facts) == "There were 2 writes within a minute, and 2 may be."


def test_a_damaged_record_of_the_writes_refuses_for_a_minute() -> None:
    rules = grant(**BACK, writes_per_min=2)
    assert "wait 20 s" in said(rules, 50.0, Facts(looks(pv=50.0), known_s=40.0))
    assert said(rules, 50.0, Facts(looks(pv=50.0), known_s=60.0)) == ""
    step = grant(**BACK, step_max=5)
    assert "is not known" in said(step, 50.0, Facts(looks(pv=50.0), known_s=6.0))
    assert said(step, 50.0, Facts(looks(pv=50.0), known_s=6.1)) == ""


def test_interlocks_refuse_what_they_cannot_know() -> None:
    rules = grant(interlocks=[{"when": "t < 80 and value < t", "inputs": {"t": "oil"}}])
    for oil, says in (
        (60.0, ""),
        (90.0, "does not hold (t 90)"),
        (40.0, "does not hold (t 40)"),
        (Seen("oil", 60.0, 0x40000000, 1.0), "oil is Uncertain"),
        (Seen("oil", math.nan, 0, 1.0), "oil is Good"),
        (Seen("oil", 60.0, 0, 10.1), "oil is 10 s old"),
    ):
        refusal = said(rules, 50.0, Facts(looks(oil=oil)))
        assert (says in refusal) and bool(says) == bool(refusal)
    assert "oil has had no value" in said(rules, 50.0, Facts(looks()))
    odd = grant(interlocks=[{"when": "1 / t", "inputs": {"t": "oil"}}])
    assert "gives no number" in said(odd, 50.0, Facts(looks(oil=0.0)))
    moved = grant(**BACK, interlocks=[{"when": "value >= current", "about": "Only up"}])
    assert said(moved, 51.0, Facts(looks(pv=50.0))) == ""
    assert said(moved, 49.0, Facts(looks(pv=50.0))) == "Only up: does not hold."
    assert "the current value is not known" in said(moved, 49.0, Facts(looks()))


def test_one_grant_for_one_target() -> None:
    others = {"b": grant(id="b", tags=["sp", "x"]), "c": grant(id="c", node="m")}
    assert shared(grant(), others) == "b"
    assert shared(grant(id="b"), others) == ""
    assert shared(grant(tags=["y"]), others) == ""

"""Gaps: one form, there and back."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Cause, Event, Gap
from gateway.flow.gaps import CAUSES, TAGS_MAX, TOPIC

gaps = st.builds(
    Gap,
    source=st.text(min_size=1),
    cause=st.sampled_from(get_args(Cause)),
    start=st.integers(0, 2**62),
    end=st.integers(0, 2**62),
    device=st.text(),
    tags=st.none() | st.lists(st.text(), max_size=3).map(tuple),
    missing=st.integers(0, 10**6),
    text=st.text(),
    more=st.dictionaries(st.sampled_from(["unit", "publisher"]), st.integers()),
)


@given(gaps)
def test_a_gap_is_the_same_after_a_trip_as_an_event(gap: Gap) -> None:
    event = gap.event()
    assert event.topic == TOPIC
    again = Gap.of(event)
    assert again is not None
    assert again.event() == event
    shown = gap.text if gap.text != CAUSES[gap.cause] else ""
    assert dataclasses.replace(gap, text=shown) == again


def test_every_cause_has_a_sentence() -> None:
    assert set(CAUSES) == set(get_args(Cause))
    assert all(text.endswith(".") for text in CAUSES.values())


def test_too_many_tags_stand_for_all_of_the_source() -> None:
    gap = Gap("plc", "disconnected", 1, 2, tags=tuple(map(str, range(TAGS_MAX + 1))))
    again = Gap.of(gap.event())
    assert again is not None
    assert again.tags is None


def test_more_facts_cannot_replace_those_of_the_form() -> None:
    gap = Gap("plc", "disconnected", 1, 2, more={"from": 9, "cause": "?", "unit": 7})
    assert gap.event().data["from"] == 1
    assert gap.event().data["unit"] == 7


@pytest.mark.parametrize(
    "wrong",
    [{"cause": "rain"}, {"cause": None}, {"from": "now"}, {"to": None}, {"tags": [1]}],
)
def test_a_wrong_form_is_refused(wrong: dict[str, Any]) -> None:
    data = {**Gap("plc", "disconnected", 1, 2).event().data, **wrong}
    with pytest.raises(ValueError, match="gap"):
        Gap.of(Event(1, TOPIC, data))
    assert Gap.of(Event(1, "source/lost", data)) is None

"""Messages that wait, as blocks: whatever was packed comes back, and damage is noticed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import AlarmEvent, AlarmState, Batch, Event, Message, StateError
from gateway.data.windows import Windows
from gateway.engine.lane import Waiting
from gateway.engine.packing import pack_messages, unpack_messages
from gateway.engine.split import split
from gateway.engine.wiring import rows

rows_ = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.integers(0, 2**62),
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(0, 2**32 - 1),
    ),
    min_size=1,
    max_size=9,
)
batches = rows_.map(Batch.of)
events = st.lists(
    st.builds(
        Event,
        ts=st.integers(0, 2**62),
        topic=st.text(max_size=5),
        data=st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=2),
    ),
    min_size=1,
    max_size=3,
).map(tuple)
alarms = st.lists(
    st.builds(
        AlarmEvent,
        alarm=st.text(max_size=5),
        tag=st.text(max_size=5),
        ts=st.integers(0, 2**62),
        change=st.just("raised"),
        state=st.sampled_from(AlarmState),
    ),
    min_size=1,
    max_size=3,
).map(tuple)


@st.composite
def windows(draw: st.DrawFn) -> Windows:
    counts = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    total = sum(counts)
    batch = Batch.columns([1] * total, list(range(total)), [float(i) for i in range(total)])
    k = len(counts)
    offset = np.concatenate(([0], np.cumsum(counts))).astype(np.intp)
    tags = np.array(draw(st.lists(st.integers(0, 9), min_size=k, max_size=k)), np.uint16)
    return Windows(tags, np.arange(k), np.arange(k) + 1, offset, batch)


messages = st.one_of(batches, batches, events, alarms, windows())


def plain(message: Message) -> Any:
    """A message as values that can be compared."""
    if isinstance(message, Batch):
        return [tuple(row) for row in message.rows()]
    if isinstance(message, Windows):
        columns = (message.tag, message.start, message.end, message.offset)
        return [column.tolist() for column in columns], plain(message.rows)
    return [
        {k: repr(v) for k, v in dataclasses.asdict(item).items()}  # NaN is not equal to itself
        for item in message
    ]


@given(st.lists(st.tuples(st.sampled_from("ab"), messages), min_size=1, max_size=12))
@settings(max_examples=200)
def test_what_was_packed_comes_back(listed: list[tuple[str, Message]]) -> None:
    items = [Waiting(7 + i, port, message) for i, (port, message) in enumerate(listed)]
    found = unpack_messages(pack_messages(items), 7)
    assert [(i.number, i.port) for i in found] == [(i.number, i.port) for i in items]
    assert [plain(i.message) for i in found] == [plain(i.message) for i in items]


@given(st.lists(batches, min_size=1, max_size=4), st.data())
def test_a_flipped_bit_is_noticed(listed: list[Batch], data: st.DataObject) -> None:
    block = bytearray(pack_messages([Waiting(i + 1, "in", b) for i, b in enumerate(listed)]))
    at = data.draw(st.integers(0, len(block) - 1))
    block[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(StateError):
        unpack_messages(bytes(block), 1)


def test_a_block_that_is_cut_short_is_noticed() -> None:
    block = pack_messages([Waiting(1, "in", Batch.columns([0], [1], [2.0]))])
    for length in range(len(block)):
        with pytest.raises(StateError):
            unpack_messages(block[:length], 1)


def test_an_event_that_is_no_json_waits_as_text(caplog: pytest.LogCaptureFixture) -> None:
    good, odd = Event(1, "good", {"a": 1}), Event(2, "odd", {"what": object()})
    items = [Waiting(1, "in", (good,)), Waiting(2, "in", (odd,)), Waiting(3, "in", (good,))]
    found = unpack_messages(pack_messages(items), 1)
    assert [item.number for item in found] == [1, 2, 3]
    assert found[0].message == (good,)
    assert "object" in found[1].message[0].data["text"]  # type: ignore[union-attr,index]  # an event
    assert "cannot be stored as it is" in caplog.text


@given(messages, st.integers(1, 5))
def test_a_message_is_split_by_tag_and_nothing_is_lost(message: Message, ways: int) -> None:
    parts = split(message, ways)
    assert len(parts) == ways
    assert sum(rows(part) for part in parts if part is not None) == rows(message)
    assert sum(len(part) for part in parts if part is not None) == len(message)
    seen: dict[Any, int] = {}
    for way, part in enumerate(parts):
        if isinstance(part, Batch | Windows):
            keys: list[Any] = part.tag.tolist()
        else:
            keys = [getattr(i, "topic", None) or getattr(i, "tag", "") for i in part or ()]
        for key in keys:
            assert seen.setdefault(key, way) == way
        if part is not None and isinstance(part, Batch) and isinstance(message, Batch):
            chosen = np.isin(message.tag, part.tag)
            assert plain(part) == plain(message.where(chosen)), "the order of a tag is kept"

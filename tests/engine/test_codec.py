"""Codec: messages and states come back bit for bit, and damage is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway import AlarmEvent, AlarmState, Batch, Event, Message, Overlay, StateError, Windows
from gateway.engine import codec

NUMBERS = st.one_of(
    st.floats(width=64), st.sampled_from([0.0, -0.0, float("inf"), float("-inf"), float("nan")])
)


@st.composite
def batches(draw: st.DrawFn, least: int = 0) -> Batch:
    n = draw(st.integers(least, 20))
    return Batch(
        draw(hnp.arrays(np.uint16, n)),
        draw(hnp.arrays(np.int64, n)),
        draw(hnp.arrays(np.float64, n, elements=NUMBERS)),
        draw(hnp.arrays(np.uint32, n)),
    )


@st.composite
def windows(draw: st.DrawFn) -> Windows:
    rows = draw(batches())
    k = draw(st.integers(1, 4))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), min_size=k - 1, max_size=k - 1)))
    start = draw(hnp.arrays(np.int64, k))
    return Windows(
        draw(hnp.arrays(np.uint16, k)), start, start, np.array([0, *cuts, len(rows)]), rows
    )


TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.builds(
    Event, st.integers(-(2**62), 2**62), TEXT, st.dictionaries(TEXT, JSON, max_size=4), TEXT
)
ALARMS = st.builds(
    AlarmEvent,
    alarm=TEXT,
    tag=TEXT,
    ts=st.integers(0, 2**62),
    change=TEXT,
    state=st.sampled_from(AlarmState),
    overlay=st.sampled_from(Overlay),
    occurrence=st.integers(0, 10**6),
    value=st.floats(allow_infinity=False),
    text=TEXT,
)
MESSAGES = st.one_of(
    batches(1),
    windows(),
    st.lists(EVENTS, min_size=1, max_size=3).map(tuple),
    st.lists(ALARMS, min_size=1, max_size=3).map(tuple),
)


def same(a: Message, b: Message) -> None:
    if isinstance(a, Batch):
        assert isinstance(b, Batch)
        for name in ("tag", "ts", "value", "quality"):
            left, right = getattr(a, name), getattr(b, name)
            assert left.dtype == right.dtype
            assert left.tobytes() == right.tobytes()
    elif isinstance(a, Windows):
        assert isinstance(b, Windows)
        for name in ("tag", "start", "end", "offset"):
            assert getattr(a, name).tobytes() == getattr(b, name).tobytes()
        same(a.rows, b.rows)
    else:
        assert repr(a) == repr(b)


@given(st.lists(st.tuples(TEXT, TEXT, MESSAGES), max_size=5), st.integers(0, 2**62))
def test_inputs_come_back(inputs: list[tuple[str, str, Message]], now: int) -> None:
    found, at = codec.unpack_inputs(codec.pack_inputs(inputs, now))
    assert at == now
    assert [item[:2] for item in found] == [item[:2] for item in inputs]
    for (_, _, a), (_, _, b) in zip(inputs, found, strict=True):
        same(a, b)


@given(
    st.dictionaries(
        st.text("abc.", min_size=1, max_size=5),
        st.dictionaries(
            st.text("xyz.", min_size=1, max_size=5),
            hnp.arrays(
                st.sampled_from([np.float64, np.int64, np.uint8, np.bool_, np.uint16]),
                hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
            ),
            max_size=3,
        ),
        max_size=3,
    )
)
def test_states_come_back_and_can_be_written_to(states: dict[str, dict[str, Any]]) -> None:
    found, head = codec.unpack_states(codec.pack_states(states, {"now": 5}))
    assert head["now"] == 5
    assert found.keys() == states.keys()
    for node, arrays in states.items():
        for name, array in arrays.items():
            other = found[node][name]
            assert (other.dtype, other.shape) == (array.dtype, array.shape)
            assert other.tobytes() == array.tobytes()
            assert other.flags.writeable


BLOCK = codec.pack_inputs([("src", "out", Batch.of([(1, 2, 3.5, 0)] * 50))], 99)


@given(st.integers(0, len(BLOCK) - 1), st.integers(1, 255))
def test_every_damaged_byte_is_found(at: int, change: int) -> None:
    damaged = bytearray(BLOCK)
    damaged[at] ^= change
    with pytest.raises(StateError):
        codec.unpack_inputs(bytes(damaged))


@given(st.integers(0, len(BLOCK) - 1))
def test_every_cut_is_found(length: int) -> None:
    with pytest.raises(StateError):
        codec.unpack_inputs(BLOCK[:length])


@given(st.binary(max_size=200))
def test_anything_else_is_refused(junk: bytes) -> None:
    with pytest.raises(StateError):
        codec.unpack_inputs(junk)


def test_a_block_of_another_form_is_refused() -> None:
    with pytest.raises(StateError, match="form we do not know"):
        codec.unpack_inputs(codec.pack({"other": 1}, {}))
    with pytest.raises(StateError, match="form we do not know"):
        codec.unpack_inputs(codec.pack({"now": 1, "items": [{"kind": "samples"}]}, {}))


def test_numpy_numbers_in_events_become_plain() -> None:
    event = Event(1, "t", {"n": np.int64(3), "x": np.float64(0.5), "b": np.bool_(True)})
    (((_, _, found),), _) = codec.unpack_inputs(codec.pack_inputs([("a", "out", (event,))], 1))
    assert found == (Event(1, "t", {"n": 3, "x": 0.5, "b": True}),)


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="no JSON value"):
        codec.pack_inputs([("a", "out", (Event(1, "t", {"x": object()}),))], 1)

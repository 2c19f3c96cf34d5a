"""Codec: messages and states come back bit for bit, and damage is found."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway import AlarmEvent, AlarmState, Batch, Event, Message, Overlay, StateError, Windows
from gateway.engine import codec, codec_stream

S = 1_000_000_000
NOW = 1_764_132_069_999_999_999
SPECIAL = [0.0, -0.0, 0.3, 5e-324, 2.0**46, 1e300, float("inf"), float("-inf"), float("nan")]
PAYLOAD = float(np.array(0x7FF0_0000_DEAD_BEEF).view(np.float64))  # A NaN that says something.
NUMBERS = st.one_of(st.floats(width=64), st.sampled_from([*SPECIAL, PAYLOAD]))
MEASURED = st.one_of(
    st.integers(-(2**50), 2**50).map(float),
    st.builds(lambda m, k: m / 10**k, st.integers(-(10**9), 10**9), st.integers(0, 8)),
    st.builds(lambda m, k: m * 10**-k, st.integers(-(10**6), 10**6), st.integers(0, 8)),
    st.floats(width=32),
    st.sampled_from(SPECIAL),
)
SIZES = st.one_of(st.integers(0, 20), st.sampled_from([63, 64, 127, 128, 511, 512, 700]))


def column(n: int, elements: st.SearchStrategy[Any], dtype: Any) -> st.SearchStrategy[Any]:
    """Mostly a few numbers again and again, as in a plant, so that long ones are cheap to draw."""
    drawn = st.lists(elements, min_size=1, max_size=8)
    repeated = drawn.map(lambda some: np.resize(np.array(some, dtype), n))
    noisy = st.integers(0, 2**32 - 1).map(lambda seed: _noise(n, dtype, seed))
    return st.one_of(repeated, repeated.map(np.sort), noisy)


def _noise(n: int, dtype: Any, seed: int) -> Any:
    octets = np.random.default_rng(seed).bytes(n * np.dtype(dtype).itemsize)
    return np.frombuffer(octets, dtype).copy()


def times() -> st.SearchStrategy[int]:
    near = st.integers(NOW - 10 * S, NOW)
    return near | near.map(lambda t: t // 10**6 * 10**6) | st.integers(-(2**63), 2**63 - 1)


@st.composite
def batches(draw: st.DrawFn, least: int = 0) -> Batch:
    n = max(least, draw(SIZES))
    values = draw(st.sampled_from([NUMBERS, MEASURED, MEASURED.map(lambda v: round(v, 2))]))
    good = st.just(np.zeros(n, np.uint32))
    return Batch(
        draw(st.just(np.arange(n).astype(np.uint16)) | column(n, st.integers(0, 65535), np.uint16)),
        draw(column(n, times(), np.int64)),
        draw(column(n, values, np.float64)),
        draw(good | column(n, st.sampled_from([0, 0x80000000, 2**32 - 1]), np.uint32)),
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
    value=NUMBERS,
    limit=NUMBERS,
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
            assert right.flags.writeable
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


@given(st.one_of(NUMBERS, MEASURED), times(), st.integers(1, 3))
def test_few_rows_come_back(value: float, ts: int, n: int) -> None:
    batch = Batch(
        np.full(n, 7, np.uint16), np.full(n, ts), np.full(n, float(value)), np.full(n, 5, np.uint32)
    )
    (((_, _, found),), _) = codec.unpack_inputs(codec.pack_inputs([("a", "out", batch)], NOW))
    same(batch, found)


@pytest.mark.parametrize("value", [*SPECIAL, PAYLOAD, -1.5, 0.1 * 3, 2.0**53, -(2.0**46), 1e-7])
def test_special_values_come_back_alone_and_among_others(value: float) -> None:
    noise = [20.123456789, 1e-3 / 7]
    others = ([], [value], noise, [1.5, 7.25], [*noise, np.nan], [*noise, 0.0, np.inf])
    for other in others:
        size(scan([value, *other]))


@pytest.mark.parametrize("value", [*SPECIAL, PAYLOAD, 2.0**53, -(2.0**46) - 2, 2.0**46, 1e-7])
@pytest.mark.parametrize("digits", [0, 2])
def test_one_special_value_among_many_that_are_alike_comes_back(value: float, digits: int) -> None:
    """None of the rows that are looked at first is it."""
    values = np.round(np.random.default_rng(1).normal(20, 3, 1000), digits)
    for row in (0, 1, 998):
        values[row] = value
        batch = Batch.columns(np.arange(1000), np.full(1000, NOW), values)
        ((_, _, back),), _ = codec.unpack_inputs(codec.pack_inputs([("n", "out", batch)], NOW))
        assert isinstance(back, Batch)
        assert back.value.tobytes() == batch.value.tobytes()


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


def mixed_message() -> list[tuple[str, str, Message]]:
    """Every kind of message and every form of a column in one block."""
    random = np.random.default_rng(5)
    values = np.where(np.arange(600) % 3, random.normal(20, 1, 600), np.arange(600) // 7 * 0.01)
    values[::5] = values[::5].astype(np.float32)
    long = Batch(
        (np.arange(600) % 100).astype(np.uint16),
        NOW - np.arange(600) // 50 * 10**6,
        values,
        np.zeros(600, np.uint32),
    )
    short = Batch.of([(7, NOW - 5, 57.730000000000004, 0), (9, NOW - 5, 1.5, 0x80000000)])
    window = Windows(np.array([7], np.uint16), short.ts[:1], short.ts[1:], np.array([0, 2]), short)
    alarm = AlarmEvent("f/n:t:HI", "t", NOW, "raised", AlarmState.UNACK, value=81.5)
    event = Event(NOW, "log", {"text": "pump " * 50})
    return [
        ("source", "out", long),
        ("source-2", "out", short),
        ("window", "closed", window),
        ("limit", "alarms", (alarm,)),
        ("source", "events", (event, event)),
    ]


BLOCK = codec.pack_inputs(mixed_message(), NOW)


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


# ---------------------------------------------------------------- nonsense with a right checksum


def sealed(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


def block_of(soft: bytes, hard: bytes = b"") -> bytes:
    """A block whose streams are made up."""
    head = struct.pack("<Bq", 0xB3, NOW) + _number(len(soft)) + _number(0)
    return sealed(head + soft + hard)


def _number(value: int) -> bytes:
    writer = codec_stream.Writer()
    writer.number(value)
    return bytes(writer.soft)


def read_or_refuse(block: bytes) -> None:
    try:
        inputs, _ = codec.unpack_inputs(block)
    except StateError:
        return
    most = codec_stream.FREE + codec_stream.ROWS_PER_BYTE * len(block)
    batches = [m.rows if isinstance(m, Windows) else m for _, _, m in inputs]
    assert sum(len(m) for m in batches if isinstance(m, Batch)) <= most


@given(st.lists(st.tuples(st.integers(2, len(BLOCK) - 5), st.integers(1, 255)), max_size=4))
def test_a_lie_that_is_sealed_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    body = bytearray(BLOCK[:-4])
    for at, change in changes:
        body[at] ^= change
    read_or_refuse(sealed(bytes(body)))


@given(st.binary(max_size=300), st.binary(max_size=50))
def test_made_up_streams_are_read_or_refused(soft: bytes, hard: bytes) -> None:
    read_or_refuse(block_of(soft, hard))


@given(st.integers(0, 2), st.integers(1, 64), st.binary(min_size=1, max_size=80))
def test_made_up_columns_are_read_or_refused(kind: int, rows: int, columns: bytes) -> None:
    read_or_refuse(block_of(bytes([kind, 2, 97, rows]) + columns))


def _deflated(raw: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflate.compress(raw) + deflate.flush()
    head = struct.pack("<Bq", 0xB3, NOW) + _number(len(packed)) + _number(len(raw))
    return sealed(head + packed)


SAMPLES = b"\x04\x02a"  # Good samples of node "a" at port "out"; then the rows.
HOSTILE: dict[str, Callable[[], bytes]] = {
    "2⁶⁰ equal rows": lambda: block_of(SAMPLES + _number(2**60) + b"\0\0" * 3),
    "a number without end": lambda: block_of(SAMPLES + b"\xff" * 40),
    "2⁵⁰ bytes of a name": lambda: block_of(b"\x04" + _number(2**50)),
    "names that share a name": lambda: block_of(
        b"".join(b"\x04" + (_number(0) + _number(1000)) * bool(i) + b"\x02a\0" for i in range(999))
    ),
    "a flood of empty messages": lambda: _deflated(SAMPLES + b"\0" + b"\x04\x01\0" * 300_000),
    "zeros that inflate": lambda: _deflated(bytes(50_000_000)),
    "JSON that is deep": lambda: block_of(b"\x03\x02a" + _number(100_000) + b"[" * 100_000),
    "a form of values in the billions": lambda: block_of(
        SAMPLES + b"\x02\0\0\0\0\x10" + b"\x00" + _number(2**62)
    ),
    "columns in columns": lambda: block_of(SAMPLES + b"\x02" + b"\x82\x02" * 5000),
    "old: an array of objects": lambda: codec_block({"head": {}, "arrays": [["a", "|O", [1]]]}),
    "old: an array of 2⁶² rows": lambda: codec_block(
        {"head": {}, "arrays": [["a", "<f8", [2**62]]]}
    ),
    "old: no dictionary": lambda: codec_block([]),
    "old: deep": lambda: sealed(struct.pack("<4sI", b"GNB1", 99_999) + b"[" * 99_999),
}


def codec_block(meta: Any) -> bytes:
    head = json.dumps(meta).encode()
    return sealed(struct.pack("<4sI", b"GNB1", len(head)) + head + zlib.compress(b"12345678"))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_block_is_refused_and_takes_no_memory(name: str) -> None:
    block = HOSTILE[name]()
    tracemalloc.start()
    try:
        with pytest.raises(StateError):
            codec.unpack_inputs(block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000 + 50 * len(block)


def test_states_that_name_no_node_are_refused() -> None:
    with pytest.raises(StateError, match="form we do not know"):
        codec.unpack_states(codec.pack({}, {}))
    with pytest.raises(StateError, match="form we do not know"):
        codec.unpack_states(codec.pack({"nodes": []}, {"a\nb": np.zeros(1)}))


def test_rows_that_are_all_alike_are_filled_up_to_what_a_reader_believes() -> None:
    n = 1_000_000
    batch = Batch.columns(np.zeros(n, np.uint16), np.full(n, NOW), np.full(n, 1.5))
    block = codec.pack_inputs([("a", "out", batch)], NOW)
    assert n / 9 < len(block) < n / 7
    same(codec.unpack_inputs(block)[0][0][2], batch)
    events = tuple(Event(i, "same", {"text": "x" * 100}) for i in range(5000))
    block = codec.pack_inputs([("a", "status", events)], NOW)
    assert codec.unpack_inputs(block)[0] == [("a", "status", events)]


# ---------------------------------------------------------------- how short


def size(batch: Batch, node: str = "source") -> int:
    block = codec.pack_inputs([(node, "out", batch)], NOW)
    same(codec.unpack_inputs(block)[0][0][2], batch)
    return len(block)


def scan(values: Any, *, tick: int = 1) -> Batch:
    n = len(values)
    return Batch.columns(np.arange(n), np.full(n, NOW - 5_000_000 * tick), np.asarray(values))


def test_a_row_of_an_idle_plant_is_small() -> None:
    assert size(scan([12.36]), "scale1_lines") <= 40
    assert size(scan([float(np.float32(2.673148))]), "scale1_lines") <= 40


def test_values_are_as_short_as_what_the_device_sent() -> None:
    random = np.random.default_rng(3)
    raw = random.integers(-30_000, 30_000, 2000)
    frame = size(scan(np.zeros(2000)))
    assert size(scan(raw)) - frame < 2000 * 2.1
    assert size(scan(raw / 100)) - frame < 2000 * 2.1
    assert size(scan(raw * 0.01)) - frame < 2000 * 2.1
    assert size(scan(random.normal(20, 1, 2000).astype(np.float32))) - frame < 2000 * 3.9
    assert size(scan(random.normal(20, 1, 2000))) - frame < 2000 * 7.8


def test_a_broken_sensor_makes_the_others_no_longer() -> None:
    values = np.random.default_rng(4).normal(100, 10, 32)
    sound = size(scan(values))
    values[7] = np.nan
    batch = scan(values)
    broken = Batch(batch.tag, batch.ts, batch.value, np.zeros(32, np.uint32))
    assert size(broken) <= sound + 8


def test_times_of_a_millisecond_are_counted_in_milliseconds() -> None:
    random = np.random.default_rng(6)
    jitter = random.integers(0, 200, 500)
    ms = Batch.columns(np.zeros(500), NOW - jitter * 10**6, np.zeros(500))
    ns = Batch.columns(np.zeros(500), NOW - random.integers(0, 200 * 10**6, 500), np.zeros(500))
    assert size(ms) < 500 * 1.3 < 500 * 3 < size(ns)


# ---------------------------------------------------------------- the version before

OLD = bytes.fromhex(
    "474e4231a70300007b2268656164223a7b226e6f77223a313736343133323036393939393939393939392c22"
    "6974656d73223a5b7b226e6f6465223a226f70637561222c22706f7274223a226f7574222c226b696e64223a"
    "2273616d706c6573227d2c7b226e6f6465223a2277696e646f77222c22706f7274223a2277696e646f777322"
    "2c226b696e64223a2277696e646f7773227d2c7b226e6f6465223a226e222c22706f7274223a22616c61726d"
    "73222c226b696e64223a22616c61726d73222c226974656d73223a5b7b22616c61726d223a22662f6e3a743a"
    "4849222c22746167223a2274222c227473223a3132332c226368616e6765223a22726169736564222c227374"
    "617465223a22554e41434b222c226f7665726c6179223a2253484c5644222c226f6363757272656e6365223a"
    "342c227072696f72697479223a2268696768222c22636f6e646974696f6e223a224849222c2276616c756522"
    "3a38312e352c226c696d6974223a6e756c6c2c22756e6974223a2243656c222c2274657874223a227a752068"
    "65695c7530306466222c226163746f72223a226e6f64653a6e227d5d7d2c7b226e6f6465223a22656e67696e"
    "65222c22706f7274223a22737461747573222c226b696e64223a226576656e7473222c226974656d73223a5b"
    "7b227473223a39392c22746f706963223a22656e67696e652f726573756d6564222c2264617461223a7b226e"
    "223a312c2264656570223a7b2278223a5b312e352c6e756c6c2c225c7530306539225d7d7d2c226964223a22"
    "696431227d2c7b227473223a39392c22746f706963223a22656e67696e652f726573756d6564222c22646174"
    "61223a7b226e223a312c2264656570223a7b2278223a5b312e352c6e756c6c2c225c7530306539225d7d7d2c"
    "226964223a22696431227d5d7d5d7d2c22617272617973223a5b5b22302e746167222c223c7532222c5b335d"
    "5d2c5b22302e7473222c223c6938222c5b335d5d2c5b22302e76616c7565222c223c6638222c5b335d5d2c5b"
    "22302e7175616c697479222c223c7534222c5b335d5d2c5b22312e746167222c223c7532222c5b335d5d2c5b"
    "22312e7473222c223c6938222c5b335d5d2c5b22312e76616c7565222c223c6638222c5b335d5d2c5b22312e"
    "7175616c697479222c223c7534222c5b335d5d2c5b22312e77746167222c223c7532222c5b325d5d2c5b2231"
    "2e7374617274222c223c6938222c5b325d5d2c5b22312e656e64222c223c6938222c5b325d5d2c5b22312e6f"
    "6666736574222c223c6938222c5b335d5d5d7d78016367f8ff9f9de1f77f08608002d1fa5f2a474baa25a0dc"
    "0608fda3de8eebfae282bb3e0e08f1490eec149bc0ccc0c2c0053552048d9683f261142394c10ca5015c2d29"
    "2004e5d199"
)
"""Written by `pack_inputs` of the version before, when states and inputs had one form."""


def test_inputs_of_the_version_before_can_be_read() -> None:
    inputs, now = codec.unpack_inputs(OLD)
    batch = Batch(
        np.array([7, 65535, 7], np.uint16),
        np.array([-5, 0, 1764132069123456789]),
        np.array([-0.0, float("nan"), 57.730000000000004]),
        np.array([0, 0x80000000, 0x40920000], np.uint32),
    )
    window = Windows(
        np.array([3, 4], np.uint16), np.array([10, 20]), np.array([20, 30]), np.arange(3), batch
    )
    window.offset[2] = 3
    alarm = AlarmEvent(
        "f/n:t:HI",
        "t",
        123,
        "raised",
        AlarmState.UNACK,
        Overlay.SHLVD,
        4,
        "high",
        "HI",
        81.5,
        text="zu heiß",
        unit="Cel",
        actor="node:n",
    )
    event = Event(99, "engine/resumed", {"n": 1, "deep": {"x": [1.5, None, "é"]}}, "id1")
    expected: list[tuple[str, str, Message]] = [
        ("opcua", "out", batch),
        ("window", "windows", window),
        ("n", "alarms", (alarm,)),
        ("engine", "status", (event, event)),
    ]
    assert now == NOW
    assert [item[:2] for item in inputs] == [item[:2] for item in expected]
    for (_, _, a), (_, _, b) in zip(inputs, expected, strict=True):
        same(a, b)


@given(st.integers(0, len(OLD) - 1), st.integers(1, 255))
def test_damage_to_the_version_before_is_found(at: int, change: int) -> None:
    damaged = bytearray(OLD)
    damaged[at] ^= change
    with pytest.raises(StateError):
        codec.unpack_inputs(bytes(damaged))


# ---------------------------------------------------------------- what cannot be written


def test_columns_of_other_kinds_hold_the_same_numbers_or_are_a_fault() -> None:
    batch = Batch(np.array([1, 2]), np.array([3, 4]), np.array([5, 6]), np.array([0, 0]))  # type: ignore[arg-type]  # a node that is wrong
    (((_, _, found),), _) = codec.unpack_inputs(codec.pack_inputs([("a", "out", batch)], 1))
    same(found, Batch.of([(1, 3, 5.0, 0), (2, 4, 6.0, 0)]))
    for wrong in (batch.with_tag(np.array([1, 70_000])), batch.with_tag(np.array([1]))):  # type: ignore[arg-type]  # likewise
        with pytest.raises(AssertionError):
            codec.pack_inputs([("a", "out", wrong)], 1)


def test_numpy_numbers_in_events_become_plain() -> None:
    event = Event(1, "t", {"n": np.int64(3), "x": np.float64(0.5), "b": np.bool_(True)})
    (((_, _, found),), _) = codec.unpack_inputs(codec.pack_inputs([("a", "out", (event,))], 1))
    assert found == (Event(1, "t", {"n": 3, "x": 0.5, "b": True}),)


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="no JSON value"):
        codec.pack_inputs([("a", "out", (Event(1, "t", {"x": object()}),))], 1)

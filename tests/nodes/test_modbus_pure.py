"""The parts of Modbus that are pure: addresses, numbers, blocks, frames, times."""

from __future__ import annotations

import doctest
import importlib
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from nodes.modbus import _frame, _pdu
from nodes.modbus._arbiter import Breaker
from nodes.modbus._planner import Span, plan, split
from nodes.modbus._registers import ORDERS, TYPES, Decoder, Point, encode, parse_address, width_of
from nodes.modbus._schedule import Schedule
from nodes.modbus._tags import ReadTag, WriteTag, spans_of


@pytest.mark.parametrize(
    "name",
    ["_registers", "_planner", "_pdu", "_frame", "_schedule", "_tags", "_link", "_late"],
)
def test_doctests(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"nodes.modbus.{name}")).failed == 0


@pytest.mark.parametrize(
    ("text", "base", "space", "offset", "bit"),
    [
        ("40001", 1, "holding", 0, None),
        (40001, 1, "holding", 0, None),
        ("400001", 1, "holding", 0, None),
        ("465536", 1, "holding", 65535, None),
        ("40001", 0, "holding", 1, None),
        ("30010", 1, "input", 9, None),
        ("10001", 1, "discrete", 0, None),
        ("1", 1, "coil", 0, None),
        (17, 1, "coil", 16, None),
        ("00017", 1, "coil", 16, None),
        ("000017", 1, "coil", 16, None),
        ("holding:0", 1, "holding", 0, None),
        ("input:12", 0, "input", 12, None),
        ("coil:3", 1, "coil", 3, None),
        ("discrete:7", 1, "discrete", 7, None),
        ("holding:4.3", 1, "holding", 4, 3),
        ("400010.15", 1, "holding", 9, 15),
    ],
)
def test_address_forms(
    text: str | int, base: int, space: str, offset: int, bit: int | None
) -> None:
    found = parse_address(text, base)
    assert (found.space, found.offset, found.bit) == (space, offset, bit)


@pytest.mark.parametrize(
    "text",
    ["", "x", "50001", "20001", "holding:70000", "coil:1.2", "holding:1.16", "499999",
     "40000", "-1", "300!40001", "holding:", "4e4"],
)  # fmt: skip
def test_address_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Modbus address|first address|a bit is"):
        parse_address(text)


_EXAMPLES = {
    "int16": -12345, "uint16": 54321, "int32": -123456789, "uint32": 3234567890,
    "int64": -(2**52) - 1, "uint64": 2**53 - 1, "float32": -1234.5, "float64": math.pi,
}  # fmt: skip


def registers_of(kind: str, value: float, order: str) -> list[int]:
    """Register values by an independent way: struct, then moves of whole words and bytes."""
    code = {"int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q",
            "uint64": "Q", "float32": "f", "float64": "d"}[kind]  # fmt: skip
    raw = struct.pack(">" + code, value)
    words = [raw[i : i + 2] for i in range(0, len(raw), 2)]
    if order in ("CDAB", "DCBA"):
        words = words[::-1]
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return [int.from_bytes(word, "big") for word in words]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", TYPES)
def test_every_type_in_every_order(kind: str, order: str) -> None:
    wanted = _EXAMPLES[kind]
    point = Point("a", "holding", 5, kind, order)  # type: ignore[arg-type]  # by the parameters
    payload = b"".join(w.to_bytes(2, "big") for w in [9, *registers_of(kind, wanted, order), 9])
    assert Decoder([point], 4).decode(payload)[0] == wanted
    assert encode(point, wanted) == payload[2:-2]


@given(st.sampled_from(sorted(TYPES)), st.sampled_from(ORDERS), st.data())
def test_encode_and_decode_are_inverse(kind: str, order: str, data: st.DataObject) -> None:
    bits = 8 * 2 * width_of(kind)
    if kind.startswith("float"):
        value = data.draw(st.floats(width=bits, allow_nan=False, allow_infinity=False))
    else:
        low = 0 if kind.startswith("u") else -(2 ** min(bits - 1, 53))
        value = data.draw(st.integers(low, 2 ** min(bits - (low < 0), 53) - 1))
    point = Point("a", "holding", 0, kind, order)  # type: ignore[arg-type]  # drawn from ORDERS
    assert Decoder([point], 0).decode(encode(point, value))[0] == value


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(sorted(TYPES))), min_size=1))
def test_a_block_of_many_is_as_each_alone(found: list[tuple[int, str]]) -> None:
    payload = bytes((i * 37 + 11) % 256 for i in range(140))
    points = [
        Point(str(i), "holding", at, kind, ORDERS[i % 4], scale=1 + i % 3, shift=i % 2)
        for i, (at, kind) in enumerate(found)
    ]
    together = Decoder(points, 0).decode(payload)
    alone = [Decoder([point], 0).decode(payload)[0] for point in points]
    assert str(together.tolist()) == str([float(x) for x in alone])


@pytest.mark.parametrize(
    ("kind", "value"),
    [("int16", 32768), ("uint16", -1), ("uint32", 2**32), ("float32", 1e39), ("int64", 2.0**63)],
)
def test_a_value_that_does_not_fit_is_refused(kind: str, value: float) -> None:
    with pytest.raises(ValueError, match="outside the range"):
        encode(Point("a", "holding", 0, kind), value)


_POINTS = st.lists(
    st.tuples(
        st.sampled_from(["holding", "input"]),
        st.integers(0, 400),
        st.sampled_from(sorted(TYPES)),
        st.integers(1, 2),
    ),
    min_size=1,
    max_size=60,
)


@given(_POINTS, st.integers(0, 40), st.integers(4, 125), st.integers(0, 400), st.integers(0, 30))
def test_the_plan_covers_all_and_touches_nothing_forbidden(
    found: list[tuple[str, int, str, int]], gap: int, limit: int, first: int, size: int
) -> None:
    span = Span("holding", first, first + size)
    points = [
        Point(str(i), space, at, kind, device=unit)  # type: ignore[arg-type]  # drawn from two spaces
        for i, (space, at, kind, unit) in enumerate(found)
    ]
    points = [p for p in points if not span.meets(p.space, p.start, p.end)]
    blocks = plan(points, gap_max=gap, registers_max=limit, forbidden=[span])
    assert sorted(p.name for b in blocks for p in b.points) == sorted(p.name for p in points)
    for block in blocks:
        assert 1 <= block.count <= limit
        assert not span.meets(block.space, block.start, block.start + block.count)
        for p in block.points:
            assert (p.device, p.space) == (block.device, block.space)
            assert block.start <= p.start
            assert p.end <= block.start + block.count
    assert plan(points[::-1], gap_max=gap, registers_max=limit, forbidden=[span]) == blocks


@given(_POINTS)
def test_splitting_ends_and_loses_nothing(found: list[tuple[str, int, str, int]]) -> None:
    points = [Point(str(i), "holding", at, kind) for i, (_, at, kind, _) in enumerate(found)]
    waiting = plan(points, gap_max=50)
    final, steps = [], 0
    while waiting:
        steps += 1
        block = waiting.pop()
        parts = split(block)
        if len(parts) == 1:
            assert len({(p.start, p.end) for p in block.points}) == 1
            final += block.points
        else:
            assert sum(len(part.points) for part in parts) == len(block.points)
            waiting += parts
    assert sorted(p.name for p in final) == sorted(p.name for p in points)
    assert steps <= 2 * len(points) + len(points)


def test_the_plan_merges_as_measured() -> None:
    points = [Point(str(i), "holding", i * 16, "float32") for i in range(50)]
    assert len(plan(points, gap_max=8)) == 50
    assert len(plan(points, gap_max=32)) == 7
    coils = [Point(str(i), "coil", i, "bool") for i in range(2001)]
    assert [block.count for block in plan(coils, gap_max=0)] == [2000, 1]


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"address": "holding:0", "type": "int128"}, "no type"),
        ({"address": "coil:0", "type": "int16"}, "one bit"),
        ({"address": "holding:0", "scale": 0}, "scale"),
        ({"address": "holding:0 float32", "order": "ABDC"}, "Modbus address"),
        ("holding:0 float32 ABDC", "no type"),
        ({"address": "holding:0", "type": "string(4)", "scale": 2}, "no scale"),
    ],
)
def test_a_wrong_tag_is_refused_with_words(given_: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ReadTag.model_validate(given_)


def test_only_coils_and_holding_registers_are_written() -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        WriteTag.model_validate("input:0")
    with pytest.raises(ValueError, match="its end lies before"):
        spans_of(["holding:9-3"], 1)


@given(st.binary(max_size=300))
def test_the_check_value_is_that_of_pymodbus(data: bytes) -> None:
    theirs = FramerRTU.compute_CRC(data)
    assert _frame.crc16(data) == int.from_bytes(theirs.to_bytes(2, "big"), "little")


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(1, 20))
def test_a_reply_is_found_in_noise_and_never_made_of_it(
    before: bytes, after: bytes, count: int
) -> None:
    request = _pdu.read("holding", 0, count)
    reply = bytes((3, 2 * count)) + bytes(range(2 * count))
    assert _frame.find_rtu(before + after, 7, request) is None
    assert _frame.find_rtu(before + _frame.rtu(7, reply) + after, 7, request) == reply
    broken = bytearray(_frame.rtu(7, reply))
    broken[3] ^= 0x40
    assert _frame.find_rtu(bytes(broken), 7, request) is None
    assert _frame.find_rtu(_frame.rtu(8, reply), 7, request) is None


def test_scans_do_not_drift_and_misses_are_counted() -> None:
    schedule = Schedule([0.1, 1.0])
    schedule.start(5.0)
    taken = [0, 0]
    now = 5.0
    while now < 15.0:
        i, due = schedule.next()
        now = max(now, due) + 0.003
        if now < 15.0:
            assert schedule.take(i, now) == 0
            taken[i] += 1
    assert taken == [100, 10]
    assert schedule.take(0, 15.35) == 3


def test_the_breaker_opens_probes_once_and_closes() -> None:
    breaker = Breaker(3, 30)
    for k in range(3):
        assert not breaker.is_away(1)
        breaker.silent(1, float(k))
    assert breaker.is_away(1)
    assert breaker.wait_s(1, 2.0) == 30
    assert breaker.wait_s(1, 32.0) == 0
    breaker.silent(1, 33.0)
    assert breaker.wait_s(1, 33.0) == 30
    breaker.forgive()
    assert breaker.wait_s(1, 33.0) == 0
    breaker.answered(1)
    assert not breaker.is_away(1)

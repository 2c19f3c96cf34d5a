"""Numbers in registers, against what struct says of the bytes."""

from __future__ import annotations

import struct

import pytest

from gateway.plant.registers import decode, encode


def _bytes(found: list[int]) -> str:
    return b"".join(word.to_bytes(2, "big") for word in found).hex()


def test_the_four_orders_of_a_known_number() -> None:
    number = 0x0A0B0C0D
    assert _bytes(encode(number, "uint32", "ABCD")) == "0a0b0c0d"
    assert _bytes(encode(number, "uint32", "BADC")) == "0b0a0d0c"
    assert _bytes(encode(number, "uint32", "CDAB")) == "0c0d0a0b"
    assert _bytes(encode(number, "uint32", "DCBA")) == "0d0c0b0a"
    assert encode(50.02, "float64", "DCBA") == list(struct.unpack(">4H", struct.pack("<d", 50.02)))


@pytest.mark.parametrize("order", ["ABCD", "BADC", "CDAB", "DCBA"])
@pytest.mark.parametrize(
    ("type", "value"),
    [("int16", -32768.0), ("uint16", 65535.0), ("int32", -7.0), ("uint32", 4e9), ("float64", 0.1)],
)
def test_what_is_encoded_is_decoded(order: str, type: str, value: float) -> None:
    assert decode(encode(value, type, order), type, order) == value


def test_scale() -> None:
    assert encode(18.37, "int16", "ABCD", 0.01) == [1837]
    assert decode([1837], "int16", "ABCD", 0.01) == pytest.approx(18.37)

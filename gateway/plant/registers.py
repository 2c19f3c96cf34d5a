"""Numbers in Modbus registers: every type in every order of bytes and words."""

from __future__ import annotations

import struct

# Big-endian struct formats. Source: Modbus Application Protocol 1.1b3, §4.2: big-endian words.
_FORMATS = {
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "float32": ">f",
    "float64": ">d",
}


def _arranged(words: list[bytes], order: str) -> list[bytes]:
    """Big-endian words in another order; a second call undoes the first.

    The letters are the bytes of a 32-bit number, A the highest: BADC swaps the bytes of each
    word, CDAB reverses the words, DCBA does both. A 64-bit number is treated likewise.
    """
    if order in ("CDAB", "DCBA"):
        words = words[::-1]
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return words


def encode(value: float, type: str, order: str = "ABCD", scale: float = 1.0) -> list[int]:
    """A number as registers."""
    raw = value / scale
    packed = struct.pack(_FORMATS[type], raw if type.startswith("float") else round(raw))
    words = [packed[i : i + 2] for i in range(0, len(packed), 2)]
    return [int.from_bytes(word, "big") for word in _arranged(words, order)]


def decode(registers: list[int], type: str, order: str = "ABCD", scale: float = 1.0) -> float:
    """Registers as a number."""
    words = _arranged([register.to_bytes(2, "big") for register in registers], order)
    return float(struct.unpack(_FORMATS[type], b"".join(words))[0]) * scale

"""Scanning: the registers of a unit in a range, each in every way it may be meant.

Reads only, a few registers at a time with a pause between, and it ends at the first silence:
a device that is asked too much may hang, and one that does not answer holds up the whole bus.
Some devices clear a register when it is read: so nothing is scanned that was not asked for.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from gateway import Found, Rejected
from nodes.modbus import _pdu
from nodes.modbus._client import Bus
from nodes.modbus._pdu import DeviceError, NoReply, Refused, UnitAway
from nodes.modbus._registers import ORDERS, SPACES, Space, byte_order

ADDRESSES_MAX: Final = 1_000
REQUESTS_MAX: Final = 200
PAUSE_S: Final = 0.05
_CHUNK: Final = {"coil": 200, "discrete": 200, "input": 50, "holding": 50}
_FIRST: Final = 100
"""How many addresses the folders of a unit offer to begin with."""
_PATH: Final = re.compile(
    r"(?P<unit>\d{1,3})(?:/(?P<space>coil|discrete|input|holding)"
    r"(?:/(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?)?)?\Z"
)
_ILLEGAL: Final = (2, 3)
_FORMS: Final = {"int32": ">i", "uint32": ">I", "float32": ">f", "float64": ">d"}
"""Types wider than a register, as `struct` writes them in ABCD order."""


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses of one table of one unit, both ends included."""

    unit: int
    space: Space | None = None
    first: int = 0
    last: int = _FIRST - 1


def parse_path(path: str) -> Range:
    """What a path names.

    Raises:
        Rejected: It names nothing, or too much at once.

    >>> parse_path("3/holding/100-119")
    Range(unit=3, space='holding', first=100, last=119)
    >>> parse_path("").unit
    1
    """
    found = _PATH.match(path.strip().strip("/") or "1")
    if found is None:
        raise Rejected(
            f"{path!r} names no registers. Write unit/table/first-last: 1/holding/0-99; the "
            f"tables are {', '.join(SPACES)}, and addresses count from 0 as on the wire."
        )
    unit = int(found["unit"])
    if unit > 255:
        raise Rejected("A unit is 0 to 255.")
    if found["space"] is None:
        return Range(unit)
    first = int(found["first"] or 0)
    last = int(found["last"] or (first if found["first"] else _FIRST - 1))
    if not first <= last <= 0xFFFF:
        raise Rejected(f"{path!r}: addresses go from 0 to 65535, the first before the last.")
    if last - first >= ADDRESSES_MAX:
        raise Rejected(f"At most {ADDRESSES_MAX:,} addresses are read at once (addresses_max).")
    return Range(unit, found["space"], first, last)  # type: ignore[arg-type]  # by the pattern


async def browse(bus: Bus, path: str) -> AsyncIterator[Found]:
    """The tables of a unit, or the registers of a range.

    Raises:
        Rejected: The path is none, or the unit refuses or is silent.
        Disconnected: The way to the device is gone.
    """
    wanted = parse_path(path)
    if wanted.space is None:
        for space in SPACES:
            place = f"{wanted.unit}/{space}/0-{_FIRST - 1}"
            yield Found(f"unit {wanted.unit}: {space}", "folder", place, type=space)
        return
    held: dict[int, bytes] = {}
    try:
        async for first, data in _read(bus, wanted):
            held |= _split(wanted.space, first, data)
    except Rejected:
        for found in _shown(wanted, held):
            yield found
        raise
    for found in _shown(wanted, held):
        yield found


async def _read(bus: Bus, wanted: Range) -> AsyncIterator[tuple[int, bytes]]:
    """(first address, data) of the parts that the unit has.

    A part that has an address the unit has not is refused as a whole: it is halved until what
    is there is found.
    """
    assert wanted.space is not None
    size = _CHUNK[wanted.space]
    parts = [
        (first, min(first + size - 1, wanted.last))
        for first in range(wanted.first, wanted.last + 1, size)
    ][::-1]
    for number in range(REQUESTS_MAX):
        if not parts:
            return
        first, last = parts.pop()
        if number:
            await bus.sleep(PAUSE_S)
        try:
            data = await bus.ask(wanted.unit, _pdu.read(wanted.space, first, last - first + 1))
        except Refused as error:
            if error.code not in _ILLEGAL:
                raise Rejected(f"Unit {wanted.unit} refuses: {error.text}.") from error
            if first < last:
                middle = (first + last) // 2
                parts += [(middle + 1, last), (first, middle)]
            continue
        except (NoReply, UnitAway) as error:
            text = f"Ended, so that the bus is not held up: {error.text}."
            raise Rejected(text) from error
        except DeviceError as error:
            raise Rejected(f"Unit {wanted.unit}: {error.text}.") from error
        yield first, data
    if parts:
        raise Rejected(
            f"Ended after {REQUESTS_MAX} requests (requests_max): choose a smaller range."
        )


def _split(space: Space, first: int, data: bytes) -> dict[int, bytes]:
    """Each address with its bytes: two of a register, one of a coil."""
    if space in ("coil", "discrete"):
        bits = [(byte >> bit) & 1 for byte in data for bit in range(8)]
        return {first + i: bytes([bit]) for i, bit in enumerate(bits)}
    return {first + i // 2: data[i : i + 2] for i in range(0, len(data), 2)}


def _shown(wanted: Range, held: dict[int, bytes]) -> Iterator[Found]:
    space = wanted.space
    assert space is not None
    for at in sorted(held):
        if not wanted.first <= at <= wanted.last:
            continue  # Bits come by the byte: the last ones are padding.
        raw = held[at]
        is_bit = len(raw) == 1
        value = raw[0] if is_bit else int.from_bytes(raw, "big")
        yield Found(
            name=f"{space}:{at}",
            kind="register",
            address=f"{space}:{at}",
            type="bool" if is_bit else "uint16",
            value=value,
            quality="Good",
            facts={"unit": wanted.unit} if is_bit else {"unit": wanted.unit} | decoded(held, at),
        )


def decoded(held: dict[int, bytes], at: int) -> dict[str, Any]:
    """A register as each type that may begin there, wide ones in each byte order.

    >>> decoded({0: b"BH", 1: bytes(2)}, 0)["float32"]["ABCD"]
    50.0
    """
    raw = held[at]
    facts: dict[str, Any] = {
        "hex": raw.hex(),
        "int16": int.from_bytes(raw, "big", signed=True),
        "text": "".join(chr(b) if 32 <= b < 127 else "." for b in raw),
    }
    for kind in _FORMS:
        width = struct.calcsize(_FORMS[kind]) // 2
        words = [held.get(at + i) for i in range(width)]
        if any(word is None for word in words):
            continue
        wire = b"".join(word for word in words if word is not None)
        facts[kind] = {order: _number(kind, wire, byte_order(order, len(wire))) for order in ORDERS}
    return facts


def _number(kind: str, wire: bytes, order: list[int]) -> float | int | None:
    raw = bytes(wire[i] for i in order)
    value: float | int = struct.unpack(_FORMS[kind], raw)[0]
    return value if math.isfinite(value) else None


__all__ = ["ADDRESSES_MAX", "Range", "browse", "decoded", "parse_path"]

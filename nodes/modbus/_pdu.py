"""Requests of the Modbus application protocol, and what their replies must look like. Pure.

A request knows the beginning and the length of its own reply. That one fact checks count,
address and function, finds the end of an RTU frame and tells a late reply from the right one.
Source: MODBUS Application Protocol Specification V1.1b3, clause 6 (called MB below).
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from gateway import GatewayError, quality
from nodes.modbus._registers import Space

READ: Final[dict[Space, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
_BIT_READS: Final = (1, 2)


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a unit.

    Args:
        pdu: Function code and data as sent.
        head: How a positive reply must begin.
        size: How long a positive reply must be [bytes].
    """

    pdu: bytes
    head: bytes
    size: int

    @property
    def shape(self) -> bytes:
        """Two requests with one shape have replies that cannot be told apart on RTU."""
        return self.head


class DeviceError(GatewayError):
    """A unit did not do what it was asked; the session itself is fine.

    Args:
        text: What happened, in words.
        quality: What its tags become.
    """

    def __init__(self, text: str, status: int = quality.BAD_NO_COMMUNICATION) -> None:
        super().__init__(text)
        self.text = text
        self.quality = status


class NoReply(DeviceError):  # noqa: N818 - a word, as in gateway.errors
    """Asked, and nothing came that could be the reply. Of a write: it may have been done."""


class UnitAway(DeviceError):  # noqa: N818 - a word, as in gateway.errors
    """Not asked at all: the unit has been silent and its next try is not due yet."""


class BadReply(DeviceError):  # noqa: N818 - a word, as in gateway.errors
    """A reply came that does not fit the request."""


class Refused(DeviceError):  # noqa: N818 - a word, as in gateway.errors
    """The unit answered with an exception code.

    Source: MB, clause 7, MODBUS Exception Responses.
    """

    def __init__(self, code: int) -> None:
        words, status = EXCEPTIONS.get(code, (f"exception {code}", quality.BAD_DEVICE_FAILURE))
        super().__init__(f"exception {code}, {words}", status)
        self.code = code


EXCEPTIONS: Final[dict[int, tuple[str, int]]] = {
    1: ("illegal function: the device does not know this kind of read", quality.BAD_CONFIGURATION),
    2: ("illegal data address: the device has no such address", quality.BAD_CONFIGURATION),
    3: ("illegal data value: often too many addresses at once", quality.BAD_CONFIGURATION),
    4: ("device failure: look at the device itself", quality.BAD_DEVICE_FAILURE),
    5: ("acknowledge: the device needs more time", quality.BAD_NO_COMMUNICATION),
    6: ("device busy: it will answer later", quality.BAD_NO_COMMUNICATION),
    8: ("memory parity error in the device", quality.BAD_DEVICE_FAILURE),
    10: ("gateway path unavailable: the gateway is set up wrongly", quality.BAD_NO_COMMUNICATION),
    11: (
        "gateway target does not respond: the unit is off or absent",
        quality.BAD_NO_COMMUNICATION,
    ),
}


def read(space: Space, start: int, count: int) -> Request:
    """Read coils, discrete inputs, holding or input registers. Source: MB 6.1 to 6.4.

    >>> read("holding", 0, 2).pdu.hex(), read("holding", 0, 2).head.hex()
    ('0300000002', '0304')
    """
    code = READ[space]
    size = (count + 7) // 8 if code in _BIT_READS else 2 * count
    return Request(struct.pack(">BHH", code, start, count), bytes((code, size)), 2 + size)


def write_coil(start: int, on: bool) -> Request:
    """Set one coil; the reply is an echo. Source: MB 6.5."""
    return _echoed(struct.pack(">BHH", 5, start, 0xFF00 if on else 0))


def write_register(start: int, data: bytes) -> Request:
    """Set one register; the reply is an echo. Source: MB 6.6."""
    return _echoed(struct.pack(">BH", 6, start) + data)


def write_coils(start: int, values: list[bool]) -> Request:
    """Set coils that lie side by side. Source: MB 6.11."""
    packed = bytearray((len(values) + 7) // 8)
    for i, on in enumerate(values):
        packed[i // 8] |= on << i % 8
    head = struct.pack(">BHH", 15, start, len(values))
    return Request(head + bytes((len(packed),)) + bytes(packed), head, len(head))


def write_registers(start: int, data: bytes) -> Request:
    """Set registers that lie side by side. Source: MB 6.12."""
    head = struct.pack(">BHH", 16, start, len(data) // 2)
    return Request(head + bytes((len(data),)) + data, head, len(head))


def mask_register(start: int, keep: int, put: int) -> Request:
    """Set some bits: result = (register AND keep) OR (put AND NOT keep). Source: MB 6.16."""
    return _echoed(struct.pack(">BHHH", 22, start, keep, put))


def write_and_read(start: int, data: bytes) -> Request:
    """Set registers and read them back in one go. Source: MB 6.17."""
    count = len(data) // 2
    pdu = struct.pack(">BHHHHB", 23, start, count, start, count, len(data)) + data
    return Request(pdu, bytes((23, len(data))), 2 + len(data))


def echo(number: int) -> Request:
    """Ask for a number to be sent back. Source: MB 6.8, sub-function 00 Return Query Data."""
    return _echoed(struct.pack(">BHH", 8, 0, number & 0xFFFF))


def _echoed(pdu: bytes) -> Request:
    return Request(pdu, pdu, len(pdu))


def fits(request: Request, reply: bytes) -> bool:
    """True when a reply is the one that was asked for, or a refusal of it."""
    if len(reply) == 2:
        return reply[0] == request.pdu[0] | 0x80
    return len(reply) == request.size and reply.startswith(request.head)


def data_of(request: Request, reply: bytes) -> bytes:
    """The data bytes behind the head of a reply.

    Raises:
        Refused: The reply is an exception.
        BadReply: It is of another function, count or address.
    """
    if len(reply) == request.size and reply.startswith(request.head):
        return reply[len(request.head) :]
    if len(reply) == 2 and reply[0] == request.pdu[0] | 0x80:
        raise Refused(reply[1])
    wanted, got = request.size, len(reply)
    if reply and reply[0] == request.pdu[0]:
        raise BadReply(f"the reply has {got} bytes and should have {wanted}, or another address")
    raise BadReply(f"the reply is to function {reply[0] if reply else 'none'}")


def distinct(request: Request, taken: Collection[bytes], nonce: int) -> Request:
    """A harmless request whose reply looks unlike all in `taken`, for the same unit.

    A read is shortened, so that it touches no address it would not touch anyway; what cannot
    be shortened asks for an echo.

    >>> distinct(read("holding", 7, 9), {b"\\x03\\x12"}, 1).pdu.hex()
    '0300070008'
    >>> distinct(read("coil", 0, 8), {b"\\x01\\x01"}, 258).pdu.hex()
    '0800000102'
    """
    code = request.pdu[0]
    if code in READ.values():
        space = next(name for name, number in READ.items() if number == code)
        start, count = struct.unpack(">HH", request.pdu[1:])
        step = 8 if code in _BIT_READS else 1
        for shorter in range(count - step, max(0, count - 9 * step), -step):
            probe = read(space, start, shorter)
            if probe.shape not in taken:
                return probe
    return echo(nonce)

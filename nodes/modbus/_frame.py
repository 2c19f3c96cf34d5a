"""Frames: how a request travels over TCP and over a serial line. Pure.

Sources: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3 (MBAP header);
MODBUS over Serial Line V1.02, 2.5.1 (RTU framing) and 6.2.2 (CRC).
"""

from __future__ import annotations

import struct
from typing import Final

from nodes.modbus._pdu import Request

_HEADER: Final = struct.Struct(">HHHB")
_LENGTH_MAX: Final = 254  # unit and a PDU of 253 bytes
RTU_BYTES_MAX: Final = 1024
"""How much of a noisy line is kept while a reply is waited for: four whole frames."""


class FrameError(ValueError):
    """The stream is no Modbus TCP; it cannot be followed any further."""


def mbap(transaction: int, unit: int, pdu: bytes) -> bytes:
    """A request as it goes over TCP.

    >>> mbap(1, 17, bytes.fromhex("0300000002")).hex()
    '000100000006110300000002'
    """
    return _HEADER.pack(transaction, 0, len(pdu) + 1, unit) + pdu


class MbapReader:
    """Cuts a TCP stream into (transaction, unit, pdu)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """The frames that are complete with these bytes.

        Raises:
            FrameError: A header is impossible.
        """
        self._buffer += data
        frames = []
        while len(self._buffer) >= _HEADER.size:
            transaction, protocol, length, unit = _HEADER.unpack_from(self._buffer)
            if protocol != 0 or not 2 <= length <= _LENGTH_MAX:
                raise FrameError(
                    f"a header with protocol {protocol} and length {length} is no Modbus TCP"
                )
            end = length + _HEADER.size - 1
            if len(self._buffer) < end:
                break
            frames.append((transaction, unit, bytes(self._buffer[_HEADER.size : end])))
            del self._buffer[:end]
        return frames


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_CRC: Final = _table()


def crc16(data: bytes) -> int:
    """The check value of an RTU frame, sent low byte first.

    >>> hex(crc16(b"123456789"))
    '0x4b37'
    """
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value


def rtu(unit: int, pdu: bytes) -> bytes:
    """A request as it goes over a serial line.

    >>> rtu(1, bytes.fromhex("0300000001")).hex()
    '010300000001840a'
    """
    frame = bytes((unit,)) + pdu
    return frame + struct.pack("<H", crc16(frame))


def find_rtu(buffer: bytes, unit: int, request: Request) -> bytes | None:
    """The reply to a request in what a line brought, or None while there is none.

    RTU has no start mark, so every place is tried where a reply of the right unit, function
    and count would begin; the check value decides. Noise and replies of others are passed over.

    >>> from nodes.modbus._pdu import read
    >>> find_rtu(b"!!" + rtu(1, b"\\x03\\x02\\x00\\x07"), 1, read("holding", 0, 1)).hex()
    '03020007'
    """
    exception = bytes((unit, request.pdu[0] | 0x80))
    for head, size in ((bytes((unit,)) + request.head, request.size + 1), (exception, 3)):
        at = buffer.find(head)
        while at >= 0:
            end = at + size + 2
            if end <= len(buffer) and rtu_fits(buffer[at:end]):
                return buffer[at + 1 : end - 2]
            at = buffer.find(head, at + 1)
    return None


def rtu_fits(frame: bytes) -> bool:
    """True when the last two bytes are the check value of the rest."""
    return crc16(frame[:-2]) == frame[-2] | frame[-1] << 8

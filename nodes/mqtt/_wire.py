"""MQTT packets as bytes: a fast scan for what arrives, encoders for what leaves.

The scan is our own because it is the hot path: it costs 0.6 µs a message and leaves topics as
bytes, which the source looks up without decoding; the codec `mqtt5` costs as much for the
packet alone. Rarer packets are in `nodes.mqtt._codec`.

Source: MQTT 5.0 (OASIS 2019), 2.1 and 3; MQTT 3.1.1 (OASIS 2014), 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

PUBLISH: Final = 0x30
_PUBLISH_1: Final = 0x32  # with QoS 1, sent for the first time, not retained
PING: Final = b"\xc0\x00"
CONNACK, PUBACK, SUBACK, UNSUBACK, PINGRESP, DISCONNECT = 0x20, 0x40, 0x90, 0xB0, 0xD0, 0xE0
HEAD_BYTES: Final = 70_000  # covers the fixed header, the longest topic and 4 kB of payload
_IKEY: Final = b"\x26\x00\x04ikey"  # property 0x26, user property, with the name "ikey"


class ProtocolError(Exception):
    """The other side sent what is not MQTT; the session cannot go on."""


@dataclass(slots=True)
class Scan:
    """What one read brought, as columns in the order of arrival.

    Args:
        topics: Topic of each PUBLISH as bytes, (n,).
        payloads: Payload of each PUBLISH, (n,).
        ids: Packet identifiers of those with QoS 1, (m,).
        retained: Row numbers of retained messages: they may be old.
        again: Row numbers of messages that were sent to us before (DUP).
        large: Row number → size [bytes] of messages over the limit; the payload is its start.
        others: Whole packets of every other kind.
        need: Size of the packet that is not complete yet [bytes]; 0 when not known.
    """

    topics: list[bytes] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    retained: list[int] = field(default_factory=list)
    again: set[int] = field(default_factory=set)
    large: dict[int, int] = field(default_factory=dict)
    others: list[bytes] = field(default_factory=list)
    need: int = 0


def scan(data: bytes, has_properties: bool, limit: int, out: Scan) -> int:
    """Cut a buffer into packets and say how many bytes of it were whole packets.

    It stops before a packet of more than `limit` bytes, whose size is then in `out.need`.

    Raises:
        ProtocolError: It is not MQTT, or a QoS that was not asked for.
    """
    pos, end = 0, len(data)
    topics, payloads, ids = out.topics, out.payloads, out.ids
    out.need = 0
    while end - pos >= 2:
        head, size, body = data[pos], data[pos + 1], pos + 2
        if size > 127:
            size, body = long_size(data, pos + 1)
            if body == 0:
                break
            if size > limit:
                out.need = body + size - pos
                break
        stop = body + size
        if stop > end:
            out.need = stop - pos
            break
        if head & 0xF0 == PUBLISH and size > 1:
            start = body + 2
            at = start + (data[body] << 8 | data[body + 1])
            if at > stop:
                raise ProtocolError("a topic longer than its packet")
            topics.append(data[start:at])
            if head == _PUBLISH_1:
                ids.append(data[at] << 8 | data[at + 1])
                at += 2
            elif head != PUBLISH:
                at = _flags(data, head, at, out)
            if has_properties:
                at += 1 if at < stop and not data[at] else _properties(data, at, stop)
            if at > stop:
                raise ProtocolError("a PUBLISH shorter than its header")
            payloads.append(data[at:stop])
        else:
            out.others.append(data[pos:stop])
        pos = stop
    return pos


def _flags(data: bytes, head: int, at: int, out: Scan) -> int:
    """Read the packet identifier, note what is retained or sent again; returns where it goes on."""
    if head & 1:
        out.retained.append(len(out.topics) - 1)
    if head & 8:
        out.again.add(len(out.topics) - 1)
    if head & 4:
        raise ProtocolError("a message with QoS 2, which was not subscribed to")
    if head & 2:
        if at + 2 > len(data):
            raise ProtocolError("a PUBLISH without its identifier")
        out.ids.append(data[at] << 8 | data[at + 1])
        at += 2
    return at


def long_size(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer and where it ends; (0, 0) when it is not complete."""
    value = 0
    for i in range(4):
        if at + i >= len(data):
            return 0, 0
        byte = data[at + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, at + i + 1
    raise ProtocolError("a length of more than four bytes")


def _properties(data: bytes, at: int, stop: int) -> int:
    """How many bytes the properties take, their length included; we need none of them."""
    size, after = long_size(data[:stop], at)
    if after == 0:
        raise ProtocolError("a PUBLISH without its properties")
    return after - at + size


def large_head(head: bytes, has_properties: bool, out: Scan) -> int:
    """Take topic and the payload's start from the head of a packet that is too large to keep.

    Returns:
        The size of the payload [bytes].
    """
    size, body = long_size(head, 1)
    start = body + 2
    at = start + (head[body] << 8 | head[body + 1])
    out.topics.append(head[start:at])
    at = _flags(head, head[0], at, out)
    if has_properties:
        at += _properties(head, at, len(head))
    out.payloads.append(head[at : at + 4096])
    payload = body + size - at
    out.large[len(out.topics) - 1] = payload
    return payload


def acknowledgements(ids: Sequence[int]) -> bytes:
    """PUBACKs for many messages in one piece; both versions write them alike."""
    return b"".join([b"\x40\x02" + number.to_bytes(2, "big") for number in ids])


def size_bytes(value: int) -> bytes:
    out = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        out.append(byte | 0x80 if value else byte)
        if not value:
            return bytes(out)


def text_bytes(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(2, "big") + raw


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish.

    Args:
        topic: A topic name.
        payload: The bytes.
        qos: 0 or 1.
        retain: The broker keeps it for later subscribers.
        ikey: A key by which a receiver knows a second delivery; MQTT 5 only.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    ikey: str = ""

    def packet(self, number: int, has_properties: bool) -> bytes:
        """The PUBLISH packet under a packet identifier."""
        parts = [text_bytes(self.topic)]
        if self.qos:
            parts.append(number.to_bytes(2, "big"))
        if has_properties:
            extra = _IKEY + text_bytes(self.ikey) if self.ikey else b""
            parts.append(size_bytes(len(extra)) + extra)
        parts.append(self.payload)
        body = b"".join(parts)
        head = PUBLISH | self.qos << 1 | self.retain
        return bytes([head]) + size_bytes(len(body)) + body

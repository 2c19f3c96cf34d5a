"""MQTT packets as bytes: a fast scan for what arrives, encoders for what leaves.

The scan is our own because it is the hot path: it costs 0.6 µs a message and leaves topics as
bytes, which the source looks up without decoding; the codec `mqtt5` costs as much for the
packet alone. Everything rarer in MQTT 5 goes through that codec. MQTT 3.1.1 differs by the
missing properties and is written out here.

Source: MQTT 5.0 (OASIS 2019), 2.1 and 3; MQTT 3.1.1 (OASIS 2014), 3.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import mqtt5

PUBLISH: Final = 0x30
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
        large: Row number → size [bytes] of messages over the limit; the payload is its start.
        others: Whole packets of every other kind.
        need: Size of the packet that is not complete yet [bytes]; 0 when not known.
    """

    topics: list[bytes] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    retained: list[int] = field(default_factory=list)
    large: dict[int, int] = field(default_factory=dict)
    others: list[bytes] = field(default_factory=list)
    need: int = 0


def scan(data: bytes, has_properties: bool, out: Scan) -> int:
    """Cut a buffer into packets and say how many bytes of it were whole packets.

    Raises:
        ProtocolError: It is not MQTT, or a QoS that was not asked for.
    """
    pos, end = 0, len(data)
    topics, payloads, ids = out.topics, out.payloads, out.ids
    out.need = 0
    while end - pos >= 2:
        head, size, body = data[pos], data[pos + 1], pos + 2
        if size > 127:
            size, body = _long_size(data, pos + 1)
            if body == 0:
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
            if head != PUBLISH:
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
    """Read the packet identifier and note a retained message; returns where it goes on."""
    if head & 1:
        out.retained.append(len(out.topics) - 1)
    if head & 4:
        raise ProtocolError("a message with QoS 2, which was not subscribed to")
    if head & 2:
        if at + 2 > len(data):
            raise ProtocolError("a PUBLISH without its identifier")
        out.ids.append(data[at] << 8 | data[at + 1])
        at += 2
    return at


def _long_size(data: bytes, at: int) -> tuple[int, int]:
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
    size, after = _long_size(data[:stop], at)
    if after == 0:
        raise ProtocolError("a PUBLISH without its properties")
    return after - at + size


def large_head(head: bytes, has_properties: bool, out: Scan) -> int:
    """Take topic and the payload's start from the head of a packet that is too large to keep.

    Returns:
        The size of the payload [bytes].
    """
    size, body = _long_size(head, 1)
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


def _size(value: int) -> bytes:
    out = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        out.append(byte | 0x80 if value else byte)
        if not value:
            return bytes(out)


def _text(text: str) -> bytes:
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
        parts = [_text(self.topic)]
        if self.qos:
            parts.append(number.to_bytes(2, "big"))
        if has_properties:
            extra = _IKEY + _text(self.ikey) if self.ikey else b""
            parts.append(_size(len(extra)) + extra)
        parts.append(self.payload)
        body = b"".join(parts)
        head = PUBLISH | self.qos << 1 | self.retain
        return bytes([head]) + _size(len(body)) + body


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for us when we are gone without a word."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Hello:
    """What CONNECT says."""

    client_id: str
    username: str | None = None
    password: str | None = None
    keepalive_s: int = 10
    clean_start: bool = False
    session_expiry_s: int = 0
    receive_maximum: int = 2000
    will: Will | None = None


@dataclass(frozen=True, slots=True)
class Welcome:
    """What CONNACK said."""

    code: int
    text: str
    session_present: bool = False
    receive_maximum: int = 65_535
    packet_bytes_max: int = 268_435_455
    keepalive_s: int | None = None


class Codec5:
    """Everything but PUBLISH in MQTT 5, by the package `mqtt5`."""

    has_properties = True
    version = "5"

    def connect(self, hello: Hello) -> bytes:
        """The CONNECT packet."""
        will = hello.will
        packet = mqtt5.ConnectPacket(
            hello.client_id,
            username=hello.username,
            password=None if hello.password is None else hello.password.encode(),
            clean_start=hello.clean_start,
            keep_alive=hello.keepalive_s,
            session_expiry_interval=hello.session_expiry_s,
            receive_max=hello.receive_maximum,
            will=None
            if will is None
            else mqtt5.Will(
                will.topic, payload=will.payload, qos=mqtt5.QoS(will.qos), retain=will.retain
            ),
        )
        return packet.write()

    def welcome(self, packet: bytes) -> Welcome:
        """What a CONNACK says."""
        ack = _read(packet)
        if not isinstance(ack, mqtt5.ConnAckPacket):
            raise ProtocolError("something else than CONNACK as the first packet")
        return Welcome(
            int(ack.reason_code),
            ack.reason_str or ack.reason_code.name.lower().replace("_", " "),
            ack.session_present,
            ack.receive_max,
            ack.max_packet_size or 268_435_455,
            ack.server_keep_alive,
        )

    def subscribe(self, number: int, filters: Sequence[str], qos: int, retained: int) -> bytes:
        """The SUBSCRIBE packet; `retained` is the retain handling: 0 always, 1 once, 2 never."""
        return mqtt5.SubscribePacket(
            number,
            [
                mqtt5.TopicFilter(
                    pattern,
                    max_qos=mqtt5.QoS(qos),
                    retain_as_published=False,
                    retain_handling=mqtt5.RetainHandling(retained),
                )
                for pattern in filters
            ],
        ).write()

    def unsubscribe(self, number: int, filters: Sequence[str]) -> bytes:
        """The UNSUBSCRIBE packet."""
        return mqtt5.UnsubscribePacket(number, list(filters)).write()

    def answer(self, packet: bytes) -> tuple[int, list[int]]:
        """Packet identifier and reason codes of PUBACK, SUBACK or UNSUBACK."""
        ack = _read(packet)
        if isinstance(ack, mqtt5.PubAckPacket):
            return ack.packet_id, [int(ack.reason_code)]
        if isinstance(ack, mqtt5.SubAckPacket | mqtt5.UnsubAckPacket):
            return ack.packet_id, [int(code) for code in ack.reason_codes]
        raise ProtocolError("an answer of an unknown kind")

    def goodbye(self, packet: bytes) -> str:
        """Why the broker ends the session."""
        end = _read(packet)
        if not isinstance(end, mqtt5.DisconnectPacket):
            raise ProtocolError("something else than DISCONNECT")
        reason = end.reason_code.name.lower().replace("_", " ")
        return f"{reason}: {end.reason_str}" if end.reason_str else reason

    def disconnect(self, with_will: bool) -> bytes:
        """The DISCONNECT packet."""
        code = mqtt5.DisconnectReasonCode
        reason = code.DISCONNECT_WITH_WILL_MESSAGE if with_will else code.NORMAL_DISCONNECTION
        return mqtt5.DisconnectPacket(reason_code=reason).write()


def _read(packet: bytes) -> mqtt5.Packet:
    try:
        return mqtt5.read(memoryview(packet))[0]
    except (ValueError, IndexError) as error:
        raise ProtocolError(f"a packet that cannot be read ({error})") from error


_REFUSED_3 = {
    1: "unacceptable protocol version",
    2: "client id rejected",
    3: "server unavailable",
    4: "bad user name or password",
    5: "not authorized",
}
_AS_5 = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}


class Codec3:
    """Everything but PUBLISH in MQTT 3.1.1."""

    has_properties = False
    version = "3.1.1"

    def connect(self, hello: Hello) -> bytes:
        """The CONNECT packet."""
        flags = 0x02 if hello.clean_start else 0
        parts = [_text(hello.client_id)]
        if hello.will is not None:
            flags |= 0x04 | hello.will.qos << 3 | hello.will.retain << 5
            size = len(hello.will.payload).to_bytes(2, "big")
            parts += [_text(hello.will.topic), size + hello.will.payload]
        if hello.username is not None:
            flags |= 0x80
            parts.append(_text(hello.username))
            if hello.password is not None:  # only together with a user name in this version
                flags |= 0x40
                parts.append(_text(hello.password))
        body = _text("MQTT") + struct.pack(">BBH", 4, flags, hello.keepalive_s) + b"".join(parts)
        return b"\x10" + _size(len(body)) + body

    def welcome(self, packet: bytes) -> Welcome:
        """What a CONNACK says; its code in the numbers of MQTT 5."""
        if packet[0] != CONNACK or len(packet) != 4:
            raise ProtocolError("something else than CONNACK as the first packet")
        code = packet[3]
        return Welcome(_AS_5.get(code, code), _REFUSED_3.get(code, "success"), bool(packet[2] & 1))

    def subscribe(self, number: int, filters: Sequence[str], qos: int, retained: int) -> bytes:
        """The SUBSCRIBE packet; this version always sends retained messages."""
        body = number.to_bytes(2, "big")
        body += b"".join(_text(pattern) + bytes([qos]) for pattern in filters)
        return b"\x82" + _size(len(body)) + body

    def unsubscribe(self, number: int, filters: Sequence[str]) -> bytes:
        """The UNSUBSCRIBE packet."""
        body = number.to_bytes(2, "big") + b"".join(_text(pattern) for pattern in filters)
        return b"\xa2" + _size(len(body)) + body

    def answer(self, packet: bytes) -> tuple[int, list[int]]:
        """Packet identifier and reason codes of PUBACK, SUBACK or UNSUBACK."""
        _, body = _long_size(packet, 1)
        if len(packet) < body + 2:
            raise ProtocolError("an answer without its identifier")
        codes = list(packet[body + 2 :]) or [0]
        return packet[body] << 8 | packet[body + 1], codes

    def goodbye(self, packet: bytes) -> str:
        """This version has no such packet from a broker."""
        raise ProtocolError("a DISCONNECT, which MQTT 3.1.1 brokers do not send")

    def disconnect(self, with_will: bool) -> bytes:
        """The DISCONNECT packet; with the will there is none, the socket just ends."""
        return b"" if with_will else b"\xe0\x00"


Codec = Codec3 | Codec5

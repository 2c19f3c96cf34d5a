"""The rarer packets: MQTT 5 by the package `mqtt5`, MQTT 3.1.1 written out.

Source: MQTT 5.0 (OASIS 2019), 3; MQTT 3.1.1 (OASIS 2014), 3.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import mqtt5

from nodes.mqtt._wire import CONNACK, ProtocolError, long_size, size_bytes, text_bytes


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
        parts = [text_bytes(hello.client_id)]
        if hello.will is not None:
            flags |= 0x04 | hello.will.qos << 3 | hello.will.retain << 5
            size = len(hello.will.payload).to_bytes(2, "big")
            parts += [text_bytes(hello.will.topic), size + hello.will.payload]
        if hello.username is not None:
            flags |= 0x80
            parts.append(text_bytes(hello.username))
            if hello.password is not None:  # only together with a user name in this version
                flags |= 0x40
                parts.append(text_bytes(hello.password))
        body = (
            text_bytes("MQTT") + struct.pack(">BBH", 4, flags, hello.keepalive_s) + b"".join(parts)
        )
        return b"\x10" + size_bytes(len(body)) + body

    def welcome(self, packet: bytes) -> Welcome:
        """What a CONNACK says; its code in the numbers of MQTT 5."""
        if packet[0] != CONNACK or len(packet) != 4:
            raise ProtocolError("something else than CONNACK as the first packet")
        code = packet[3]
        return Welcome(_AS_5.get(code, code), _REFUSED_3.get(code, "success"), bool(packet[2] & 1))

    def subscribe(self, number: int, filters: Sequence[str], qos: int, retained: int) -> bytes:
        """The SUBSCRIBE packet; this version always sends retained messages."""
        body = number.to_bytes(2, "big")
        body += b"".join(text_bytes(pattern) + bytes([qos]) for pattern in filters)
        return b"\x82" + size_bytes(len(body)) + body

    def unsubscribe(self, number: int, filters: Sequence[str]) -> bytes:
        """The UNSUBSCRIBE packet."""
        body = number.to_bytes(2, "big") + b"".join(text_bytes(pattern) for pattern in filters)
        return b"\xa2" + size_bytes(len(body)) + body

    def answer(self, packet: bytes) -> tuple[int, list[int]]:
        """Packet identifier and reason codes of PUBACK, SUBACK or UNSUBACK."""
        _, body = long_size(packet, 1)
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

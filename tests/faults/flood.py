"""A plant that sends more than it should: a publisher as a process of its own.

    python -m tests.faults.flood fields PORT REPORT --rate 1000 --surge 5000 --after 15
    python -m tests.faults.flood topics PORT REPORT --rate 20000 --count 100000

`fields` sends messages of 100 numbers from 100 devices in turn, so that a thousand messages a
second are 100,000 samples a second of 10,000 tags. Every message of a device is a tenth of a
second of its time after the one before. `topics` sends each message to a topic of its own, and
every tenth to one of ten that are known. QoS 1; at most `WINDOW` messages are under way. REPORT
is a JSON file, written again and again, of what was sent and what the broker has acknowledged.
SIGTERM ends it after the last acknowledgement. It speaks MQTT 3.1.1 by itself.
"""

from __future__ import annotations

import argparse
import json
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

DEVICES: Final = 100
FIELDS: Final = 100
"""Numbers in a message: its own number `n`, one that is too high now and then, and others."""
EVERY_MS: Final = 100
HOT: Final = 3
"""The device whose `heat` is too high in every 200th to 219th message."""
KNOWN: Final = 10
WINDOW: Final = 1_000
SILENCE_S: Final = 60.0  # A broker that says nothing for so long is broken; so is the test.
_CONNECT: Final = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05flood"
_REST: Final = ",".join(f'"m{i:02}":{20 + i / 8}' for i in range(FIELDS - 2))


def is_hot(number: int) -> bool:
    """Whether the hot device is too hot in its message of that number."""
    return number % 400 >= 200 and number % 400 < 220


def fields_message(k: int, base_ms: int) -> tuple[str, str]:
    """(topic, payload) of the k-th message of all."""
    number, device = divmod(k, DEVICES)
    heat = 90 if device == HOT and is_hot(number) else 20
    ts = base_ms + number * EVERY_MS
    return f"dev/{device:03}", f'{{"ts":{ts},"n":{number},"heat":{heat},{_REST}}}'


def topics_message(k: int, base_ms: int) -> tuple[str, str]:
    """(topic, payload) of the k-th message of all."""
    topic = f"known/{k // 10 % KNOWN}" if k % 10 == 0 else f"made/up/{k}"
    return topic, f'{{"ts":{base_ms + k},"value":{k}}}'


class Flood:
    """Sends messages 0, 1, 2, … of a kind."""

    def __init__(self, port: int, message: Callable[[int, int], tuple[str, str]]) -> None:
        self.sent = self.acknowledged = 0
        self.stop = False
        self.base_ms = time.time_ns() // 10**6
        self._message = message
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(_CONNECT)
        assert self._socket.recv(4) == b"\x20\x02\x00\x00", "the broker refuses us"
        self._socket.settimeout(SILENCE_S)
        self._in = b""

    def run(
        self, rate: float, most: int, report: Path, surge: float = 0.0, after_s: float = 1e9
    ) -> None:
        """Publish until SIGTERM or `most` messages, and wait for the last acknowledgement.

        Args:
            rate: Messages a second.
            most: Messages at most.
            report: See `tell`.
            surge: Messages a second after a while.
            after_s: How long a while is [s].
        """
        began = told = time.monotonic()
        while not (self.stop or self.sent >= most) or self.acknowledged < self.sent:
            now = time.monotonic()
            steady_s = min(now - began, after_s)
            due = int(steady_s * rate + (now - began - steady_s) * surge) + 1
            due = self.sent if self.stop else min(due, most)
            room = min(due - self.sent, WINDOW - (self.sent - self.acknowledged), 100)
            if room > 0:
                packets = [self._packet(k) for k in range(self.sent, self.sent + room)]
                self.sent += room
                self._socket.sendall(b"".join(packets))
            is_full = self.sent - self.acknowledged >= WINDOW
            if select.select([self._socket], [], [], 0.005 if room <= 0 or is_full else 0)[0]:
                self._read()
            if now - told > 0.2:
                told = now
                self.tell(report, now - began)
        self.tell(report, time.monotonic() - began)

    def tell(self, report: Path, seconds: float) -> None:
        """Write what was sent so far."""
        numbers = {
            "sent": self.sent,
            "acknowledged": self.acknowledged,
            "base_ms": self.base_ms,
            "s": seconds,
        }
        part = report.with_suffix(".part")
        part.write_text(json.dumps(numbers))
        part.replace(report)

    def _packet(self, k: int) -> bytes:
        topic, payload = (text.encode() for text in self._message(k, self.base_ms))
        rest = len(topic).to_bytes(2, "big") + topic + (k % 65_535 + 1).to_bytes(2, "big") + payload
        size, left = bytearray(), len(rest)
        while True:
            left, low = left >> 7, left & 0x7F
            size.append(low | (0x80 if left else 0))
            if not left:
                return b"\x32" + bytes(size) + rest

    def _read(self) -> None:
        data = self._socket.recv(65_536)
        assert data, "the broker closed the connection"
        data = self._in + data
        whole = len(data) // 4 * 4
        assert data[:whole:4] == b"\x40" * (whole // 4), "that is no PUBACK"
        self._in = data[whole:]
        self.acknowledged += whole // 4


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("fields", "topics"))
    parser.add_argument("port", type=int)
    parser.add_argument("report", type=Path)
    parser.add_argument("--rate", type=float, required=True, help="messages a second")
    parser.add_argument("--surge", type=float, default=0.0, help="messages a second afterwards")
    parser.add_argument("--after", type=float, default=1e9, help="when that begins [s]")
    parser.add_argument("--count", type=int, default=10**9, help="messages at most")
    args = parser.parse_args()
    flood = Flood(args.port, fields_message if args.kind == "fields" else topics_message)

    def stop(*_: object) -> None:
        flood.stop = True

    signal.signal(signal.SIGTERM, stop)
    flood.run(args.rate, args.count, args.report, args.surge, args.after)
    return 0


if __name__ == "__main__":
    sys.exit(main())

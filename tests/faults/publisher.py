"""A publisher as a process of its own, which writes down every acknowledgement it gets.

It speaks MQTT 3.1.1 with QoS 1 by itself, so that what it knows it knows from the broker's own
bytes, and so that thousands of messages a second cost a tenth of a core. At most `WINDOW`
messages are under way. SIGTERM ends it after the last acknowledgement.

    python -m tests.faults.publisher PORT HISTORY --rate 4500 --most 2000000
"""

from __future__ import annotations

import argparse
import json
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np

from tests.faults.counted import TOPICS, place, tag, ts_ns, values

WINDOW: Final = 1_000
NAP_S: Final = 0.005
SILENCE_S: Final = 30.0  # A broker that says nothing for so long is broken; so is the test.
CONNECT: Final = b"\x10\x15\x00\x04MQTT\x04\x02\x00\x00\x00\x09publisher"
AHEAD: Final = 256  # Values are computed for so many messages of a topic at a time.


class Publisher:
    """Sends messages 0, 1, 2, … and notes which were acknowledged.

    Args:
        port: Of the broker on this machine.
        history: File of acknowledged messages, as uint32 in the order of the acknowledgements.
    """

    def __init__(self, port: int, history: Path) -> None:
        self.sent = 0
        self.acknowledged = 0
        self.stop = False
        self._under_way: dict[int, int] = {}
        self._last_id = 0
        self._chunk = -1
        self._values: list[list[float]] = []
        self._history = history.open("wb", buffering=0)
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(CONNECT)
        assert self._socket.recv(4) == b"\x20\x02\x00\x00", "the broker refuses us"
        self._socket.setblocking(False)
        self._out = b""
        self._in = b""

    def run(self, rate: float, most: int) -> float:
        """Publish until SIGTERM or `most` messages; returns how long it published [s]."""
        began = heard = time.monotonic()
        published_s = 0.0
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._socket, selectors.EVENT_READ)
            while True:
                now = time.monotonic()
                if not self.stop and self.sent < most:
                    published_s = now - began
                    self._fill(min(int(published_s * rate) + 1, most))
                elif not self._under_way:
                    return published_s
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0)
                waiting.modify(self._socket, wanted)
                for _, events in waiting.select(NAP_S):
                    if events & selectors.EVENT_WRITE:
                        self._out = self._out[self._socket.send(self._out) :]
                    if events & selectors.EVENT_READ:
                        self._read()
                        heard = now
                assert now - heard < SILENCE_S or not self._under_way, "the broker is silent"
                if not self._out:
                    time.sleep(NAP_S)

    def _fill(self, due: int) -> None:
        """Make ready what is due by now, as far as the window has room."""
        room = min(due - self.sent, WINDOW - len(self._under_way))
        if room > 0 and not self._out:
            self._out = b"".join(self._next() for _ in range(room))

    def _next(self) -> bytes:
        k, i = place(self.sent)
        chunk, at = divmod(i - 1, AHEAD)
        if chunk != self._chunk:
            self._chunk = chunk
            numbers = np.arange(chunk * AHEAD + 1, (chunk + 1) * AHEAD + 1, dtype=np.int64)
            self._values = [values(topic, numbers).tolist() for topic in range(TOPICS)]
        topic = tag(k).encode()
        payload = b'{"value":%r,"ts":%d,"seq":%d}' % (self._values[k][at], ts_ns(i) // 10**6, i)
        self._last_id = self._last_id % 65_535 + 1
        assert self._last_id not in self._under_way
        self._under_way[self._last_id] = self.sent
        self.sent += 1
        size = 2 + len(topic) + 2 + len(payload)
        assert size < 128
        head = bytes((0x32, size)) + len(topic).to_bytes(2, "big")
        return head + topic + self._last_id.to_bytes(2, "big") + payload

    def _read(self) -> None:
        data = self._socket.recv(65_536)
        assert data, "the broker closed the connection"
        data = self._in + data
        whole = len(data) // 4 * 4
        self._in = data[whole:]
        noted = np.empty(whole // 4, "<u4")
        for n, at in enumerate(range(0, whole, 4)):
            assert data[at : at + 2] == b"\x40\x02", f"{data[at : at + 4]!r} is no PUBACK"
            noted[n] = self._under_way.pop(int.from_bytes(data[at + 2 : at + 4], "big"))
        self._history.write(noted.tobytes())
        self.acknowledged += len(noted)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("history", type=Path)
    parser.add_argument("--rate", type=float, required=True, help="messages a second")
    parser.add_argument("--most", type=int, required=True, help="messages at most")
    args = parser.parse_args()
    publisher = Publisher(args.port, args.history)

    def stop(*_: object) -> None:
        publisher.stop = True

    signal.signal(signal.SIGTERM, stop)
    took_s = publisher.run(args.rate, args.most)
    numbers = {"sent": publisher.sent, "acknowledged": publisher.acknowledged, "s": took_s}
    print(json.dumps(numbers), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

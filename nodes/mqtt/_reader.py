"""From bytes off the socket to whole packets, with a limit on what one packet may take."""

from __future__ import annotations

from nodes.mqtt._wire import HEAD_BYTES, ProtocolError, Scan, large_head, long_size, scan

BUFFER_BYTES = 262_144


class Reader:
    """Puts pieces together. A message over the limit is passed over but for its first 4 kB.

    Args:
        has_properties: True for MQTT 5.
        packet_bytes_max: The largest packet that is kept.
    """

    def __init__(self, has_properties: bool, packet_bytes_max: int) -> None:
        self._has_properties = has_properties
        self._limit = packet_bytes_max
        self._pieces: list[bytes] = []
        self._have = 0
        self._need = 0
        self._skip = 0

    def feed(self, data: bytes) -> Scan:
        """Take what was read and return the packets that are complete now.

        Raises:
            ProtocolError: It is not MQTT.
        """
        out = Scan()
        if self._skip:
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
            if not data:
                return out
        if self._pieces:
            self._pieces.append(data)
            self._have += len(data)
            if self._have < self._need and self._need <= self._limit:
                return out
            data = b"".join(self._pieces)
            self._pieces.clear()
        used = 0
        while True:
            used += self._scan(data[used:] if used else data, out)
            rest = len(data) - used
            if out.need > self._limit and rest:
                size = self._pass_over(data[used:], out)
                if size == 0:
                    break
                self._skip = max(size - rest, 0)
                used += min(size, rest)
                continue
            break
        if used < len(data):
            self._pieces.append(data[used:])
        self._have = len(data) - used
        self._need = out.need
        return out

    def _scan(self, data: bytes, out: Scan) -> int:
        try:
            return scan(data, self._has_properties, self._limit, out)
        except IndexError as error:
            raise ProtocolError("a packet that is cut short") from error

    def _pass_over(self, head: bytes, out: Scan) -> int:
        """Note the start of a packet that is too large; 0 when more of it must come first."""
        if head[0] & 0xF0 != 0x30:
            raise ProtocolError(f"a packet of {out.need} bytes that is no message")
        if len(head) < min(HEAD_BYTES, out.need):
            return 0
        size, body = long_size(head, 1)
        try:
            large_head(head, self._has_properties, out)
        except IndexError as error:
            raise ProtocolError("a message whose header is too large") from error
        return body + size

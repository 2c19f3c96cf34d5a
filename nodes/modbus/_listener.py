"""The listener: finds the reply to the one open request in what a link brings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nodes.modbus import _pdu
from nodes.modbus._frame import RTU_BYTES_MAX, MbapReader, find_rtu
from nodes.modbus._pdu import BadReply, Request


class Listener:
    """Waits for one reply at a time and passes over everything else.

    Args:
        is_tcp: Frames have an MBAP header; else they are RTU.
        accept_tid_zero: Take a TCP reply with transaction 0 if it has the right shape.
        count: Counts what is odd by name.
    """

    def __init__(
        self, *, is_tcp: bool, accept_tid_zero: bool, count: Callable[[str], None]
    ) -> None:
        self._is_tcp = is_tcp
        self._accept_tid_zero = accept_tid_zero
        self._count = count
        self._reader = MbapReader()
        self._stray = bytearray()
        self._waiting: asyncio.Future[bytes] | None = None
        self._unit = 0
        self._request: Request | None = None
        self._transaction = 0

    @property
    def stray_bytes(self) -> int:
        """How much came that is no reply since the last request or `clear`."""
        return len(self._stray)

    def clear(self) -> bool:
        """Forget what came and is no reply; True when there was something."""
        if not self._stray:
            return False
        self._count("stray")
        self._stray.clear()
        return True

    def reset(self) -> None:
        """A new stream begins."""
        self._reader = MbapReader()
        self._stray.clear()

    def expect(self, unit: int, request: Request, transaction: int) -> asyncio.Future[bytes]:
        """The reply to a request that is about to be sent."""
        assert self._waiting is None
        self.clear()
        self._unit, self._request, self._transaction = unit, request, transaction
        self._waiting = asyncio.get_running_loop().create_future()
        return self._waiting

    def forget(self) -> None:
        """The request is settled, one way or the other."""
        self._waiting = None

    def fail(self, error: Exception) -> None:
        """Nothing will come any more."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)

    def feed(self, data: bytes) -> None:
        """Take what the link brought. Raises FrameError when the stream is no Modbus TCP."""
        if self._is_tcp:
            for transaction, unit, pdu in self._reader.feed(data):
                self._on_frame(transaction, unit, pdu)
            return
        self._stray += data
        del self._stray[:-RTU_BYTES_MAX]
        waiting, request = self._waiting, self._request
        if waiting is not None and request is not None and not waiting.done():
            reply = find_rtu(bytes(self._stray), self._unit, request)
            if reply is not None:
                self._stray.clear()
                waiting.set_result(reply)

    def _on_frame(self, transaction: int, unit: int, pdu: bytes) -> None:
        waiting, request = self._waiting, self._request
        if waiting is None or waiting.done() or request is None:
            self._stray += pdu  # late
        elif transaction == self._transaction:
            if unit == self._unit:
                waiting.set_result(pdu)
            else:
                self._count("wrong_unit")
                waiting.set_exception(BadReply(f"unit {unit} answered instead of {self._unit}"))
        elif transaction == 0 and self._accept_tid_zero and self._is_reply(unit, request, pdu):
            waiting.set_result(pdu)
        else:
            self._stray += pdu  # late, or to somebody else
        del self._stray[:-RTU_BYTES_MAX]

    def _is_reply(self, unit: int, request: Request, pdu: bytes) -> bool:
        return unit == self._unit and _pdu.fits(request, pdu)

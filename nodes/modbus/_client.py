"""The bus: one request at a time to one device or line, and never a wrong value.

Why not pymodbus' client: decisions/0020-modbus-client.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Literal

from gateway import Disconnected
from nodes._line import Line
from nodes.modbus import _pdu
from nodes.modbus._arbiter import Arbiter, Breaker
from nodes.modbus._frame import FrameError, mbap, rtu
from nodes.modbus._late import Owed
from nodes.modbus._link import Target, Timing, open_link
from nodes.modbus._listener import Listener
from nodes.modbus._pdu import BadReply, NoReply, Refused, Request, UnitAway

_QUIET_ROUNDS_MAX: Final = 10  # a line that never falls silent must not hold its bus for ever
_SILENT_SESSION: Final = 3  # requests without one byte back, then a TCP session is given up

Ask = Callable[[int, Request], Awaitable[bytes]]
"""Asks a unit and returns the data bytes of its reply."""


class CutOff(Disconnected):
    """The way broke while a reply was awaited: a write may or may not have been done."""


class Bus:
    """Asks units, one request at a time, and checks every reply.

    RTU has no transaction number: a reply that comes late looks like the next one. So after
    each timeout the line must fall quiet; and a unit that owes a reply is first asked
    something whose answer cannot be mistaken for it. Devices answer in order, so once that
    answer is there, the old reply cannot come any more.

    Args:
        target: Where it is.
        timing: How long to wait for what.
        breaker: Which units are worth asking.
        monotonic: The clock [s].
        count: Counts what goes wrong by name.
        accept_tid_zero: Take replies with transaction 0, as some old devices send them.
    """

    def __init__(
        self,
        target: Target,
        timing: Timing,
        breaker: Breaker,
        *,
        monotonic: Callable[[], float],
        count: Callable[[str], None],
        accept_tid_zero: bool = False,
    ) -> None:
        self.target = target
        self.timing = timing
        self.breaker = breaker
        self._monotonic = monotonic
        self._count = count
        self._is_tcp = target.framing == "tcp"
        self._ordered = not self._is_tcp or accept_tid_zero
        self._arbiter = Arbiter()
        self._link: Line | None = None
        self._state: Literal["closed", "open", "idle"] = "closed"
        self._lost: asyncio.Future[str] | None = None
        self._listener = Listener(is_tcp=self._is_tcp, accept_tid_zero=accept_tid_zero, count=count)
        self._transaction = 0
        self._is_busy = False
        self._free_at = 0.0
        self._dirty = False
        self._owed = Owed()
        self._unheard = 0
        self._idle: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Open the way to the device. Raises Disconnected or ConfigError."""
        self._lost = asyncio.get_running_loop().create_future()
        await self._connect()
        self.breaker.forgive()

    async def _connect(self) -> None:
        self._listener.reset()
        self._unheard = 0
        self._link = await open_link(self.target, self._on_data, self._drop)
        self._state = "open"
        if self._is_tcp:
            self._owed.clear()  # a new session brings no old replies
        self._free_at = self._monotonic() + self.timing.pause_connect_s

    async def _wake(self) -> None:
        try:
            await self._connect()
        except Disconnected as error:
            self._drop(str(error))
            raise
        if self._lost is None or self._lost.done():
            self._drop("the connection was closed")

    async def lost(self) -> str:
        """Wait until the way is gone and say why."""
        if self._lost is None:
            return "it was never open"
        return await asyncio.shield(self._lost)

    async def sleep(self, delay_s: float) -> None:
        """Wait, but not longer than the way is there. Raises Disconnected."""
        self.check_open()
        assert self._lost is not None
        await asyncio.wait((self._lost,), timeout=delay_s)
        self.check_open()

    def close(self) -> None:
        """Close it; who waits for a reply hears Disconnected."""
        self._drop("the connection was closed")

    def check_open(self) -> None:
        """Raises Disconnected while there is no way to the device."""
        if self._state == "closed":
            raise Disconnected(f"Modbus {self.target} is not connected.")

    async def ask(self, unit: int, request: Request) -> bytes:
        """The data bytes of the reply to a poll.

        Raises:
            DeviceError: The unit is silent, refuses or answers nonsense.
            Disconnected: The way to the device is gone.
        """
        self._check_unit(unit)
        await self._arbiter.acquire(urgent=False)
        try:
            return await self._exchange(unit, request)
        finally:
            self._arbiter.release()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Ask]:
        """Hold the bus for some requests that belong together, before all polls that wait."""
        await self._arbiter.acquire(urgent=True)
        try:
            yield self._exchange
        finally:
            self._arbiter.release()

    async def _exchange(self, unit: int, request: Request) -> bytes:
        """One request and its reply, by who has the turn."""
        self._check_unit(unit)
        if self._state == "idle":
            await self._wake()
        self.check_open()
        if self._dirty:
            await self._fall_quiet()
        probe = self._owed.probe(unit, request, self._next_transaction())
        if probe is not None:
            try:
                await self._transact(unit, probe)
            except (Refused, BadReply):
                self._count("flushed")  # also an answer: the unit has caught up
        return await self._transact(unit, request)

    def _check_unit(self, unit: int) -> None:
        wait_s = self.breaker.wait_s(unit, self._monotonic())
        if wait_s > 0:
            raise UnitAway(f"unit {unit} does not answer, next try in {wait_s:.0f} s")

    async def _transact(self, unit: int, request: Request) -> bytes:
        pause_s = self._free_at - self._monotonic()
        if pause_s > 0:
            await asyncio.sleep(pause_s)
        self.check_open()
        assert self._link is not None
        number = self._next_transaction()
        reply = self._listener.expect(unit, request, number)
        timer = asyncio.get_running_loop().call_later(self.timing.timeout_s, _expire, reply)
        self._is_busy, settled = True, False
        try:
            if self._is_tcp:
                self._link.write(mbap(number, unit, request.pdu))
            else:
                self._link.write(rtu(unit, request.pdu))
            pdu = await reply
            settled = True
        except TimeoutError:
            raise self._silent(unit) from None
        finally:
            timer.cancel()
            self._is_busy = False
            self._listener.forget()
            self._free_at = self._monotonic() + self.timing.pause_between_s
            if not settled:
                self._owe(unit, request)
            self._rest()
        self._owed.answered(unit, request)
        return self._checked(unit, request, pdu)

    def _owe(self, unit: int, request: Request) -> None:
        if self._ordered:
            self._dirty = True
            self._owed.owes(unit, request)

    def _checked(self, unit: int, request: Request, reply: bytes) -> bytes:
        try:
            data = _pdu.data_of(request, reply)
        except Refused as refusal:
            if refusal.code in (10, 11):  # the gateway speaks, the unit behind it does not
                self.breaker.silent(unit, self._monotonic())
            else:
                self.breaker.answered(unit)
            raise
        self.breaker.answered(unit)
        return data

    def _next_transaction(self) -> int:
        self._transaction = self._transaction % 0xFFFF + 1  # never 0
        return self._transaction

    def _silent(self, unit: int) -> NoReply:
        """What a timeout means for the unit and for the session."""
        self.breaker.silent(unit, self._monotonic())
        self._count("timeouts")
        self._unheard += 1
        heard = self._listener.stray_bytes
        if self._is_tcp and self._unheard >= _SILENT_SESSION:
            self._drop(f"{self._unheard} requests in a row had no reply")
        text = f"unit {unit} did not answer within {self.timing.timeout_s:g} s"
        if heard:
            text += f", but {heard} bytes came that are no reply: noise, or two masters?"
        return NoReply(text)

    async def _fall_quiet(self) -> None:
        """Wait until nothing came for `quiet_s`, so that late bytes meet no request."""
        for _ in range(_QUIET_ROUNDS_MAX):
            self._listener.clear()
            await asyncio.sleep(self.timing.quiet_s)
            self.check_open()
            if not self._listener.clear():
                break
        self._dirty = False

    def _on_data(self, data: bytes) -> None:
        self._unheard = 0
        try:
            self._listener.feed(data)
        except FrameError as error:
            self._count("garbage")
            self._drop(f"{error}; is this the right port?")

    def _drop(self, why: str) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        self._state = "closed"
        self._stop_idle()
        text = f"Modbus {self.target} is gone: {why}."
        self._listener.fail(CutOff(text))
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(text)

    def _rest(self) -> None:
        """Close after a while without requests, for devices that take one master at a time."""
        if self.timing.idle_close_s > 0 and self._state == "open":
            self._stop_idle()
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self.timing.idle_close_s, self._close_idle)

    def _close_idle(self) -> None:
        if not self._is_busy and self._state == "open" and self._link is not None:
            self._link.close()
            self._state, self._link = "idle", None

    def _stop_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None


def _expire(waiting: asyncio.Future[bytes]) -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError())

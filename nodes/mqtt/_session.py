"""One MQTT session over one socket, of version 5 or 3.1.1.

Our own, because the client libraries acknowledge before the application has the message
(aiomqtt), or cost 20 to 40 µs of CPU a message (measured); this costs about one.

Source: MQTT 5.0 (OASIS 2019), 3.1.2.10 keep alive, 3.3.4 receive maximum, 4.4 redelivery.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import cast

from gateway import ConfigError, Disconnected
from nodes.mqtt import _wire as wire
from nodes.mqtt._beat import Beat
from nodes.mqtt._codec import Codec, Codec3, Codec5, Welcome
from nodes.mqtt._dial import dial, ended_early
from nodes.mqtt._flights import ANSWER_TIMEOUT_S, WINDOW_MAX, Flights
from nodes.mqtt._intake import Intake, Owed, Part, part_of
from nodes.mqtt._reader import BUFFER_BYTES, Reader
from nodes.mqtt._settings import Settings, check
from nodes.mqtt._switch import Switch
from nodes.mqtt._throttle import Throttle
from nodes.mqtt._wire import Outgoing, ProtocolError, Scan, acknowledgements


class Session(asyncio.BufferedProtocol):
    """A session from CONNECT to its end; a new one is made for every connection."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._codec: Codec = Codec5() if settings.version == "5" else Codec3()
        self._reader = Reader(self._codec.has_properties, settings.packet_bytes_max)
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._transport: asyncio.Transport | None = None
        self._welcomed: asyncio.Future[Welcome] = self._loop.create_future()
        self._gone: asyncio.Future[str] = self._loop.create_future()
        self._writable = asyncio.Event()
        self._writable.set()
        self._flights = Flights(self._send, self._writable)
        self._owed = Owed()
        self._switch = Switch(settings.stray, self._settled)
        self._reason = ""
        self._error: BaseException | None = None
        self._throttle = Throttle(self._pause, self._read_on)
        self._beat = Beat(lambda: self._send(wire.PING), self._dead, lambda: self._throttle.is_full)
        self.welcome = Welcome(0, "")

    @classmethod
    async def open(cls, settings: Settings) -> Session:
        """Connect and greet.

        Raises:
            Disconnected: Nobody answers, or the broker is not ready.
            ConfigError: It refuses us, or we do not trust it.
        """
        session = cls(settings)
        address = settings.address
        try:
            await dial(lambda: session, address, settings.trust)
            session._send(session._codec.connect(settings.hello))
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                session.welcome = await session._welcomed
            check(session.welcome, settings)
        except TimeoutError as error:
            session.drop("It does not answer.")
            raise Disconnected(f"{address} takes the connection but does not answer.") from error
        except ConnectionError as error:
            raise ended_early(session._error, address, session._reason) from error
        except BaseException:
            session.drop("It was not opened.")
            raise
        session._flights.window = min(session.welcome.receive_maximum, WINDOW_MAX)
        asked_s = session.welcome.keepalive_s
        session._beat.start(settings.hello.keepalive_s if asked_s is None else asked_s)
        return session

    async def lost(self) -> str:
        """Wait until the session is gone and say why."""
        return await asyncio.shield(self._gone)

    @property
    def is_gone(self) -> bool:
        """Whether it is gone."""
        return self._gone.done()

    async def subscribe(self, intake: Intake) -> list[str]:
        """Subscribe; what waits for this intake already is handed over.

        Returns:
            Filters granted with a lower QoS than asked for, if the broker has answered yet.

        Raises:
            ConfigError: The broker refuses a filter, or another node has one that overlaps.
            Disconnected: The session is gone.
        """
        former = self._switch.former(intake.name)
        if former is not None:
            if self.owed:  # only a new session makes the broker send these again
                self.drop(f"{intake.name} starts over; the broker sends again what is open.")
                raise Disconnected(self._reason)
            self._switch.remove(former)
        intake.taken = self._left
        self._switch.add(intake)
        try:
            codes = await self._ask(
                lambda number: self._codec.subscribe(
                    number, intake.filters, intake.qos, intake.retained
                ),
                lambda late: self._refused_late(_refused(intake, late)),
            )
        except Disconnected:
            intake.fail(self._reason)
            raise
        if bad := _refused(intake, codes):
            self._switch.remove(intake)
            raise ConfigError(
                f"{self._settings.address} refuses the subscription to {bad}.",
                hint="Does the user have the right to read there?",
            )
        return [f for f, code in zip(intake.filters, codes, strict=False) if code < intake.qos]

    def _refused_late(self, bad: str) -> None:
        if bad:
            self.drop(f"{self._settings.address} refuses the subscription to {bad}.")

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """End subscriptions that a former configuration left in the session."""
        await self._ask(lambda number: self._codec.unsubscribe(number, filters), lambda late: None)

    async def dismiss(self, intake: Intake) -> None:
        """End the subscriptions of a source that does not come back."""
        self._switch.dismiss(intake)
        await self.unsubscribe(intake.filters)

    async def publish(self, messages: Sequence[Outgoing]) -> dict[int, int]:
        """Send messages; returns position → reason code of those that were refused.

        Raises:
            Disconnected: The session ended before the broker had answered all.
        """
        try:
            codes = await self._flights.publish(messages, self._codec.has_properties)
        except ConnectionError as error:
            raise Disconnected(self._reason) from error
        return {place: code for place, code in codes.items() if code >= 0x80}

    def acknowledge(self, parts: Sequence[Part]) -> None:
        """These parts are committed: tell the broker, in the order of arrival."""
        ids = self._owed.settle(parts)
        if ids and not self.is_gone:
            self._send(acknowledgements(ids))

    @property
    def owed(self) -> int:
        """Messages that are not acknowledged yet."""
        return len(self._owed)

    def drop(self, reason: str) -> None:
        """End the session without a word, as a broken cable does."""
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    async def close(self, *, with_will: bool = False) -> None:
        """Say goodbye and close the socket."""
        if self._transport is not None and not self.is_gone:
            self._transport.write(self._codec.disconnect(with_will))
            self._transport.close()
        self._end("The connection was closed.")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._beat.heard = self._beat.spoke = self._loop.time()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop reads to."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """The loop has read."""
        self._beat.heard = self._loop.time()
        try:
            found = self._reader.feed(bytes(self._view[:nbytes]))
            for packet in found.others:
                self._packet(packet)
            if found.others:
                self._flights.moved()
            if found.topics:
                self._take(found, nbytes)
        except ProtocolError as error:
            self.drop(f"{self._settings.address} sent {error}: this is not MQTT as it should be.")

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._error = exc
        name = self._settings.hello.client_id
        hint = f"Does it restart, or does another client call itself {name!r}?"
        why = f": {exc}." if exc else f". {hint}"
        self._end(f"{self._settings.address} closed the connection{why}")

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._writable.set()

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._beat.spoke = self._loop.time()
            self._transport.write(data)

    async def _ask(
        self, packet: Callable[[int], bytes], late: Callable[[list[int]], None]
    ) -> list[int]:
        """Send a request and wait for its answer, unless we are full before it comes."""
        if self.is_gone:
            raise Disconnected(self._reason)
        try:
            return await self._flights.ask(packet, lambda: self._throttle.is_full, late)
        except TimeoutError as error:
            self.drop(f"{self._settings.address} does not answer.")
            raise Disconnected(self._reason) from error
        except ConnectionError as error:
            raise Disconnected(self._reason) from error

    def _packet(self, packet: bytes) -> None:
        kind = packet[0] & 0xF0
        if not self._welcomed.done():
            self._welcomed.set_result(self._codec.welcome(packet))
        elif kind == wire.PUBACK:
            number, codes = self._codec.answer(packet)
            self._flights.answered(number, codes[0])
        elif kind in (wire.SUBACK, wire.UNSUBACK):
            self._flights.granted(*self._codec.answer(packet))
        elif kind == wire.DISCONNECT:
            why = self._codec.goodbye(packet)
            hint = f"Is there another client called {self._settings.hello.client_id!r}?"
            more = f" {hint}" if "taken over" in why else ""
            self.drop(f"{self._settings.address} ended the session: {why}.{more}")
        elif kind != wire.PINGRESP:
            raise ProtocolError(f"a packet of kind {kind >> 4}")

    def _take(self, found: Scan, nbytes: int) -> None:
        part = part_of(found, self._settings.now(), nbytes)
        if part.receipt is not None:
            self._owed.add(part.receipt)
        is_all = nbytes < BUFFER_BYTES // 2
        self._throttle.came(len(found.topics), nbytes, is_all=is_all)
        self._switch.sort(part)

    def _settled(self, part: Part) -> None:
        """Messages nobody wants: they must not block those that somebody wants."""
        self._left(part)
        self.acknowledge([part])

    def _left(self, part: Part) -> None:
        self._throttle.left(len(part.topics), part.size)

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._beat.heard = self._loop.time()
            self._transport.resume_reading()

    def _dead(self, silent_s: float) -> None:
        where = self._settings.address
        self.drop(f"{where} was silent for {silent_s:.0f} s. Is the network there?")

    def _end(self, reason: str) -> None:
        if self._gone.done():
            return
        self._reason = self._reason or reason
        self._gone.set_result(self._reason)
        self._beat.stop()
        if not self._welcomed.done():
            self._welcomed.set_exception(ConnectionError(self._reason))
            self._welcomed.exception()
        self._flights.end(self._reason)
        self._switch.fail(self._reason)


def _refused(intake: Intake, codes: Sequence[int]) -> str:
    """The filters that were refused, as text; an answer that has not come refuses none."""
    return ", ".join(f for f, code in zip(intake.filters, codes, strict=False) if code >= 0x80)

"""Messages on their way to the broker: identifiers, the window, and what was refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from nodes.mqtt._wire import Outgoing

WINDOW_MAX = 1_000
ANSWER_TIMEOUT_S = 10.0
LOOK_S = 0.05


class Flights:
    """Publishes with QoS 1 and waits for the broker's answers, in a bounded window.

    Args:
        send: Writes bytes.
        writable: Set while the socket takes more.
    """

    def __init__(self, send: Callable[[bytes], None], writable: asyncio.Event) -> None:
        self._send = send
        self._writable = writable
        self._under_way: dict[int, tuple[dict[int, int], int]] = {}
        self._answers: dict[int, asyncio.Future[list[int]]] = {}
        self._last = 0
        self._moved: asyncio.Future[None] | None = None
        self.window = WINDOW_MAX
        self.is_over = False

    def number(self) -> int:
        """The next packet identifier that is not in use."""
        while True:
            self._last = self._last % 65_535 + 1
            if self._last not in self._under_way and self._last not in self._answers:
                return self._last

    async def ask(
        self,
        packet: Callable[[int], bytes],
        is_full: Callable[[], bool],
        late: Callable[[list[int]], None],
    ) -> list[int]:
        """Send a request and wait for the codes in its answer, or until no more is read.

        A broker sends what waits before it answers. When that is more than we take unread, the
        answer comes only after somebody has read some of it; so it must not be waited for.

        Args:
            packet: The request under the identifier that names it.
            is_full: Whether the socket is not read now.
            late: Told of an answer that was not waited for; the codes are empty then.

        Raises:
            TimeoutError: No answer came.
            ConnectionError: The session ended.
        """
        number = self.number()
        answer: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._send(packet(number))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                while not answer.done() and not is_full():
                    await asyncio.wait([answer], timeout=LOOK_S)
        except BaseException:
            self._answers.pop(number, None)
            raise
        if answer.done():
            return answer.result()
        answer.add_done_callback(lambda one: None if one.exception() else late(one.result()))
        return []

    def granted(self, number: int, codes: list[int]) -> None:
        """The answer to a request has come."""
        answer = self._answers.pop(number, None)
        if answer is not None and not answer.done():
            answer.set_result(codes)

    async def publish(self, messages: Sequence[Outgoing], has_properties: bool) -> dict[int, int]:
        """Send messages and wait for every answer; returns position → reason code.

        Raises:
            ConnectionError: The session ended before all were answered.
        """
        codes: dict[int, int] = {}
        place = 0
        while place < len(messages) or len(codes) < len(messages):
            await self._writable.wait()
            if self.is_over:
                raise ConnectionError("the session ended before the broker had answered")
            packets = []
            while place < len(messages) and len(self._under_way) < self.window:
                message = messages[place]
                if message.qos:
                    number = self.number()
                    self._under_way[number] = (codes, place)
                    packets.append(message.packet(number, has_properties))
                else:
                    codes[place] = 0
                    packets.append(message.packet(0, has_properties))
                place += 1
            if packets:
                self._send(b"".join(packets))
            if len(codes) < len(messages):
                await self._wait()
        return codes

    def answered(self, number: int, code: int) -> None:
        """The broker answered one."""
        found = self._under_way.pop(number, None)
        if found is not None:
            codes, place = found
            codes[place] = code

    def moved(self) -> None:
        """Some were answered: let those who wait look again."""
        if self._moved is not None and not self._moved.done():
            self._moved.set_result(None)
        self._moved = None

    def end(self, reason: str) -> None:
        """The session is gone."""
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError(reason))
        self.is_over = True
        self._under_way.clear()
        self._writable.set()
        self.moved()

    async def _wait(self) -> None:
        if self._moved is None:
            self._moved = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._moved)

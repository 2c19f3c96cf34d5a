"""Where flows of one gateway meet: each stream has one end that gives and one that takes.

What is given is handed over in memory; nothing is stored here. The giver's outbox and the taker's
journal hold it, and the taker's position, which is committed with the journal, says what of the
outbox it has. So a message that was on its way in a crash is given again and known again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakValueDictionary

from gateway import ConfigError, Context, Disconnected, Message

PATIENCE_S: Final = 2.0
"""Flows of a gateway start one after the other."""


@dataclass(slots=True, eq=False)
class Given:
    """One message on its way.

    Args:
        sender: Flow and node that give it.
        number: Its number in their outbox.
        port: Where it comes in, and goes out again.
        message: It.
        done: Set once it is in the journal of the flow that takes it.
    """

    sender: str
    number: int
    port: str
    message: Message
    done: asyncio.Future[None]


@dataclass(eq=False)
class Receiver:
    """The end of a stream that takes, of one source.

    Args:
        owner: Flow and node.
        sender: Whose messages `number` counts.
        number: The newest of them that is in the journal.
    """

    owner: str
    sender: str = ""
    number: int = 0
    waiting: deque[Given] = field(default_factory=deque)
    filled: asyncio.Event = field(default_factory=asyncio.Event)

    def fail(self, why: str) -> None:
        """Nothing is taken here any more: who gave something keeps it."""
        while self.waiting:
            one = self.waiting.popleft()
            if not one.done.done():
                one.done.set_exception(Disconnected(why))


class Hub:
    """The streams of one gateway."""

    def __init__(self) -> None:
        self._receivers: dict[str, Receiver] = {}
        self._senders: dict[str, str] = {}
        self._came = asyncio.Event()

    def receive(self, stream: str, receiver: Receiver) -> None:
        """Begin to take.

        Raises:
            ConfigError: Another node takes it.
        """
        before = self._receivers.get(stream)
        if before is not None and before.owner != receiver.owner:
            raise ConfigError(
                f"The stream {stream!r} is taken by {before.owner} already.",
                hint="Give each reader a stream of its own: one flow.sink for each.",
            )
        self._receivers[stream] = receiver
        self._came.set()

    def end(self, stream: str, receiver: Receiver) -> None:
        """Take no more."""
        if self._receivers.get(stream) is receiver:
            del self._receivers[stream]
            receiver.fail(f"{receiver.owner} does not take the stream {stream!r} now.")

    def sends(self, stream: str, sender: str) -> None:
        """Begin to give.

        Raises:
            ConfigError: Another node gives it.
        """
        before = self._senders.setdefault(stream, sender)
        if before != sender:
            raise ConfigError(
                f"The stream {stream!r} is given by {before} already.",
                hint="Choose another name, or join the wires before one flow.sink.",
            )

    def sends_no_more(self, stream: str, sender: str) -> None:
        """Give no more."""
        if self._senders.get(stream) == sender:
            del self._senders[stream]

    async def taker_soon(self, stream: str) -> Receiver:
        """Who takes a stream; one that starts just now is waited for.

        Raises:
            Disconnected: Nobody does.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                while stream not in self._receivers:
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            pass
        return self.taker(stream)

    def taker(self, stream: str) -> Receiver:
        """Who takes a stream.

        Raises:
            Disconnected: Nobody does now.
        """
        found = self._receivers.get(stream)
        if found is None:
            raise Disconnected(
                f"No flow takes the stream {stream!r} now. Is there a flow.source of that name?"
            )
        return found


_HUBS: Final[WeakValueDictionary[str, Hub]] = WeakValueDictionary()


def hub_of(ctx: Context) -> Hub:
    """The hub of the gateway that a node is of."""
    place = str(ctx.data_dir)
    hub = _HUBS.get(place)
    if hub is None:
        hub = _HUBS[place] = Hub()
    return hub


def position_of(position: Any) -> tuple[str, int]:
    """Sender and number of a stored position; nothing for one of another source."""
    if isinstance(position, dict) and isinstance(position.get("from"), str):
        return position["from"], int(position.get("number", 0))
    return "", 0

"""Live: one WebSocket for each screen, and one loop that feeds them all.

What several screens watch is read and encoded once. A screen that is slow is skipped and gets
the newest state when it is ready: there is no queue, and nothing grows with time. While nobody
watches nothing runs.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.websockets import WebSocketDisconnect

from gateway.api.live_topics import TICK_S, Topic
from gateway.data.tasks import Tasks
from gateway.engine.runtime import Runtime
from gateway.errors import LimitError

CLIENTS_MAX: Final = 100
SUBS_MAX: Final = 64
TAGS_MAX: Final = 2_000
"""Of one client, over all its subscriptions."""
MESSAGE_BYTES_MAX: Final = 256 * 1024
"""Of one message from a client; 2,000 names of tags fit."""
MESSAGES_S_MAX: Final = 100
"""From one client, on average over ten seconds [1/s]."""
HEARTBEAT_S: Final = 1.0
_HEARTBEAT_TICKS: Final = round(HEARTBEAT_S / TICK_S)

Say = Callable[[str], Awaitable[None]]
"""Sends a text to a client; it may wait, and ends when the client is gone."""


@dataclass(slots=True)
class Sub:
    """One subscription of one client.

    Args:
        name: The client's word for it, as a JSON text with a colon.
        identity: What is watched; who asks for the same shares a topic.
        topic: It.
        action: What one must be allowed to.
        tags: How many tags it has.
        known: The tick up to which the client knows.
    """

    name: bytes
    identity: Hashable
    topic: Topic
    action: str
    tags: int = 0
    known: int = 0


class Client:
    """One who watches.

    Args:
        say: Sends a text.
    """

    def __init__(self, say: Say) -> None:
        self.subs: dict[str, Sub] = {}
        self.refused: dict[str, str] = {}
        """Sentences about subscriptions that were refused and that it was not yet told of."""
        self.told = 0
        """The tick of its last frame."""
        self.skipped = 0
        """How often it was not ready when there was something to tell."""
        self._say = say
        self._frame: str | None = None
        self._ready = asyncio.Event()

    @property
    def is_busy(self) -> bool:
        """True while its last frame has not left."""
        return self._frame is not None

    @property
    def tags(self) -> int:
        """How many tags it watches."""
        return sum(sub.tags for sub in self.subs.values())

    def offer(self, frame: str) -> None:
        """Have a frame sent; called only when it is not busy."""
        self._frame = frame
        self._ready.set()

    async def feed(self) -> None:
        """Send what is offered until the client is gone."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            assert self._frame is not None
            try:
                await self._say(self._frame)
            except (WebSocketDisconnect, RuntimeError):
                return  # It has gone, or is being closed: the one who reads from it knows.
            self._frame = None


class Hub:
    """All clients and what they watch.

    Args:
        runtime: The gateway.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.clients: set[Client] = set()
        self.topics: dict[Hashable, Topic] = {}
        self.tasks = Tasks("live")
        self.tick = 0
        self._runtime = runtime
        self._began_s = runtime.clock.monotonic()
        self._fresh = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ who watches

    def join(self, say: Say) -> Client:
        """A new client; end it with `leave`.

        Raises:
            LimitError: There are too many.
        """
        if len(self.clients) >= CLIENTS_MAX:
            raise LimitError("clients_max", CLIENTS_MAX, "Close screens that nobody looks at.")
        client = Client(say)
        self.clients.add(client)
        if not self.is_running:
            self._loop = self.tasks.start("ticks", self._ticks())
        self._fresh.set()
        return client

    def leave(self, client: Client) -> None:
        """It is gone, with all it watched."""
        self.clients.discard(client)
        for key in list(client.subs):
            self.end(client, key)
        if not self.clients:
            self._fresh.set()

    def watch(
        self,
        client: Client,
        key: str,
        identity: Hashable,
        make: Callable[[], Topic],
        action: str,
        tags: int = 0,
    ) -> None:
        """Begin a subscription in the place of one of that name.

        Args:
            client: Whose.
            key: Its word for it.
            identity: What is watched.
            make: Makes the topic when nobody watches it yet.
            action: What one must be allowed to.
            tags: How many tags it has.

        Raises:
            LimitError: The client watches too much.
        """
        self.end(client, key)
        if len(client.subs) >= SUBS_MAX:
            raise LimitError("subs_max", SUBS_MAX, "End subscriptions that are not shown.")
        if client.tags + tags > TAGS_MAX:
            raise LimitError("tags_max", TAGS_MAX, "Watch fewer tags, or on two screens.")
        topic = self.topics.get(identity)
        if topic is None:
            topic = self.topics[identity] = make()
        topic.users += 1
        client.subs[key] = Sub(orjson.dumps(key) + b":", identity, topic, action, tags)
        self._fresh.set()

    def end(self, client: Client, key: str) -> None:
        """End a subscription, if there is one of that name."""
        client.refused.pop(key, None)
        sub = client.subs.pop(key, None)
        if sub is None:
            return
        sub.topic.users -= 1
        if not sub.topic.users:
            del self.topics[sub.identity]
            sub.topic.close()

    def refuse(self, client: Client, key: str, text: str) -> None:
        """Tell a client why it gets nothing."""
        self.end(client, key)
        if len(client.refused) < SUBS_MAX:
            client.refused[key] = text
        self._fresh.set()

    @property
    def is_running(self) -> bool:
        """False when an error of ours has ended the loop."""
        return self._loop is not None and not self._loop.done()

    async def stop(self) -> None:
        """End all; clients see their sockets close."""
        await self.tasks.stop()

    # ------------------------------------------------------------------ the loop

    async def _ticks(self) -> None:
        """Read what is watched and tell who watches, until nobody does."""
        while self.clients:
            await self._until_due()
            self._tell_all()

    def _now(self) -> int:
        """The tick that it is by the clock."""
        return int((self._runtime.clock.monotonic() - self._began_s) / TICK_S)

    def _wait_s(self, tick: int) -> float:
        """How long it is until a tick [s]."""
        return self._began_s + tick * TICK_S - self._runtime.clock.monotonic()

    async def _until_due(self) -> None:
        """Wait for the next tick at which something is due, or after something new was asked."""
        due = min([topic.due for topic in self.topics.values()] + [self.tick + _HEARTBEAT_TICKS])
        try:
            async with asyncio.timeout(self._wait_s(max(due, self.tick + 1))):
                await self._fresh.wait()
            # Not at once, so that one who asks without end costs no more than the ticks do.
            await asyncio.sleep(self._wait_s(max(self._now(), self.tick) + 1))
        except TimeoutError:
            pass
        self._fresh.clear()
        self.tick = max(self._now(), self.tick + 1)

    def _tell_all(self) -> None:
        """One frame for each client that is ready and for whom there is news."""
        tick = self.tick
        for topic in self.topics.values():
            if topic.due <= tick:
                topic.refresh(tick)
        now = b'{"now":%d' % self._runtime.clock.now()
        frames: dict[bytes, str] = {}
        for client in self.clients:
            if client.is_busy:
                client.skipped += 1
                continue
            parts = [now, *_parts(client)]
            if len(parts) == 1 and tick - client.told < _HEARTBEAT_TICKS:
                continue
            whole = b",".join(parts)
            if (frame := frames.get(whole)) is None:
                frame = frames[whole] = f"{whole.decode()}}}"
            client.told = tick
            client.offer(frame)


def _parts(client: Client) -> list[bytes]:
    """What a client does not know yet; it knows it from now on."""
    parts = []
    for sub in client.subs.values():
        topic = sub.topic
        if topic.at > sub.known:
            part = topic.part(sub.known)
            sub.known = topic.at
            if part is not None:
                parts.append(sub.name + part)
    for key, text in client.refused.items():
        parts.append(orjson.dumps(key) + b":" + orjson.dumps({"error": text}))
    client.refused.clear()
    return parts


class Pace:
    """Counts messages of a client, so that one that asks without end is noticed.

    Args:
        most: How many a second, on average over ten seconds.
    """

    def __init__(self, most: float = MESSAGES_S_MAX) -> None:
        self._most = most
        self._budget = most * 10
        self._at_s = -math.inf

    def is_too_much(self, at_s: float) -> bool:
        """Count one message; True when there are too many."""
        gained = min((at_s - self._at_s) * self._most, self._most * 10)
        self._budget = min(self._budget + gained, self._most * 10) - 1
        self._at_s = at_s
        return self._budget < 0


__all__ = ["MESSAGE_BYTES_MAX", "Client", "Hub", "Pace"]

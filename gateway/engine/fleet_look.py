"""Fleet look: asks every other gateway how it is, each by itself, and keeps what was heard last.

One that is dead or slow costs the others nothing: every gateway has a loop of its own, a request
ends after seconds, and who does not answer is asked less often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.data.tasks import Tasks
from gateway.engine.backoff import Backoff, with_next_try
from gateway.engine.fleet_book import Peer, Peers
from gateway.engine.fleet_wire import ASK_S, Shown, ask
from gateway.errors import ConfigError, GatewayError, Rejected
from gateway.flow.node import Clock

LOOK_S: Final = 10.0
AWAY_S: Final = 60.0
"""The longest wait before one that does not answer is asked again [s]."""
_LOOP_S: Final = 0.5
Pull = Callable[[Peer], Shown]
"""Gives what a gateway is shown; it raises ConfigError when there is no token."""


class _Says(BaseModel):
    """What another gateway says is as foreign as any input: bounded, and of the right kind."""

    model_config = ConfigDict(extra="ignore", str_max_length=2_000)


class FlowSays(_Says):
    flow: str = Field(max_length=200)
    revision: int
    sha256: str = Field(max_length=64)


class DriftSays(_Says):
    rows: list[dict[str, str]] = Field(max_length=200)
    at: int | None = None
    text: str = ""


class ScreensSay(_Says):
    scheme: Literal["", "http", "https"] = ""
    port: int = Field(default=0, ge=0, le=65_535)


class Says(_Says):
    """See `fleet_self.Mirror.summary`."""

    name: str
    version: str = Field(max_length=100)
    now: int
    uptime_s: float = Field(ge=0, allow_inf_nan=False)
    ready: bool
    why: str = ""
    unbalanced: int
    alarms: dict[str, int] = Field(max_length=20)
    open: int = Field(ge=0)
    raised: int = Field(ge=0)
    flows: list[FlowSays] = Field(max_length=2_000)
    left_out: list[str] = Field(default_factory=list, max_length=2_000)
    drift: DriftSays
    screens: ScreensSay = ScreensSay()


@dataclass(slots=True)
class Seen:
    """How another gateway was when it was asked last.

    Args:
        state: new (not asked yet), well (it answered), away (it does not), refused (it or we
            do not let the other in).
        text: Why it is not well, and when it is asked again.
        since: Since when it is in this state [ns].
        heard: When it answered last [ns]; 0 is never.
        says: Its last answer.
    """

    state: Literal["new", "well", "away", "refused"] = "new"
    text: str = ""
    since: int = 0
    heard: int = 0
    says: Says | None = None


@dataclass(slots=True)
class _Watch:
    peer: Peer
    task: asyncio.Task[Any]
    seen: Seen = field(default_factory=Seen)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)


class Lookout:
    """Asks all that are in the list.

    Args:
        peers: The list; it may change at any time.
        shown: What each is shown.
        clock: The time.
        timeout_s: How long an answer may take [s].
    """

    def __init__(self, peers: Peers, shown: Pull, clock: Clock, timeout_s: float = ASK_S) -> None:
        self._peers = peers
        self._shown = shown
        self._clock = clock
        self._timeout_s = timeout_s
        self._tasks = Tasks("fleet/look")
        self._watches: dict[str, _Watch] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        try:
            while True:
                self.follow()
                await asyncio.sleep(_LOOP_S)
        finally:
            await self._tasks.stop()

    def follow(self) -> None:
        """Watch those that are in the list now, and no others."""
        for name, watch in list(self._watches.items()):
            if self._peers.all.get(name) != watch.peer:
                watch.task.cancel()
                del self._watches[name]
        for name, peer in self._peers.all.items():
            if name not in self._watches:
                seen, hurry = Seen(), asyncio.Event()
                task = self._tasks.start(name, self._watch(peer, seen, hurry))
                self._watches[name] = _Watch(peer, task, seen, hurry)

    def seen(self, name: str) -> Seen:
        """How one was when it was asked last."""
        watch = self._watches.get(name)
        return watch.seen if watch is not None else Seen()

    def hurry(self, name: str) -> None:
        """Ask one now, for its secret was changed or a person wants to know."""
        if watch := self._watches.get(name):
            watch.hurry.set()

    async def _watch(self, peer: Peer, seen: Seen, hurry: asyncio.Event) -> None:
        backoff = Backoff(f"fleet/{peer.name}")
        while True:
            hurry.clear()
            try:
                seen.says = await look(peer, self._shown, self._timeout_s)
                seen.heard = self._clock.now()
                self._turn(seen, "well", "")
                backoff.reset()
                pause_s = LOOK_S + Backoff(peer.name).next_s()  # Fifty are not asked at once.
            except GatewayError as error:
                wait_s = min(backoff.next_s() * 2 ** min(backoff.tries // 4, 3), AWAY_S)
                pause_s = max(wait_s, 2.0)
                is_no = isinstance(error, ConfigError | Rejected)
                text = with_next_try(str(error), pause_s)
                self._turn(seen, "refused" if is_no else "away", text)
            try:
                async with asyncio.timeout(pause_s):
                    await hurry.wait()
            except TimeoutError:
                pass

    def _turn(self, seen: Seen, state: Literal["well", "away", "refused"], text: str) -> None:
        if seen.state != state:
            seen.since = self._clock.now()
        seen.state, seen.text = state, text


async def look(peer: Peer, shown: Pull, timeout_s: float = ASK_S) -> Says:
    """Ask one gateway how it is.

    Raises:
        GatewayError: See `fleet_wire.ask`.
    """
    try:
        what = await asyncio.to_thread(shown, peer)
        found = await ask(peer, what, "GET", "/api/fleet/self", timeout_s=timeout_s)
        return Says.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise Rejected(
            f"{peer.name} answers what we do not understand ({place}: {first['msg']}). "
            "Is one of both of a later version?"
        ) from error


__all__ = ["Lookout", "Pull", "Says", "Seen", "look"]

"""Fleet pusher: takes the steps of pushes, ring by ring, until each is done or all is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from gateway.data.tasks import Tasks
from gateway.engine.fleet_book import Peers
from gateway.engine.fleet_look import Pull, look
from gateway.engine.fleet_push import Member, Push, Pushes, judged
from gateway.engine.fleet_wire import ask
from gateway.errors import ConfigError, Disconnected, GatewayError, Rejected
from gateway.flow.node import Clock

_log = logging.getLogger("genba.fleet")
TRIES: Final = 5
"""How often a gateway that does not answer is tried before it counts as failed: for half a minute,
since its door is started anew whenever its certificate or its list of trust changes."""
DEPLOY_S: Final = 60.0
"""How long a gateway may take to run another flow [s]."""
_DISK_TRIES: Final = 15
"""So many waits between two tries when the disk takes nothing."""
_AT_ONCE: Final = 16
"""Gateways of a ring that are served at the same time."""
Told = Callable[[str, str, str], None]


class Pusher:
    """Carries pushes out.

    Args:
        pushes: Where they are kept.
        peers: The gateways.
        shown: What each is shown.
        clock: The time.
        say: Tells people: (level, where, sentence).
        retry_s: The wait between two tries; longer for one that must go back [s].
    """

    def __init__(
        self,
        pushes: Pushes,
        peers: Peers,
        shown: Pull,
        clock: Clock,
        say: Told,
        *,
        retry_s: float = 2.0,
    ) -> None:
        self.pushes = pushes
        self._peers = peers
        self._shown = shown
        self._clock = clock
        self._say = say
        self._retry_s = retry_s
        self._tasks = Tasks("fleet/push")
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    def resume(self) -> None:
        """Go on with what was under way when the gateway ended."""
        for name in self.pushes.damaged:
            self._say("error", "fleet", f"The push {name} is damaged and does not go on.")
        for push in self.pushes.all.values():
            owes = any(member.state == "owed" for member in push.members)
            if push.state in ("running", "stopping") or owes:
                self._begin(push)

    async def start(self, push: Push) -> None:
        """Carry a push out.

        Raises:
            ConfigError: Another push of this flow is under way, or it cannot be written down.
        """
        for other in self.pushes.all.values():
            if other.flow == push.flow and other.state in ("running", "stopping"):
                raise ConfigError(
                    f"The flow {push.flow} is being pushed to {other.group} already.",
                    hint=f"Wait, or end it: genba fleet stop {other.id}",
                )
        if push.id in self.pushes.all:
            raise ConfigError("This push was started already.")
        try:
            await self.pushes.keep(push)
        except ConfigError:
            self.pushes.all.pop(push.id, None)
            raise
        self._begin(push)

    async def stop_push(self, push: Push) -> None:
        """End a push: the ring it is in goes back.

        Raises:
            ConfigError: It has ended already.
        """
        if push.state != "running":
            raise ConfigError("This push has ended already, or is ending.")
        if task := self._running.get(push.id):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        push.state, push.text = "stopping", "A person ended it."
        await self.pushes.keep(push)
        self._begin(push)

    async def stop(self) -> None:
        """End all steps; `resume` goes on."""
        await self._tasks.stop()

    def _begin(self, push: Push) -> None:
        self._running[push.id] = self._tasks.start(push.id, self._carry(push))

    # ------------------------------------------------------------------ the steps

    async def _carry(self, push: Push) -> None:
        while True:
            try:
                if push.state == "running":
                    await self._rings(push)
                if push.state == "stopping":
                    await self._back(push)
                await self._pay(push)
                return
            except ConfigError as error:  # The disk: nothing more is done than is written down.
                wait_s = _DISK_TRIES * self._retry_s
                text = f"The push of {push.flow} waits: {error} Next try in {wait_s:.0f} s."
                self._say("error", "fleet", text)
                await asyncio.sleep(wait_s)

    async def _rings(self, push: Push) -> None:
        for ring, members in push.rings():
            if push.ring != ring:  # Each ring is watched for itself, also behind a restart.
                push.ring, push.watched_until = ring, 0
            if _those(members, "waiting", "sending", "watched"):  # Else judged before a restart.
                await self._ring(push, members)
            failed = len(_those(members, "failed"))
            if push.is_too_many(members):
                push.state = "stopping"
                push.text = (
                    f"{failed} of {len(members)} in {ring} failed; no later ring was touched."
                )
                await self.pushes.keep(push)
                return
        await self._end(push, "done", self._sum(push))

    async def _ring(self, push: Push, members: Sequence[Member]) -> None:
        if not push.watched_until:
            await self._all(self._send, push, _those(members, "waiting", "sending"))
        if _those(members, "watched") and not push.is_too_many(members):
            await self._watch(push)
            await self._all(self._judge, push, _those(members, "watched"))
        push.watched_until = 0
        await self.pushes.keep(push)

    async def _send(self, push: Push, member: Member) -> None:
        """Hand the flow to one gateway; how it was before is written down first, once."""
        try:
            if member.opened is None:
                says = await self._tried(member.name)
                if not says.ready:
                    raise Rejected(f"It was not ready before: {says.why}")
                member.opened, member.raised = says.open, says.raised
            member.state, member.text = "sending", ""
            await self.pushes.keep(push)
            done = await self._post(push, member.name, "/api/fleet/flows", TRIES)
            member.revision = int(done["revision"])
            member.state, member.text = "watched", f"Revision {member.revision} runs."
        except (Disconnected, Rejected, ConfigError) as error:
            member.state, member.text = "failed", str(error)
        await self.pushes.keep(push)

    async def _watch(self, push: Push) -> None:
        now = self._clock.now()
        if not push.watched_until:
            push.watched_until = now + round(push.rules.soak_s * 1e9)
            await self.pushes.keep(push)
        await asyncio.sleep(max(push.watched_until - now, 0) / 1e9)

    async def _judge(self, push: Push, member: Member) -> None:
        try:
            wrong = judged(push, member, await self._tried(member.name))
        except GatewayError as error:
            wrong = str(error)
        member.state = "failed" if wrong else "good"
        member.text = wrong or member.text

    # ------------------------------------------------------------------ the way back

    async def _back(self, push: Push) -> None:
        """The ring that failed runs again what it ran before; one that is away owes it."""
        members = [member for member in push.members if member.ring == push.ring]
        for member in members:
            if member.opened is not None and member.state in (
                "sending",
                "watched",
                "good",
                "failed",
            ):
                member.state = "owed"
        push.watched_until = 0
        await self.pushes.keep(push)
        await self._all(self._return, push, _those(members, "owed"))
        await self._end(push, "stopped", push.text)

    async def _return(self, push: Push, member: Member) -> None:
        why = member.text
        try:
            done = await self._post(push, member.name, "/api/fleet/flows/back", 1)
            member.state, member.text = "back", f"{why} {done['text']}".strip()
        except Disconnected as error:
            if str(error) not in why:
                member.text = f"{why} It must still go back: {error}".strip()
        except (Rejected, ConfigError) as error:
            member.state, member.text = "failed", f"{why} It did not go back: {error}".strip()
        await self.pushes.keep(push)

    async def _pay(self, push: Push) -> None:
        """Tell those that were away, whenever they come back."""
        tries = 0
        while owed := [m for m in _those(push.members, "owed") if m.name in self._peers.all]:
            await asyncio.sleep(self._retry_s * min(2**tries, 16))
            tries += 1
            await self._all(self._return, push, owed)

    # ------------------------------------------------------------------ one gateway

    async def _all(self, step: Any, push: Push, members: Sequence[Member]) -> None:
        async def placed(member: Member) -> None:
            async with self._places:
                await step(push, member)

        await asyncio.gather(*(placed(member) for member in members))
        await self.pushes.keep(push)

    async def _tried(self, name: str) -> Any:
        """How a gateway is, asked again when it does not answer."""
        return await self._again(name, lambda peer: look(peer, self._shown), TRIES)

    async def _post(self, push: Push, name: str, path: str, tries: int) -> Any:
        body = push.sealed.model_dump()

        async def post(peer: Any) -> Any:
            shown = await asyncio.to_thread(self._shown, peer)
            return await ask(peer, shown, "POST", path, body, timeout_s=DEPLOY_S)

        return await self._again(name, post, tries)

    async def _again(self, name: str, work: Callable[[Any], Any], tries: int) -> Any:
        peer = self._peers.all.get(name)
        if peer is None:
            raise ConfigError(f"{name} is not in the list of gateways any more.")
        for left in range(tries - 1, -1, -1):
            try:
                return await work(peer)
            except Disconnected:
                if not left:
                    raise
                await asyncio.sleep(self._retry_s * 2 ** (tries - 1 - left))
        raise AssertionError("unreachable")  # The last try returns or raises.

    async def _end(self, push: Push, state: Any, text: str) -> None:
        push.state, push.text, push.ring = state, text, None
        push.ended = self._clock.now()
        await self.pushes.keep(push)
        level = "info" if state == "done" else "warning"
        self._say(level, "fleet", f"The push of {push.flow} to {push.group} is {state}: {text}")

    @staticmethod
    def _sum(push: Push) -> str:
        good, failed = len(_those(push.members, "good")), len(_those(push.members, "failed"))
        return f"{good} of {len(push.members)} gateways run it." + (
            f" {failed} failed, which the rules allow." if failed else ""
        )


def _those(members: Sequence[Member], *states: str) -> list[Member]:
    return [member for member in members if member.state in states]


__all__ = ["Pusher"]

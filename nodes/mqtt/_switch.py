"""Which subscriber a message is for, and where it waits until that one is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway import ConfigError
from nodes.mqtt._intake import Intake, Part
from nodes.mqtt._topics import overlap

GRACE_S = 30.0
_ROUTES_MAX = 100_000


class Switch:
    """Sorts messages to intakes by topic.

    A broker with a stored session sends at once, before the sources had time to say what they
    want; such messages wait in a lobby. After the grace time nobody is expected any more.

    Args:
        stray: Told of a topic nobody wants and how many messages came.
        settled: Told of parts that were passed over, so that the broker is answered.
    """

    def __init__(self, stray: Callable[[str, int], None], settled: Callable[[Part], None]) -> None:
        self._stray = stray
        self._settled = settled
        self._intakes: list[Intake] = []
        self._routes: dict[bytes, Intake] = {}
        self._lobby = Intake("lobby", (), lambda topic: False)
        self._is_closed = False
        self._timer = asyncio.get_running_loop().call_later(GRACE_S, self._close_lobby)

    def add(self, intake: Intake) -> None:
        """Let a subscriber in, and hand it what waits in the lobby.

        Raises:
            ConfigError: Its filters overlap with another's: a broker may deliver such a
                message once or twice, so we could not tell copies from messages.
        """
        for other in self._intakes:
            if other is intake:
                continue
            for mine in intake.filters:
                for theirs in other.filters:
                    if overlap(mine, theirs):
                        raise ConfigError(
                            f"{mine} of {intake.name} and {theirs} of {other.name} overlap.",
                            hint="Give one of them a connection of its own.",
                        )
        if intake not in self._intakes:
            self._intakes.append(intake)
        self._routes.clear()
        waiting = list(self._lobby.queue)
        self._lobby.queue.clear()
        for part in waiting:
            if part.receipt is not None:
                part.receipt.parts -= 1
            self.sort(part)

    def former(self, name: str) -> Intake | None:
        """The intake that a source of that name left behind, if it no longer reads."""
        for intake in self._intakes:
            if intake.name == name and not intake.is_read:
                return intake
        return None

    def remove(self, intake: Intake) -> None:
        """Let a subscriber go."""
        if intake in self._intakes:
            self._intakes.remove(intake)
            self._routes.clear()

    def dismiss(self, intake: Intake) -> None:
        """Let a subscriber go for good: what waits for it is passed over."""
        self.remove(intake)
        waiting = list(intake.queue)
        intake.queue.clear()
        for part in waiting:
            self._pass_over(part)

    def sort(self, part: Part) -> None:
        """Put each message where it belongs."""
        targets = set(map(self._routes.get, part.topics))
        if None in targets:
            if len(self._routes) > _ROUTES_MAX:
                self._routes.clear()
            for topic in set(part.topics):
                self._routes.setdefault(topic, self._find(topic))
            targets = set(map(self._routes.get, part.topics))
        if len(targets) == 1:
            self._hand_over(targets.pop(), part)
            return
        rows: dict[Intake | None, list[int]] = {}
        for row, topic in enumerate(part.topics):
            rows.setdefault(self._routes[topic], []).append(row)
        pieces = [(target, part.pick(picked)) for target, picked in rows.items()]
        # The sizes of the pieces must add up to what was counted for the whole.
        pieces[0][1].size += part.size - sum(piece.size for _, piece in pieces)
        if part.receipt is not None:  # all are owed before the first can be settled
            part.receipt.parts += len(pieces)
        for target, piece in pieces:
            self._hand_over(target, piece, is_counted=True)

    def fail(self, reason: str) -> None:
        """The session is gone."""
        self._timer.cancel()
        for intake in self._intakes:
            intake.fail(reason)

    def _find(self, topic: bytes) -> Intake:
        text = topic.decode("utf-8", "replace")
        for intake in self._intakes:
            if intake.matches(text):
                return intake
        return self._lobby

    def _hand_over(self, target: Intake | None, part: Part, *, is_counted: bool = False) -> None:
        assert target is not None, "every topic has a route"
        if part.receipt is not None and not is_counted:
            part.receipt.parts += 1
        is_late = target is self._lobby and self._is_closed
        if is_late or (not target.is_read and part.receipt is None):
            self._pass_over(part)
        else:
            target.put(part)

    def _close_lobby(self) -> None:
        self._is_closed = True
        waiting = list(self._lobby.queue)
        self._lobby.queue.clear()
        for part in waiting:
            self._pass_over(part)

    def _pass_over(self, part: Part) -> None:
        for topic in dict.fromkeys(part.topics):
            self._stray(topic.decode("utf-8", "replace"), part.topics.count(topic))
        self._settled(part)


__all__ = ["GRACE_S", "Switch"]

"""What is wrong with units and blocks, told once each way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

from gateway import Event, Gap
from nodes.modbus._pdu import BadReply, DeviceError, NoReply, Refused, UnitAway
from nodes.modbus._planner import Block
from nodes.modbus._scan import Poll

Say = Callable[[Literal["debug", "info", "warning", "error"], str], None]
Key = tuple[Any, ...]


class Clock(Protocol):
    """The part of the gateway's clock that is needed here."""

    def now(self) -> int: ...

    def monotonic(self) -> float: ...


_NAMES_SHOWN = 5
_SILENT_SCANS = 3  # as many as the breaker waits for: one lost reply is a quality, not a message


class Troubles:
    """Open troubles by unit or block; makes a sentence and an event at the begin and the end.

    Args:
        source: The node's id, for the events.
        say: Says a sentence to people.
    """

    def __init__(self, source: str, say: Say) -> None:
        self._source = source
        self._say = say
        self._open: dict[Key, str] = {}

    def failed(
        self, poll: Poll, error: DeviceError, *, away: bool, retry_s: float, clock: Clock
    ) -> list[Event]:
        """A block could not be read.

        Args:
            poll: The block; it may be told not to ask again for a while.
            error: Why.
            away: True when its unit is taken for away.
            retry_s: How long a block that cannot be read is left alone [s].
            clock: The time of the event, and of the next try.
        """
        poll.failures += 1
        poll.status = error.quality
        is_heard = isinstance(error, Refused | BadReply)
        poll.cause = "refused" if is_heard else "device_silent"
        device, now = poll.block.device, clock.now()
        if isinstance(error, UnitAway) or away:
            text = (
                f"unit {device} does not answer. Is it switched on, and its unit id right? "
                f"It is asked again every {retry_s:.0f} s."
            )
            return self._begin(("unit", device), "unit/lost", {"unit": device}, text, now)
        is_illegal = isinstance(error, Refused) and error.code in (1, 2, 3)
        if isinstance(error, NoReply) and poll.failures < _SILENT_SCANS:
            return []
        if is_illegal or isinstance(error, NoReply):
            poll.retry_at = clock.monotonic() + retry_s
        block, names = poll.block, poll.names()
        text = f"unit {device} {block.words} ({_some(names)}): {error.text}."
        data = {"unit": device, "block": block.words, "tags": names}
        return self._begin(_key(block), "block/lost", data, text, now)

    def read_well(self, poll: Poll, now: int) -> list[Event]:
        """A block was read: what was wrong with it or its unit is over, and left a gap."""
        events = []
        block = poll.block
        if poll.failures:
            cause = self._open.get(_key(block)) or self._open.get(("unit", block.device))
            if poll.good_at:
                text = cause or f"unit {block.device} did not answer"
                gap = Gap(
                    self._source,
                    poll.cause,
                    poll.good_at,
                    now,
                    tags=tuple(poll.names()),
                    missing=poll.failures,
                    text=text,
                    more={"unit": block.device, "block": block.words},
                )
                events.append(gap.event())
            poll.failures = 0
        poll.good_at = now
        if self._open:
            events += self._over(block, now)
        return events

    def _over(self, block: Block, now: int) -> list[Event]:
        events = []
        for key, topic, where in (
            (("unit", block.device), "unit/back", f"unit {block.device}"),
            (_key(block), "block/back", f"unit {block.device} {block.words}"),
        ):
            if self._open.pop(key, None) is not None:
                text = f"Modbus {where} answers again."
                self._say("info", text)
                data = {"unit": block.device, "block": block.words}
                events.append(self._event(topic, data, text, now))
        return events

    def forget(self, poll: Poll) -> None:
        """The block is not read any more: smaller ones took its place."""
        self._open.pop(_key(poll.block), None)

    def _begin(
        self, key: Key, topic: str, data: dict[str, Any], text: str, now: int
    ) -> list[Event]:
        if key in self._open:
            return []
        self._open[key] = text
        self._say("warning", f"Modbus {text}")
        return [self._event(topic, data, text, now)]

    def _event(self, topic: str, data: dict[str, Any], text: str, now: int) -> Event:
        return Event(
            now,
            topic,
            {"source": self._source, **data, "text": text},
            f"{self._source}:{topic}:{now}",
        )


def _key(block: Block) -> Key:
    return (block.device, block.space, block.start, block.count)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown

"""Replay runs: recorded steps through a flow, against what was live or against an edited flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.data.alarm import AlarmEvent
from gateway.engine.replay import Player, Steps
from gateway.engine.replay_alarms import AlarmDiff
from gateway.engine.replay_ends import Eye, Ledger, NameIds, Seen
from gateway.engine.shadow import Shadow
from gateway.engine.wiring import RESUMED, Input, Result

READ_ON_NS: Final = 300 * 10**9
"""How long after the end steps may still give alarms of before it, as late samples do [ns]."""
Live = Callable[[Sequence[Input], int], Result | Seen]
"""Gives what the recorded flow gave for the inputs of a step at a time [ns]."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a replay reports: steps from `start` on and before `end` [ns]."""

    start: int
    end: int

    def __contains__(self, ts: object) -> bool:
        return isinstance(ts, int) and self.start <= ts < self.end


@dataclass
class LiveCheck:
    """A replay compared with the alarms that were recorded when it was live.

    Args:
        alarms: The recorded events (left) against those of the replay (right).
        ledger: What left the replayed flow within the span.
    """

    alarms: AlarmDiff
    ledger: Ledger

    @property
    def differences(self) -> int:
        """Alarm events that are not the same."""
        return self.alarms.differences.total

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "differences": self.differences,
            "digests": [self.ledger.digest],
            "alarms": self.alarms.as_dict(),
            "ends": [
                {"end": f"{node}.{port}", "rows": [count], "digest": digest}
                for (node, port), (count, digest) in self.ledger.ends().items()
            ],
            "written": list(self.ledger.written.items),
            "written_total": self.ledger.written.total,
        }


def check_live(
    steps: Steps, player: Player, recorded: Sequence[AlarmEvent], span: Span
) -> LiveCheck:
    """Replay what ran, and compare its alarms with those that were recorded then.

    Alarms count by their own time, which is that of the samples. So the steps are followed a
    little beyond the end: what comes late may still give an alarm of before it.

    Args:
        steps: Recorded steps, those that warm the state up included.
        player: The flow.
        recorded: Alarm events of the flow, in the order in which they were recorded.
        span: What is reported.
    """
    ids = NameIds()
    eye = Eye(player.tags, ids)
    found = LiveCheck(AlarmDiff(), Ledger(ids, player.writes))
    found.alarms.add(0, (event for event in recorded if event.ts in span), span.end)
    for inputs, now in steps:
        if now >= span.end + READ_ON_NS:
            break
        result = player.step(inputs, now)
        for _, events in result.alarms:
            found.alarms.add(1, (event for event in events if event.ts in span), now)
        if now in span:
            found.ledger.take(now, eye.see(result))
    found.alarms.settle(span.end, close=True)
    return found


def until_end(steps: Steps, span: Span) -> Iterator[tuple[Sequence[Input], int]]:
    """The steps before the end of a span, and one at its end for the timers due by then.

    That one is left out where the gateway was off, or nothing is recorded that late: a timer
    that would have fired then did not.
    """
    for inputs, now in steps:
        if now >= span.end:
            if not inputs or inputs[0][:2] != RESUMED:
                yield [], span.end - 1
            return
        yield inputs, now


def check_edit(steps: Steps, live: Live, shadow: Shadow, span: Span) -> None:
    """Replay what ran, with an edited flow as its shadow; `shadow.compared` has the outcome.

    Args:
        steps: Recorded steps, those that warm the state up included.
        live: The flow that ran: `Player.step`, or `Beside.step` in a process of its own.
        shadow: The edited flow.
        span: What is reported.
    """
    for inputs, now in until_end(steps, span):
        shadow.step(inputs, now, live(inputs, now), counted=now >= span.start)
        if shadow.disabled:
            break
    shadow.close()


__all__ = ["READ_ON_NS", "Live", "LiveCheck", "Span", "check_edit", "check_live", "until_end"]

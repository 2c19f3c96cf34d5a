"""Numbers that publishers count their messages with: holes are seen, second copies dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from gateway import Context, Gap
from nodes.mqtt._refusals import Refusals

Verdict = Literal["next", "gap", "again", "restart"]
AGAIN_MAX = 10_000  # a number this far back or more is a publisher that counts anew
PUBLISHERS_MAX = 1_000


class Sequences:
    """The last number of each publisher.

    Publishers beyond `PUBLISHERS_MAX` push out the one that was silent longest.

    >>> sequences = Sequences()
    >>> [sequences.look("press1", n)[0] for n in (7, 8, 8, 11, 0, 1)]
    ['next', 'next', 'again', 'gap', 'restart', 'next']
    >>> [sequences.look("press1", n, sent_again=True)[0] for n in (0, 1, 2)]
    ['again', 'again', 'next']
    """

    def __init__(self, last: Mapping[str, int] | None = None) -> None:
        self._last = dict(last or {})
        self.pushed_out = 0

    def look(self, publisher: str, number: int, *, sent_again: bool = False) -> tuple[Verdict, int]:
        """What a number means, and the number that came before it.

        Zero or one after more, or a long way back, is a publisher that started anew; unless
        the broker says that it sends the message again: then it is the old one, however old.

        Args:
            publisher: Who counts.
            number: Its number.
            sent_again: The broker had sent this very message before.
        """
        last = self._last.pop(publisher, None)
        verdict: Verdict = "next"
        if last is None:
            if len(self._last) >= PUBLISHERS_MAX:
                self._last.pop(next(iter(self._last)))
                self.pushed_out += 1
            last = number - 1
        elif number > last + 1:
            verdict = "gap"
        elif number <= last:
            started_anew = number < last and (number <= 1 or last - number >= AGAIN_MAX)
            verdict = "restart" if started_anew and not sent_again else "again"
        self._last[publisher] = last if verdict == "again" else number
        return verdict, last

    def save(self) -> dict[str, int]:
        """All last numbers, as plain values."""
        return dict(self._last)


class Counting:
    """Tells of what is missing in the counts of publishers.

    Args:
        ctx: Counts, and the names of tags.
        refusals: Takes the gaps.
        last: The last number of each publisher, as `save` gave it.
    """

    def __init__(self, ctx: Context, refusals: Refusals, last: Mapping[str, int] | None) -> None:
        self.sequences = Sequences(last)
        self._ctx = ctx
        self._refusals = refusals
        self._heard: dict[str, int] = {}
        self._forgotten = 0

    def _forget(self) -> None:
        if not self._forgotten:
            self._ctx.say(
                "warning",
                f"More than {PUBLISHERS_MAX:,} publishers count their messages: those silent "
                "longest are forgotten, and a second copy or a hole of theirs is not seen. Use "
                "several sources, each with a part of the topics.",
            )
        self._ctx.count("publishers_forgotten", self.sequences.pushed_out - self._forgotten)
        self._forgotten = self.sequences.pushed_out

    def is_again(
        self,
        publisher: str,
        number: int,
        ts: int,
        codes: Sequence[int],
        *,
        sent_again: bool = False,
    ) -> bool:
        """Whether a message is a second copy; holes before it are told.

        Args:
            publisher: Who counts.
            number: What it counted.
            ts: Time of the message's samples [ns].
            codes: Their tags.
            sent_again: The broker had sent this very message before.
        """
        verdict, last = self.sequences.look(publisher, number, sent_again=sent_again)
        if self.sequences.pushed_out > self._forgotten:
            self._forget()
        if verdict == "again":
            self._ctx.count("again")
            return True
        before = self._heard.pop(publisher, ts)
        self._heard[publisher] = ts
        if len(self._heard) > PUBLISHERS_MAX:
            self._heard.pop(next(iter(self._heard)))
        if verdict != "next":
            is_hole = verdict == "gap"
            self._ctx.count("sequence_gaps" if is_hole else "sequence_restarts")
            self._refusals.gap(
                Gap(
                    self._ctx.node_id,
                    "sequence" if is_hole else "publisher_restarted",
                    min(before, ts),
                    ts,
                    tags=tuple(self._ctx.tags.name(code) for code in dict.fromkeys(codes)),
                    missing=number - last - 1 if is_hole else 0,
                    more={"publisher": publisher, "last": last, "next": number},
                )
            )
        return False

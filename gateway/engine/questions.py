"""Questions: which of those that wait for a worker may be asked now.

Questions of one key are answered in their order, one after another; those of other keys beside
them. What is asked, and what is answered but not yet in the journal, is remembered here, so that
another revision of the flow can go on with it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from gateway.engine.lane import Block, Waiting
from gateway.engine.outbox import Outbox
from gateway.engine.wiring import rows

AHEAD_MAX: Final = 256
"""So far behind the oldest question another may be that is asked before it is answered."""


class Questions:
    """The questions of one worker that are on their way, and the next one.

    Args:
        outbox: Where they wait.
    """

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self._asked: set[int] = set()
        """Numbers of those that the worker has now."""
        self._answered: dict[int, int] = {}
        """Rows of those whose answer is on its way to the journal, by number."""
        self._refused: set[int] = set()
        """Of these the ones that are dead letters."""

    def take_over(self, before: Questions) -> None:
        """Go on with the questions of another, whose loop ends before this one's begins.

        What it has answered is not asked again; what it asks when it ends is.
        """
        options, self.outbox = self.outbox.options, before.outbox
        self.outbox.options = options
        self._answered, self._refused = before._answered, before._refused

    def next(self, key_of: Callable[[Waiting], str]) -> Waiting | Block | None:
        """The oldest question that may be asked; a block that must be read to know it.

        Args:
            key_of: What a question is ordered by.
        """
        busy: set[str] = set()
        for found in islice(self.outbox.lane().ahead(), AHEAD_MAX):
            if isinstance(found, Block):
                return found
            if found.number in self._answered:
                continue
            key = key_of(found)
            if key not in busy and found.number not in self._asked:
                return found
            busy.add(key)
        return None

    def ask(self, question: Waiting) -> None:
        """The worker has it now."""
        self._asked.add(question.number)

    def drop(self, question: Waiting) -> None:
        """The worker has it no more; without an answer it is asked again."""
        self._asked.discard(question.number)

    def refuse(self, question: Waiting) -> None:
        """It is kept as a dead letter, and done with once that is in the journal."""
        self._refused.add(question.number)

    def answer(self, question: Waiting) -> None:
        """Its answer is on its way to the journal."""
        self._answered[question.number] = rows(question.message)

    def journalled(self, number: int) -> None:
        """Its answer is on the disk: it leaves the queue."""
        count = self.outbox.taken_one(number, self._answered.pop(number, 1))
        if number in self._refused:
            self._refused.discard(number)
            self.outbox.take_back(count, "", dead=True)


__all__ = ["AHEAD_MAX", "Questions"]

"""Chunks: an answer piece by piece, as events, while the model still writes."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway import Ask, Context, Event, Generated, Give

EVERY_S: Final = 0.1
"""What a model writes in so long is one piece: a person reads no faster, and each is stored."""


class Chunks:
    """The pieces of the answer to one question.

    A piece has ``id`` (of the question), ``seq``, ``at`` (characters before it), ``text`` and
    ``last``. A piece of seq 0 begins the answer anew: what came before of it was cut off, by
    another model that had to answer, or by a restart.

    Args:
        key: Names the question.
        event: What is asked about.
        topic: Of the pieces.
        name: Names the answer; the ids of the pieces begin with it.
        give: Hands a piece on.
        ctx: Of the node.
    """

    def __init__(
        self, key: str, event: Event, topic: str, name: str, give: Give, ctx: Context
    ) -> None:
        self._key = key
        self._event = event
        self._topic = topic
        self._name = name
        self._give = give
        self._ctx = ctx
        self._text = ""
        self._said = ""
        self._seq = 0
        self._over = asyncio.Event()
        self._filled = asyncio.Event()

    async def generate(self, ask: Ask) -> Generated:
        """Ask a model, and hand on what it writes while it writes."""
        self._text, self._said, self._seq = "", "", 0
        self._over.clear()
        answer, told = await asyncio.gather(self._asked(ask), self._tell(), return_exceptions=True)
        for found in (answer, told):
            if isinstance(found, BaseException):
                raise found
        assert isinstance(answer, Generated), "it has answered"
        return answer

    async def _asked(self, ask: Ask) -> Generated:
        try:
            return await self._ctx.generate(ask, self._add)
        finally:
            self._over.set()
            self._filled.set()

    def _add(self, text: str) -> None:
        self._text += text
        self._filled.set()

    async def _tell(self) -> None:
        while not self._over.is_set():
            await self._filled.wait()
            self._filled.clear()
            if self._text:
                text, self._text = self._text, ""
                await self._give({"chunks": (self._piece(text),)})
                await self._pause()

    async def _pause(self) -> None:
        """Let the model write some more, but not longer than it does."""
        try:
            async with asyncio.timeout(EVERY_S):
                await self._over.wait()
        except TimeoutError:
            pass

    def _piece(self, text: str, *, last: bool = False, cut: bool = False) -> Event:
        data = {"id": self._key, "seq": self._seq, "at": len(self._said), "text": text}
        data["last"] = last
        if cut:
            data["cut"] = True
        event = Event(self._event.ts, self._topic, data, f"{self._name}/{self._seq}")
        self._said += text
        self._seq += 1
        return event

    def last(self, text: str) -> Event:
        """The last piece, which makes the answer whole."""
        if not text.startswith(self._said):  # What was said so far is not what counts.
            self._said, self._seq = "", 0
        return self._piece(text[len(self._said) :], last=True)

    async def cut(self) -> None:
        """There will be no answer: end what was begun."""
        if self._seq:
            await self._give({"chunks": (self._piece("", last=True, cut=True),)})


__all__ = ["EVERY_S", "Chunks"]

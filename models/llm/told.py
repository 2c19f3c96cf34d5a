"""Told: bytes of tokens as text that can be shown at once: whole characters, and no part of an end.

A token may end in the middle of a character, and a text in the middle of a mark that ends it.
llama-cpp-python's own stream puts the whole text together anew for each token, which grows with
its square, and after one byte that belongs to no character loses all others cut over two tokens.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class Told:
    """One answer on its way.

    Args:
        stops: What ends it, and is no part of it.
    """

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._held = ""
        self.is_ended = False
        """Whether one of the stops has come."""

    def take(self, data: bytes) -> str:
        """What can be told after these bytes.

        >>> told = Told(["<end>"])
        >>> [told.take(part) for part in (b"a\\xc2", b"\\xb5 <e", b"m> <en", b"d> b")]
        ['a', 'µ ', '<em> ', '']
        >>> told.is_ended
        True
        """
        return "" if self.is_ended else self._cut(self._held + self._decoder.decode(data))

    def rest(self) -> str:
        """What is left when no more bytes come."""
        if self.is_ended:
            return ""
        text = self._cut(self._held + self._decoder.decode(b"", final=True)) + self._held
        self._held = ""
        return text

    def _cut(self, text: str) -> str:
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.is_ended, self._held = True, ""
            return text[: min(found)]
        keep = max((_begun(text, stop) for stop in self._stops), default=0)
        told, self._held = text[: len(text) - keep], text[len(text) - keep :]
        return told


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of a text may be the begin of a stop."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)


__all__ = ["Told"]

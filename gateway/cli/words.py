"""Text on its way to a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Without control characters: a device chose these words, and a terminal obeys some.

    >>> printable("a\\x1b[2Jb")
    'a�[2Jb'
    """
    return "".join(c if c.isprintable() else "�" for c in text)

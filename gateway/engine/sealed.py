"""Sealed: a text that is stored with a checksum over it and over the key it stands under.

SQLite finds damage to the structure of its file, not to what stands in it: one flipped bit
makes a tag's name or a source's position another one. So texts are sealed, and one whose seal
is broken is a record that is lost, with a word, and never a good value.
"""

from __future__ import annotations

import zlib

from gateway.errors import StateError


def seal(text: str, *key: object) -> str:
    """The text with its seal; the key is what names the row.

    >>> seal('{"row": 5}', "flow", "node")
    '{"row": 5}\\nd0db238b'
    """
    return f"{text}\n{_sum(text, key)}"


def unseal(stored: str, *key: object) -> str:
    """The text that was sealed under this key.

    Raises:
        StateError: It is damaged, or was never sealed.
    """
    text, _, found = stored.rpartition("\n")
    if found != _sum(text, key):
        raise StateError("A stored text is damaged: its checksum does not fit.")
    return text


def _sum(text: str, key: tuple[object, ...]) -> str:
    whole = "\n".join((*map(str, key), text)).encode("utf-8", "surrogatepass")
    return f"{zlib.crc32(whole):08x}"

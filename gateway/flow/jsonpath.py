"""JSON paths: where something stands in a JSON document, as keys and list positions with dots."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

import orjson

MISSING: Final = object()
"""What a path gives that leads nowhere; None is a value of its own, JSON's null."""
PARTS_MAX: Final = 32


class JsonPath:
    """A path such as ``trade.price`` or ``rows.0.value``; the empty one is the whole document.

    A text on the way that is JSON itself is looked into, such as the ``text`` of a raw message.

    Args:
        text: The path. A dot inside a key is written ``\\.``.

    Raises:
        ValueError: A part of it is empty, or it has too many.

    >>> JsonPath("rows.1.a").find({"rows": [1, {"a": 5}]})
    5
    >>> JsonPath("a.b").find({"a": 1}) is MISSING
    True
    >>> JsonPath(r"net\\.peer.ip").find({"net.peer": {"ip": "::1"}})
    '::1'
    """

    def __init__(self, text: str) -> None:
        self.text = text
        parts = text.replace("\\.", "\0").split(".") if text else []
        self.parts: Final = tuple(part.replace("\0", ".") for part in parts)
        if not all(self.parts) or len(self.parts) > PARTS_MAX:
            raise ValueError(
                f"{text!r} is no path: write keys and list positions with dots, such as "
                f"trade.price or rows.0 ({PARTS_MAX} parts at most)."
            )

    def find(self, data: Any) -> Any:
        """What stands there; `MISSING` when the path leads nowhere."""
        for key in self.parts:
            if isinstance(data, str):
                data = _parsed(data)
            if isinstance(data, Mapping) and key in data:
                data = data[key]
            elif isinstance(data, list | tuple) and key.isdecimal() and _is_in(key, data):
                data = data[int(key)]
            else:
                return MISSING
        return data


def _is_in(key: str, items: list[Any] | tuple[Any, ...]) -> bool:
    """Whether there is such a position; a number of a thousand digits is not even read."""
    return len(key) < 10 and int(key) < len(items)


@functools.lru_cache(maxsize=1)  # The paths of one event share what is parsed.
def _parsed(text: str) -> Any:
    """What a text holds as JSON; `MISSING` when it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return MISSING


__all__ = ["MISSING", "JsonPath"]

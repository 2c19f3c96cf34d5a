"""Doors: the paths below ``/hook/`` that nodes answer, and who answers at each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway.errors import ConfigError
from gateway.flow.inbound import GiveBack, OnCall, OnLine

PATH: Final = re.compile(r"[A-Za-z0-9_-]{1,64}(?:/[A-Za-z0-9_-]{1,64}){0,7}\Z")
PREFIX: Final = "/hook/"
BODY_BYTES_MAX: Final = 4_000_000
"""No node may ask for larger bodies."""
LINES_MAX: Final = 200
"""WebSockets that may be open to all nodes together."""


@dataclass(frozen=True, slots=True)
class Door:
    """A path and who answers there.

    Args:
        owner: ``flow/node``.
        on_call: Answers requests; None where there are none.
        on_line: Serves WebSockets; None where there are none.
        body_bytes_max: The largest body of a request.
    """

    owner: str
    on_call: OnCall | None
    on_line: OnLine | None
    body_bytes_max: int


class Doors:
    """All paths that are answered now."""

    def __init__(self) -> None:
        self._doors: dict[str, Door] = {}
        self.lines = 0
        """WebSockets that are open."""

    def find(self, path: str) -> Door | None:
        """Who answers at a path, without the prefix."""
        return self._doors.get(path)

    def open(self, path: str, door: Door) -> GiveBack:
        """Answer at a path; returns what ends it.

        Raises:
            ConfigError: The path is none, or somebody answers there already.
        """
        if not PATH.match(path):
            raise ConfigError(
                f"{path!r} is no path.", hint="Write letters, digits, - and _, such as orders/new."
            )
        taken = self._doors.get(path)
        if taken is not None:
            raise ConfigError(
                f"{PREFIX}{path} is answered by {taken.owner}.", hint="Choose another path."
            )
        self._doors[path] = door

        def give_back() -> None:
            if self._doors.get(path) is door:
                del self._doors[path]

        return give_back


__all__ = ["BODY_BYTES_MAX", "LINES_MAX", "PATH", "PREFIX", "Door", "Doors"]

"""Inbound: what comes to a node over HTTP, when the gateway is the server.

A node asks its context for a path (`Context.serve`) and gives functions that answer. It sees a
request, never a server: the API checks sizes and hands it on, whoever serves it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a path of a node.

    Args:
        method: POST or PUT.
        headers: By their names in lower case; no cookies of ours are among them.
        query: What stands behind the question mark; of several of a name the last.
        body: Its bytes, no more than the node said.
        address: Where it came from.
    """

    method: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    address: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node answers.

    Args:
        status: Of HTTP, such as 200.
        text: A sentence for who asked.
        headers: More headers, such as Retry-After.
    """

    status: int
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Line(Protocol):
    """A WebSocket that somebody opened to a path of a node."""

    headers: Mapping[str, str]
    query: Mapping[str, str]
    address: str

    async def receive(self) -> str | bytes:
        """The next message. Raises Disconnected when the other side has gone."""

    async def send(self, message: str | bytes) -> None:
        """Send a message; waits while the other side is slow. Raises Disconnected."""

    async def close(self, code: int, text: str) -> None:
        """End it with a code of WebSocket, such as 1008, and a reason."""


OnCall = Callable[[Call], Awaitable[Answer]]
OnLine = Callable[[Line], Awaitable[None]]
"""Serves a WebSocket; when it returns the socket is closed."""
GiveBack = Callable[[], None]

__all__ = ["Answer", "Call", "GiveBack", "Line", "OnCall", "OnLine"]

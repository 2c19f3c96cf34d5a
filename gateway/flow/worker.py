"""Worker: a node that is slow or remote; one of the five kinds, see `gateway.flow.node`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar, Generic, TypeAlias

from gateway.flow.node import C, M, Node
from gateway.flow.port import Outputs

Give: TypeAlias = Callable[[Outputs], Awaitable[None]]
"""Hands on a part of an answer; waits while the flow is behind."""


class Worker(Node[C], Generic[C, M]):
    """Slow or remote: a language model, a lookup. Its answers re-enter as journalled input."""

    kind = "worker"
    each: ClassVar[bool] = False
    """True when each event is a question of its own, also of several that come together."""

    def parallel(self) -> int:
        """How many questions may be under way at once; `handle` is then called side by side."""
        return 1

    def key(self, message: M) -> str:
        """What a question is ordered by where several are under way.

        Questions of one key are asked in their order, one after the answer to another.
        """
        return ""

    async def connect(self) -> None:
        """Get ready. Raises Disconnected or ConfigError."""

    async def handle(self, message: M, port: str) -> Outputs:
        """Answer one message. Raises Disconnected (tried again) or Rejected (dead letter)."""
        raise NotImplementedError

    async def answer(self, message: M, port: str, give: Give) -> Outputs:
        """Answer one message, and before the answer is whole `give` parts of it.

        Parts are journalled as they are given. A question whose answer is cut off by a crash or
        a lost link is asked again as a whole, and then its parts are given again.
        """
        return await self.handle(message, port)

    async def close(self) -> None:
        """Let go of what `connect` took."""


__all__ = ["Give", "Worker"]

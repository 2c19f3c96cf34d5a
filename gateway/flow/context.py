"""What the engine lends a node, and what a node may keep: protocols only."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from numpy.typing import NDArray

from gateway.data.tag import TagTable
from gateway.flow.config import Secret
from gateway.flow.generate import Ask, Generated, OnChunk
from gateway.flow.inbound import GiveBack, OnCall, OnLine

K = TypeVar("K")


class Clock(Protocol):
    """The time, for the shell only; transforms get theirs from the step."""

    def now(self) -> int:
        """Wall clock [ns since 1970-01-01 UTC] that never steps back."""

    def monotonic(self) -> float:
        """Seconds since some start; unaffected by changes of the wall clock."""


class Context(Protocol):
    """What the engine lends a node."""

    node_id: str
    flow: str
    tags: TagTable
    clock: Clock
    now: int
    """The time of the step that runs [ns]: the only time a transform may know."""
    position: Any
    """For a source: the position stored with its last committed reading, or None."""
    number: int
    """For a sink: the number of the message that is written now, in its outbox. A restart gives
    each message the number that it had."""
    data_dir: Path
    """A folder of the gateway's own, for certificates and files; relative paths start here."""

    def connection(self, kind: type[K], name: str) -> K:
        """The shared connection of that name; ConfigError if it is absent or of another kind."""

    def secret(self, ref: Secret) -> str:
        """The secret behind a reference; ConfigError if it is not set."""

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a destination of the web; connect to one of them, not to the name.

        Raises ConfigError when an administrator has not allowed it, Disconnected when the name
        is not known.
        """

    async def generate(self, ask: Ask, on_chunk: OnChunk | None = None) -> Generated:
        """A language model's answer.

        Raises ConfigError when no model may answer this, Rejected when the model never will,
        Disconnected when none can just now.
        """

    def serve(
        self,
        path: str,
        *,
        on_call: OnCall | None = None,
        on_line: OnLine | None = None,
        body_bytes_max: int = 65_536,
    ) -> GiveBack:
        """Answer at ``/hook/<path>`` of the gateway until what is returned is called.

        Raises ConfigError when the path is taken.
        """

    def figures(self) -> Mapping[str, float]:
        """How the gateway itself is, as numbers by name: ``ready``, ``alarms/open`` and others.

        For a source: what it reads is journalled, so that a replay sees the same.
        """

    def count(self, name: str, n: int = 1) -> None:
        """Add to a counter of this node, shown in metrics and status."""

    def say(self, level: Literal["debug", "info", "warning", "error"], text: str) -> None:
        """One line for people: what happened, where, what to do next."""

    def show(self, text: str, key: str, *, is_over: bool = False) -> None:
        """A line of the live view that takes the place of the one with the same key before.

        For what is still being written; nothing of it goes to the log.
        """

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> Awaitable[Any]:
        """Run a coroutine beside the node; it ends with the node and its errors are shown."""


class Part(Protocol):
    """State that a node keeps besides its per-tag arrays, such as a ring or a kernel."""

    def save(self) -> Mapping[str, NDArray[Any]]:
        """A copy of the state as arrays."""

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take the state back; ValueError when it does not fit."""

"""Every error a caller can act on, drawn as one tree.

GatewayError
├── ConfigError      what the user wrote is wrong       found by lint, before anything runs
├── Disconnected     the world is away                  the engine backs off and connects again
├── Rejected         the other side refuses these rows  dead-lettered, never retried blindly
├── LimitError       a stated limit is reached          the message names the limit
├── StateError       stored state does not fit          the node starts fresh, loudly
└── FaultError       our own code is wrong              the node stops, the flow goes on
"""

from __future__ import annotations


class GatewayError(Exception):
    """The root: catch this to catch everything Genba raises on purpose."""


class ConfigError(GatewayError):
    """What the user wrote is wrong; the message says where and what to do.

    Args:
        text: What is wrong, in one sentence.
        where: The place, such as ``press.flow.yaml:12 nodes.clean.band``.
        hint: What to do next.
    """

    def __init__(self, text: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        head = f"{self.where}: {self.text}" if self.where else self.text
        return f"{head} {self.hint}" if self.hint else head


class Disconnected(GatewayError):  # noqa: N818 - the word of the design, for the world
    """The other side is away; the engine tries again.

    Args:
        text: What happened and where, without a promise of when.
        retry_after_s: Wait at least this long before the next try [s].
    """

    def __init__(self, text: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class Rejected(GatewayError):  # noqa: N818 - the word of the design, for the world
    """The other side refuses these rows for good; they go to the dead letters."""


class LimitError(GatewayError):
    """A stated limit is reached.

    Args:
        name: The limit's name, such as ``tags_max``.
        limit: Its value.
        text: What to raise or to reduce.
    """

    def __init__(self, name: str, limit: int, text: str) -> None:
        super().__init__(f"{text} ({name} is {limit})")
        self.name = name
        self.limit = limit


class StateError(GatewayError):
    """Stored state does not fit this node; it starts fresh."""


class FaultError(GatewayError):
    """Our own code is wrong: the node is stopped and its input kept for a test."""

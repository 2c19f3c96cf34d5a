"""Sift: find the rows of a message that a sink refuses, so that the others need not suffer.

A step makes messages of thousands of rows; one row that a receiver does not take must not cost
its neighbours. Halves, and halves of halves, are written until the row is found.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from gateway.data.windows import Windows
from gateway.errors import ConfigError, Disconnected
from gateway.flow.node import Message
from gateway.flow.notation import concat

TRIES_MAX: Final = 200
"""So many writes for one message; what is refused after that is refused as it is."""


async def sift(
    write: Callable[[Message, str], Awaitable[None]], message: Message, port: str, error: str
) -> list[tuple[Message, str]]:
    """Write a message that was refused as a whole, in parts and in order.

    Args:
        write: The sink's.
        message: What it refused, or on what it failed.
        port: Its input.
        error: Why.

    Returns:
        The parts that it refuses, each with the reason.

    Raises:
        Disconnected: It went away meanwhile; what was taken until then will come again.
    """
    refused: list[tuple[Message, str]] = []
    parts = _halves(message)
    if not parts:
        return [(message, error)]
    tries = 0
    was_refused = False
    while parts:
        part = parts.pop()
        tries += 1
        try:
            await write(part, port)
        except (Disconnected, ConfigError, TimeoutError):
            raise
        except Exception as reason:  # noqa: BLE001 - a fault is as good as a refusal here
            smaller = _halves(part) if tries < TRIES_MAX else []
            if smaller:
                parts += smaller
            else:
                text = str(reason) or repr(reason)
                if was_refused and refused[-1][1] == text:  # Neighbours are one letter.
                    whole = concat([refused.pop()[0], part])
                    part = part if whole is None else whole
                refused.append((part, text))
                was_refused = True
        else:
            was_refused = False
    return refused


def _halves(message: Message) -> list[Message]:
    """A message in two, the second first; none where it cannot be cut."""
    middle = len(message) // 2
    if not middle or isinstance(message, Windows):
        return []
    if isinstance(message, tuple):
        return [message[middle:], message[:middle]]
    return [message.where(slice(middle, None)), message.where(slice(0, middle))]

"""Pace: how many messages are one reading, when a message may be one row or hundreds."""

from __future__ import annotations

from collections.abc import Iterable

from nodes.mqtt._intake import Part

READ_ROWS_MAX = 5_000
"""Rows of one reading, about: what is decoded and stored without a break holds up all others."""


class Pace:
    """Learns from one reading how many messages the next may have."""

    def __init__(self) -> None:
        self.messages_max = 100
        self.passed_over = 0
        """Rows that were decoded since the last reading and left out, as second copies are."""

    def took(self, parts: Iterable[Part], rows: int) -> None:
        """A reading was made of these parts and has so many rows."""
        messages = sum(len(part.topics) for part in parts)
        decoded, self.passed_over = self.passed_over + rows, 0
        self.messages_max = max(READ_ROWS_MAX * messages // max(decoded, messages), 1)

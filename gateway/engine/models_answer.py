"""What a model of either kind does for the pool, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.flow.generate import Ask

OnPiece = Callable[[str], None]
_ASCII_PER_TOKEN: Final = 4.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with what it took.

    Args:
        text: The answer.
        tokens_in: Length of the question [tokens].
        tokens_out: Length of the answer [tokens].
        is_cut: Whether it ended only because it had reached its longest.
        note: What else there is to say about how it came.
    """

    text: str
    tokens_in: int
    tokens_out: int
    is_cut: bool = False
    note: str = ""


class Answerer(Protocol):
    """A model that can be asked."""

    async def answer(self, ask: Ask, on_piece: OnPiece, left_s: float) -> Answer:
        """The answer, within the time that is left [s].

        Raises:
            ConfigError: It is not set up rightly.
            Rejected: It will never answer this.
            Disconnected: It does not answer now.
        """

    async def warm(self) -> None:
        """Be ready to answer soon."""

    async def close(self) -> None:
        """End what runs."""

    @property
    def state(self) -> str:
        """One word, or a sentence where something is wrong."""

    @property
    def waiting(self) -> int:
        """Questions that wait."""


def tokens_of(text: str) -> int:
    """About how many tokens a text has, where nobody has counted.

    >>> tokens_of("a word or two"), tokens_of("振動が上がる")
    (4, 7)
    """
    plain = sum(c < "\u0250" for c in text)
    return int(plain / _ASCII_PER_TOKEN) + (len(text) - plain) + 1


def length_of(ask: Ask) -> int:
    """About how many tokens a question has."""
    return sum(tokens_of(text) + 4 for _, text in ask.messages)


__all__ = ["Answer", "Answerer", "OnPiece", "length_of", "tokens_of"]

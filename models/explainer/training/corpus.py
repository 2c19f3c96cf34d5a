"""Corpus: pairs of what the model is told and what it should write."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pair:
    """One example.

    Args:
        prompt: Words of the closed vocabulary with a space between.
        text: With slots.
    """

    prompt: str
    text: str

"""A login by a provider that came to nothing, in one of nine words."""

from __future__ import annotations

from typing import Literal

from gateway.engine.principal import Denied

Why = Literal["again", "early", "away", "refused", "wrong", "role", "taken", "disabled", "full"]


class RefusedError(Denied):
    """A login by the provider that came to nothing.

    Args:
        why: In one word, which the login page has a sentence for.
        text: For the audit: what exactly was wrong.
    """

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why


__all__ = ["RefusedError", "Why"]

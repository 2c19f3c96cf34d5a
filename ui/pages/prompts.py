"""Prompts: what flows ask language models, its versions, and the rules that choose it."""

from __future__ import annotations

from ui.shell import N_, screen
from ui.system.element import System


@screen("/prompts", N_("Prompts"), needs="flow.read", menu=False)
async def prompts() -> None:
    """The library of prompts."""
    System("prompts")


__all__ = ["prompts"]

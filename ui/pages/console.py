"""Console: what nodes say and show, line by line, as it happens."""

from __future__ import annotations

from ui.shell import N_, screen
from ui.system.element import Console


@screen("/console", N_("Console"), needs="status.read")
async def console() -> None:
    """The newest lines."""
    Console()


__all__ = ["console"]

"""Connections: every connection to a device or a server, and how it is."""

from __future__ import annotations

from ui.shell import N_, screen
from ui.system.element import System


@screen("/connections", N_("Connections"), needs="flow.read")
async def connections() -> None:
    """Every connection to a device or a server, and how it is."""
    System("connections")


__all__ = ["connections"]

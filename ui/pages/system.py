"""System: machine, journal, books, gaps, dead letters, versions and licences."""

from __future__ import annotations

from ui.shell import N_, screen
from ui.system.element import System


@screen("/system", N_("System"), needs="status.read")
async def system() -> None:
    """Machine, journal, books, gaps, dead letters, versions and licences."""
    System("system")


__all__ = ["system"]

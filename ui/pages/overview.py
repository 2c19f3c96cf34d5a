"""Overview: how the plant and the gateway are, at a glance."""

from __future__ import annotations

from ui.dashboard.element import Overview
from ui.shell import N_, screen


@screen("/", N_("Overview"))
async def overview() -> None:
    """The first page."""
    Overview()


__all__ = ["overview"]

"""Trends: tags over time, with their alarms and gaps."""

from __future__ import annotations

from ui.dashboard.element import Trends
from ui.shell import N_, screen


@screen("/trends", N_("Trends"), needs="tag.read", full=True)
async def trends() -> None:
    """Which tags and which time is in the address: ``?tags=a,b&window=600`` or ``&at=``."""
    Trends()


__all__ = ["trends"]

"""Alarms: what an operator looks at first, at any hour."""

from __future__ import annotations

from ui.alarms.element import Alarms
from ui.shell import N_, screen


@screen("/alarms", N_("Alarms"), needs="alarm.read")
async def alarms() -> None:
    """Open alarms; hidden and past ones a touch away."""
    Alarms()


@screen("/alarms/kpi", N_("Key figures of alarms"), needs="alarm.read", menu=False)
async def figures() -> None:
    """How good the alarm system itself is."""
    Alarms("kpi")


__all__ = ["alarms", "figures"]

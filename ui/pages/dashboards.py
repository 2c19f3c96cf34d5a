"""Dashboards: screens that an engineer puts together from widgets."""

from __future__ import annotations

from nicegui import context

from ui.dashboard.element import Boards
from ui.session import me
from ui.shell import N_, screen


@screen("/dashboards", N_("Dashboards"), needs="dashboard.read")
async def dashboards() -> None:
    """All that one may see."""
    Boards(may_edit="dashboard.edit" in me().may)


@screen("/dashboards/{name}", N_("Dashboards"), needs="dashboard.read", menu=False, full=True)
async def dashboard(name: str) -> None:
    """One of them; ``?kiosk=1`` shows it without the frame."""
    is_kiosk = context.client.request.query_params.get("kiosk") == "1"
    may_edit = "dashboard.edit" in me().may and not is_kiosk
    Boards(name, may_edit=may_edit, may_act="alarm.act" in me().may, is_kiosk=is_kiosk)


__all__ = ["dashboard", "dashboards"]

"""Elements of trends, overview and dashboards: each is one component of the browser code."""

from __future__ import annotations

from nicegui import ui

from ui.assets import component, modules


class Trends(ui.element, component=component("trend"), esm=modules()):
    """Tags over time, by history and live; which ones is in the address of the page."""


class Overview(ui.element, component=component("overview"), esm=modules()):
    """How the plant and the gateway are, at a glance."""


class Boards(ui.element, component=component("dashboard"), esm=modules()):
    """A dashboard, or the list of them.

    Args:
        name: Which; empty for the list.
        may_edit: Who looks may change it, which the API enforces.
        may_act: They may acknowledge alarms.
        is_kiosk: Without the frame, for a panel on a wall.
    """

    def __init__(
        self,
        name: str = "",
        *,
        may_edit: bool = False,
        may_act: bool = False,
        is_kiosk: bool = False,
    ) -> None:
        super().__init__()
        self._props.update(
            {"name": name, "may-edit": may_edit, "may-act": may_act, "is-kiosk": is_kiosk}
        )


__all__ = ["Boards", "Overview", "Trends"]

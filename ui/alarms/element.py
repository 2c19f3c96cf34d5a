"""The component of the alarms pages."""

from __future__ import annotations

from typing import Literal

from nicegui import ui

from ui.assets import component, modules
from ui.session import me


class Alarms(ui.element, component=component("alarms"), esm=modules()):
    """Open, hidden and past alarms, and the key figures of the alarm system.

    Args:
        view: What is shown first, when the address does not say.
    """

    def __init__(self, view: Literal["open", "kpi"] = "open") -> None:
        super().__init__()
        self._props.update({"may": sorted(me().may), "view": view})


__all__ = ["Alarms"]

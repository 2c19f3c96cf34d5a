"""The component of the pages about the gateway itself."""

from __future__ import annotations

from typing import Literal, TypeAlias

from nicegui import ui

from ui.assets import component, modules
from ui.session import me

Page: TypeAlias = Literal["system", "connections", "fleet", "prompts", "users", "account"]


class System(ui.element, component=component("system"), esm=modules()):
    """One of the pages about the gateway itself.

    Args:
        page: Which.
    """

    def __init__(self, page: Page) -> None:
        super().__init__()
        who = me()
        self._props.update({"page": page, "may": sorted(who.may), "actor": who.name})


class Console(ui.element, component=component("console"), esm=modules()):
    """The newest lines of all nodes, live."""


__all__ = ["Console", "System"]

"""Flows: the list of all, and the editor of one."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from ui.assets import component, modules
from ui.editor.desk import editor_of
from ui.editor.keeping import name_of
from ui.editor.sessions import open_now, open_session
from ui.session import api, me
from ui.shell import N_, screen


class FlowList(ui.element, component=component("flows"), esm=modules()):
    """All flows with what they do right now; it asks the API itself."""

    def __init__(self) -> None:
        super().__init__()
        people: dict[str, Any] = {
            flow: sorted({name_of(tab.actor) for tab in session.tabs})
            for flow, session in open_now().items()
        }
        self._props.update({"may": sorted(me().may), "open": people})


@screen("/flows", N_("Flows"), needs="flow.read")
async def flows() -> None:
    """All flows."""
    FlowList()


@screen("/flows/{name}", N_("Flow editor"), needs="flow.read", menu=False, full=True)
async def flow(name: str) -> None:
    """The editor of one flow."""
    editor_of(await open_session(name, api()))


__all__ = ["flow", "flows"]

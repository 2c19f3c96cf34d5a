"""Panel: the form of what is selected, kept in step with what others do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nicegui import background_tasks, ui

from ui.editor.form import Form, form
from ui.i18n import _

if TYPE_CHECKING:
    from ui.editor.desk import Desk


class Panel:
    """The tab Node of the right panel.

    Args:
        desk: Whose.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._node = ""
        self._level = ""
        self._form: Form | None = None
        self.container = ui.element("div").classes("ed-form")
        self._say(_("Select a node to see and change its settings."))

    async def show(self, ids: list[str], level: str = "") -> None:
        """The form of the one node that is selected."""
        node = ids[0] if len(ids) == 1 and self._desk.fields(ids[0], level) is not None else ""
        if node and (node, level) == (self._node, self._level):
            return
        self._node, self._level = node, level
        if node:
            await self._build()
        elif len(ids) > 1:
            self._say(_("{n} nodes are selected.", n=len(ids)))
        else:
            self._say(_("Select a node to see and change its settings."))

    async def refresh(self) -> None:
        """Show the node as it is now."""
        self.heard("patch", {})

    def heard(self, what: str, values: Any) -> None:
        """The flow was edited by somebody, or lint has looked at it: the form shows what is new."""
        if not self._node:
            return
        if self._desk.fields(self._node, self._level) is None:
            self._node = ""
            with self._desk.editor:
                self._say(_("This node is not there any more."))
        elif self._form is not None and not self._form.heard():
            with self._desk.editor:
                background_tasks.create(self._build(), name="form")

    async def _build(self) -> None:
        self._form = None
        self.container.clear()
        with self.container:
            self._form = await form(self._desk, self._node, self.container, self._level)

    def _say(self, text: str) -> None:
        self._form = None
        self.container.clear()
        with self.container:
            ui.label(text).classes("ed-hint")


__all__ = ["Panel"]

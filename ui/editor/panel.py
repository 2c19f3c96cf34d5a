"""Panel: the form of what is selected, kept in step with what others do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nicegui import background_tasks, ui

from ui.editor.form import form
from ui.editor.patch import same
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
        self._shown: Any = None
        self.container = ui.element("div").classes("ed-form")
        self._say(_("Select a node to see and change its settings."))

    async def show(self, ids: list[str]) -> None:
        """The form of the one node that is selected."""
        node = ids[0] if len(ids) == 1 and self._desk.fields(ids[0]) is not None else ""
        if node == self._node and node:
            return
        self._node = node
        if node:
            await self._build()
        elif len(ids) > 1:
            self._say(_("{n} nodes are selected.", n=len(ids)))
        else:
            self._say(_("Select a node to see and change its settings."))

    async def refresh(self) -> None:
        """Build the form anew where the node is not as it is shown."""
        if not self._node:
            return
        fields = self._desk.fields(self._node)
        if fields is None:
            self._node = ""
            self._say(_("This node is not there any more."))
        elif not same(fields, self._shown):
            await self._build()

    def heard(self, what: str, values: Any) -> None:
        """The flow was edited, by this form, by hand or by somebody else."""
        rows = values.get("delta", {}) if what == "patch" else {}
        parts = ("nodes", "connections")
        if self._node and any(self._node in rows.get(part, {}) for part in parts):
            background_tasks.create(self._follow(), name="form")

    def own(self) -> None:
        """The form itself has just changed the node: what it shows is what there is."""
        self._shown = self._desk.fields(self._node)

    async def _follow(self) -> None:
        with self._desk.editor:
            await self.refresh()

    async def _build(self) -> None:
        self._shown = self._desk.fields(self._node)
        self.container.clear()
        with self.container:
            await form(self._desk, self._node, self.container)

    def _say(self, text: str) -> None:
        self.container.clear()
        with self.container:
            ui.label(text).classes("ed-hint")


__all__ = ["Panel"]

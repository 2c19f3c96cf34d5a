"""Element: the canvas with everything around it, as one component on the page."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from ui.assets import component, modules


class FlowEditor(ui.element, component=component("editor"), esm=modules()):
    """The editor in the browser. It shows what it is told and asks for every change.

    It emits ``op`` (something is to be done), ``step`` (undo or redo), ``select`` and ``ask`` (a
    question with a number, answered by `answer`). What NiceGUI puts into it is the form of the
    selected node.

    Args:
        props: What it begins with; later changes come by `say`.
    """

    def __init__(self, props: dict[str, Any]) -> None:
        super().__init__()
        self._props.update(props)

    def say(self, what: str, values: Any) -> None:
        """Tell the browser something: patch, presence, saved, problems, rival, deployed, …"""
        self.run_method("hear", what, values)

    def answer(self, number: int, is_good: bool, values: Any) -> None:
        """Answer a question, or say why not."""
        self.run_method("answer", number, is_good, values)


__all__ = ["FlowEditor"]

"""Form: the settings of one node, made from what its class says of them.

The browser has one component for the whole form. It gets the controls once, then what changes,
and asks for every change by a path and a value; so an edit of somebody else, or a finding, never
throws away what somebody is typing. Values of tags, secrets, trials of connections and browsing
go between the browser and the API, and not through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from gateway.errors import ConfigError, GatewayError
from gateway.flow.spec import find_spec
from gateway.flow.spec_data import plain
from gateway.flow.subflow import FAMILY, subflow_of
from ui.assets import component, modules
from ui.editor import form_edit
from ui.editor.form_asks import ASKS
from ui.editor.form_context import context_of
from ui.editor.form_schema import Control, controls_of, outbox_controls
from ui.editor.form_subflow import instance_controls
from ui.editor.level import level_of
from ui.editor.patch import same
from ui.editor.tree import Fields, Tree
from ui.session import me

if TYPE_CHECKING:
    from ui.editor.desk import Desk


class NodeForm(ui.element, component=component("form"), esm=modules()):
    """The form in the browser.

    It emits ``do`` (a change or a question with a number, answered by `answer`).

    Args:
        props: The node, its controls, and what it begins with.
    """

    def __init__(self, props: dict[str, Any]) -> None:
        super().__init__()
        self._props.update(props)

    def hear(self, values: Mapping[str, Any]) -> None:
        """Tell the browser what has changed."""
        self.run_method("hear", values)

    def answer(self, number: int, is_good: bool, values: Any) -> None:
        """Answer, or say why not."""
        self.run_method("answer", number, is_good, values)


class Form:
    """The form of one node in one tab, kept in step with what anybody does to it.

    Args:
        desk: The tab.
        node: Id of a node or a connection that there is.
        level: The subflow in which it stands; empty for the flow itself.
    """

    def __init__(self, desk: Desk, node: str, level: str = "") -> None:
        self.desk = desk
        self.node = node
        self.level = level
        self._known: set[tuple[str, str]] = set()
        self._told: dict[str, Any] = {}
        fields = self.fields
        spec = find_spec(str(fields["type"]))
        kind = subflow_of(str(fields["type"]))
        subflow = desk.session.tree["subflows"].get(kind or "")
        self._controls = self.controls()
        self.element = NodeForm(
            {
                "flow": desk.session.flow,
                "node": node,
                "type": str(fields["type"]),
                "kind": spec.kind if spec is not None else FAMILY if kind is not None else "",
                "about": spec.summary if spec is not None else (subflow or {}).get("about", ""),
                "controls": self._controls,
                "outbox": outbox_controls(),
                "examples": [
                    {"title": example.title, "config": plain(example.config)}
                    for example in (spec.examples if spec is not None else ())
                ],
                "is_known": spec is not None or subflow is not None,
                "may": sorted(me().may),
                "now": self._news(),
            }
        )
        self.element.on("do", self._do)

    @property
    def fields(self) -> Fields:
        """The node as it is.

        Raises:
            ConfigError: It is not there any more.
        """
        found = self.desk.fields(self.node, self.level)
        if found is None:
            raise ConfigError(f"There is no node {self.node!r} any more.")
        return found

    @property
    def tree(self) -> Tree:
        """The flow, or the inside of the subflow in which the node stands."""
        return level_of(self.desk.session.tree, self.level)

    def controls(self) -> list[Control]:
        """The controls of the node; of an instance of a subflow those of its parameters."""
        kind = str(self.fields["type"])
        return instance_controls(self.desk.session.tree, kind) or controls_of(kind) or []

    def heard(self) -> bool:
        """The flow was edited, or lint has looked at it; False when there are other options now."""
        with suppress(ConfigError):  # It is gone; the panel says so.
            if not same(self.controls(), self._controls):
                return False
            if news := self._news():
                self.element.hear(news)
        return True

    def check(self, fields: Fields) -> list[form_edit.Problem]:
        """What is wrong with the node, if it was so."""
        linted = self.desk.problems(self.node, self.level)
        return form_edit.all_problems(fields, linted, self._known)

    def _news(self) -> dict[str, Any]:
        """What differs from what the browser was told last."""
        fields = self.fields
        now = {
            "fields": form_edit.shown(fields),
            "wide": form_edit.expanded(fields),
            "problems": self.check(fields),
            "context": context_of(self.desk.session, self.tree, self.node),
        }
        before, self._told = self._told, now
        return {key: value for key, value in now.items() if not same(before.get(key), value)}

    async def _do(self, event: GenericEventArguments) -> None:
        number, what = int(event.args["id"]), str(event.args["what"])
        ask = ASKS.get(what)
        try:
            if ask is None:
                raise ConfigError(f"The form cannot {what!r}.", hint="Reload the page.")
            values = await ask(self, dict(event.args.get("args") or {}))
        except (GatewayError, KeyError, TypeError, ValueError) as error:
            self.element.answer(number, False, str(error))
            return
        self.element.answer(number, True, values)


async def form(desk: Desk, node: str, container: ui.element, level: str = "") -> Form | None:
    """Build the form of a node or a connection into a container.

    Args:
        desk: The tab that asks.
        node: Its id.
        container: Empty, and entered.
        level: The subflow in which it stands; empty for the flow itself.

    Returns: the form, to be told when the flow was edited; None where there is no such node.
    """
    return Form(desk, node, level) if desk.fields(node, level) is not None else None


__all__ = ["Form", "NodeForm", "form"]

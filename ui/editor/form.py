"""Form: the settings of one node, made from what its class says of them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from nicegui import ui
from nicegui.events import GenericEventArguments
from ruamel.yaml import YAML

from gateway.errors import ConfigError
from gateway.flow.spec import Field, find_spec
from gateway.flow.yaml_read import read
from ui.i18n import _

if TYPE_CHECKING:
    from ui.editor.desk import Desk


async def form(session: Desk, node_id: str, container: ui.element) -> None:
    """Build the form of a node or a connection into a container.

    Args:
        session: The tab that asks: `Desk.fields`, `Desk.problems`, `Desk.edit`, `Desk.api`.
        node_id: Its id.
        container: Empty, and entered.
    """
    fields = session.fields(node_id)
    if fields is None:
        return
    spec = find_spec(str(fields["type"]))
    _Form(session, node_id, fields).build(list(spec.fields) if spec is not None else [])


class _Form:
    """One form."""

    def __init__(self, desk: Desk, node: str, fields: dict[str, Any]) -> None:
        self._desk = desk
        self._node = node
        self._fields = fields
        self._may = desk.tab.may_edit

    def build(self, known: list[Field]) -> None:
        self._head()
        for row in self._desk.problems(self._node):
            if not row["field"]:
                mark = "g-bad" if row["severity"] == "error" else "g-uncertain"
                ui.label(f"{row['text']} {row['hint']}").classes(f"ed-said {mark}")
        plain = [field for field in known if not field.advanced]
        for field in plain:
            self._row(field)
        if len(plain) < len(known):
            with ui.element("details").classes("ed-more"):
                with ui.element("summary"):
                    ui.label(_("More settings"))
                for field in known:
                    if field.advanced:
                        self._row(field)

    def _head(self) -> None:
        ui.label(str(self._fields["type"])).classes("ed-type g-mono")
        self._line(
            _("Name"), "", self._node, lambda text: {"op": "rename", "id": self._node, "to": text}
        )
        self._line(
            _("About"),
            _("A sentence for those who come after you."),
            str(self._fields.get("about", "")),
            lambda text: self._set("about", text),
        )

    def _set(self, name: str, value: Any) -> dict[str, Any]:
        return {"op": "set", "id": self._node, "fields": {name: value}}

    def _row(self, field: Field) -> None:
        value = self._fields.get(field.name)
        label = field.label + (f" [{field.unit}]" if field.unit else "")
        if field.required:
            label += " *"
        default = "" if field.default is None else _text(field.default)
        shown = "" if value is None else _text(value)
        if field.widget == "select":
            self._choice(label, field, value)
        elif field.widget == "switch":
            self._switch(label, field, value)
        else:
            is_long = field.widget in ("list", "table", "group", "yaml", "tags")
            self._line(
                label,
                field.sentence,
                shown,
                lambda text: self._set(field.name, _value(text, field)),
                hint=default,
                is_long=is_long,
            )
        for row in self._desk.problems(self._node):
            if row["field"].partition(".")[0] == field.name:
                ui.label(f"{row['text']} {row['hint']}").classes("ed-said g-bad")

    def _choice(self, label: str, field: Field, value: Any) -> None:
        with ui.element("label").classes("ed-field"):
            ui.label(label)
            select = ui.element("select").classes("g-input")
            select.props(f"aria-label={_quoted(label)}" + ("" if self._may else " disabled"))
            with select:
                for choice in ("", *map(str, field.choices)):
                    option = ui.element("option").props(f"value={_quoted(choice)}")
                    default = "" if field.default is None else str(field.default)
                    option._text = choice or _("default: {value}", value=default or "–")
            select._props["value"] = "" if value is None else str(value)

            async def changed(event: GenericEventArguments) -> None:
                text = select._props["value"] = str(event.args)
                chosen = next((c for c in field.choices if str(c) == text), None)
                await self._send(self._set(field.name, chosen))

            select.on("change", changed, js_handler="(e) => emit(e.target.value)")
            _sentence(field.sentence)

    def _switch(self, label: str, field: Field, value: Any) -> None:
        is_on = bool(field.default if value is None else value)
        with ui.element("label").classes("ed-field ed-check"):
            box = ui.element("input").props("type=checkbox")
            box._props["checked"] = is_on
            ui.label(label)

            async def changed(event: GenericEventArguments) -> None:
                box._props["checked"] = bool(event.args)
                await self._send(self._set(field.name, bool(event.args)))

            box.on("change", changed, js_handler="(e) => emit(e.target.checked)")
        _sentence(field.sentence)

    def _line(
        self,
        label: str,
        sentence: str,
        value: str,
        op: Any,
        *,
        hint: str = "",
        is_long: bool = False,
    ) -> None:
        with ui.element("label").classes("ed-field"):
            ui.label(label)
            line = ui.element("textarea" if is_long else "input").classes("g-input")
            if is_long:
                line.props(f"rows={min(max(value.count(chr(10)) + 2, 3), 12)}")
            line._props["value"] = value
            line._props["placeholder"] = hint
            line._props["aria-label"] = label
            line._props["disabled"] = not self._may
            _sentence(sentence)

            async def changed(event: GenericEventArguments) -> None:
                line._props["value"] = str(event.args)  # Else the next update puts it back.
                try:
                    wanted = op(str(event.args).strip())
                except ConfigError as error:
                    ui.notify(str(error), type="negative")
                    return
                await self._send(wanted)

            line.on("change", changed, js_handler="(e) => emit(e.target.value)")

    async def _send(self, op: dict[str, Any]) -> None:
        if await self._desk.edit(op) is not None:
            self._desk.panel.own()


def _sentence(text: str) -> None:
    if text:
        ui.label(text).classes("ed-about")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "'") + '"'


def _text(value: Any) -> str:
    """A value as a person writes it into the flow file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    out = io.StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.dump(value, out)
    return out.getvalue().strip()


def _value(text: str, field: Field) -> Any:
    """What a person wrote; None where they left it empty.

    Raises:
        ConfigError: It is no YAML.
    """
    if not text:
        return None
    if field.widget in ("text", "expression", "tag", "connection"):
        return text
    if field.widget == "tags" and "\n" not in text and not text.startswith(("[", "- ")):
        return text
    return read(f"value: {text}" if "\n" not in text else _nested(text), field.label).value["value"]


def _nested(text: str) -> str:
    return "value:\n" + "\n".join(f"  {line}" for line in text.splitlines())


__all__ = ["form"]

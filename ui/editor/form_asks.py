"""Form asks: what a form wants to have done or to know, each by its name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import ConfigError
from gateway.flow.document import Document
from ui.editor import form_edit
from ui.editor.form_context import config_of
from ui.editor.ops_nodes import free_name
from ui.engine import path_of

if TYPE_CHECKING:
    from ui.editor.form import Form

Args = dict[str, Any]


async def put(form: Form, args: Args) -> None:
    """Change one value: ``path`` and ``value``; null takes it away."""
    name, value = form_edit.changed(form.fields, _path(args), args.get("value"))
    await _set(form, {name: value})


async def many(form: Form, args: Args) -> None:
    """Change several values as one step: ``changes``, each with ``path`` and ``value``."""
    fields = dict(form.fields)
    touched: dict[str, Any] = {}
    for change in args["changes"]:
        name, value = form_edit.changed(fields, _path(change), change.get("value"))
        fields[name] = touched[name] = value
    await _set(form, touched)


async def rekey(form: Form, args: Args) -> None:
    """Give a row of a table another key: ``path`` and ``to``."""
    name, value = form_edit.rekeyed(form.fields, _path(args), str(args["to"]).strip())
    await _set(form, {name: value})


async def check(form: Form, args: Args) -> list[form_edit.Problem]:
    """What would be wrong if a value were so; nothing is changed."""
    fields = dict(form.fields)
    name, value = form_edit.changed(fields, _path(args), args.get("value"))
    if value is None:
        fields.pop(name, None)
    else:
        fields[name] = value
    return form.check(fields)


async def rename(form: Form, args: Args) -> None:
    """Give the node another name."""
    await _edit(form, {"op": "rename", "id": form.node, "to": str(args["to"]).strip()})


async def disable(form: Form, args: Args) -> None:
    """Switch the node off or on."""
    await _edit(form, {"op": "disable", "ids": [form.node], "on": bool(args["on"])})


async def example(form: Form, args: Args) -> None:
    """Take over the settings of an example; the connection that is chosen stays."""
    fields = form.fields
    wanted = dict(args["config"])
    if "connection" in wanted:
        wanted["connection"] = fields.get("connection")
    gone = dict.fromkeys(key for key in config_of(fields) if key not in wanted)
    await _set(form, {**gone, **wanted})


async def connection(form: Form, args: Args) -> str:
    """Make a new connection and choose it; returns its name."""
    kind = str(args["type"])
    name = free_name(form.tree, str(args.get("id") or f"{kind.partition('.')[0]}1"))
    option, value = form_edit.changed(form.fields, _path(args), name)
    ops = [
        {"op": "add", "type": kind, "id": name},
        {"op": "set", "id": form.node, "fields": {option: value}},
    ]
    await _edit(form, {"op": "many", "ops": ops})
    return name


async def reach(form: Form, args: Args) -> None:
    """Set an option of a connection from the form of a node that uses it: ``id``, ``option``,
    ``value``; null takes it away."""
    fields = {str(args["option"]): args.get("value")}
    await _edit(form, {"op": "set", "id": str(args["id"]), "fields": fields})


async def show(form: Form, args: Args) -> None:
    """Show the form of another node or connection."""
    form.desk.editor.say("select", {"ids": [str(args["id"])], "in": form.level})


async def export(form: Form, args: Args) -> dict[str, str]:
    """The tags of the node as a table, and a name for the file."""
    answer = await _table(form, {"csv": None})
    return {"csv": answer["csv"], "name": f"{form.desk.session.flow}-{form.node}.csv"}


async def take(form: Form, args: Args) -> dict[str, Any]:
    """Put a table into the tags of the node: ``csv`` and ``mode``; or say what is wrong by row."""
    mode = "replace" if args.get("mode") == "replace" else "merge"
    answer = await _table(form, {"csv": str(args["csv"]), "mode": mode})
    text = answer.pop("text")
    if text is not None and not args.get("only_look"):
        document = Document.parse(text, "tags")
        await _set(form, {"tags": dict(document.nodes[form.node].config["tags"])})
    return {**answer, "is_good": text is not None}


async def _table(form: Form, more: Mapping[str, Any]) -> dict[str, Any]:
    session = form.desk.session
    if form.level:
        raise ConfigError(
            "Tags of a node inside a subflow are no table.", hint="Write them here, line by line."
        )
    body = {"text": session.document.text(), "node": form.node, **more}
    answer = await form.desk.api.post(path_of("api", "flows", session.flow, "tags"), body)
    return dict(answer)


async def _set(form: Form, fields: Mapping[str, Any]) -> None:
    await _edit(form, {"op": "set", "id": form.node, "fields": dict(fields)})


async def _edit(form: Form, op: Mapping[str, Any]) -> None:
    """Do it.

    Raises:
        ConfigError: It was refused; the editor has said why.
    """
    if await form.desk.edit({"in": form.level, **op}) is None:
        raise ConfigError("")


def _path(args: Mapping[str, Any]) -> form_edit.Path:
    return tuple(step if isinstance(step, int) else str(step) for step in args["path"])


ASKS: Final[dict[str, Callable[[Form, Args], Awaitable[Any]]]] = {
    "set": put,
    "many": many,
    "rekey": rekey,
    "check": check,
    "rename": rename,
    "disable": disable,
    "example": example,
    "connection": connection,
    "reach": reach,
    "show": show,
    "export": export,
    "take": take,
}

__all__ = ["ASKS"]

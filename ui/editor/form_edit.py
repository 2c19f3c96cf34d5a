"""Form edits: one change of one value somewhere inside the options of a node.

A form says a path and a value, and not the whole option, so that two people who change two rows
of one table both keep what they wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from gateway.errors import ConfigError
from gateway.flow import registry
from gateway.flow.entries import RESERVED
from gateway.flow.findings import config_problems
from gateway.flow.node import Node
from gateway.flow.spec_data import plain
from ui.editor.tree import COMMENT, Fields

Path = tuple[str | int, ...]
Problem = dict[str, Any]
"""``path`` (list of steps), ``severity``, ``text`` and ``hint``."""


def changed(fields: Fields, path: Path, value: Any) -> tuple[str, Any]:
    """The option that a change is in, and what it is after it.

    Args:
        fields: Of the node, as written.
        path: Steps to the value; the step behind the last item of a list adds one.
        value: The new value; None takes it away, so that its default counts.

    Raises:
        ConfigError: There is no such place any more.

    >>> changed({"tags": {"a": {"unit": "m"}}}, ("tags", "a", "unit"), "Cel")
    ('tags', {'a': {'unit': 'Cel'}})
    """
    if not path or not isinstance(path[0], str):
        raise ConfigError("This change names no option.", hint="Reload the page.")
    wide = _wide(fields, path)
    return path[0], _put(wide, path[1:], value)


def rekeyed(fields: Fields, path: Path, key: str) -> tuple[str, Any]:
    """The same with another key in a table; its place stays.

    Raises:
        ConfigError: The key is empty or taken, or the row is gone.
    """
    table = _at(fields, path[:-1])
    before = path[-1]
    if not isinstance(table, Mapping) or before not in table:
        raise ConfigError("This row is not there any more.", hint="Somebody may have deleted it.")
    if not key:
        raise ConfigError("A row needs a name.")
    if key != before and key in table:
        raise ConfigError(f"There is a row {key!r} already.")
    new = {key if name == before else name: item for name, item in table.items()}
    return changed(fields, path[:-1], new)


def _at(value: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        is_there = isinstance(value, Mapping) and step in value
        if isinstance(value, list) and isinstance(step, int):
            is_there = 0 <= step < len(value)
        if not is_there:
            return None
        value = value[step]
    return value


def _put(old: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        items = list(old) if isinstance(old, list | tuple) else []
        if step > len(items):
            raise ConfigError("This item is not there any more.", hint="Look at the list again.")
        if value is None and not rest:
            return items[:step] + items[step + 1 :]
        before = items[step] if step < len(items) else None
        items[step : step + 1] = [_put(before, rest, value)]
        return items
    table = dict(old) if isinstance(old, Mapping) else {}
    if value is None and not rest:
        table.pop(step, None)
        return table
    table[step] = _put(table.get(step), rest, value)
    return table


# ---------------------------------------------------------------------- rows in a short form


def _wide(fields: Fields, path: Path) -> Any:
    """The option that is changed; a row of it in a short form as a mapping, if it is gone into."""
    name = str(path[0])
    value = fields.get(name)
    if len(path) < 3 or not isinstance(value, Mapping):
        return value
    row = value.get(path[1])
    if row is None or isinstance(row, Mapping | list):
        return value
    kind = _row_kinds(_class(fields)).get(name)
    return value if kind is None else {**value, path[1]: _expanded(kind, row)}


def expanded(fields: Fields) -> dict[str, dict[str, Any]]:
    """Rows of tables that are written in a short form, with their options apart.

    Returns: by the option and the key; a row that cannot be read is its first option as it
    stands, so that it can be mended there.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, kind in _row_kinds(_class(fields)).items():
        table = fields.get(name)
        if not isinstance(table, Mapping):
            continue
        rows = {
            key: _expanded(kind, row) for key, row in table.items() if not isinstance(row, Mapping)
        }
        if rows:
            found[name] = rows
    return found


def _expanded(kind: type[BaseModel], row: Any) -> dict[str, Any]:
    try:
        valid = TypeAdapter(kind).validate_python(row)
    except ValidationError:
        return {} if row is None else {next(iter(kind.model_fields)): plain(row)}
    return dict(valid.model_dump(mode="json", exclude_defaults=True))


def _row_kinds(cls: type[Node[Any]] | None) -> dict[str, type[BaseModel]]:
    """The options that are tables whose rows have options."""
    found = {}
    for name, field in cls.Config.model_fields.items() if cls is not None else ():
        inside = get_args(field.annotation)
        is_table = get_origin(field.annotation) is dict and len(inside) == 2
        if is_table and isinstance(inside[1], type) and issubclass(inside[1], BaseModel):
            found[name] = inside[1]
    return found


def _class(fields: Fields) -> type[Node[Any]] | None:
    try:
        return registry.node_class(str(fields.get("type", "")))
    except ConfigError:
        return None


# ---------------------------------------------------------------------- what is wrong


def problems(fields: Fields) -> list[Problem]:
    """What the Config itself says, at once; what needs the whole flow is for lint.

    An option with a variable in it is left to lint, which knows the value.
    """
    cls = _class(fields)
    if cls is None:
        return []
    config = {key: v for key, v in fields.items() if key != COMMENT and key not in RESERVED}
    open_ = {key for key, value in config.items() if _has_variable(value)}
    return [
        {"path": list(path), "severity": "error", "text": text, "hint": hint}
        for path, text, hint in config_problems(cls.Config, config)
        if not open_ or (path and path[0] not in open_)
    ]


def _has_variable(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_variable, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_variable, value))
    return isinstance(value, str) and "${" in value


def all_problems(
    fields: Fields, linted: Sequence[Mapping[str, Any]], known: set[tuple[str, str]]
) -> list[Problem]:
    """What the Config says, and what lint says besides.

    Lint comes a moment after each edit and repeats what the Config says; of that the Config is
    right already when it is mended.

    Args:
        fields: Of the node.
        linted: Findings of this node: ``severity``, ``field``, ``text``, ``hint``.
        known: (option, text) of all that the Config has said of this node; grows.
    """
    found = problems(fields)
    known |= {(str(row["path"][0]) if row["path"] else "", row["text"]) for row in found}
    for row in linted:
        field = str(row["field"])
        if (field.partition(".")[0], row["text"]) not in known:
            kept = {key: row[key] for key in ("severity", "text", "hint")}
            found.append({"path": _path_of(fields, field), **kept})
    return found


def _path_of(fields: Fields, field: str) -> list[str | int]:
    """The steps of a path that lint wrote with dots; names of tags may have dots themselves."""
    path: list[str | int] = []
    value: Any = fields
    rest = field
    while rest:
        if isinstance(value, Mapping):
            names = [str(k) for k in value if rest == str(k) or rest.startswith(f"{k}.")]
            name = max(names, key=len, default=rest.partition(".")[0])
        else:
            name = rest.partition(".")[0]
        rest = rest[len(name) + 1 :]
        step: str | int = int(name) if isinstance(value, list) and name.isdigit() else name
        value = _at(value, (step,))
        path.append(step)
    return path


def shown(fields: Fields) -> Fields:
    """The fields as the browser gets them."""
    return {str(key): plain(value) for key, value in fields.items() if key != COMMENT}


__all__ = ["Path", "Problem", "all_problems", "changed", "expanded", "problems", "rekeyed", "shown"]

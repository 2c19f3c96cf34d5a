"""The tags of a node as a table: out to a spreadsheet, and back with an error for each row.

A line a tag; the columns are the options a tag has in this kind of node, so a family needs to do
nothing for it. What is the same after the way through a spreadsheet stays as it was written.

Source: RFC 4180 (CSV); OWASP, CSV Injection (cells that a spreadsheet takes for formulas).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from gateway.errors import ConfigError
from gateway.flow.config import TagName
from gateway.flow.document import Document
from gateway.flow.findings import config_problems, near

ROWS_MAX: Final = 65_535
ERRORS_MAX: Final = 200
CELL_CHARS_MAX: Final = 4_096
TAG: Final = "tag"
ADDRESS: Final = "address"
"""The second column where a tag has nothing but an address."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_NUMBER: Final = re.compile(r"[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?\Z")
_COMMA: Final = re.compile(r"[-+]?\d+,\d+\Z")
Mode = Literal["merge", "replace"]


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with one row.

    Args:
        row: Its number as a spreadsheet shows it; the header is 1.
        column: The column, or empty for the row as a whole.
        text: What is wrong and what to do.
    """

    row: int
    column: str
    text: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a table.

    Args:
        text: The flow with the new tags; None when a row is wrong.
        errors: What is wrong, by row; the first 200.
        added: How many tags are new.
        changed: How many have other options.
        removed: How many are gone.
    """

    text: str | None
    errors: tuple[RowError, ...] = ()
    added: int = 0
    changed: int = 0
    removed: int = 0


def export(document: Document, node: str) -> str:
    """The tags of a node as CSV, with a column for each option that a tag may have.

    Raises:
        ConfigError: There is no such node, or it lists no tags.
    """
    kind = _kind_of(document, node)
    columns = _columns(kind)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([TAG, *columns])
    for name, written in _tags(document, node).items():
        values = _values(kind, written)
        writer.writerow([_safe(name), *(_cell(values.get(column)) for column in columns)])
    return out.getvalue()


def take(document: Document, node: str, text: str, mode: Mode = "merge") -> Taken:
    """Put the tags of a table into a node.

    Args:
        document: The flow, as written.
        node: A node that lists tags.
        text: CSV with a header; commas, semicolons or tabs. With semicolons 0,5 is 0.5.
        mode: merge (other tags stay) or replace (they go).

    Raises:
        ConfigError: There is no such node, it lists no tags, or this is no table.
    """
    kind = _kind_of(document, node)
    before = _tags(document, node)
    header, rows, has_commas = _table(text)
    errors = [RowError(1, name, hint) for name, hint in _unknown(header, _columns(kind))]
    found: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for number, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        if len(errors) >= ERRORS_MAX:
            break  # Saying why takes longer than taking it.
        given = dict(zip(header, map(_plain, cells), strict=False))
        name = given.pop(TAG, "").strip()
        wrong = list(_row(kind, name, given, has_commas, found))
        if name in lines:
            wrong.append((TAG, f"{name} stands in row {lines[name]} already."))
        lines.setdefault(name, number)
        errors += [RowError(number, column, said) for column, said in wrong]
    if errors:
        return Taken(None, tuple(errors[:ERRORS_MAX]))
    same = {
        name: before[name]
        for name, new in found.items()
        if name in before and _values(kind, before[name]) == _values(kind, new)
    }
    kept = before if mode == "merge" else {}
    tags = {**kept, **found, **same}
    return Taken(
        document.with_config({node: {"tags": tags}}).text(),
        added=len(found.keys() - before.keys()),
        changed=len(found.keys() & before.keys()) - len(same),
        removed=len(before.keys() - tags.keys()),
    )


# ---------------------------------------------------------------------- the kind of a tag


def _kind_of(document: Document, node: str) -> Any:
    """What a tag of the node is: a model, or a text."""
    if node not in document.nodes:
        raise ConfigError(f"There is no node {node!r}.", hint=near(node, document.nodes))
    cls = document.class_of(node)
    field = cls.Config.model_fields.get("tags") if cls is not None else None
    if field is None or get_origin(field.annotation) is not dict:
        type_name = document.nodes[node].type
        raise ConfigError(f"{node} ({type_name}) lists no tags, so there is no table of them.")
    return get_args(field.annotation)[1]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _columns(kind: Any) -> list[str]:
    return list(kind.model_fields) if _is_model(kind) else [ADDRESS]


def _tags(document: Document, node: str) -> dict[str, Any]:
    written = document.nodes[node].config.get("tags")
    return dict(written) if isinstance(written, Mapping) else {}


def _values(kind: Any, written: Any) -> dict[str, Any]:
    """The options of a tag that are not their defaults, whichever short form it has."""
    if not _is_model(kind):
        return {ADDRESS: str(written)}
    try:
        valid = TypeAdapter(kind).validate_python(written)
    except ValidationError:  # It is wrong as it stands: what can be shown is shown.
        return dict(written) if isinstance(written, Mapping) else {ADDRESS: str(written)}
    return dict(valid.model_dump(mode="json", exclude_defaults=True))


# ---------------------------------------------------------------------- reading a table


def _table(text: str) -> tuple[list[str], Iterator[tuple[int, list[str]]], bool]:
    """Header, rows with their numbers, and whether a comma may be a decimal one."""
    text = text.removeprefix("\ufeff")
    first = text.lstrip("\r\n").partition("\n")[0]
    marks = {mark: first.count(mark) for mark in ("\t", ";", ",")}
    mark = max(marks, key=lambda one: marks[one])
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=mark, strict=True))
    except csv.Error as error:
        raise ConfigError(
            f"This is no table: {error}.", hint="Save it as CSV (UTF-8), with a header."
        ) from error
    at = next((i for i, row in enumerate(rows) if any(cell.strip() for cell in row)), None)
    if at is None:
        raise ConfigError("The table is empty.", hint=f"Its first column is {TAG!r}.")
    if len(rows) > ROWS_MAX + 1:
        raise ConfigError(f"The table has more than {ROWS_MAX:,} rows (rows_max).")
    header = [cell.strip().lower() for cell in rows[at]]
    numbered = ((number, row) for number, row in enumerate(rows, 1) if number > at + 1)
    return header, numbered, mark != ","


def _unknown(header: Sequence[str], columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    if TAG not in header:
        yield TAG, f"There is no column {TAG!r}; the first row names the columns."
    for name in dict.fromkeys(header):
        if name and name != TAG and name not in columns:
            hint = near(name, columns) or f"There is {', '.join(columns)}."
            yield name, f"There is no option {name!r}. {hint}"
        if name and header.count(name) > 1:
            yield name, f"The column {name!r} stands there twice."


def _row(
    kind: Any, name: str, given: Mapping[str, str], has_commas: bool, found: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    """What is wrong with a row; what is right is put into `found`."""
    try:
        TypeAdapter(TagName).validate_python(name)
    except ValidationError:
        text = f"{name!r} cannot be a tag's name: it has no spaces and no +." if name else ""
        yield TAG, text or "The tag has no name."
        return
    long = next((column for column, cell in given.items() if len(cell) > CELL_CHARS_MAX), "")
    if long:
        yield long, f"A cell may have {CELL_CHARS_MAX:,} characters."
        return
    filled = {c: _read(v.strip(), has_commas) for c, v in given.items() if c and v.strip()}
    if not _is_model(kind):
        try:
            found[name] = TypeAdapter(kind).validate_python(str(filled.get(ADDRESS, "")))
        except ValidationError as error:
            said = error.errors(include_url=False)[0]
            why = str(said.get("ctx", {}).get("error", said["msg"]))
            yield ADDRESS, why if filled.get(ADDRESS) else "The address is missing."
        return
    columns = set(_columns(kind))
    known = {column: value for column, value in filled.items() if column in columns}
    problems = config_problems(kind, known)
    for path, text, hint in problems:
        yield str(path[0]) if path else "", f"{text} {hint}".strip()
    if not problems:
        found[name] = _values(kind, known)


def _read(cell: str, has_commas: bool) -> Any:
    """A cell as its option takes it; lists and mappings stand in it as JSON."""
    if cell[:1] in ("{", "["):
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    return cell.replace(",", ".") if has_commas and _COMMA.match(cell) else cell


# ---------------------------------------------------------------------- writing a table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return _safe(str(value))


def _safe(text: str) -> str:
    """A text that no spreadsheet takes for a formula.

    >>> _safe("=1+1"), _safe("-5"), _safe("a/b")
    ("'=1+1", '-5', 'a/b')
    """
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.match(text) else text


def _plain(cell: str) -> str:
    """What `_safe` was given."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_FORMULA) else cell


__all__ = ["RowError", "Taken", "export", "take"]

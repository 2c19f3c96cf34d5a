"""Writes plain values as YAML in one canonical form, so that equal flows are equal files.

A mapping or a list stands on one line where it fits in 100 columns, else an entry a line.
Text is plain where no reader of YAML 1.1 or 1.2 could take it for something else. What is
written here, `gateway.flow.yaml_read` reads back to the same values.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.flow.yaml_read import END, Path, scalar

WIDTH: Final = 100
_PLAIN: Final = re.compile(r"[A-Za-z0-9_/][^\x00-\x1f,\[\]{}\"'`\\]*\Z")
# What YAML 1.1 takes for bool, null, sexagesimal numbers, dates or numbers with underscores.
# Source: yaml.org/type bool, int, float and timestamp (2005).
_OLD: Final = re.compile(
    r"(?i:y|n|yes|no|on|off|true|false|null|nan|inf|~)\Z"
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?\Z"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[-+]?[0-9_.,]+\Z|0b[01_]+\Z|0[xo]?[0-9a-fA-F_]+\Z"
    r"|[0-9.]+[eE][-+]?[0-9]+\Z"
)


def write(
    value: Mapping[str, Any],
    *,
    sections: tuple[str, ...] = (),
    inner: Mapping[str, tuple[str, ...]] | None = None,
    comments: Mapping[Path, list[str]] | None = None,
) -> str:
    """The canonical text of a mapping.

    Args:
        value: Mappings, lists, text, numbers, bool and None.
        sections: Keys whose entries always have a line each and an empty line before.
        inner: Sections whose entries have sections themselves, and which; those have a line an
            entry as well.
        comments: Full comment lines, by the path of the section or entry they precede.
    """
    said = comments or {}
    lines: list[str] = []
    for key, item in value.items():
        if key in sections and lines:
            lines.append("")
        lines += said.get((key,), [])
        if key not in sections or not item:
            lines += _entry(text_of(key, key=True) + ":", item, 0)
        elif key in (inner or {}):
            lines.append(f"{text_of(key, key=True)}:")
            for name, part in item.items():
                lines += ["  " + comment for comment in said.get((key, name), [])]
                lines.append(f"  {text_of(name, key=True)}:")
                lines += _part(part, (inner or {})[key], said, (key, name))
        else:
            lines += _section(key, item, 0, said, (key,))
    lines += said.get(END, [])
    return "\n".join(lines) + "\n"


def _part(
    value: Mapping[str, Any], sections: tuple[str, ...], said: Mapping[Path, list[str]], at: Path
) -> list[str]:
    """An entry that has sections itself, without its head."""
    lines: list[str] = []
    for key, item in value.items():
        lines += ["    " + comment for comment in said.get((*at, key), [])]
        if key in sections and item:
            lines += _section(key, item, 4, said, (*at, key))
        else:
            lines += _entry(f"    {text_of(key, key=True)}:", item, 4)
    return lines


def _section(
    key: str, item: Any, indent: int, said: Mapping[Path, list[str]], at: Path
) -> list[str]:
    """A section: an entry a line, each below its comments."""
    pad = " " * (indent + 2)
    lines = [f"{' ' * indent}{text_of(key, key=True)}:"]
    for name, part in item.items() if isinstance(item, Mapping) else enumerate(item):
        lines += [pad + comment for comment in said.get((*at, name), [])]
        head = f"{text_of(name, key=True)}:" if isinstance(item, Mapping) else "-"
        spread = head == "-" and bool(part) and isinstance(part, Mapping)
        lines += _entry(pad + head, part, indent + 2, spread=spread)
    return lines


def _entry(head: str, value: Any, indent: int, *, spread: bool = False) -> list[str]:
    """A key or a dash with its value: on one line where it fits."""
    if isinstance(value, str) and _is_literal(value):
        mark = "|" if value.endswith("\n") else "|-"
        pad = " " * (indent + 2)
        return [f"{head} {mark}", *((pad + row).rstrip() for row in value.splitlines())]
    if not spread and not _has_literal(value):
        line = f"{head} {_inline(value)}"
        if len(line) <= WIDTH or not isinstance(value, Mapping | list | tuple) or not value:
            return [line]
    return _block(head, value, indent)


def _block(head: str, value: Any, indent: int) -> list[str]:
    lines: list[str] = []
    pad = " " * (indent + 2)
    if isinstance(value, Mapping):
        for key, item in value.items():
            lines += _entry(f"{pad}{text_of(key, key=True)}:", item, indent + 2)
    else:
        for item in value:
            lines += _entry(f"{pad}-", item, indent + 2)
    if head.endswith("-"):  # The first entry stands on the line of its dash.
        return [f"{head} {lines[0].lstrip()}", *lines[1:]]
    return [head, *lines]


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        cells = (f"{text_of(k, key=True)}: {_inline(v)}" for k, v in value.items())
        return "{" + ", ".join(cells) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return text_of(value)


def text_of(value: Any, *, key: bool = False) -> str:
    """One value on one line; keys are always text, so a number needs no quotes there.

    >>> text_of("on"), text_of("oil -> clean"), text_of(1.0), text_of(None), text_of("a: b")
    ('"on"', 'oil -> clean', '1.0', 'null', '"a: b"')
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _float(value)
    text = str(value)
    plain = (
        _PLAIN.match(text) is not None
        and text.isprintable()
        and text == text.strip()
        and ": " not in text
        and " #" not in text
        and not text.endswith(":")
        and not text.startswith("---")
        and (key or (not _OLD.match(text) and isinstance(scalar(text), str)))
    )
    return text if plain else _quoted(text)


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return repr(value)


def _quoted(text: str) -> str:
    """Double quotes: the escapes of JSON, and those of YAML for what JSON leaves as it is."""
    quoted = json.dumps(text, ensure_ascii=False)
    if quoted.isprintable():
        return quoted
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in quoted)


def _escape(code: int) -> str:
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


def _is_literal(text: str) -> bool:
    """True for text of several lines that a literal block keeps exactly."""
    body = text[:-1] if text.endswith("\n") else text
    rows = body.split("\n")
    return (
        len(rows) > 1
        and bool(rows[0])
        and bool(rows[-1])
        and rows[0][0] != " "
        and all(row.isprintable() and row == row.rstrip() for row in rows)
    )


def _has_literal(value: Any) -> bool:
    if isinstance(value, str):
        return _is_literal(value)
    if isinstance(value, Mapping):
        return any(_has_literal(item) for item in value.values())
    return isinstance(value, list | tuple) and any(_has_literal(item) for item in value)


__all__ = ["WIDTH", "text_of", "write"]

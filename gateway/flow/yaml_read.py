"""Reads YAML 1.2 into plain values, with the line of every value and the comments.

Built on the events of ruamel.yaml, so that aliases (the YAML bomb), tags, duplicate keys and
deep nesting are refused before anything is built. Only null, true, false and numbers are not
text: ``yes``, ``on`` and dates stay what the user wrote.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml import events as ev
from ruamel.yaml.error import YAMLError

from gateway.errors import ConfigError

FLOW_BYTES_MAX: Final = 2 * 1024 * 1024  # Chosen: 10,000 tags with long addresses are 0.6 MB.
DEPTH_MAX: Final = 20  # Chosen: the deepest config of ours has five levels.
KEY_CHARS_MAX: Final = 255  # YAML 1.2.2, 7.4.2: an implicit key is at most 1,024 characters.

Path = tuple[str | int, ...]
END: Final[Path] = ("",)
"""The place of comments that follow the last entry."""

# Source: YAML 1.2.2, 10.3.2 tag resolution of the core schema.
_INT: Final = re.compile(r"[-+]?[0-9]+\Z|0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    "-.inf": float("-inf"),
}


@dataclass
class Parsed:
    """What a text holds.

    Args:
        value: Mappings (keys are text), lists, text, numbers, bool and None.
        lines: The line of every value, counted from 1, by its path.
        comments: Full comment lines without indent, by the path of the entry they precede:
            a section or one entry of a section, also inside a subflow; `END` for those after
            the last.
    """

    value: Any
    lines: dict[Path, int]
    comments: dict[Path, list[str]] = field(default_factory=dict)


def scalar(text: str) -> Any:
    """The value of plain text in the core schema.

    >>> scalar("1"), scalar("1e3"), scalar("yes"), scalar("true"), scalar("2026-11-20")
    (1, 1000.0, 'yes', True, '2026-11-20')
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text) and len(text) <= 40:
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return float(text) if _FLOAT.match(text) else text


def read(text: str, file: str) -> Parsed:
    """The values of a text.

    Args:
        text: YAML 1.2, one document.
        file: The name that errors show.

    Raises:
        ConfigError: The text is no YAML, or uses what flows do not need.
    """
    if len(text) > FLOW_BYTES_MAX:
        raise ConfigError(
            f"The file is longer than {FLOW_BYTES_MAX:,} characters (flow_bytes_max).",
            where=file,
            hint="Split the flow in two.",
        )
    builder = _Builder(file)
    try:
        value = builder.document(YAML(typ="safe", pure=True).parse(io.StringIO(text)))
        comments = _comments(text, builder.anchors)
    except YAMLError as error:
        raise _syntax(error, file) from error
    return Parsed(value, builder.lines, comments)


# What the parser says, in words for people: a sign of it, what is wrong, what to do, and
# whether the line is that where the thing begins, such as a quote that nothing closes.
_QUOTE: Final = 'Put a text that has one of { } [ ] , : # in quotes: "a{b}".'
_SYNTAX: Final = (
    ("\\t", "There is a tab.", "Indent with spaces; tabs are not allowed.", False),
    ("quoted scalar", "A quote is opened here and not closed.", "Close it.", True),
    ("flow sequence", "This list in [ ] cannot be read, or is not closed.", _QUOTE, True),
    ("flow mapping", "This mapping in { } cannot be read, or is not closed.", _QUOTE, True),
    ("mapping values are not allowed", "There is a colon too much.", _QUOTE, False),
    (
        "expected ':'",
        "This line is no `key: value`.",
        "Write a colon and a space behind the key.",
        True,
    ),
    (
        "block end",
        "This line does not fit those above.",
        "What belongs together begins in the same column, and a list has a - before each entry.",
        False,
    ),
)


def _syntax(error: YAMLError, file: str) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or error).splitlines()[0]
    context = str(getattr(error, "context", None) or "")
    text = f"This is no YAML: {problem}."
    hint = "Look at this line and the one before: quotes, brackets and indents must match."
    for sign, plain, todo, is_at_start in _SYNTAX:
        if sign in f"{context} {problem}":
            text, hint = plain, todo
            mark = getattr(error, "context_mark", None) or mark if is_at_start else mark
            break
    where = f"{file}:{mark.line + 1}" if mark is not None else file
    return ConfigError(text, where=where, hint=hint)


class _Builder:
    """Turns events into values; refuses what could surprise."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Path, int] = {}
        self.anchors: list[tuple[int, int, Path]] = []
        """Line from 0, column and path of every section and every entry of one, in order."""

    def document(self, events: Iterator[Any]) -> Any:
        value: Any = None
        documents = 0
        for event in events:
            if isinstance(event, ev.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._wrong(event, "There is a second document (---).", "Use one file.")
            elif not isinstance(
                event, ev.StreamStartEvent | ev.DocumentEndEvent | ev.StreamEndEvent
            ):
                value = self._value(event, events, ())
        return value

    def _value(self, event: Any, events: Iterator[Any], path: Path) -> Any:
        self._refuse(event, path)
        self.lines.setdefault(path, event.start_mark.line + 1)
        if isinstance(event, ev.ScalarEvent):
            text = str(event.value)
            if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
                raise self._wrong(event, "A text holds half a character.", "Write it whole.")
            return scalar(text) if event.style is None else text
        if isinstance(event, ev.MappingStartEvent):
            return self._mapping(events, path)
        return self._list(events, path)

    def _mapping(self, events: Iterator[Any], path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for event in events:
            if isinstance(event, ev.MappingEndEvent):
                break
            self._refuse(event, path)
            if not isinstance(event, ev.ScalarEvent) or len(event.value) > KEY_CHARS_MAX:
                raise self._wrong(event, "A key must be a short text.", "Write `key: value`.")
            key = str(event.value)
            here = (*path, key)
            if key in found:
                raise self._wrong(
                    event,
                    f"{key!r} is there twice; the first is in line {self.lines[here]}.",
                    "Rename or delete one.",
                )
            self.lines[here] = event.start_mark.line + 1
            self._anchor(event, here)
            found[key] = self._value(next(events), events, here)
        return found

    def _list(self, events: Iterator[Any], path: Path) -> list[Any]:
        found: list[Any] = []
        for event in events:
            if isinstance(event, ev.SequenceEndEvent):
                break
            here = (*path, len(found))
            self._anchor(event, here)
            found.append(self._value(event, events, here))
        return found

    def _anchor(self, event: Any, path: Path) -> None:
        if len(path) <= (4 if path[0] == "subflows" else 2):
            self.anchors.append((event.start_mark.line, event.start_mark.column, path))

    def _refuse(self, event: Any, path: Path) -> None:
        if isinstance(event, ev.AliasEvent) or getattr(event, "anchor", None):
            raise self._wrong(
                event, "Anchors and aliases (& and *) are not allowed.", "Write the value out."
            )
        if getattr(event, "tag", None) is not None and not getattr(event, "implicit", True):
            raise self._wrong(
                event, f"The tag {event.tag} is not allowed.", "Write the value plain."
            )
        if isinstance(event, ev.ScalarEvent) and event.tag is not None:
            raise self._wrong(
                event, f"The tag {event.tag} is not allowed.", "Write the value plain."
            )
        if len(path) > DEPTH_MAX:
            raise self._wrong(event, f"This is deeper than {DEPTH_MAX} levels.", "Make it flatter.")

    def _wrong(self, event: Any, text: str, hint: str) -> ConfigError:
        return ConfigError(text, where=f"{self.file}:{event.start_mark.line + 1}", hint=hint)


def _comments(text: str, anchors: list[tuple[int, int, Path]]) -> dict[Path, list[str]]:
    """Every comment, by the entry it belongs to; what stands inside an entry moves above it."""
    if "#" not in text:
        return {}
    found: dict[Path, list[str]] = {}
    for line, column, comment in _comment_lines(text):
        after = next((a for a in anchors if a[0] > line), None)
        before = next((a for a in reversed(anchors) if a[0] <= line), None)
        if column >= 0 and after is not None and column <= after[1]:
            path = after[2]
        elif column == 0 and after is None:
            path = END
        else:
            path = before[2] if before is not None else (after[2] if after is not None else END)
        found.setdefault(path, []).append(comment)
    return found


def _comment_lines(text: str) -> Iterator[tuple[int, int, str]]:
    """(line from 0, column, comment): column is -1 for one that follows a value."""
    end = 0
    for token in YAML(typ="safe", pure=True).scan(io.StringIO(text)):
        gap = text[end : token.start_mark.index]
        if "#" in gap:
            first = text.count("\n", 0, end)
            at_start = end == 0 or text[end - 1] == "\n"
            for i, piece in enumerate(gap.split("\n")):
                stripped = piece.strip()
                if stripped.startswith("#"):
                    alone = i > 0 or at_start
                    yield first + i, piece.index("#") if alone else -1, stripped
        end = max(end, token.end_mark.index)


__all__ = ["END", "FLOW_BYTES_MAX", "Parsed", "Path", "read", "scalar"]

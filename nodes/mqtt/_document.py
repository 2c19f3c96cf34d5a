"""Where things are in a payload: paths in JSON documents, and what counts as a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nodes.mqtt._times import TsUnit

Kind = Literal["auto", "number", "json", "raw", "sparkplug"]
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are in a payload.

    Args:
        kind: How a payload is written.
        value, ts, quality, unit: Paths in a JSON document.
        ts_unit: How a timestamp is written.
        fields: Path → suffix of the tag, for several values a message; ``{}`` for one value.
        takes_all: Every number and boolean of a document becomes a tag.
    """

    kind: Kind
    value: Path = ("value",)
    ts: Path = ("ts",)
    quality: Path = ("quality",)
    unit: Path = ("unit",)
    ts_unit: TsUnit = "auto"
    fields: Mapping[Path, str] = field(default_factory=dict)
    takes_all: bool = False

    @property
    def is_flat(self) -> bool:
        """One value a document and every path a single key: the column way works."""
        paths = (self.value, self.ts, self.quality, self.unit)
        return not self.fields and not self.takes_all and all(len(path) == 1 for path in paths)


class MalformedError(ValueError):
    """A payload that is not what was agreed."""


def as_number(value: Any) -> float:
    """A number, a boolean as 0 or 1, null as NaN, or a text that is a number.

    Raises:
        MalformedError: It is none of these.
    """
    if isinstance(value, bool | int | float):
        return float(value)
    if value is None:
        return float("nan")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    raise MalformedError(f"{str(value)[:60]!r} is no number.")


def parse_path(text: str) -> Path:
    """A path such as ``sensors.oil[0].value``.

    >>> parse_path("sensors.oil[0].value")
    ('sensors', 'oil', 0, 'value')
    """
    steps: list[str | int] = []
    for step in text.replace("[", ".[").split("."):
        inside = step[1:-1]
        if step.startswith("[") and step.endswith("]") and inside.isdigit():
            steps.append(int(inside))
        elif step:
            steps.append(step)
    return tuple(steps)


def show(path: Path) -> str:
    """A path as text."""
    return ".".join(str(step) for step in path)


def find(document: Any, path: Path) -> Any:
    """What is at a path, or None."""
    for step in path:
        if isinstance(step, str):
            document = document.get(step) if isinstance(document, dict) else None
        elif isinstance(document, list) and step < len(document):
            document = document[step]
        else:
            return None
    return document


def has(document: Any, path: Path) -> bool:
    """Whether there is something at a path, if only null."""
    parent = find(document, path[:-1])
    step = path[-1]
    if isinstance(step, str):
        return isinstance(parent, dict) and step in parent
    return isinstance(parent, list) and step < len(parent)

"""Dashboard: the text file of a screen that an engineer puts together from widgets.

It stands beside the flows and is read and written as they are: YAML in one canonical form, so
that equal dashboards are equal files and a diff shows only what changed.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, Self, TypeAlias

from pydantic import Field, ValidationError, model_validator

from gateway.errors import ConfigError
from gateway.flow.widgets import TYPES, Part, Text, Widget
from gateway.flow.yaml_read import read
from gateway.flow.yaml_write import write

FORMAT: Final = 1
WIDGETS_MAX: Final = 60
DASHBOARD_BYTES_MAX: Final = 256 * 1024
SUFFIX: Final = ".dashboard.yaml"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")

_Role: TypeAlias = Literal["viewer", "operator", "engineer", "administrator"]


class Dashboard(Part):
    """A whole dashboard.

    Args:
        dashboard: Its name, which is that of its file.
        version: Of this form of file.
        title: Above it.
        about: One sentence in the list.
        role: The least role that sees it.
        widgets: In the order of the keyboard and of a narrow screen.
    """

    dashboard: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    version: Literal[1] = FORMAT
    title: Text = ""
    about: str = Field("", max_length=500)
    role: _Role = "viewer"
    widgets: tuple[Widget, ...] = Field((), max_length=WIDGETS_MAX)

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        seen: set[str] = set()
        for widget in self.widgets:
            if widget.id in seen:
                raise ValueError(f"two widgets are called {widget.id!r}: rename one.")
            seen.add(widget.id)
        return self

    @classmethod
    def of(cls, values: Any, where: str, lines: dict[Any, int] | None = None) -> Dashboard:
        """A dashboard from plain values.

        Args:
            values: As they were read.
            where: The file, for errors.
            lines: The line of each value by its path.

        Raises:
            ConfigError: They are none; the message says where and why.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            path = tuple(p for p in first["loc"] if p not in TYPES)
            line = next(
                (n for i in range(len(path), 0, -1) if (n := (lines or {}).get(path[:i]))), 0
            )
            place = f"{where}:{line}" if line else where
            dotted = ".".join(str(p) for p in path)
            raise ConfigError(
                first["msg"].removeprefix("Value error, ").rstrip(".") + ".",
                where=f"{place} {dotted}".strip(),
            ) from error

    @classmethod
    def parse(cls, text: str, where: str) -> Dashboard:
        """A dashboard from its text.

        Raises:
            ConfigError: The text is none.
        """
        if len(text.encode()) > DASHBOARD_BYTES_MAX:
            raise ConfigError(
                f"A dashboard may have {DASHBOARD_BYTES_MAX:,} bytes (dashboard_bytes_max).",
                where=where,
            )
        parsed = read(text, where)
        return cls.of(parsed.value, where, parsed.lines)

    def text(self) -> str:
        """The canonical text."""
        data = self.model_dump(mode="json", exclude_defaults=True)
        head: dict[str, Any] = {"dashboard": self.dashboard, "version": FORMAT}
        widgets = [_ordered(_short(one)) for one in data.pop("widgets", [])]
        return write({**head, **data, "widgets": widgets}, sections=("widgets",))


def _ordered(widget: dict[str, Any]) -> dict[str, Any]:
    """What a widget is and shows first, then how."""
    first = ("id", "type", "at", "title", "tag", "tags")
    return {**{key: widget[key] for key in first if key in widget}, **widget}


def _short(value: Any) -> Any:
    """Whole numbers without a point, as people write them."""
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


__all__ = ["DASHBOARD_BYTES_MAX", "NAME", "SUFFIX", "WIDGETS_MAX", "Dashboard"]

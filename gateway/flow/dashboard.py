"""Dashboard: the text file of a screen that an engineer puts together from widgets.

It stands beside the flows and is read and written as they are: YAML in one canonical form, so
that equal dashboards are equal files and a diff shows only what changed.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.errors import ConfigError
from gateway.flow.yaml_read import read
from gateway.flow.yaml_write import write

FORMAT: Final = 1
COLUMNS: Final = 24
"""A dashboard is a grid so wide; its rows are about as high as they are wide."""
ROWS_MAX: Final = 400
WIDGETS_MAX: Final = 60
DASHBOARD_BYTES_MAX: Final = 256 * 1024
SUFFIX: Final = ".dashboard.yaml"
DAY_S: Final = 86_400
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")

_Tag: TypeAlias = Annotated[str, Field(min_length=1, max_length=512)]
_Text: TypeAlias = Annotated[str, Field(max_length=200)]
_Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
_Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
_Window: TypeAlias = Annotated[int, Field(ge=60, le=30 * DAY_S)]
_Cell: TypeAlias = Annotated[int, Field(ge=0, le=ROWS_MAX)]
_Role: TypeAlias = Literal["viewer", "operator", "engineer", "administrator"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Widget(_Part):
    """What every widget has."""

    id: str = Field(pattern=r"^[a-z0-9_-]{1,32}$", description="Its name on this dashboard.")
    at: tuple[_Cell, _Cell, _Cell, _Cell] = Field(
        description=f"Column, row, width and height, in cells of a grid of {COLUMNS} columns."
    )
    title: _Text = Field("", description="Above it; by default what it shows.")

    @model_validator(mode="after")
    def _is_on_the_grid(self) -> Self:
        x, _, width, height = self.at
        if not width or not height or x + width > COLUMNS:
            raise ValueError(
                f"{list(self.at)} is not on the grid: width and height are 1 or more, and "
                f"column + width at most {COLUMNS}."
            )
        return self


class _Limits(_Part):
    """Values from which on a reading is not normal; what is empty is not drawn."""

    lolo: _Number | None = None
    lo: _Number | None = None
    hi: _Number | None = None
    hihi: _Number | None = None

    @model_validator(mode="after")
    def _rise(self) -> Self:
        given = [v for v in (self.lolo, self.lo, self.hi, self.hihi) if v is not None]
        if given != sorted(given):
            raise ValueError("limits must rise: lolo, lo, hi, hihi.")
        return self


class _Scaled(_Widget):
    """A scale from `low` to `high`; by default the range of the tag."""

    low: _Number | None = Field(None, description="Lower end, in the unit of the tag.")
    high: _Number | None = Field(None, description="Upper end, in the unit of the tag.")
    limits: _Limits = Field(_Limits(), description="Where normal ends.")

    @model_validator(mode="after")
    def _has_a_span(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("low must be below high.")
        return self


class TrendWidget(_Widget):
    """Lines over time, by history and live."""

    type: Literal["trend"]
    tags: tuple[_Tag, ...] = Field((), max_length=8)
    window_s: _Window = 600
    low: _Number | None = None
    high: _Number | None = None


class GaugeWidget(_Scaled):
    """A needle on a scale with limits."""

    type: Literal["gauge"]
    tag: str = Field("", max_length=512)


class NumberWidget(_Widget):
    """One value in large figures, with its last minutes as a line."""

    type: Literal["number"]
    tag: str = Field("", max_length=512)
    digits: int = Field(4, ge=1, le=12, description="Significant figures.")
    spark_s: int = Field(300, ge=0, le=DAY_S, description="Line of so many seconds; 0 for none.")
    limits: _Limits = _Limits()


class BarWidget(_Scaled):
    """Values beside each other."""

    type: Literal["bar"]
    tags: tuple[_Tag, ...] = Field((), max_length=16)


class TimelineWidget(_Widget):
    """Which state things were in."""

    type: Literal["timeline"]
    tags: tuple[_Tag, ...] = Field((), max_length=12)
    window_s: _Window = 3600
    states: dict[str, _Text] = Field(
        default_factory=dict, max_length=32, description="Words for values: ``{0: stopped}``."
    )


class TableWidget(_Widget):
    """Values with unit, quality and age."""

    type: Literal["table"]
    tags: tuple[_Tag, ...] = Field((), max_length=100)


class Spot(_Part):
    """A value on a picture.

    Args:
        tag: What it shows.
        x: From the left, as a share of the width.
        y: From the top, as a share of the height.
        label: Beside the value.
        link: A dashboard it leads to.
    """

    tag: _Tag
    x: _Share
    y: _Share
    label: _Text = ""
    link: str = Field("", pattern=r"^([a-z0-9][a-z0-9_-]{0,63})?$")


class ImageWidget(_Widget):
    """A picture with values on it."""

    type: Literal["image"]
    picture: str = Field("", pattern=r"^([0-9a-f]{32}\.(png|jpg))?$")
    spots: tuple[Spot, ...] = Field((), max_length=60)


class SpectrumWidget(_Widget):
    """Bands of `feature.spectrum` (``#rms_10_1000``) as bars, and over time as a waterfall."""

    type: Literal["spectrum"]
    tag: str = Field("", max_length=512, description="The vibration whose bands are shown.")
    waterfall: bool = True
    window_s: _Window = 600


class AlarmsWidget(_Widget):
    """Open alarms, the most urgent first."""

    type: Literal["alarms"]
    prefix: str = Field("", max_length=512, description="Only of tags that begin so.")
    rows: int = Field(20, ge=1, le=200)


class TextWidget(_Widget):
    """Words, in Markdown."""

    type: Literal["text"]
    text: str = Field("", max_length=8_000)


class SetpointWidget(_Widget):
    """Writes a value to a machine, guarded by a write grant."""

    type: Literal["setpoint"]
    flow: str = Field("", max_length=128)
    node: str = Field("", max_length=128, description="The sink that writes.")
    tag: str = Field("", max_length=512)


Widget: TypeAlias = Annotated[
    TrendWidget
    | GaugeWidget
    | NumberWidget
    | BarWidget
    | TimelineWidget
    | TableWidget
    | ImageWidget
    | SpectrumWidget
    | AlarmsWidget
    | TextWidget
    | SetpointWidget,
    Field(discriminator="type"),
]


class Dashboard(_Part):
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
    title: _Text = ""
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
            path = tuple(p for p in first["loc"] if p not in _TYPES)
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


_TYPES: Final = frozenset(
    "trend gauge number bar timeline table image spectrum alarms text setpoint".split()
)

__all__ = [
    "COLUMNS", "DASHBOARD_BYTES_MAX", "NAME", "SUFFIX", "WIDGETS_MAX", "Dashboard", "Widget",
]  # fmt: skip

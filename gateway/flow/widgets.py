"""Widgets: what a dashboard is put together from, each with its settings."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

COLUMNS: Final = 24
"""A dashboard is a grid so wide; its rows are about as high as they are wide."""
ROWS_MAX: Final = 400
DAY_S: Final = 86_400

_Tag: TypeAlias = Annotated[str, Field(min_length=1, max_length=512)]
Text: TypeAlias = Annotated[str, Field(max_length=200)]
_Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
_Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
_Window: TypeAlias = Annotated[int, Field(ge=60, le=30 * DAY_S)]
_Cell: TypeAlias = Annotated[int, Field(ge=0, le=ROWS_MAX)]


class Part(BaseModel):
    """Nothing but what is declared, and never edited."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Widget(Part):
    """What every widget has."""

    id: str = Field(pattern=r"^[a-z0-9_-]{1,32}$", description="Its name on this dashboard.")
    at: tuple[_Cell, _Cell, _Cell, _Cell] = Field(
        description=f"Column, row, width and height, in cells of a grid of {COLUMNS} columns."
    )
    title: Text = Field("", description="Above it; by default what it shows.")

    @model_validator(mode="after")
    def _is_on_the_grid(self) -> Self:
        x, _, width, height = self.at
        if not width or not height or x + width > COLUMNS:
            raise ValueError(
                f"{list(self.at)} is not on the grid: width and height are 1 or more, and "
                f"column + width at most {COLUMNS}."
            )
        return self


class _Limits(Part):
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
    states: dict[str, Text] = Field(
        default_factory=dict, max_length=32, description="Words for values: ``{0: stopped}``."
    )


class TableWidget(_Widget):
    """Values with unit, quality and age."""

    type: Literal["table"]
    tags: tuple[_Tag, ...] = Field((), max_length=100)


class Spot(Part):
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
    label: Text = ""
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

TYPES: Final = frozenset(
    {
        "trend",
        "gauge",
        "number",
        "bar",
        "timeline",
        "table",
        "image",
        "spectrum",
        "alarms",
        "text",
        "setpoint",
    }
)

__all__ = ["COLUMNS", "TYPES", "Part", "Text", "Widget"]

"""What the settings of window nodes share."""

from __future__ import annotations

from pydantic import Field

from gateway.flow.config import Config, PositiveSeconds, Rows, Seconds, TagFilter


class TagsConfig(Config):
    tags: TagFilter = Field("#", description="Which tags to take: `+` is one level, `#` the rest.")
    rows_max: Rows = Field(
        1_000_000,
        json_schema_extra={"advanced": True},
        description="How many rows may wait in open windows, over all tags (20 bytes each, and "
        "room to grow). A row that finds no room leaves by `late` and is counted.",
    )


class BoundedConfig(TagsConfig):
    future_max_s: PositiveSeconds = Field(
        3600,
        json_schema_extra={"advanced": True},
        description="A row whose time is further ahead of the gateway's clock than this leaves "
        "by `late`: a clock that jumped must not close every window.",
    )


class WindowConfig(BoundedConfig):
    lateness_s: Seconds = Field(
        0, description="How long a window stays open for rows that arrive out of order."
    )

"""What all detectors share: which samples are scored, and the scores' names."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gateway import (
    Batch,
    Config,
    Context,
    Outputs,
    Port,
    PositiveSeconds,
    Room,
    Rows,
    TagFilter,
    Transform,
    pattern_of,
)
from models.kernel import Detector

_UNKNOWN, _WANTED, _UNWANTED = 0, 1, 2


ScoreName = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_]*$",
        max_length=64,
        json_schema_extra={"advanced": True},
        description="What the derived tag is called after the `#`.",
    ),
]

# Fields that several detectors have, each at its own place and with its own default.
LearnRows = Annotated[
    Rows, Field(ge=2, description="Samples from which mean and sd are learnt, then held.")
]
GivenMean = Annotated[
    float | None,
    Field(description="Mean of the process in order, in the tag's unit; empty learns it."),
]
GivenSd = Annotated[
    float | None,
    Field(gt=0, description="Its standard deviation, in the tag's unit; empty learns it."),
]
RowsMax = Annotated[
    Rows,
    Field(
        le=65_536,
        json_schema_extra={"advanced": True},
        description="Samples kept per tag; a faster signal has a shorter baseline.",
    ),
]
Resolution = Annotated[
    float,
    Field(
        ge=0,
        json_schema_extra={"advanced": True},
        description="Least standard deviation that counts, in the tag's unit.",
    ),
]
RefuseAbove = Annotated[
    float,
    Field(
        ge=0,
        examples=[6],
        json_schema_extra={"advanced": True},
        description="Samples with a score beyond this do not enter the baseline [σ]; 0 takes all.",
    ),
]


class ScoringConfig(Config):
    """The fields every detector has."""

    tags: TagFilter = Field("#", description="Tags to score; `#` is all that arrive.")
    output: ScoreName


class RecentConfig(ScoringConfig):
    """The fields of detectors that learn from the last seconds."""

    window_s: PositiveSeconds = Field(
        300, description="Length of the baseline; a sample exactly this old has left it."
    )
    min_rows: Rows = Field(
        10,
        ge=2,
        description="Samples the baseline needs before there is a score.",
        json_schema_extra={"advanced": True},
    )
    rows_max: RowsMax

    @model_validator(mode="after")
    def _baseline_can_fill(self) -> Self:
        if self.min_rows > self.rows_max:
            raise ValueError("min_rows is greater than rows_max: there would never be a score.")
        return self


C = TypeVar("C", bound=ScoringConfig)


class Scoring(Transform[C, Batch]):
    """Scores samples with a detector of `models`; a subclass says which one.

    A bad sample is neither scored nor learnt. An uncertain one is both, and its score is
    uncertain too. While a detector knows too little there is no score and no row.
    """

    inputs: ClassVar[tuple[Port, ...]] = (Port("in", "samples", "Samples to score."),)
    outputs: ClassVar[tuple[Port, ...]] = (
        Port("out", "samples", "The score of each sample, under the derived tag."),
    )

    def __init__(self, config: C, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._detector = self.keep("detector", self.detector(ctx.tags.limit))
        # What follows is read from the tag table again after a restart: it is no state.
        self._fits = None if config.tags == "#" else pattern_of(config.tags)
        self._wanted = np.zeros(ctx.tags.limit, np.uint8)
        self._room = Room(ctx)
        self._derived = np.zeros(ctx.tags.limit, np.uint16)
        self._is_derived = np.zeros(ctx.tags.limit, np.bool_)

    def detector(self, limit: int) -> Detector:
        """The mathematics, for `limit` tags."""
        raise NotImplementedError

    def unit(self, parent: str) -> str:
        """Unit of the score (UCUM) of a tag with the unit `parent`."""
        return "{sd}"

    def process(self, batch: Batch, port: str) -> Outputs:
        use = batch.usable
        if self._fits is not None:
            use &= self._selected(batch.tag)
        rows = batch if np.count_nonzero(use) == len(use) else batch.where(use)
        score = self._scores(rows)
        known = ~np.isnan(score)
        count = np.count_nonzero(known)
        if count == 0:
            return {}
        if count < len(known):
            rows, score = rows.where(known), score[known]
        scores = Batch(self._names(rows.tag), rows.ts, score, rows.quality)
        scores = self._room.kept(scores, self._is_derived[rows.tag])
        return {"out": scores} if len(scores) else {}

    def _scores(self, rows: Batch) -> NDArray[np.float64]:
        """The score of each row, (n,), NaN where there is none."""
        score = np.empty(len(rows))
        for part in rows.rounds():
            if len(part) == len(rows):  # no tag repeats, as in a poll: nothing to pick out
                return self._detector.score(rows.tag, rows.ts, rows.value)
            score[part] = self._detector.score(rows.tag[part], rows.ts[part], rows.value[part])
        return score

    def _selected(self, tag: NDArray[np.uint16]) -> NDArray[np.bool_]:
        """Which rows the tag filter takes, (n,); each tag is matched once."""
        assert self._fits is not None
        for code in set(tag[self._wanted[tag] == _UNKNOWN].tolist()):
            fits = self._fits(self.ctx.tags.name(code))
            self._wanted[code] = _WANTED if fits else _UNWANTED
        selected: NDArray[np.bool_] = self._wanted[tag] == _WANTED
        return selected

    def _names(self, tag: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Codes of the derived tags, (n,); new ones are made in the order of the rows."""
        at = tag.astype(np.intp)  # Indexes a few rows five times as fast as uint16 does.
        known = self._is_derived[at]
        if np.count_nonzero(known) < len(known):
            for code in dict.fromkeys(tag[~known].tolist()):
                unit = self.unit(self.ctx.tags[code].unit)
                make = partial(self.ctx.tags.derive, code, self.config.output, unit=unit)
                if (derived := self._room.made(make)) is not None:
                    self._derived[code] = derived
                    self._is_derived[code] = True
        return self._derived[at]

"""Score alarm: a detector says that a tag is not as it should be."""

from __future__ import annotations

from pydantic import Field

from gateway import Context, Example, Priority, amount
from nodes.alarm._base import LevelConfig, LevelNode
from nodes.alarm._desk import Alarm
from nodes.alarm._level import Level


class ScoreConfig(LevelConfig):
    limit: float = Field(
        gt=0, examples=[6], description="Alarm when the magnitude of the score is above this."
    )
    feature: str = Field(
        "score",
        pattern=r"^[^#\s]+$",
        description="Which derived tags are scores: those named `<tag>#<feature>`.",
    )
    deadband: float = Field(
        0, ge=0, description="How far inside the limit an active alarm returns."
    )
    priority: Priority = Field("medium", description="Priority of the alarm.")


class Score(LevelNode[ScoreConfig]):
    """Raise the alarm SCORE of a tag when the magnitude of its score is above `limit`.

    The scores are the samples of derived tags, such as `oil/temperature#score` from a
    `detect.*` node; the alarm is about the tag they were derived from, and `tags` selects by
    its name. Every other tag on the wire is passed over.

    State: last score, delays and alarms, per tag.
    Cost: O(n) a batch, about 20 ns a row while nothing changes.
    """

    Config = ScoreConfig
    tunable = frozenset(("limit", "deadband"))
    examples = (
        Example(
            "Six sigma, either way",
            {"limit": 6},
            given="oil/temperature#score 0s 2 | 1s -7.5 | 2s 1\noil/temperature 1s 99",
            expect="1s oil/temperature SCORE raised UNACK -7.5 6\n"
            "2s oil/temperature SCORE returned RTNUN 1 6",
        ),
        Example(
            "One odd sample is no alarm",
            {"limit": 6, "on_delay_s": 3},
            given="oil/temperature#score 0s 7 | 1s 0 | 2s 8 | 3s 9 | 4s -9 | 5s 8",
            expect="5s oil/temperature SCORE raised UNACK -9 6",
        ),
        Example(
            "Scores of another feature, of one press only",
            {"limit": 3, "feature": "ewma", "tags": "press1/+", "auto_ack": True},
            given="press1/force#ewma 0s 4 | 9s 0\npress2/force#ewma 1s 4\npress1/force#score 2s 9",
            expect="0s press1/force SCORE raised UNACK 4 3\n9s press1/force SCORE cleared NORM 0 3",
        ),
    )

    def __init__(self, config: ScoreConfig, ctx: Context) -> None:
        self._suffix = f"#{config.feature}"
        level = Level("SCORE", 0, config.limit, config.deadband, config.priority)
        super().__init__(config, ctx, [level])

    def _watches(self, name: str) -> bool:
        return name.endswith(self._suffix) and self._fits(name.removesuffix(self._suffix))

    def _watched_name(self, tag: str) -> str:
        return tag + self._suffix

    def _alarm_name(self, code: int) -> str:
        return self.ctx.tags.name(code).removesuffix(self._suffix)

    def _text(self, alarm: Alarm, level: Level, on: bool) -> str:
        value = amount(alarm.value, alarm.unit)
        beyond = "is beyond" if on else "is no longer beyond"
        limit, band = amount(level.limit, alarm.unit), amount(level.deadband, alarm.unit)
        tag, feature = alarm.tag, self.config.feature
        if on or not level.deadband:
            return f"{tag}: {feature} {value} {beyond} the limit {limit}"
        return f"{tag}: {feature} {value} {beyond} the limit {limit} with deadband {band}"

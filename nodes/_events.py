"""Events: alarms as events, and whether an event fits a rule.

Not a family: the nodes for events stand on it, and those that ask a model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import numpy as np
from pydantic import Field, StringConstraints, field_validator, model_validator

from gateway import (
    MISSING,
    AlarmEvent,
    Alarms,
    Config,
    ConfigError,
    Context,
    DataPath,
    Event,
    Events,
    Expression,
    Formula,
    JsonPath,
    Port,
    pattern_of,
    records,
)

Scalar = str | float | bool | None
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w{0,63}$")]
IN: Final = Port("in", "events", "Events.")
ALARMS: Final = Port("alarms", "alarms", "Alarms, which become events of topic alarm/<change>.")


def events_of(message: Events | Alarms, ctx: Context) -> Events:
    """Events as they are; an alarm as an event with all its fields, named for ever."""
    if not any(isinstance(item, AlarmEvent) for item in message):
        return message  # type: ignore[return-value]  # all of one kind, as the port says
    return tuple(
        Event(int(r.data["ts"]), f"alarm/{r.data['change']}", _fields(r.data), r.key)
        for r in records(message, ctx)
    )


def _fields(data: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in data.items() if k not in ("kind", "flow", "node", "ts")}


def number(found: Any) -> float:
    """A JSON value as a number; NaN when it is none."""
    if isinstance(found, bool | int | float | str):
        try:
            value = float(found)
        except (ValueError, OverflowError):
            return math.nan
        return value if math.isfinite(value) else math.nan
    return math.nan


def check_formula(text: str, names: Iterable[str]) -> None:
    """See that an expression can be computed.

    Raises:
        ValueError: It cannot.
    """
    try:
        Formula(text, list(names))
    except ConfigError as error:
        raise ValueError(str(error)) from error


class Numbers:
    """An expression over numbers inside an event.

    Args:
        text: The expression.
        paths: Where each of its variables stands.
    """

    def __init__(self, text: str, paths: Mapping[str, str]) -> None:
        self._formula = Formula(text, list(paths))
        self._paths = {name: JsonPath(paths[name]) for name in self._formula.names}

    def __call__(self, events: Events) -> list[float]:
        """The result for each event; NaN where there is none."""
        if not self._paths:
            return [float(self._formula({})[0])] * len(events)
        columns = {
            name: np.array([number(path.find(e.data)) for e in events], np.float64)
            for name, path in self._paths.items()
        }
        found: list[float] = self._formula(columns).tolist()
        return found


class RuleConfig(Config):
    """What must hold of an event; all of it."""

    topics: list[str] = Field(
        [],
        max_length=100,
        examples=[["log/+/error"]],
        description="Topics that fit, with + for one level and # for the rest; none is all.",
    )
    equals: dict[DataPath, Scalar | list[Scalar]] = Field(
        {},
        max_length=50,
        examples=[{"level": ["error", "fatal"]}],
        description="What must stand at a path: a value, or one of a list.",
    )
    contains: dict[DataPath, str] = Field(
        {},
        max_length=50,
        examples=[{"message": "timeout"}],
        description="Text that must occur at a path, in small or capital letters.",
    )
    where: Expression | None = Field(
        None,
        examples=["status >= 500"],
        description="Expression that must be true; its variables are those of `numbers`.",
    )
    numbers: dict[Name, DataPath] = Field(
        {},
        max_length=50,
        examples=[{"status": "response.status"}],
        description="Variables of `where`, and the path at which each stands.",
    )

    @field_validator("topics")
    @classmethod
    def _topics_fit(cls, topics: list[str]) -> list[str]:
        for topic in topics:
            if "#" in topic.removesuffix("#"):
                raise ValueError(f"{topic!r}: # stands for the rest and comes last")
        return topics

    @model_validator(mode="after")
    def _can_be_computed(self) -> RuleConfig:
        if self.where is not None:
            check_formula(self.where, self.numbers)
        return self

    @property
    def is_empty(self) -> bool:
        """True when everything fits."""
        return not (self.topics or self.equals or self.contains or self.where)


class Rule:
    """Whether events fit what a config asks for.

    Args:
        config: What is asked for; all of it must hold.
    """

    def __init__(self, config: RuleConfig) -> None:
        self._topics = [pattern_of(topic) for topic in config.topics]
        self._equals = [
            (JsonPath(path), value if isinstance(value, list) else [value])
            for path, value in config.equals.items()
        ]
        self._contains = [(JsonPath(p), text.casefold()) for p, text in config.contains.items()]
        self._where = Numbers(config.where, config.numbers) if config.where is not None else None

    def fits(self, events: Events) -> list[bool]:
        """For each event whether it fits."""
        fits = [self._fits(event) for event in events]
        if self._where is not None and any(fits):
            truth = [x == x and x != 0 for x in self._where(events)]
            fits = [a and b for a, b in zip(fits, truth, strict=True)]
        return fits

    def _fits(self, event: Event) -> bool:
        if self._topics and not any(fits(event.topic) for fits in self._topics):
            return False
        for path, wanted in self._equals:
            found = path.find(event.data)
            if not any(_same(found, value) for value in wanted):
                return False
        for path, text in self._contains:
            found = path.find(event.data)
            if not isinstance(found, str) or text not in found.casefold():
                return False
        return True


def _same(found: Any, value: Scalar) -> bool:
    """Equal as JSON is: true is not 1, and what is not there equals nothing, not even null."""
    if found is MISSING or isinstance(found, bool) != isinstance(value, bool):
        return False
    return bool(found == value)


__all__ = [
    "ALARMS",
    "IN",
    "Name",
    "Numbers",
    "Rule",
    "RuleConfig",
    "Scalar",
    "check_formula",
    "events_of",
    "number",
]

"""Grants: what may be written to a machine, within which limits and under which conditions.

A grant is for tags of one sink of one flow. It opens nothing by itself: a person also needs the
account's grant *writer*, and a flow needs ``allow_write: true``. Everything here is data and pure
rules; `gateway.engine.writegate` asks them in front of every write.

It is no safety function: what protects people and machines belongs into the safety controller.

Source: IEC 62443-3-3:2013, SR 2.1 RE 4 (dual approval) and SR 3.5 (input validation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import Field, PrivateAttr, StringConstraints, model_validator

from gateway.errors import ConfigError
from gateway.flow.config import Config, Expression, TagName
from gateway.flow.expression import Formula
from gateway.flow.judging import Seen, inputs_of

TAGS_MAX: Final = 50
INTERLOCKS_MAX: Final = 20
INPUTS_MAX: Final = 20
OWN_NAMES: Final = ("value", "current")
"""What an interlock may use besides its inputs: what is to be written, and what holds now."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\s/]+$")]
GrantId = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.-]*$")
]


class Interlock(Config):
    """A condition that must be true at the moment of the write."""

    when: Expression = Field(
        examples=["running == 0 and pressure < 80"],
        description="Must be true. It may use the inputs, `value` (to be written) and `current`.",
    )
    inputs: dict[str, TagName] = Field(
        default_factory=dict,
        max_length=INPUTS_MAX,
        description="Name in the expression to tag; one that is Bad, old or absent refuses.",
    )
    about: str = Field("", max_length=200, description="The condition in words, for people.")
    _formula: Formula = PrivateAttr()

    @model_validator(mode="after")
    def _can_run(self) -> Interlock:
        for name in self.inputs:
            if not name.isidentifier() or name in OWN_NAMES:
                raise ValueError(f"{name!r} cannot name an input.")
        try:
            formula = Formula(self.when, [*self.inputs, *OWN_NAMES])
        except ConfigError as error:
            raise ValueError(str(error)) from error
        if unused := sorted(self.inputs.keys() - formula.names):
            raise ValueError(f"The input {unused[0]!r} is not used.")
        self._formula = formula
        return self

    @property
    def title(self) -> str:
        """What people read."""
        return self.about or self.when

    @property
    def uses_current(self) -> bool:
        """Whether it asks what the device holds now."""
        return "current" in self._formula.names

    def holds(
        self, value: float, current: Seen | None, look: Callable[[str], Seen | None], age_s: float
    ) -> tuple[bool, str]:
        """Whether it is true, and a sentence; whatever cannot be known is no.

        Args:
            value: What is to be written.
            current: What holds now, if it is known.
            look: The newest sample of a tag.
            age_s: An older input is not believed [s].
        """
        formula = self._formula
        columns: dict[str, Any] = {"value": np.array([value])}
        if "current" in formula.names:
            if current is None:
                return False, f"{self.title}: the current value is not known."
            columns["current"] = np.array([current.value])
        found, problem = inputs_of(self.inputs, look, age_s)
        if problem:
            return False, f"{self.title}: {problem}"
        columns |= {name: np.array([number]) for name, number in found.items()}
        result = float(formula(columns)[0])
        shown = ", ".join(f"{name} {number:g}" for name, number in found.items())
        tail = f" ({shown})" if shown else ""
        if not math.isfinite(result):
            return False, f"{self.title}: it gives no number{tail}."
        return bool(result), f"{self.title}: {'holds' if result else 'does not hold'}{tail}."


class Grant(Config):
    """One write grant. Every number is in the unit of its tag."""

    id: GrantId = Field(description="Its name: lower case, digits, dots, dashes.")
    about: str = Field("", max_length=500, description="What it is for, in words.")
    flow: Name = Field(description="The flow that has the sink.")
    node: Name = Field(description="The sink that writes.")
    tags: tuple[TagName, ...] = Field(
        min_length=1, max_length=TAGS_MAX, description="Tags that may be written through it."
    )
    by: Literal["people", "flows", "both"] = Field("both", description="Who may write by it.")
    role: Literal["operator", "engineer", "administrator"] = Field(
        "operator", description="Least role of a person, besides the account's grant writer."
    )
    lo: float = Field(description="A value below it is refused.")
    hi: float = Field(description="A value above it is refused.")
    step_max: float | None = Field(
        None, gt=0, description="Most by which one write may differ from what holds now."
    )
    change_per_min: float | None = Field(
        None, gt=0, description="Most by which all writes of a minute together may change it."
    )
    writes_per_min: int | None = Field(
        None, ge=1, le=6000, description="Most writes within a minute."
    )
    interlocks: tuple[Interlock, ...] = Field(
        (), max_length=INTERLOCKS_MAX, description="Conditions that must all be true."
    )
    input_age_s: float = Field(
        10.0,
        gt=0,
        le=86_400,
        description="An interlock's input or a read-back value that is older is not believed [s].",
    )
    max_age_s: float = Field(
        5.0, gt=0, le=30, description="A write that could not be made so soon is dropped [s]."
    )
    confirm_s: float = Field(
        30.0, ge=2, le=300, description="So long an armed setpoint waits to be confirmed [s]."
    )
    two_person: bool = Field(False, description="Somebody else must confirm than who armed.")
    read_back: dict[TagName, TagName] = Field(
        default_factory=dict, description="Tag to the tag that shows what the device holds."
    )
    tolerance: float = Field(
        0.0, ge=0, description="By so much the read-back value may differ from what was written."
    )
    read_back_s: float = Field(
        5.0, gt=0, le=120, description="So long the device may take to show it [s]."
    )

    @model_validator(mode="after")
    def _fits(self) -> Grant:
        if self.lo > self.hi:
            raise ValueError("`lo` is above `hi`.")
        if len(set(self.tags)) < len(self.tags):
            raise ValueError("A tag stands there twice.")
        if unknown := sorted(self.read_back.keys() - set(self.tags)):
            raise ValueError(f"There is a read-back tag for {unknown[0]}, which is not in tags.")
        if not self.needs_current():
            return self
        if missing := sorted(set(self.tags) - self.read_back.keys()):
            raise ValueError(
                "step_max, change_per_min and `current` need to know what holds now: "
                f"name the read-back tag of {missing[0]}."
            )
        return self

    def needs_current(self) -> bool:
        """Whether a rule compares with what the device holds now."""
        if self.step_max is not None or self.change_per_min is not None:
            return True
        return any(lock.uses_current for lock in self.interlocks)

    def fact(self) -> Mapping[str, Any]:
        """As it is stored and shown: plain JSON values."""
        return self.model_dump(mode="json")


def shared(grant: Grant, others: Mapping[str, Grant]) -> str:
    """The grant that is for one of the same targets, or empty: two would be one too many."""
    for name, other in others.items():
        same = name != grant.id and (other.flow, other.node) == (grant.flow, grant.node)
        if same and set(other.tags) & set(grant.tags):
            return name
    return ""


__all__ = ["OWN_NAMES", "Grant", "Interlock", "shared"]

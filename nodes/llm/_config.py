"""What may be set on a node that asks a model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from gateway import Config, DataPath, PositiveSeconds, Seconds
from nodes._events import Scalar
from nodes.llm._answer import FieldConfig, FieldName, schema_of
from nodes.llm._prompts import KNOWN, PromptConfig, PromptName, Text
from nodes.llm._template import PromptTemplate

_ModelName = Annotated[str, StringConstraints(max_length=200)]


class GenerateConfig(Config):
    prompt: Text = Field(
        "",
        examples=["Sum up in one sentence: {{ data.text | truncate(1000) }}"],
        description="The question, a Jinja template over topic, id, time, data and params.",
    )
    system: Text = Field(
        "",
        examples=["Answer in one short sentence."],
        description="What the model is told first. Keep it constant: servers reuse such a text.",
    )
    prompts: dict[PromptName, PromptConfig] = Field(
        {},
        max_length=50,
        description="Instead of `prompt` several by name. The first whose rule an event fits is "
        "asked.",
    )
    params: dict[FieldName, Scalar | list[Scalar]] = Field(
        {},
        max_length=100,
        examples=[{"shop": "${shop:-our shop}", "classes": ["urgent", "other"]}],
        description="Values for the prompts, as {{ params.shop }}.",
    )
    task: Literal["chat", "classify", "summarise"] = Field(
        "chat", description="What for; an administrator's rules choose the model by it."
    )
    models: list[_ModelName] = Field(
        [],
        max_length=5,
        description="Names of models, each asked when those before it have no answer; an empty "
        "list or name leaves the choice to the rules.",
    )
    fields: dict[FieldName, FieldConfig] = Field(
        {},
        max_length=50,
        examples=[{"class": {"choices": ["urgent", "complaint", "other"]}}],
        description="Makes the answer a JSON object of these fields; else it is a text.",
    )
    json_schema: Annotated[str, StringConstraints(max_length=20_000)] = Field(
        "",
        description="JSON Schema of the answer as text, where `fields` cannot say it.",
        json_schema_extra={"advanced": True},
    )
    topic: str = Field("", max_length=255, description="Topic of answers; empty keeps it.")
    keep: bool = Field(True, description="An answer has the event's own fields too.")
    into: FieldName = Field("answer", description="The field that the answer is put in.")
    facts: bool = Field(
        True,
        description="Add `generated`: event, prompt, model, reason, tokens_in, tokens_out, cost, "
        "first_s, took_s and cached.",
    )
    chunks: bool = Field(False, description="Give the answer piece by piece at `chunks` as well.")
    key: DataPath = Field(
        "",
        examples=["user.id"],
        description="Path of what events are ordered by: of one value one after another. Empty "
        "takes the topic.",
    )
    parallel: int = Field(1, ge=1, le=64, description="How many are asked at once.")
    tries: int = Field(
        3,
        ge=0,
        le=100,
        description="So often all models are asked about an event before it is a dead letter; 0: "
        "until one answers.",
    )
    deadline_s: PositiveSeconds = Field(
        60.0, le=3_600, description="Longest wait for an answer, all models of one try together."
    )
    max_age_s: Seconds = Field(
        0.0, description="An older event is not asked about but is a dead letter; 0: never."
    )
    tokens_max: int = Field(256, ge=1, le=32_000, description="The longest answer [tokens].")
    chars_max: int = Field(
        20_000, ge=100, le=1_000_000, description="The longest text of a prompt, in characters."
    )
    language: str = Field(
        "en", pattern=r"^[a-zA-Z]{2,3}(-[A-Za-z0-9]+)*$", description="Language of the answer."
    )
    temperature: float = Field(
        0.0, ge=0, le=2, description="0 gives the same answer to the same question, if it can."
    )
    seed: int = Field(1, ge=0, description="Start of the model's random numbers.")
    priority: int = Field(
        0, ge=-10, le=10, description="Of all that wait for a model the highest goes first."
    )
    private: bool = Field(
        True,
        description="Holds data of the plant: only a model in this house is asked, unless an "
        "administrator allows more.",
    )

    @field_validator("models")
    @classmethod
    def _once(cls, models: list[str]) -> list[str]:
        if len(set(models)) < len(models):
            raise ValueError("A model is named twice.")
        return models

    @property
    def texts(self) -> dict[str, PromptConfig]:
        """All prompts by name; one that is alone is called `prompt`."""
        one = {"prompt": {"user": self.prompt}} if self.prompt else {}
        found = {name: PromptConfig.model_validate(given) for name, given in one.items()}
        found |= self.prompts
        return {
            name: text if text.system else text.model_copy(update={"system": self.system})
            for name, text in found.items()
        }

    @model_validator(mode="after")
    def _asks_something(self) -> GenerateConfig:
        if bool(self.prompt) == bool(self.prompts):
            raise ValueError("Give either `prompt` (one text) or `prompts` (several).")
        for text in (self.prompt, self.system):
            PromptTemplate(text, KNOWN)
        return self

    @model_validator(mode="after")
    def _has_one_form(self) -> GenerateConfig:
        if self.fields and self.json_schema:
            raise ValueError("Give either `fields` or `json_schema`.")
        schema_of({}, self.json_schema)
        if self.facts and self.into == "generated":
            raise ValueError("`generated` is taken: choose another `into`, or `facts: false`.")
        return self


__all__ = ["GenerateConfig"]

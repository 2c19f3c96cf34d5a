"""Answers: which form a model's answer must have, and whether it has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import Field, StringConstraints, model_validator

from gateway import Config, Rejected

SCHEMA_BYTES_MAX: Final = 20_000
_TEXT_MAX: Final = 4_000
Choice = Annotated[str, StringConstraints(min_length=1, max_length=200)]
FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w{0,63}$")]


class FieldConfig(Config):
    """One field of an answer that is a JSON object."""

    kind: Literal["text", "number", "integer", "boolean", "texts"] = Field(
        "text", description="text, number, integer, boolean, or texts: a list of texts."
    )
    choices: list[Choice] = Field(
        [], max_length=100, description="The only texts there may be; empty allows every one."
    )
    low: float | None = Field(None, description="The lowest number.")
    high: float | None = Field(None, description="The highest number.")
    about: str = Field("", max_length=500, description="What the model is told of the field.")

    @model_validator(mode="after")
    def _fits(self) -> FieldConfig:
        if self.choices and self.kind not in ("text", "texts"):
            raise ValueError("`choices` are for texts.")
        is_number = self.kind in ("number", "integer")
        if (self.low is not None or self.high is not None) and not is_number:
            raise ValueError("`low` and `high` are for numbers.")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("`low` is above `high`.")
        return self


def schema_of(fields: Mapping[str, FieldConfig], text: str) -> dict[str, Any] | None:
    """JSON Schema of an answer; None for plain text.

    Args:
        fields: What is declared field by field.
        text: A schema as JSON, instead.

    Raises:
        ValueError: The text is no schema of an object.
    """
    if text:
        return _parsed(text)
    if not fields:
        return None
    return {
        "type": "object",
        "properties": {name: _property(field) for name, field in fields.items()},
        "required": list(fields),
        "additionalProperties": False,
    }


def _property(field: FieldConfig) -> dict[str, Any]:
    text: dict[str, Any] = {"type": "string", "maxLength": _TEXT_MAX}
    if field.choices:
        text = {"type": "string", "enum": list(field.choices)}
    found: dict[str, Any] = {"type": field.kind}
    if field.kind == "text":
        found = text
    elif field.kind == "texts":
        found = {"type": "array", "items": text, "maxItems": 100}
    if field.low is not None:
        found["minimum"] = field.low
    if field.high is not None:
        found["maximum"] = field.high
    return {**found, "description": field.about} if field.about else found


def _parsed(text: str) -> dict[str, Any]:
    if len(text) > SCHEMA_BYTES_MAX:
        raise ValueError(f"The schema is longer than {SCHEMA_BYTES_MAX} characters.")
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"The schema is no JSON: {error}.") from error
    if not isinstance(found, dict) or found.get("type") != "object":
        raise ValueError('The schema must be of an object: {"type": "object", ...}.')
    return found


def read(text: str, fields: Mapping[str, FieldConfig]) -> dict[str, Any]:
    """An answer as JSON; whoever gave it has been asked to keep to the schema.

    Raises:
        Rejected: It is no JSON object, or its fields are not as declared.
    """
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Rejected(f"The model's answer is no JSON ({error}): {text[:100]!r}") from error
    if not isinstance(found, dict):
        raise Rejected(f"The model's answer is no JSON object: {text[:100]!r}")
    for name, field in fields.items():
        if name not in found:
            raise Rejected(f"The model's answer has no {name!r}: {text[:100]!r}")
        if not _fits(found[name], field):
            raise Rejected(f"The model's answer has {name} = {str(found[name])[:80]!r}.")
    return found


def _fits(value: Any, field: FieldConfig) -> bool:
    if field.kind == "texts":
        return isinstance(value, list) and all(_is_text(item, field) for item in value)
    if field.kind == "text":
        return _is_text(value, field)
    if field.kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if field.kind == "integer" and value != int(value):
        return False
    is_low = field.low is not None and value < field.low
    is_high = field.high is not None and value > field.high
    return not is_low and not is_high


def _is_text(value: Any, field: FieldConfig) -> bool:
    return isinstance(value, str) and (not field.choices or value in field.choices)


__all__ = ["FieldConfig", "FieldName", "read", "schema_of"]

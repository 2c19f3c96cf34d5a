"""Config: what a user may set on a node, declared once.

Validation, JSON schema, the editor's form, the help page and the tool description all come
from these classes, so each field has a sentence, and its unit in the type.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from gateway.flow.jsonpath import JsonPath


class Config(BaseModel):
    """The base of every node's config: frozen, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        ser_json_inf_nan="null",
    )


class Secret(BaseModel):
    """A reference to a secret; a flow file never holds the secret itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    secret: str = Field(
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="Name of the secret, kept outside the flow (see `genba docs secrets`).",
    )


def _unit(unit: str, **more: Any) -> Any:
    return Field(json_schema_extra={"unit": unit, **more})


Seconds = Annotated[float, Field(ge=0, json_schema_extra={"unit": "s"})]
PositiveSeconds = Annotated[float, Field(gt=0, json_schema_extra={"unit": "s"})]
Hertz = Annotated[float, Field(gt=0, json_schema_extra={"unit": "Hz"})]
Percent = Annotated[float, Field(ge=0, le=100, json_schema_extra={"unit": "%"})]
Rows = Annotated[int, Field(gt=0, json_schema_extra={"unit": "rows"})]
Bytes = Annotated[int, Field(gt=0, json_schema_extra={"unit": "bytes"})]
TAG_PATTERN = r"^[^\s+]+$"
TagName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, pattern=TAG_PATTERN),
    Field(json_schema_extra={"widget": "tag"}),
]
TagFilter = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255),
    Field(json_schema_extra={"widget": "tags"}),
]
ConnectionName = Annotated[
    str,
    StringConstraints(min_length=1),
    Field(json_schema_extra={"widget": "connection"}),
]
Expression = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2000),
    Field(json_schema_extra={"widget": "expression"}),
]
DataPath = Annotated[
    str,
    StringConstraints(max_length=255),
    AfterValidator(lambda text: JsonPath(text).text),
]
"""A path into a JSON document, see `JsonPath`; the empty one is the whole."""
Advanced = Field(json_schema_extra={"advanced": True})

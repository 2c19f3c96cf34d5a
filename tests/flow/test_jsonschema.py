"""Answers are checked against their schema: what passes and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import ConfigError
from gateway.flow.jsonschema import check_schema, parsed, problem

OBJECT = {
    "type": "object",
    "properties": {"a": {"type": "integer", "minimum": 1, "maximum": 9}, "b": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "schema", "wrong"),
    [
        ({"a": 3}, OBJECT, ""),
        ({"a": 3.0, "b": "x"}, OBJECT, ""),
        ({"a": 3.5}, OBJECT, "$.a is no integer"),
        ({"a": True}, OBJECT, "$.a is no integer"),
        ({"a": 0}, OBJECT, "$.a has less than minimum 1"),
        ({"a": 10}, OBJECT, "$.a has more than maximum 9"),
        ({}, OBJECT, "$.a is missing"),
        ({"a": 1, "c": 2}, OBJECT, "$.c may not be"),
        ([1, "x"], {"items": {"type": "number"}}, "$[1] is no number"),
        ([1, 2], {"maxItems": 1}, "$ has more than maxItems 1"),
        ("abc", {"minLength": 4}, "$ has less than minLength 4"),
        (1, {"enum": [True, "1"]}, "$ is none of"),
        (True, {"const": 1}, "$ is not 1"),
        (None, {"type": ["string", "null"]}, ""),
        (2, {"anyOf": [{"type": "string"}, {"type": "integer"}]}, ""),
        ([], {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "$ is no string"),
        (5, {"exclusiveMaximum": 5}, "$ is not below 5"),
        (float("inf"), {"type": "number"}, "$ is no finite number"),
        ({"x": {"a": 0}}, {"properties": {"x": {"$ref": "#/$defs/o"}}, "$defs": {"o": OBJECT}},
         "$.x.a has less than minimum 1"),
    ],
)  # fmt: skip
def test_values(value: Any, schema: dict[str, Any], wrong: str) -> None:
    check_schema(schema)
    found = problem(value, schema)
    assert found.startswith(wrong) if wrong else found == ""


def test_json_is_found_among_words() -> None:
    for text in ('{"a": 1}', '```json\n{"a": 1}\n```', 'Here it is: {"a": 1}. Good luck!'):
        assert parsed(text, OBJECT) == ({"a": 1}, "")
    for text in ("", "no", '{"a": 1', "}{", "[" * 100_000):
        assert parsed(text, OBJECT)[1]


@pytest.mark.parametrize(
    "schema",
    [{"pattern": "a"}, {"type": "text"}, {"properties": {"x": {"format": "date"}}}, {"items": 3}],
)
def test_what_is_not_checked_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        check_schema(schema)


def test_a_schema_that_points_to_itself_ends() -> None:
    schema = {"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}}
    assert "too deep" in problem(1, schema)
    with pytest.raises(ConfigError, match="points to"):
        problem(1, {"$ref": "#/$defs/y"})

"""Spec: form, schema, page and tool, all from the class."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, Field

from gateway import (
    Config,
    ConnectionName,
    Example,
    Expression,
    Node,
    Seconds,
    Secret,
    Sink,
    TagFilter,
    TagName,
)
from gateway.flow import registry
from gateway.flow.spec import Spec, all_specs, find_spec


class Point(BaseModel):
    address: int = Field(ge=0, description="Where it is.")
    unit: str = Field("", description="Its unit.")


class EverythingConfig(Config):
    connection: ConnectionName = Field(description="The bus.")
    tag: TagName = Field(description="A tag.")
    tags: TagFilter = Field("#", description="Tags.")
    formula: Expression = Field("a + 1", description="A formula.")
    password: Secret | None = Field(None, description="The password.")
    on_delay_s: Seconds = Field(5, description="A delay.")
    share: float = Field(0.5, gt=0, lt=1, description="A share.")
    mode: Literal["a", "b"] = Field("a", description="A mode.")
    loud: bool = Field(False, description="A switch.", json_schema_extra={"advanced": True})
    names: tuple[str, ...] = Field((), description="Names.")
    points: dict[str, Point] = Field(default_factory=dict, description="Points.")
    rows: tuple[Point, ...] = Field((), description="Rows.")
    one: Point | None = Field(None, description="One.")
    setpoint: float | str = Field(1.0, description="A number or a tag.")
    tls: dict[str, int] = Field(default_factory=dict, description="A mapping.")


class Everything(Sink[EverythingConfig]):
    """Send it all. It has every kind of option.

    More about it.

    Delivery: every row once
    or twice.
    Back pressure: it waits.
    """

    Config = EverythingConfig
    examples = (Example("It", {"connection": "c", "tag": "t"}),)


SPEC = Spec("test.everything", Everything)
FIELDS = {field.name: field for field in SPEC.fields}


def test_widgets_follow_types() -> None:
    assert {name: field.widget for name, field in FIELDS.items()} == {
        "connection": "connection",
        "tag": "tag",
        "tags": "tags",
        "formula": "expression",
        "password": "secret",
        "on_delay_s": "number",
        "share": "number",
        "mode": "select",
        "loud": "switch",
        "names": "list",
        "points": "table",
        "rows": "table",
        "one": "group",
        "setpoint": "yaml",
        "tls": "table",
    }


def test_a_field_says_all_a_form_needs() -> None:
    delay = FIELDS["on_delay_s"]
    assert (delay.label, delay.unit, delay.default, delay.low, delay.exclusive) == (
        "On delay",
        "s",
        5,
        0,
        "",
    )
    share = FIELDS["share"]
    assert (share.low, share.high, share.exclusive) == (0, 1, "both")
    assert FIELDS["mode"].choices == ("a", "b")
    assert FIELDS["loud"].advanced
    assert FIELDS["password"].secret
    assert FIELDS["password"].optional
    assert FIELDS["connection"].required
    assert not FIELDS["tags"].required
    assert [inner.name for inner in FIELDS["points"].fields] == ["address", "unit"]
    assert FIELDS["rows"].fields == FIELDS["points"].fields == FIELDS["one"].fields
    assert all(field.sentence for field in SPEC.fields)


def test_docstring_parts() -> None:
    assert SPEC.summary == "Send it all."
    assert SPEC.paragraphs["Delivery"] == "every row once\nor twice."
    assert SPEC.paragraphs["Back pressure"] == "it waits."
    assert SPEC.delivery == "every"


def test_tool_is_one_that_models_take() -> None:
    tool = Spec.of("filter.deadband").tool
    function = tool["function"]
    assert function["name"] == "filter_deadband"
    assert function["description"].startswith("Pass a sample only if it differs")
    assert function["parameters"]["required"] == ["band"]
    assert function["parameters"]["additionalProperties"] is False
    assert function["parameters"]["properties"]["heartbeat_s"]["unit"] == "s"


def test_page_has_options_examples_and_headings() -> None:
    page = Spec.of("filter.deadband").page
    assert page.startswith("# filter.deadband\n\nPass a sample only if")
    for part in (
        "| `heartbeat_s` | s | 0 |",
        "| `band` |  | required |",
        "One of `absolute`, `percent`.",
        "## State",
        "## Cost",
        "## Source",
        "### Half a degree",
        "deadband: {type: filter.deadband, band: 0.5}",
        "TT101 0s 20.0 | 1s 20.5 | 2s 20.6 | 3s 20.6 bad",
        "Known of the tags:",
    ):
        assert part in page, part
    everything = SPEC.page
    assert "## Delivery" in everything
    assert "### Each row of `points`" in everything
    assert "### Inside `one`" in everything


def test_every_node_gives_everything() -> None:
    for spec in all_specs():
        assert json.loads(json.dumps(spec.tool))["function"]["parameters"]["type"] == "object"
        assert json.dumps(spec.schema)
        assert spec.page.count("\n# ") == 0, f"{spec.name} has two titles"
        names: list[Any] = [field.name for field in spec.fields]
        assert names == list(spec.cls.Config.model_fields), spec.name


def test_names_that_are_no_node() -> None:
    assert find_spec("no.node") is None
    assert find_spec("nonsense") is None
    cls: type[Node[Any]] = registry.node_class("filter.deadband")
    assert Spec.of("filter.deadband").cls is cls

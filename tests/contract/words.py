"""Law 11 and 12: every node explains itself, and its config survives being written down."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel

from gateway import Config, Node, Sink, Source, Transform, Worker
from gateway.flow.document import Document
from gateway.flow.entries import RESERVED, Entry
from gateway.flow.lint import lint

HEADINGS = {
    "source": ("Delivery:", "Back pressure:"),
    "sink": ("Delivery:", "Back pressure:"),
    "worker": ("Delivery:", "Back pressure:"),
    "transform": ("State:", "Cost:"),
    "connection": (),
}
SUFFIXES = {"s": "_s", "Hz": "_hz"}


def is_sentence(text: str) -> bool:
    return len(text) > 3 and text[0] == text[0].upper() and text.rstrip()[-1] in ".?!"


def explained(cls: type[Node[Any]]) -> None:
    """11. Every option, port, heading and class has its sentence, and units are in names."""
    text = inspect.cleandoc(cls.__doc__ or "")
    summary = text.split("\n\n")[0].replace("\n", " ")
    first = summary.split(". ")[0]
    assert is_sentence(summary), "the class has no docstring that begins with a sentence"
    assert len(first) <= 100, f"its first sentence has {len(first)} characters; 80 are better"
    for heading in HEADINGS[cls.kind]:
        found = [line for line in text.splitlines() if line.startswith(heading)]
        assert found, f"the docstring lacks the paragraph {heading!r}"
        assert len(found[0]) > len(heading) + 3, f"{heading!r} says nothing"
    for port in (*cls.inputs, *cls.outputs):
        assert is_sentence(port.about), f"port {port.name!r} is not explained: {port.about!r}"
    for side in (cls.inputs, cls.outputs):
        names = [port.name for port in side]
        assert len(set(names)) == len(names), f"two ports have one name: {names}"
    assert issubclass(cls.Config, Config), "Config must derive from gateway.Config"
    options_explained(cls.Config)
    assert not set(RESERVED) & cls.Config.model_fields.keys(), f"{RESERVED} belong to the flow file"
    assert cls.examples, "there is no example"
    titles = [example.title for example in cls.examples]
    assert len(set(titles)) == len(titles), "two examples have one title"


def options_explained(model: type[BaseModel]) -> None:
    schema = model.model_json_schema(mode="serialization")
    for part in (schema, *schema.get("$defs", {}).values()):
        for name, option in part.get("properties", {}).items():
            about = option.get("description", "")
            where = f"{part.get('title', model.__name__)}.{name}"
            # It may begin with one of its values, as in "first: the first good one."
            assert is_sentence(about[:1].upper() + about[1:]), (
                f"option {where} is not explained: {about!r}"
            )
            for unit, suffix in SUFFIXES.items():
                if option.get("unit") == unit:
                    assert suffix in name, f"option {where} is in {unit}: call it {name}{suffix}"


def of_one_kind(cls: type[Node[Any]]) -> None:
    """A node is exactly one kind, with the ports that its kind has."""
    match cls.kind:
        case "source":
            assert issubclass(cls, Source)
            assert not cls.inputs, "a source has no inputs"
            status = {port.name: port.carries for port in cls.outputs}
            assert status.get("status") == "events", "a source says what happens on `status`"
        case "sink":
            assert issubclass(cls, Sink)
            assert cls.inputs, "a sink takes something"
            assert cls.delivery in ("every", "latest", "fresh")
        case "transform":
            assert issubclass(cls, Transform)
            assert cls.inputs, "a transform takes something"
            assert cls.outputs, "a transform gives something"
        case "worker":
            assert issubclass(cls, Worker)
            assert cls.inputs, "a worker takes something"
        case _:
            assert cls.kind == "connection"


def config_round_trips(name: str, cls: type[Node[Any]], index: int) -> None:
    """12. An example's config is the same after JSON and after a flow file, and lints clean."""
    given = dict(cls.examples[index].config)
    config = cls.Config.model_validate(given)
    assert cls.Config.model_validate(config.model_dump(mode="json")) == config
    assert cls.Config.model_validate_json(config.model_dump_json()) == config
    cls.Config.model_json_schema(mode="serialization")
    section = "connections" if cls.kind == "connection" else "nodes"
    document = Document("example", allow_write=True, **{section: {"it": Entry(name, given)}})
    text = document.text()
    loaded = Document.parse(text)
    assert loaded.text() == text, "a flow file with it does not save to the same bytes"
    entry = getattr(loaded, section)["it"]
    assert cls.Config.model_validate(dict(entry.config)) == config, text
    wrong = [str(f) for f in lint(loaded) if f.severity == "error" and f.field and f.node == "it"]
    wrong = [text for text in wrong if "There is no connection" not in text]
    assert not wrong, wrong

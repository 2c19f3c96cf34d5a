"""Lint of the tests inside a flow: ends that are not there, texts that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.data.table import parse_time
from gateway.data.tag import TagTable
from gateway.flow import notation
from gateway.flow.document import Document
from gateway.flow.findings import Finding, near
from gateway.flow.node import Port

_TAGS_MAX = 1_000  # As many as a test may name when it runs.


def test_findings(document: Document) -> Iterator[Finding]:
    """What is wrong with the tests before they run."""
    for i, test in enumerate(document.tests):
        for key in ("given", "expect"):
            for end, text in getattr(test, key).items():
                yield from _end(document, i, key, end, text)
        for node in test.config:
            yield from _no_node(document, i, "config", node)
        if test.until is not None:
            try:
                parse_time(test.until)
            except ValueError as error:
                yield _at(document, (i, "until"), str(error), "")


def _no_node(document: Document, i: int, key: str, end: str) -> Iterator[Finding]:
    node = end.partition(".")[0]
    if node not in document.nodes:
        text = f"Test {document.tests[i].title!r} names {node!r}, which is no node."
        yield _at(document, (i, key, end), text, near(node, document.nodes))


def _end(document: Document, i: int, key: str, end: str, text: str) -> Iterator[Finding]:
    """One `node` or `node.port` of a test, and the text under it."""
    node, _, wanted = end.partition(".")
    wrong = list(_no_node(document, i, key, end))
    cls = document.class_of(node)
    if wrong or cls is None:
        yield from wrong
        return
    place = (i, key, end)
    if key == "given" and cls.kind == "sink":
        said = f"{node!r} is a sink; nothing can be given to it."
        yield _at(document, place, said, "Give it to the node before.")
        return
    takes = cls.kind == "sink" if key == "expect" else cls.kind not in ("source", "worker")
    ports: tuple[Port, ...] = cls.inputs if takes else cls.outputs
    port = next((port for port in ports if wanted in ("", port.name)), None)
    if port is None:
        side = "input" if takes else "output"
        said = f"{node!r} has no {side} {wanted!r}." if wanted else f"{node!r} has no {side}."
        yield _at(document, place, said, near(wanted, [port.name for port in ports]))
        return
    try:
        notation.parse(text, port.carries, TagTable(_TAGS_MAX))
    except ValueError as error:
        hint = f"{node}.{port.name} carries {port.carries}; `genba docs flow_file` shows how."
        yield _at(document, place, str(error), hint)


def _at(document: Document, place: tuple[str | int, ...], text: str, hint: str) -> Finding:
    line = document.line("tests", *place)
    field = ".".join(map(str, ("tests", *place)))
    text = text if text.endswith((".", "?")) or "Write" in text else f"{text}."
    return Finding("error", document.file, line, "", field, text, hint)


__all__ = ["test_findings"]

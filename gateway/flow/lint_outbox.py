"""Lint of what waits: options of an outbox that mean nothing, and promises that cost something."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.flow.document import Document
from gateway.flow.findings import Finding, Severity
from gateway.flow.node import Sink


def waiting_findings(document: Document) -> Iterator[Finding]:
    """All that can be said about queues and about the journal."""
    if document.durability == "memory":
        yield _at(
            document,
            "warning",
            ("durability",),
            "Nothing of this flow is stored: a crash or a power cut loses what was read since, its "
            "windows, its alarms and all that waits for a sink.",
            "Take `journal` (the default), unless all of it comes again.",
        )
        yield from _streams(document)
    for name in document.connections:
        if document.connections[name].outbox is not None:
            text = "A connection has no outbox: only sinks and workers have one."
            place = ("connections", name, "outbox")
            yield _at(document, "error", place, text, "Write it at the sink.")
    for name, entry in document.nodes.items():
        cls = document.class_of(name)
        if entry.outbox is None or cls is None:
            continue
        place = ("nodes", name, "outbox")
        if cls.kind not in ("sink", "worker"):
            text = f"A {cls.kind} has no outbox: only sinks and workers have one."
            yield _at(document, "error", place, text, "Write it at the sink.")
        elif issubclass(cls, Sink) and cls.delivery == "fresh":
            text = f"{entry.type} writes at once or not at all: nothing waits for it."
            yield _at(document, "error", place, text, "Delete `outbox`.")
        elif cls.kind == "worker" and "when_full" in entry.outbox.model_fields_set:
            if entry.outbox.when_full == "block" and _makes_alarms(document):
                yield _at(
                    document,
                    "warning",
                    (*place, "when_full"),
                    "When it is full the sources of this flow wait until it has answered, so a "
                    "slow answer delays an alarm.",
                    "Put the worker into a flow without alarms, or take `drop_oldest`.",
                )
        elif entry.outbox.when_full == "block":
            yield _at(
                document,
                "warning",
                (*place, "when_full"),
                "When it is full it holds up this whole flow, its alarms too, until the receiver "
                "takes rows again.",
                "Give what must be lossless a flow of its own.",
            )


def _makes_alarms(document: Document) -> bool:
    classes = map(document.class_of, document.nodes)
    return any(port.carries == "alarms" for cls in classes if cls for port in cls.outputs)


def _streams(document: Document) -> Iterator[Finding]:
    """Streams to and from other flows count by the numbers of a journal."""
    for name, entry in document.nodes.items():
        if entry.type in ("flow.sink", "flow.source"):
            text = "A stream between flows is exactly once only where both are journalled."
            yield _at(document, "error", ("nodes", name), text, "Take `durability: journal`.")


def _at(
    document: Document, severity: Severity, place: tuple[str, ...], text: str, hint: str
) -> Finding:
    node = place[1] if len(place) > 1 else ""
    field = ".".join(place[2:]) if node else place[0]
    return Finding(severity, document.file, document.line(*place), node, field, text, hint)


__all__ = ["waiting_findings"]

"""Expansion: instances of subflows become their nodes, what is bypassed is wired around.

Pure: a document goes in, a document without subflows comes out. Everything behind it (lint,
graph, deploy, replay, shadows, live status) knows plain nodes only, with ids ``press/clean`` for
the node `clean` inside the instance `press`; so each instance has state, status and outboxes of
its own, and a deploy keeps the state of each node that did not change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.errors import ConfigError
from gateway.flow.document import Document
from gateway.flow.entries import Entry
from gateway.flow.expand_tests import inner_tests
from gateway.flow.findings import near
from gateway.flow.junctions import End, Junctions
from gateway.flow.shape import NODES_MAX
from gateway.flow.subflow import NESTED_MAX, SEPARATOR, Origin, Parameter, Subflow, subflow_of
from gateway.flow.yaml_read import Path as Place

_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-[^}]*)?\}")


@dataclass(frozen=True, slots=True)
class _Value:
    """The value of a parameter in an instance, and (node, option) where it is written, if any."""

    value: Any
    place: tuple[str, ...] = ()


def expanded(document: Document) -> Document:
    """The flow with plain nodes only; the same document where it has nothing else.

    Raises:
        ConfigError: An instance or its subflow is wrong, or there are too many nodes.
    """
    special = document.subflows or any(
        entry.bypassed or subflow_of(entry.type) is not None for entry in document.nodes.values()
    )
    return _Expansion(document).run() if special else document


def instance_problems(
    document: Document, entry: Entry
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """(field, text, hint) for all that is wrong with an instance of a subflow."""
    name = str(subflow_of(entry.type))
    subflow = document.subflows.get(name)
    if subflow is None:
        hint = near(name, document.subflows, "Write it under `subflows:`.")
        yield ("type",), f"There is no subflow {name!r}.", hint
        return
    for key in entry.config:
        if key not in subflow.parameters:
            text = f"The subflow {name!r} has no parameter {key!r}."
            yield (key,), text, near(key, subflow.parameters, "It has no parameters.")
    for key, parameter in subflow.parameters.items():
        if parameter.is_required and key not in entry.config:
            yield (key,), f"The parameter `{key}` is missing.", parameter.about
    if entry.outbox is not None:
        hint = "Write it at the node inside that sends."
        yield ("outbox",), "An instance of a subflow has no outbox.", hint


class _Expansion:
    """One document on its way."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes: dict[str, Entry] = {}
        self.origins: dict[str, Origin] = {}
        self.lines: dict[Place, int] = {
            place: line for place, line in document.lines.items() if place[0:1] != ("wires",)
        }
        self.junctions = Junctions()
        self._bodies: dict[str, Document] = {}

    def run(self) -> Document:
        document = self.document
        self._level(document, "", {}, (), is_disabled=False)
        wires = self.junctions.wires()
        self.lines |= {("wires", i): wire.line for i, wire in enumerate(wires)}
        return replace(
            document,
            subflows={},
            nodes=self.nodes,
            chains=tuple(map(str, wires)),
            tests=inner_tests(document, self.nodes, self.junctions),
            lines=self.lines,
            comments={},
            origins={**document.origins, **self.origins},
        )

    def _level(
        self,
        level: Document,
        prefix: str,
        values: Mapping[str, _Value],
        stack: tuple[str, ...],
        *,
        is_disabled: bool,
    ) -> None:
        """The nodes and wires of the flow itself, or of a subflow inside one instance."""
        for name, entry in level.nodes.items():
            node = prefix + name
            config, given = self._filled(level, stack, name, entry, values)
            if prefix:
                self._note_lines(level, name, node, given)
            entry = replace(entry, config=config, disabled=entry.disabled or is_disabled)
            if subflow_of(entry.type) is not None:
                self._instance(level, name, node, entry, given, stack)
                continue
            if len(self.nodes) >= NODES_MAX:
                text = f"With its subflows the flow has more than {NODES_MAX:,} nodes."
                raise ConfigError(text, where=self.document.file, hint="Split the flow.")
            if entry.bypassed:
                self._bypass(level, name, node)
            self.nodes[node] = entry
            if stack:
                self.origins[node] = Origin(stack[-1], name, prefix[:-1], given)
        for wire in level.wires:
            source = self._end(level, prefix, wire.source, wire.source_port)
            target = self._end(level, prefix, wire.target, wire.target_port)
            self.junctions.add(source, target, wire.line, len(stack))

    def _instance(
        self,
        level: Document,
        name: str,
        node: str,
        entry: Entry,
        given: Mapping[str, tuple[str, ...]],
        stack: tuple[str, ...],
    ) -> None:
        for field, text, hint in instance_problems(level, entry):
            raise self._wrong(level, stack, ("nodes", name, *field), text, hint)
        kind = str(subflow_of(entry.type))
        if kind in stack or len(stack) >= NESTED_MAX:
            ring = " -> ".join((*stack, kind))
            text = f"The subflow {kind!r} contains itself: {ring}."
            if kind not in stack:
                text = f"Subflows stand deeper in each other than {NESTED_MAX} levels: {ring}."
            raise self._wrong(level, stack, ("nodes", name), text, "Take one out.")
        subflow = self.document.subflows[kind]
        if entry.bypassed:
            self._bypass(level, name, node)
        if kind not in self._bodies:
            self._bodies[kind] = self.document.body(kind)
        values = _values(subflow, node, entry, given)
        self._level(
            self._bodies[kind],
            node + SEPARATOR,
            values,
            (*stack, kind),
            is_disabled=entry.disabled,
        )

    def _wrong(
        self, level: Document, stack: tuple[str, ...], place: Place, text: str, hint: str
    ) -> ConfigError:
        head = f"{level.file}:{level.line(*place)}"
        inside = ("subflows", stack[-1]) if stack else ()
        where = f"{head} {'.'.join(map(str, (*inside, *place)))}"
        return ConfigError(text, where=where, hint=hint)

    def _bypass(self, level: Document, name: str, node: str) -> None:
        """Join what comes in with what goes out, where both carry the same."""
        if (pair := bypass_of(level, name)) is not None:
            into, out = End(node, pair[0], True), End(node, pair[1], True)
            self.junctions.add(into, out, level.line("nodes", name), 0)

    def _end(self, level: Document, prefix: str, node: str, port: str) -> End:
        if level.inside is not None and node not in level.nodes:
            return End(prefix[:-1], port, True)  # A port of the instance, seen from inside.
        entry = level.nodes.get(node)
        is_junction = entry is not None and (entry.bypassed or subflow_of(entry.type) is not None)
        return End(prefix + node, port, is_junction)

    def _filled(
        self,
        level: Document,
        stack: tuple[str, ...],
        name: str,
        entry: Entry,
        values: Mapping[str, _Value],
    ) -> tuple[Mapping[str, Any], dict[str, tuple[str, ...]]]:
        """The options with parameters replaced, and where those values are written."""
        if not values:
            return entry.config, {}
        config: dict[str, Any] = {}
        given: dict[str, tuple[str, ...]] = {}
        for option, value in entry.config.items():
            try:
                config[option] = fill(value, {key: one.value for key, one in values.items()})
            except ValueError as error:
                place = ("nodes", name, option)
                raise self._wrong(level, stack, place, str(error), "") from error
            for key in references(value):
                if key in values and values[key].place:
                    given[option] = values[key].place
        return config, given

    def _note_lines(
        self, level: Document, name: str, node: str, given: Mapping[str, tuple[str, ...]]
    ) -> None:
        """Lines of an inner node; an option that an instance gave stands where that is."""
        head = ("nodes", name)
        for place, line in level.lines.items():
            if place[:2] == head:
                self.lines["nodes", node, *place[2:]] = line
        for option, place in given.items():
            written = self.lines.get(("nodes", *place))
            if written is not None:
                self.lines["nodes", node, option] = written


def _values(
    subflow: Subflow, node: str, entry: Entry, given: Mapping[str, tuple[str, ...]]
) -> dict[str, _Value]:
    """The parameters of one instance; a value that came from further out is written there."""

    def value(name: str, parameter: Parameter) -> _Value:
        if name not in entry.config:
            return _Value(parameter.default)
        return _Value(entry.config[name], given.get(name, (node, name)))

    return {name: value(name, one) for name, one in subflow.parameters.items()}


def bypass_of(document: Document, node: str) -> tuple[str, str] | None:
    """The input and output that a bypass joins; None where none carry the same."""
    inputs = document.ports_of(node, "inputs") or ()
    outputs = document.ports_of(node, "outputs") or ()
    for port in outputs:
        if inputs and port.carries == inputs[0].carries:
            return inputs[0].name, port.name
    return None


def references(value: Any) -> Iterator[str]:
    """Names in ``${}`` inside a value."""
    if isinstance(value, str):
        yield from (found[1] for found in _REFERENCE.finditer(value))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from references(key)
            yield from references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references(item)


def fill(value: Any, values: Mapping[str, Any]) -> Any:
    """A value with parameters replaced; names that are none are left for the gateway's variables.

    Raises:
        ValueError: A list or a mapping is to stand inside a text.

    >>> fill({"hi": "${hi}", "tag": "${area}/oil"}, {"hi": 7.5, "area": "press"})
    {'hi': 7.5, 'tag': 'press/oil'}
    """
    if isinstance(value, str):
        whole = _REFERENCE.fullmatch(value)
        if whole is not None and whole[1] in values:
            return values[whole[1]]
        return _REFERENCE.sub(lambda found: _text(found, values), value)
    if isinstance(value, Mapping):
        return {fill(key, values): fill(item, values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [fill(item, values) for item in value]
    return value


def _text(found: re.Match[str], values: Mapping[str, Any]) -> str:
    if found[1] not in values:
        return found[0]
    value = values[found[1]]
    if isinstance(value, Mapping | list | tuple) or value is None:
        raise ValueError(f"The parameter {found[1]!r} is no text, and cannot stand inside one.")
    return str(value).lower() if isinstance(value, bool) else str(value)


__all__ = ["bypass_of", "expanded", "fill", "instance_problems", "references"]

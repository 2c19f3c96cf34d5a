"""Gather: some nodes of a flow become a subflow; take: a subflow comes from another flow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from gateway.errors import ConfigError
from gateway.flow.document import Document
from gateway.flow.entries import Entry, FlowTest, Wire, ends_of
from gateway.flow.port import Carries
from gateway.flow.shape import is_id
from gateway.flow.subflow import FAMILY, SEPARATOR, Subflow, subflow_of
from gateway.flow.yaml_read import Path as Place

End = tuple[str, str]


def gather(document: Document, nodes: Collection[str], name: str, instance: str) -> Document:
    """The flow with some of its nodes in a subflow; it computes the same.

    Its nodes have other ids from then on (``instance/node``), so a flow that runs starts them
    fresh. Tests go on to mean the same nodes.

    Args:
        document: A flow as it is written.
        nodes: The nodes.
        name: What the subflow is called.
        instance: The id of the node that stands for them.

    Raises:
        ConfigError: One is no node, or a name is taken or none.
    """
    _check(document, nodes, name, instance)
    made = _Gathering(document, set(nodes), instance)
    chains, origins = made.outer()
    entries: dict[str, Entry] = {}
    for node, entry in document.nodes.items():
        if node not in made.inside:
            entries[node] = entry
        else:
            entries.setdefault(instance, Entry(f"{FAMILY}.{name}"))
    subflow = Subflow(
        inputs={port: made.carries(end) for end, port in made.inputs.items()},
        outputs={port: made.carries(end) for end, port in made.outputs.items()},
        nodes={node: e for node, e in document.nodes.items() if node in made.inside},
        chains=made.inner(),
    )
    comments: dict[Place, list[str]] = {}
    for place, lines in document.comments.items():
        if place[:1] == ("nodes",) and len(place) > 1 and place[1] in made.inside:
            comments["subflows", name, *place] = lines
        elif place[:1] == ("wires",) and len(place) > 1:
            if place[1] in origins:
                comments["wires", origins.index(place[1])] = lines
        else:
            comments[place] = lines
    return replace(
        document,
        subflows={**document.subflows, name: subflow},
        nodes=entries,
        chains=chains,
        tests=tuple(_moved(test, made.inside, instance) for test in document.tests),
        comments=comments,
        lines={},
    )


def take(document: Document, other: Document, name: str) -> Document:
    """The flow with a subflow of another flow, and those that it needs.

    It is a copy: what becomes of the other flow does not matter to this one.

    Raises:
        ConfigError: There is none of this name, or another one has it here.
    """
    if name not in other.subflows:
        raise ConfigError(f"The flow {other.name!r} has no subflow {name!r}.")
    subflows, comments = dict(document.subflows), dict(document.comments)
    waiting, seen = [name], {name}
    while waiting:
        wanted = waiting.pop()
        subflow = other.subflows.get(wanted)
        if subflow is None:
            continue  # Lint says so in either flow.
        if subflows.get(wanted, subflow) != subflow:
            text = f"This flow has another subflow {wanted!r}."
            raise ConfigError(text, hint="Rename one of them.")
        if wanted not in subflows:
            subflows[wanted] = subflow
            head: Place = ("subflows", wanted)
            comments |= {at: said for at, said in other.comments.items() if at[:2] == head}
        for entry in subflow.nodes.values():
            inner = subflow_of(entry.type)
            if inner is not None and inner not in seen:
                seen.add(inner)
                waiting.append(inner)
    return replace(document, subflows=subflows, comments=comments, lines={})


def _check(document: Document, nodes: Collection[str], name: str, instance: str) -> None:
    if not nodes:
        raise ConfigError("There is no node to gather.", hint="Choose some.")
    for node in nodes:
        if node not in document.nodes:
            raise ConfigError(f"There is no node {node!r}.")
    for one in (name, instance):
        if not is_id(one):
            hint = "Begin with a letter; use letters, digits, - and _."
            raise ConfigError(f"{one!r} cannot be an id.", hint=hint)
    if name in document.subflows:
        raise ConfigError(f"There is a subflow {name!r} already.", hint="Choose another name.")
    taken = (document.nodes.keys() - set(nodes)) | document.connections.keys()
    if instance in taken:
        raise ConfigError(f"There is a node {instance!r} already.", hint="Choose another name.")


class _Gathering:
    """The wires of one flow, told apart by where they end."""

    def __init__(self, document: Document, inside: set[str], instance: str) -> None:
        self.inside = inside
        self.inputs: dict[End, str] = {}
        """The input that stands for a port outside, whatever it feeds inside."""
        self.outputs: dict[End, str] = {}
        """The output that stands for a port inside."""
        self._document = document
        self._instance = instance
        self._taken = set(inside)
        for wire in document.wires:
            source, is_in = (wire.source, wire.source_port), wire.target in inside
            if wire.source in inside and not is_in and source not in self.outputs:
                self.outputs[source] = self._free(wire.source_port)
            elif wire.source not in inside and is_in and source not in self.inputs:
                self.inputs[source] = self._free("in")

    def _free(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}{number}"
        self._taken.add(name)
        return name

    def carries(self, end: End) -> Carries:
        """What leaves a port; samples where that is not known."""
        ports = self._document.ports_of(end[0], "outputs") or ()
        return next((port.carries for port in ports if port.name == end[1]), "samples")

    def _chains(self) -> Iterator[tuple[str, list[Wire]]]:
        """Each chain with its wires."""
        wires = iter(self._document.wires)
        for chain in self._document.chains:
            yield chain, [next(wires) for _ in pairwise(ends_of(chain))]

    def inner(self) -> tuple[str, ...]:
        """The wires inside."""
        found: dict[str, None] = {}
        for chain, wires in self._chains():
            if all({wire.source, wire.target} <= self.inside for wire in wires):
                found[chain] = None
                continue
            for wire in wires:
                source, is_in = (wire.source, wire.source_port), wire.target in self.inside
                target = f"{wire.target}.{wire.target_port}"
                if wire.source in self.inside and is_in:
                    found[self._short(wire)] = None
                elif wire.source in self.inside:
                    found[f"{wire.source}.{wire.source_port} -> {self.outputs[source]}"] = None
                elif is_in:
                    found[f"{self.inputs[source]} -> {target}"] = None
        return tuple(found)

    def outer(self) -> tuple[tuple[str, ...], list[int]]:
        """The wires that stay, and which chain each comes from."""
        found: dict[str, int] = {}
        for number, (chain, wires) in enumerate(self._chains()):
            if not any({wire.source, wire.target} & self.inside for wire in wires):
                found.setdefault(chain, number)
                continue
            for wire in wires:
                source, is_in = (wire.source, wire.source_port), wire.target in self.inside
                plain = f"{wire.source}.{wire.source_port}"
                if wire.source in self.inside and not is_in:
                    target = f"{wire.target}.{wire.target_port}"
                    text = f"{self._instance}.{self.outputs[source]} -> {target}"
                elif wire.source not in self.inside and is_in:
                    text = f"{plain} -> {self._instance}.{self.inputs[source]}"
                elif is_in:
                    continue
                else:
                    text = self._short(wire)
                found.setdefault(text, number)
        return tuple(found), list(found.values())

    def _short(self, wire: Wire) -> str:
        """A wire with ports only where they do not go without saying."""
        source, target = wire.source, wire.target
        for text in (
            f"{source} -> {target}",
            f"{source}.{wire.source_port} -> {target}",
            f"{source} -> {target}.{wire.target_port}",
        ):
            if replace(self._document, chains=(text,)).wires[0] == wire:
                return text
        return str(wire)


def _moved(test: FlowTest, inside: Collection[str], instance: str) -> FlowTest:
    """A test that means the same nodes where they stand now."""

    def name(end: str) -> str:
        node = end.partition(".")[0]
        return f"{instance}{SEPARATOR}{end}" if node in inside else end

    def over(texts: Mapping[str, str]) -> dict[str, str]:
        return {name(end): text for end, text in texts.items()}

    config = {name(node): options for node, options in test.config.items()}
    return replace(test, given=over(test.given), expect=over(test.expect), config=config)


__all__ = ["gather", "take"]

"""The flow file: nodes, wires and tests as one YAML document, canonical when saved.

``load(save(document))`` is the same document and a saved file saves to the same bytes. What
comments say is kept: a comment stays above the section, node, wire or test it belongs to; one
that stands behind a value or inside a node moves above that node. Where boxes stand on the
canvas is in a file beside it (``press.layout.json``), so moving one changes no byte here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from gateway.data.whole import write_whole
from gateway.errors import ConfigError
from gateway.flow import registry
from gateway.flow.entries import Entry, FlowTest, Wire, ends_of, entry_data, flow_test_data
from gateway.flow.node import Node, Port
from gateway.flow.shape import FORMAT, SECTIONS, Shape
from gateway.flow.subflow import SUBFLOW_SECTIONS, Origin, Subflow, subflow_data, subflow_of
from gateway.flow.yaml_read import FLOW_BYTES_MAX, read
from gateway.flow.yaml_read import Path as Place
from gateway.flow.yaml_write import write


@dataclass(frozen=True)
class Document:
    """One flow, as written. `parse` and `load` check its shape; `gateway.flow.lint` its sense."""

    name: str
    about: str = ""
    allow_write: bool = False
    durability: Literal["journal", "memory"] = "journal"
    connections: Mapping[str, Entry] = field(default_factory=dict)
    subflows: Mapping[str, Subflow] = field(default_factory=dict)
    nodes: Mapping[str, Entry] = field(default_factory=dict)
    chains: tuple[str, ...] = ()
    """Wires as text: ``oil -> clean -> high``, ``high.alarms -> log``."""
    tests: tuple[FlowTest, ...] = ()
    file: str = field(default="", compare=False)
    lines: Mapping[Place, int] = field(default_factory=dict, compare=False, repr=False)
    comments: Mapping[Place, list[str]] = field(default_factory=dict, compare=False, repr=False)
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False, repr=False)
    """Of an expanded flow: where the nodes come from that stood in a subflow."""
    inside: Subflow | None = field(default=None, compare=False, repr=False)
    """The subflow whose inside this is: its inputs and outputs are ends of wires."""

    @classmethod
    def parse(cls, text: str, file: str = "flow.yaml") -> Document:
        """The document of a text.

        Raises:
            ConfigError: Its shape is wrong; the message names file and line.
        """
        return cls(**Shape(read(text, file), file).fields())

    @classmethod
    def load(cls, path: str | Path) -> Document:
        """The document of a file.

        Raises:
            ConfigError: The file cannot be read, or its shape is wrong.
        """
        path = Path(path)
        try:
            if path.stat().st_size > FLOW_BYTES_MAX:
                raise ConfigError(
                    f"The file is larger than {FLOW_BYTES_MAX:,} bytes (flow_bytes_max).",
                    where=path.name,
                    hint="Split the flow in two.",
                )
            data = path.read_bytes()
            if b"\0" in data:
                raise ConfigError(
                    "This is no text, or text in UTF-16.",
                    where=path.name,
                    hint="Save the file as UTF-8.",
                )
            text = data.decode("utf-8-sig")
        except OSError as error:
            raise ConfigError(
                f"The flow cannot be read: {error.strerror}.",
                where=str(path),
                hint="Check the path.",
            ) from error
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"Byte {error.start} is no UTF-8.", where=path.name, hint="Save the file as UTF-8."
            ) from error
        return cls.parse(text, path.name)

    def save(self, path: str | Path) -> None:
        """Write the canonical text; a reader sees the old file or the new one, never half."""
        write_whole(Path(path), self.text())

    def text(self) -> str:
        """The canonical text: one order, one form, so that a diff shows only what changed."""
        data: dict[str, Any] = {"flow": self.name, "version": FORMAT}
        if self.about:
            data["about"] = self.about
        if self.allow_write:
            data["allow_write"] = True
        if self.durability != "journal":
            data["durability"] = self.durability
        if self.connections:
            data["connections"] = {key: entry_data(e) for key, e in self.connections.items()}
        if self.subflows:
            data["subflows"] = {key: subflow_data(one) for key, one in self.subflows.items()}
        data["nodes"] = {key: entry_data(e) for key, e in self.nodes.items()}
        if self.chains:
            data["wires"] = list(self.chains)
        if self.tests:
            data["tests"] = [flow_test_data(test) for test in self.tests]
        inner = {"subflows": SUBFLOW_SECTIONS}
        return write(data, sections=SECTIONS, inner=inner, comments=self.comments)

    @cached_property
    def wires(self) -> tuple[Wire, ...]:
        """All wires with their ports.

        A bare name at the start means the first output; at the end the first input that takes
        what comes, so ``high.alarms -> log`` finds the input for alarms.
        """
        found: list[Wire] = []
        for i, chain in enumerate(self.chains):
            line = self.lines.get(("wires", i), 0)
            for (source, out), (target, into) in pairwise(ends_of(chain)):
                outputs = self.ports_of(source, "outputs") or ()
                inputs = self.ports_of(target, "inputs") or ()
                first = out or (outputs[0].name if outputs else "out")
                carried = next((port.carries for port in outputs if port.name == first), None)
                fits = [port.name for port in inputs if port.carries == carried]
                last = into or next(iter([*fits, *(port.name for port in inputs)]), "in")
                found.append(Wire(source, first, target, last, line))
        return tuple(found)

    def ports_of(self, end: str, side: Literal["inputs", "outputs"]) -> tuple[Port, ...] | None:
        """The ports on one side of a node, or of an instance of a subflow.

        Returns: None where there is no such node, or its type is not known.
        """
        if self.inside is not None and end not in self.nodes:
            ends = self.inside.inputs if side == "outputs" else self.inside.outputs
            return (Port(end, ends[end], ""),) if end in ends else None
        entry = self.nodes.get(end)
        if entry is not None and (name := subflow_of(entry.type)) is not None:
            subflow = self.subflows.get(name)
            if subflow is None:
                return None
            return tuple(Port(n, c, "") for n, c in getattr(subflow, side).items())
        return getattr(self.class_of(end), side, None)

    def class_of(self, node: str) -> type[Node[Any]] | None:
        """The class of a node or a connection; None when there is no such node or type."""
        entry = self.nodes.get(node) or self.connections.get(node)
        try:
            return registry.node_class(entry.type) if entry is not None else None
        except ConfigError:
            return None

    def body(self, name: str) -> Document:
        """The inside of a subflow as a document, whose wires may end at the subflow's ports."""
        subflow, head = self.subflows[name], ("subflows", name)
        return Document(
            name=self.name,
            connections=self.connections,
            subflows=self.subflows,
            nodes=subflow.nodes,
            chains=subflow.chains,
            file=self.file,
            lines={place[2:]: line for place, line in self._inner_lines.get(head, {}).items()},
            inside=subflow,
        )

    @cached_property
    def _inner_lines(self) -> Mapping[Place, Mapping[Place, int]]:
        """The lines of each subflow, by its place."""
        found: dict[Place, dict[Place, int]] = {}
        for place, line in self.lines.items():
            if place[:1] == ("subflows",):
                found.setdefault(place[:2], {})[place] = line
        return found

    def expanded(self) -> Document:
        """The flow with each instance of a subflow replaced by its nodes.

        Also what is bypassed is wired around. A flow that needs neither is returned as it is.

        Raises:
            ConfigError: An instance or its subflow is wrong, or there are too many nodes.
        """
        from gateway.flow.expand import expanded

        return expanded(self)

    def where(self, *place: str | int) -> str:
        """Where something stands, for messages: ``press.yaml:12 nodes.clean.band``."""
        return f"{self.file}:{self.line(*place)} {'.'.join(str(p) for p in place)}".strip()

    def line(self, *place: str | int) -> int:
        """The line of a place, or of what encloses it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def with_values(self, change: Callable[[Any], Any]) -> Document:
        """The expanded document with every config changed, such as by `variables.resolve`.

        Raises:
            ConfigError: The change refused, or a subflow is wrong; the message names the place.
        """
        flow = self.expanded()
        return replace(
            flow,
            nodes=flow._changed("nodes", flow.nodes, change),
            connections=flow._changed("connections", flow.connections, change),
        )

    def _changed(
        self, section: str, entries: Mapping[str, Entry], change: Callable[[Any], Any]
    ) -> Mapping[str, Entry]:
        done = {}
        for key, entry in entries.items():
            config = {}
            for option, value in entry.config.items():
                try:
                    config[option] = change(value)
                except ConfigError as error:
                    where = self.where(section, key, option)
                    raise ConfigError(error.text, where=where, hint=error.hint) from error
            done[key] = replace(entry, config=config)
        return done

    def with_config(self, changes: Mapping[str, Mapping[str, Any]]) -> Document:
        """The document with some options of some nodes changed.

        Raises:
            ConfigError: There is no such node.
        """
        nodes = dict(self.nodes)
        for node, options in changes.items():
            if node not in nodes:
                raise ConfigError(f"There is no node {node!r}.", where=self.file)
            nodes[node] = replace(nodes[node], config={**nodes[node].config, **options})
        return replace(self, nodes=nodes)


__all__ = ["Document", "Entry", "FlowTest", "Wire"]

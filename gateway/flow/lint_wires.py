"""Lint of wires: ends that are not there, ports that do not fit, cycles, nodes left alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from gateway.flow.document import Document, Wire
from gateway.flow.findings import Finding, Severity, near
from gateway.flow.node import Node, Port


def wire_findings(document: Document) -> Iterator[Finding]:
    """All that can be said about the wires of a document."""
    good: list[Wire] = []
    seen: dict[Wire, Wire] = {}
    for wire in document.wires:
        found = list(_ends(document, wire))
        if wire in seen:
            text = f"This wire is there already, in line {seen[wire].line}: {wire}."
            found.append(_at(document, "warning", wire, text, "Delete one."))
        else:
            seen[wire] = wire
            if wire.source in document.nodes and wire.target in document.nodes:
                good.append(wire)
        yield from found
    yield from _cycles(document, good)
    yield from _alone(document, good)


def end_findings(document: Document) -> Iterator[Finding]:
    """What is wrong with the ends of wires, those at subflows among them."""
    for wire in document.wires:
        yield from _ends(document, wire)


def _ends(document: Document, wire: Wire) -> Iterator[Finding]:
    ports: list[Port | None] = []
    ends: tuple[tuple[str, str, Literal["outputs", "inputs"], str], ...] = (
        (wire.source, wire.source_port, "outputs", "output"),
        (wire.target, wire.target_port, "inputs", "input"),
    )
    for node, name, side, word in ends:
        ports.append(None)
        there = document.ports_of(node, side)
        if there is None and node not in document.nodes:
            hint = near(node, document.nodes)
            if node in document.connections:
                hint = "A connection has no wires; name it in a node's `connection`."
            yield _at(document, "error", wire, f"There is no node {node!r}.", hint)
            continue
        if there is None:
            continue  # The unknown type is told where it stands.
        known: dict[str, Port] = {port.name: port for port in there}
        if name in known:
            ports[-1] = known[name]
            continue
        entry = document.nodes.get(node)
        kind = f" ({entry.type})" if entry is not None else ""
        text = f"{node!r}{kind} has no {word} {name!r}."
        if not known:
            text = f"{node!r}{kind} has no {word}s."
        yield _at(document, "error", wire, text, near(name, known))
    out, into = ports
    if out is not None and into is not None and out.carries != into.carries:
        yield _at(
            document,
            "error",
            wire,
            f"{wire.source}.{out.name} carries {out.carries}, "
            f"but {wire.target}.{into.name} takes {into.carries}.",
            _bridge(document, wire, out, into),
        )


def _bridge(document: Document, wire: Wire, out: Port, into: Port) -> str:
    """Another port of either node that would fit, or what kind of node to put between."""
    for port in document.ports_of(wire.source, "outputs") or ():
        if port.carries == into.carries:
            return f"Wire {wire.source}.{port.name} instead?"
    for port in document.ports_of(wire.target, "inputs") or ():
        if port.carries == out.carries:
            return f"Wire it to {wire.target}.{port.name} instead?"
    if (out.carries, into.carries) == ("samples", "windows"):
        return "Put a window node between, such as window.tumbling."
    if (out.carries, into.carries) == ("windows", "samples"):
        return "Put a feature node between, such as feature.statistics."
    return "`genba nodes` lists what each node takes and gives."


def _cycles(document: Document, wires: Sequence[Wire]) -> Iterator[Finding]:
    """One finding a cycle, with the nodes on it in order.

    Source: Tarjan, SIAM J. Comput. 1 (1972) 146, depth-first search, made iterative.
    """
    after: dict[str, list[Wire]] = {}
    for wire in wires:
        after.setdefault(wire.source, []).append(wire)
    done: set[str] = set()
    for start in document.nodes:
        path: list[str] = []
        stack: list[tuple[str, int]] = [] if start in done else [(start, 0)]
        while stack:
            node, i = stack.pop()
            if i == 0:
                path.append(node)
            following = after.get(node, [])
            if i == len(following):
                done.add(node)
                path.pop()
                continue
            stack.append((node, i + 1))
            wire = following[i]
            if wire.target in path:
                ring = [*path[path.index(wire.target) :], wire.target]
                text = f"The wires form a cycle: {' -> '.join(ring)}."
                hint = "Cut one wire; a value can come back through a tag of the next reading."
                yield _at(document, "error", wire, text, hint)
            elif wire.target not in done:
                stack.append((wire.target, 0))


def _alone(document: Document, wires: Sequence[Wire]) -> Iterator[Finding]:
    """Nodes that get nothing, whose results go nowhere, or that no source feeds."""
    targets = {(wire.target, wire.target_port) for wire in wires}
    fed = {wire.target for wire in wires}
    sends = {wire.source for wire in wires}
    reached = _reached(document, wires)
    for node, entry in document.nodes.items():
        cls = document.class_of(node)
        if cls is None or entry.disabled:
            continue
        if cls.inputs and node not in fed:
            text = f"Nothing is wired to its input {cls.inputs[0].name!r}."
            yield _node(
                document,
                "error",
                node,
                text,
                f"Draw a wire to it (in the file: `source -> {node}`).",
            )
        elif cls.inputs:
            for port in cls.inputs:
                if (node, port.name) not in targets and not _optional(cls, port):
                    text = (
                        f"Nothing is wired to its input {port.name!r} ({port.about.rstrip('.')})."
                    )
                    yield _node(document, "warning", node, text, "Wire it if it is needed.")
            if node not in reached and node in fed:
                yield _unreached(document, wires, node)
        if node not in sends and _gives_only(cls):
            text = "Nothing takes what it gives."
            yield _node(
                document,
                "warning",
                node,
                text,
                f"Draw a wire from it (in the file: `{node} -> sink`).",
            )


def _unreached(document: Document, wires: Sequence[Wire], node: str) -> Finding:
    """Why a node never gets anything: somebody switched off what feeds it, or forgot a wire."""
    found, waiting = {node}, [node]
    while waiting:
        here = waiting.pop()
        before = [wire.source for wire in wires if wire.target == here]
        off = next((one for one in before if document.nodes[one].disabled), None)
        if off is not None:
            text = f"It gets nothing while {off!r} is disabled."
            hint = "`disabled: bypass` lets pass what comes, where that makes sense."
            return _node(document, "warning", node, text, hint)
        waiting += [one for one in before if one not in found]
        found.update(before)
    text = "No source is upstream of it, so it never gets anything."
    return _node(document, "error", node, text, "Wire a source to it or before it.")


def _optional(cls: type[Node[Any]], port: Port) -> bool:
    """True where nothing is amiss without a wire.

    A sink offers an input for each kind of wire; operators' actions come from the gateway
    itself, events are always extra, and where events are taken alarms may come as well.
    """
    if port.carries == "alarms" and cls.inputs[0].carries == "events":
        return True
    return cls.kind != "transform" or port.carries == "events" or port.name == "operator"


def _gives_only(cls: type[Node[Any]]) -> bool:
    """True for a node that is of no use unless wired on; alarms reach the gateway anyway."""
    gives = {port.carries for port in cls.outputs}
    return cls.kind in ("source", "transform") and bool(gives) and "alarms" not in gives


def _reached(document: Document, wires: Sequence[Wire]) -> set[str]:
    """Nodes that some source feeds."""
    found = set()
    for node, entry in document.nodes.items():
        cls = document.class_of(node)
        # What an unknown type is cannot be known; it counts as a source, to say one thing once.
        if not entry.disabled and (cls is None or cls.kind == "source" or not cls.inputs):
            found.add(node)
    waiting = list(found)
    while waiting:
        node = waiting.pop()
        for wire in wires:
            target = document.nodes[wire.target]
            if wire.source == node and wire.target not in found and not target.disabled:
                found.add(wire.target)
                waiting.append(wire.target)
    return found


def _at(document: Document, severity: Severity, wire: Wire, text: str, hint: str) -> Finding:
    line = wire.line or document.line("wires")
    return Finding(severity, document.file, line, "", "wires", text, hint)


def _node(document: Document, severity: Severity, node: str, text: str, hint: str) -> Finding:
    line = document.line("nodes", node)
    return Finding(severity, document.file, line, node, "", text, hint)


__all__ = ["end_findings", "wire_findings"]

"""Wires: chains of a flow file as single wires, and whether a wire fits, with the reason.

A chain ``a -> b -> c`` is two wires. Taking one away leaves the rest of its chain as it was
written, and every other chain untouched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, Literal

from gateway.errors import ConfigError
from gateway.flow import registry
from gateway.flow.document import Document
from gateway.flow.entries import Entry, ends_of
from gateway.flow.node import Node, Port
from gateway.flow.subflow import Subflow
from ui.editor.tree import Section, Tree, free_key, text_of_key

PORTS: Final = "ports"
"""The section with the ports of a subflow, in the tree of its inside; see `ui.editor.level`."""
_KNOWN_MAX: Final = 64
_known: dict[tuple[int, ...], tuple[tuple[Section, ...], tuple[Link, ...]]] = {}
_shapes: dict[tuple[int, ...], tuple[tuple[Section, ...], Document]] = {}
"""The trees that were looked at last: of one edit they are asked for several times."""
_ends: Final = lru_cache(4096)(ends_of)
_EMPTY: Final[Section] = {}
Side = Literal["inputs", "outputs"]


@dataclass(frozen=True, slots=True)
class Link:
    """One wire, and the place in the chains where it stands.

    Args:
        source: Node it leaves.
        source_port: Of that node.
        target: Node it enters.
        target_port: Of that node.
        chain: Key of its chain.
        place: Which wire of the chain, from 0.
    """

    source: str
    source_port: str
    target: str
    target_port: str
    chain: str = ""
    place: int = 0

    @property
    def key(self) -> str:
        """Its name in live data and on the canvas.

        >>> Link("a", "out", "b", "in").key
        'a.out>b.in'
        """
        return f"{self.source}.{self.source_port}>{self.target}.{self.target_port}"


def class_of(tree: Tree, node: str) -> type[Node[Any]] | None:
    """The class of a node or connection; None where its type is not known here."""
    fields = tree["nodes"].get(node) or tree["connections"].get(node)
    try:
        return registry.node_class(str(fields["type"])) if fields is not None else None
    except ConfigError:
        return None


def inputs_of(tree: Tree, node: str) -> tuple[Port, ...]:
    """The inputs of a node, of an instance of a subflow, or of an output of the subflow itself."""
    return ports_of(tree, node, "inputs") or ()


def outputs_of(tree: Tree, node: str) -> tuple[Port, ...]:
    """The outputs of a node, of an instance of a subflow, or of an input of the subflow itself."""
    return ports_of(tree, node, "outputs") or ()


def ports_of(tree: Tree, node: str, side: Side) -> tuple[Port, ...] | None:
    """The ports on one side, as `Document.ports_of` knows them; None where that is not known."""
    return _shape(tree).ports_of(node, side)


def has_end(tree: Tree, name: str) -> bool:
    """Whether wires may end there."""
    return name in tree["nodes"] or name in tree.get(PORTS, _EMPTY)


def _shape(tree: Tree) -> Document:
    """The tree as a document that knows no more than types and ports."""
    parts = tree["nodes"], tree["subflows"], tree.get(PORTS, _EMPTY)
    key = tuple(map(id, parts))
    if key not in _shapes:
        while len(_shapes) >= _KNOWN_MAX:
            del _shapes[next(iter(_shapes))]
        # Sections are never changed in place; holding them keeps their ids theirs.
        _shapes[key] = (
            parts,
            Document(
                "",
                nodes={name: Entry(str(fields["type"])) for name, fields in parts[0].items()},
                subflows={name: _sides(fields) for name, fields in parts[1].items()},
                inside=_inside(parts[2]) if PORTS in tree else None,
            ),
        )
    return _shapes[key][1]


def _sides(fields: Mapping[str, Any]) -> Subflow:
    return Subflow(inputs=fields.get("inputs", {}), outputs=fields.get("outputs", {}))


def _inside(ports: Section) -> Subflow:
    sides: dict[str, dict[str, Any]] = {"inputs": {}, "outputs": {}}
    for name, port in ports.items():
        sides[port["side"]][name] = port["carries"]
    return _sides(sides)


def port_of(ports: Iterable[Port], name: str) -> Port | None:
    """The port of a name."""
    return next((port for port in ports if port.name == name), None)


def links_of(tree: Tree) -> list[Link]:
    """All wires with their ports, as `Document.wires` finds them."""
    parts = tree["nodes"], tree["wires"], tree["subflows"], tree.get(PORTS, _EMPTY)
    key = tuple(map(id, parts))
    if key not in _known:
        while len(_known) >= _KNOWN_MAX:
            del _known[next(iter(_known))]
        _known[key] = (parts, _links(tree))
    return list(_known[key][1])


def _links(tree: Tree) -> tuple[Link, ...]:
    found = []
    for key in tree["wires"]:
        for place, ((source, out), (target, into)) in enumerate(pairwise(_ends(text_of_key(key)))):
            first, last = _resolved(tree, source, out, target, into)
            found.append(Link(source, first, target, last, key, place))
    return tuple(found)


def _resolved(tree: Tree, source: str, out: str, target: str, into: str) -> tuple[str, str]:
    """The ports that a wire means where it does not say them."""
    outputs, inputs = outputs_of(tree, source), inputs_of(tree, target)
    first = out or (outputs[0].name if outputs else "out")
    port = port_of(outputs, first)
    fits = [p.name for p in inputs if port is not None and p.carries == port.carries]
    last = into or next(iter([*fits, *(p.name for p in inputs)]), "in")
    return first, last


def chain_text(tree: Tree, link: Link) -> str:
    """A wire as a chain, with ports only where they do not go without saying."""
    bare = _resolved(tree, link.source, "", link.target, "")
    source = link.source
    if bare[0] != link.source_port:
        source = f"{source}.{link.source_port}"
    given = _resolved(tree, link.source, link.source_port, link.target, "")
    target = link.target if given[1] == link.target_port else f"{link.target}.{link.target_port}"
    return f"{source} -> {target}"


def without(section: Section, chain: str, places: Iterable[int]) -> Section:
    """The chains with some wires of one of them taken away.

    Args:
        section: All chains.
        chain: Key of the one that is cut.
        places: Which of its wires go.
    """
    cut = set(places)
    ends = [f"{node}.{port}" if port else node for node, port in ends_of(text_of_key(chain))]
    pieces: list[list[str]] = [[ends[0]]]
    for i, end in enumerate(ends[1:]):
        if i in cut:
            pieces.append([end])
        else:
            pieces[-1].append(end)
    texts = [" -> ".join(piece) for piece in pieces if len(piece) > 1]
    found: Section = {}
    for key, fields in section.items():
        if key != chain:
            found[key] = fields
            continue
        for i, text in enumerate(texts):
            name = free_key({**section, **found}, text)
            found[name] = dict(fields) if i == 0 else {}
    return found


def renamed(section: Section, before: str, after: str) -> Section:
    """The chains with a node under another name."""
    found: Section = {}
    for key, fields in section.items():
        ends = ends_of(text_of_key(key))
        if all(node != before for node, _ in ends):
            found[key] = fields
            continue
        new = [(after if node == before else node, port) for node, port in ends]
        text = " -> ".join(f"{node}.{port}" if port else node for node, port in new)
        found[free_key(found, text)] = fields
    return found


def reaches(links: Iterable[Link], start: str, end: str) -> bool:
    """Whether one node's results come to another."""
    after: dict[str, list[str]] = {}
    for link in links:
        after.setdefault(link.source, []).append(link.target)
    seen, waiting = set(), [start]
    while waiting:
        node = waiting.pop()
        if node == end:
            return True
        if node not in seen:
            seen.add(node)
            waiting += after.get(node, [])
    return False


def misfit(tree: Tree, link: Link, links: Iterable[Link]) -> str:
    """Why a wire cannot be, in words; empty when it can."""
    if not has_end(tree, link.source) or not has_end(tree, link.target):
        gone = link.source if not has_end(tree, link.source) else link.target
        return f"There is no node {gone!r} any more."
    out = port_of(outputs_of(tree, link.source), link.source_port)
    into = port_of(inputs_of(tree, link.target), link.target_port)
    if out is None and ports_of(tree, link.source, "outputs") is not None:
        return f"{link.source} has no output {link.source_port!r}."
    if into is None and ports_of(tree, link.target, "inputs") is not None:
        return f"{link.target} has no input {link.target_port!r}."
    if out is not None and into is not None and out.carries != into.carries:
        text = (
            f"{link.source}.{out.name} gives {out.carries}, but {link.target}.{into.name} takes "
            f"{into.carries}."
        )
        return f"{text} {_bridge(out.carries, into.carries)}".strip()
    links = list(links)
    if any(one.key == link.key for one in links):
        return "This wire is there already."
    if reaches(links, link.target, link.source):
        return (
            f"This would close a circle: what {link.source} gives comes from {link.target}. "
            "A value can come back through a tag of the next reading."
        )
    return ""


def _bridge(gives: str, takes: str) -> str:
    """What kind of node goes between."""
    between = {
        ("samples", "windows"): "Put a window node between, such as window.tumbling.",
        ("windows", "samples"): "Put a feature node between, such as feature.statistics.",
        ("samples", "alarms"): "Put an alarm node between, such as alarm.limit.",
        ("events", "samples"): "Put compute.json between.",
    }
    return between.get((gives, takes), "")


def rewired(section: Section, more: Mapping[str, Any]) -> Section:
    """The chains with some added at the end."""
    found = dict(section)
    for text in more:
        found[free_key(found, text)] = {}
    return found


__all__ = [
    "PORTS",
    "Link",
    "chain_text",
    "class_of",
    "has_end",
    "inputs_of",
    "links_of",
    "misfit",
    "outputs_of",
    "port_of",
    "ports_of",
    "reaches",
    "renamed",
    "rewired",
    "without",
]

"""Tree: a flow and its layout as plain ordered values, there and back without losing a byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.flow.document import Document
from gateway.flow.entries import BYPASS, TEST_KEYS, Entry, FlowTest, OutboxOptions, entry_data
from gateway.flow.entries import flow_test_data as test_data
from gateway.flow.findings import valid_config
from gateway.flow.shape_subflow import subflow_from
from gateway.flow.subflow import FAMILY, SEPARATOR, subflow_data
from gateway.flow.yaml_read import Path

Fields = dict[str, Any]
Section = dict[str, Fields]
Tree = dict[str, Section]
"""Section, then id, then field; the order of each is that of the file."""

SECTIONS: Final = (
    "head",
    "connections",
    "subflows",
    "subnodes",
    "subwires",
    "nodes",
    "wires",
    "tests",
    "boxes",
    "frames",
    "subboxes",
    "subframes",
    "remarks",
)
"""``subnodes`` and ``subwires`` are what stands inside subflows, by ``subflow/node``, so that two
people may edit two nodes of one subflow. `LAYOUT` is the layout, the rest is the file."""
LAYOUT: Final = ("boxes", "frames", "subboxes", "subframes")
HEAD: Final = "flow"
"""The one id in the section ``head``."""
COMMENT: Final = "#"
"""The field with the comment lines above an entry; no option has this name."""
_BOX: Final = f"{FAMILY}."
"""Before the key of a box inside a subflow, in a layout as it is stored."""
_AGAIN: Final = "\t"
"""Stands before the number of a chain or a test that is there more than once."""


def tree_of(document: Document, layout: Mapping[str, Any] | None = None) -> Tree:
    """The tree of a document.

    Args:
        document: A flow.
        layout: ``[x, y]`` of each box, and frames by ids that begin with ``#``.
    """
    said = document.comments
    inner = _inside(document)
    head = {"about": document.about, "allow_write": document.allow_write}
    tests = [test_data(test) for test in document.tests]
    tree: Tree = {
        "head": {HEAD: {"flow": document.name, **head, "durability": document.durability}},
        **inner,
        "wires": _numbered(
            (chain, _with({}, said.get(("wires", i)))) for i, chain in enumerate(document.chains)
        ),
        "tests": _numbered(
            (str(test.get("title", "")), _with(test, said.get(("tests", i))))
            for i, test in enumerate(tests)
        ),
        **{section: {} for section in LAYOUT},
        "remarks": {
            repr(place): {"place": place, COMMENT: lines}
            for place, lines in said.items()
            if not _is_of_entry(place)
        },
    }
    for section in ("connections", "nodes"):
        entries: Mapping[str, Entry] = getattr(document, section)
        tree[section] = {
            name: _with(entry_data(entry), said.get((section, name)))
            for name, entry in entries.items()
        }
    for name, place in (layout or {}).items():
        sub, key = ("sub", name[len(_BOX) :]) if name.startswith(_BOX) else ("", name)
        if isinstance(place, Mapping):
            tree[f"{sub}frames"][key] = dict(place)
        else:
            tree[f"{sub}boxes"][key] = {"x": float(place[0]), "y": float(place[1])}
    return {section: tree[section] for section in SECTIONS}


def _inside(document: Document) -> Tree:
    """The subflows: what is said of each, their nodes and their wires."""
    said = document.comments
    subflows: Section = {}
    nodes: Section = {}
    wires: Section = {}
    for name, subflow in document.subflows.items():
        data = subflow_data(subflow)
        head: Path = ("subflows", name)
        for node, fields in data.pop("nodes").items():
            nodes[name + SEPARATOR + node] = _with(fields, said.get((*head, "nodes", node)))
        for i, chain in enumerate(data.pop("wires", ())):
            key = free_key(wires, name + SEPARATOR + chain)
            wires[key] = _with({}, said.get((*head, "wires", i)))
        subflows[name] = data
    return {"subflows": subflows, "subnodes": nodes, "subwires": wires}


def _is_of_entry(place: Path) -> bool:
    """Whether a comment stands above an entry of the tree."""
    if len(place) == 2:
        return place[0] in ("connections", "nodes", "wires", "tests")
    return len(place) == 4 and place[0] == "subflows" and place[2] in ("nodes", "wires")


def _with(fields: Mapping[str, Any], lines: list[str] | None) -> Fields:
    return {**fields, COMMENT: lines} if lines else dict(fields)


def _numbered(pairs: Iterator[tuple[str, Fields]]) -> Section:
    found: Section = {}
    for name, fields in pairs:
        found[free_key(found, name)] = fields
    return found


def free_key(section: Mapping[str, Any], text: str) -> str:
    """A key for a chain or a test with a text that may be there already."""
    key, number = text, 1
    while key in section:
        number += 1
        key = f"{text}{_AGAIN}{number}"
    return key


def text_of_key(key: str) -> str:
    """The chain behind a key."""
    return key.partition(_AGAIN)[0]


def document_of(tree: Tree, file: str = "") -> Document:
    """The document of a tree.

    Raises:
        ConfigError: The options of an outbox are wrong.
    """
    head = tree["head"][HEAD]
    comments: dict[Path, list[str]] = {}
    for fields in tree["remarks"].values():
        comments[fields["place"]] = fields[COMMENT]
    for section in ("connections", "nodes"):
        for name, fields in tree[section].items():
            if COMMENT in fields:
                comments[section, name] = fields[COMMENT]
    for section in ("wires", "tests"):
        for i, fields in enumerate(tree[section].values()):
            if COMMENT in fields:
                comments[section, i] = fields[COMMENT]
    subflows = _subflows(tree, comments)
    return Document(
        name=head["flow"],
        about=head["about"],
        allow_write=head["allow_write"],
        durability=head["durability"],
        connections={name: entry_of(name, f) for name, f in tree["connections"].items()},
        subflows={name: subflow_from(name, fields) for name, fields in subflows.items()},
        nodes={name: entry_of(name, fields) for name, fields in tree["nodes"].items()},
        chains=tuple(text_of_key(key) for key in tree["wires"]),
        tests=tuple(_test(fields) for fields in tree["tests"].values()),
        file=file or f"{head['flow']}.flow.yaml",
        comments=comments,
    )


def _subflows(tree: Tree, comments: dict[Path, list[str]]) -> dict[str, Fields]:
    """The subflows as the file has them; their comments are put with the others."""
    found: dict[str, Fields] = {
        name: {**fields, "nodes": {}, "wires": []} for name, fields in tree["subflows"].items()
    }
    for key, fields in tree["subnodes"].items():
        name, _, node = key.partition(SEPARATOR)
        if COMMENT in fields:
            comments["subflows", name, "nodes", node] = fields[COMMENT]
        plain = {key: value for key, value in fields.items() if key != COMMENT}
        found[name]["nodes"][node] = plain
    for key, fields in tree["subwires"].items():
        name, _, chain = text_of_key(key).partition(SEPARATOR)
        if COMMENT in fields:
            comments["subflows", name, "wires", len(found[name]["wires"])] = fields[COMMENT]
        found[name]["wires"].append(chain)
    return found


def check_subflow(tree: Tree, name: str) -> None:
    """See that the flow file can have the inside of a subflow as it is.

    Raises:
        ConfigError: It cannot; the message names the place.
    """
    head = name + SEPARATOR
    part: Tree = {
        "subflows": {name: tree["subflows"][name]},
        **{
            section: {key: row for key, row in tree[section].items() if key.startswith(head)}
            for section in ("subnodes", "subwires")
        },
    }
    subflow_from(name, _subflows(part, {})[name])


def entry_of(name: str, fields: Mapping[str, Any]) -> Entry:
    """A node or a connection from its fields.

    Raises:
        ConfigError: The options of its outbox are wrong.
    """
    rest = {key: value for key, value in fields.items() if key != COMMENT}
    kind, about = str(rest.pop("type")), str(rest.pop("about", ""))
    said, outbox = rest.pop("disabled", False), rest.pop("outbox", None)
    disabled, bypassed = bool(said), said == BYPASS
    if outbox is None:
        return Entry(kind, rest, about, disabled, None, bypassed)
    options = valid_config(OutboxOptions, outbox, lambda *more: ".".join((name, "outbox", *more)))
    return Entry(kind, rest, about, disabled, options, bypassed)


def _test(fields: Mapping[str, Any]) -> FlowTest:
    known = {key: fields[key] for key in TEST_KEYS if key in fields}
    return FlowTest(**{"title": "", "given": {}, "expect": {}, **known})


def layout_of(tree: Tree) -> dict[str, Any]:
    """The layout of a tree, as it is stored."""
    found: dict[str, Any] = {}
    for sub, head in (("", ""), ("sub", _BOX)):
        for name, at in tree[f"{sub}boxes"].items():
            found[head + name] = [at["x"], at["y"]]
        for name, frame in tree[f"{sub}frames"].items():
            found[head + name] = dict(frame)
    return found


__all__ = [
    "COMMENT",
    "HEAD",
    "LAYOUT",
    "SECTIONS",
    "Fields",
    "Section",
    "Tree",
    "check_subflow",
    "document_of",
    "entry_of",
    "free_key",
    "layout_of",
    "text_of_key",
    "tree_of",
]

"""Ops on nodes and connections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from zoneinfo import available_timezones

from gateway.errors import ConfigError
from gateway.flow import registry
from gateway.flow.entries import BYPASS, RESERVED
from gateway.flow.shape import NODES_MAX
from gateway.flow.subflow import SEPARATOR, subflow_of
from ui.editor.ops_canvas import reframed
from ui.editor.ops_wires import added, cut_out, joined, spliced
from ui.editor.place import free_place
from ui.editor.tree import Fields, Tree, entry_of
from ui.editor.wires import PORTS, Link, inputs_of, links_of, misfit, outputs_of, renamed

Op = Mapping[str, Any]
LINK: Final = "link"
"""The family of places where wires meet by name."""
ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")


def add(tree: Tree, op: Op) -> Tree:
    """A new node; with it the connection it needs, where there is none to choose from."""
    kind = str(op["type"])
    subflow = subflow_of(kind)
    if subflow is not None and subflow not in tree["subflows"]:
        raise ConfigError(f"This flow has no subflow {subflow!r}.")
    cls = None if subflow is not None else registry.node_class(kind)
    is_connection = cls is not None and cls.kind == "connection"
    section = "connections" if is_connection else "nodes"
    if len(tree[section]) >= NODES_MAX:
        raise ConfigError(f"A flow has at most {NODES_MAX:,} nodes (flow_nodes_max).")
    name = free_name(tree, str(op.get("id") or base_name(kind)))
    fields: Fields = {"type": kind, **dict(op.get("fields") or {})}
    if cls is not None:
        tree = _with_connection(tree, cls.Config, kind, fields)
        _with_time_zone(cls.Config, fields, str(op.get("zone") or ""))
    tree = {**tree, section: {**tree[section], name: fields}}
    entry_of(name, fields)
    if section == "nodes":
        at = float(op.get("x", 0)), float(op.get("y", 0))
        x, y = free_place(tree, *at, is_chosen=not op.get("anywhere"))
        tree = {**tree, "boxes": {**tree["boxes"], name: {"x": x, "y": y}}}
    if op.get("wire"):
        tree = spliced(tree, name, str(op["wire"]))
    elif op.get("end"):
        tree = joined(tree, name, op["end"])
    return tree


def _with_connection(tree: Tree, config: Any, kind: str, fields: Fields) -> Tree:
    """Name the one connection there is, or make the first one."""
    option = config.model_fields.get("connection")
    if option is None or "connection" in fields or not option.is_required():
        return tree
    family = kind.partition(".")[0]
    wanted = f"{family}.connection"
    known = [name for name, entry in tree["connections"].items() if entry["type"] == wanted]
    if known:
        fields["connection"] = known[0]
        return tree
    name = fields["connection"] = free_name(tree, f"{family}1")
    return {**tree, "connections": {**tree["connections"], name: {"type": wanted}}}


def _with_time_zone(config: Any, fields: Fields, zone: str) -> None:
    """Name the time zone of who puts the node there, where the node has one: a mail in the night
    says the hour on the wall. It is written into the flow, which is the same everywhere."""
    option = config.model_fields.get("time_zone")
    if option is not None and zone in available_timezones() and zone != option.default:
        fields.setdefault("time_zone", zone)


def base_name(kind: str) -> str:
    """What a new node of a type is called.

    >>> base_name("mqtt.source"), base_name("alarm.limit"), base_name("filter.deadband")
    ('mqtt', 'limit_alarm', 'deadband')
    """
    family, _, name = kind.partition(".")
    if family == LINK:
        return f"link_{name}"
    if name == "source":
        return family
    if name == "connection":
        return f"{family}1"
    if name == "sink":
        return f"{family}_out"
    return f"{name}_alarm" if family == "alarm" else name


def free_name(tree: Tree, wanted: str) -> str:
    """An id nobody has: the wanted one, or with a number behind it."""
    if not ID.match(wanted):
        raise ConfigError(
            f"{wanted!r} cannot be a name.",
            hint="Begin with a letter; use letters, digits, - and _, 64 at most.",
        )
    taken = tree["nodes"].keys() | tree["connections"].keys() | tree.get(PORTS, {}).keys()
    if wanted not in taken:
        return wanted
    stem = re.sub(r"_?[0-9]+\Z", "", wanted)[:58] or wanted[:58]
    number = 2
    while f"{stem}_{number}" in taken:
        number += 1
    return f"{stem}_{number}"


def section_of(tree: Tree, name: str) -> str:
    """Where an id stands.

    Raises:
        ConfigError: Nowhere.
    """
    for section in ("nodes", "connections"):
        if name in tree[section]:
            return section
    raise ConfigError(f"There is no node {name!r} any more.", hint="Somebody may have deleted it.")


def delete(tree: Tree, op: Op) -> Tree:
    """Take nodes, connections, wires and frames away; with ``heal`` close the gaps."""
    gone = {str(name) for name in op.get("nodes", ())}
    for name in sorted(gone):
        section_of(tree, name)
    keys = {str(key) for key in op.get("wires", ())}
    links = links_of(tree)
    cut = [a for a in links if a.key in keys or a.source in gone or a.target in gone]
    bridges = _bridges(tree, links, gone) if op.get("heal") else []
    tree = cut_out(tree, cut)
    for section in ("nodes", "connections", "boxes"):
        tree = {**tree, section: {k: v for k, v in tree[section].items() if k not in gone}}
    frames = {k: v for k, v in tree["frames"].items() if k not in set(op.get("frames", ()))}
    tree = reframed({**tree, "frames": frames}, gone, gone)
    for link in bridges:
        if not misfit(tree, link, links_of(tree)):
            tree = added(tree, link)
    return tree


def _bridges(tree: Tree, links: Iterable[Link], gone: set[str]) -> list[Link]:
    """Wires from what came before the nodes that go to what comes after them."""
    links = list(links)
    found = []
    for first in links:
        if first.source in gone or first.target not in gone:
            continue
        seen, waiting = set(), [first.target]
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            for last in links:
                if last.source == node and last.target in gone:
                    waiting.append(last.target)
                elif last.source == node:
                    ends = (first.source, first.source_port, last.target, last.target_port)
                    found.append(Link(*ends))
    return found


def rename(tree: Tree, op: Op) -> Tree:
    """Another name for a node or a connection, everywhere it is named in this flow."""
    before, after = str(op["id"]), str(op["to"])
    if before == after:
        return tree
    section = section_of(tree, before)
    if free_name(tree, after) != after:
        raise ConfigError(f"The name {after!r} is taken.", hint="Choose another one.")
    tree = {**tree, section: _rekeyed(tree[section], before, after)}
    if section == "connections":
        for part in ("nodes", "subnodes"):
            nodes = {
                name: {**fields, "connection": after}
                if fields.get("connection") == before
                else fields
                for name, fields in tree[part].items()
            }
            tree = {**tree, part: nodes}
        return tree
    tree = tests_renamed(tree, before, after)
    frames = {
        key: {**frame, "nodes": [after if n == before else n for n in frame["nodes"]]}
        if before in frame.get("nodes", ())
        else frame
        for key, frame in tree["frames"].items()
    }
    wires = renamed(tree["wires"], before, after)
    boxes = _rekeyed(tree["boxes"], before, after)
    return {**tree, "frames": frames, "wires": wires, "boxes": boxes}


def _rekeyed(section: Mapping[str, Any], before: str, after: str) -> dict[str, Any]:
    return {after if key == before else key: value for key, value in section.items()}


def tests_renamed(tree: Tree, before: str, after: str) -> Tree:
    """The tests with a node under another id; what runs inside it begins with that id."""
    tests = {key: _test_renamed(test, before, after) for key, test in tree["tests"].items()}
    return {**tree, "tests": tests}


def end_renamed(tree: Tree, before: str, after: str) -> Tree:
    """The tests with a port under another name: ``press.alarms`` as ``press.told``."""

    def renamed(test: Fields) -> Fields:
        parts = {
            part: {after if key == before else key: text for key, text in test[part].items()}
            for part in ("given", "expect")
            if before in test.get(part, ())
        }
        return {**test, **parts}

    return {**tree, "tests": {key: renamed(test) for key, test in tree["tests"].items()}}


def _test_renamed(test: Fields, before: str, after: str) -> Fields:
    """A test names nodes as ``node`` or ``node.port``."""

    def is_meant(key: str) -> bool:
        node = key.partition(".")[0]
        return node == before or node.startswith(before + SEPARATOR)

    new = dict(test)
    for part in ("given", "expect", "config"):
        keys = [str(key) for key in test.get(part, ())]
        if not any(map(is_meant, keys)):
            continue
        new[part] = {
            after + key[len(before) :] if is_meant(key) else key: value
            for key, value in test[part].items()
        }
    return new


def set_fields(tree: Tree, op: Op) -> Tree:
    """Some fields of a node or a connection; None takes one away, so that its default counts."""
    name = str(op["id"])
    section = section_of(tree, name)
    fields = dict(tree[section][name])
    for key, value in dict(op["fields"]).items():
        if key == "type":
            raise ConfigError("The type of a node cannot change.", hint="Add another node.")
        if value is None or (key in RESERVED and not value):
            fields.pop(key, None)
        else:
            fields[key] = str(value) if key == "about" else value
    entry_of(name, fields)
    ordered = [key for key in ("type", "disabled", "about", "outbox") if key in fields]
    whole: Fields = {key: fields[key] for key in ordered}
    whole.update(fields)
    return {**tree, section: {**tree[section], name: whole}}


def disable(tree: Tree, op: Op) -> Tree:
    """Switch nodes off or on; with ``on: bypass`` what comes in goes on as it came."""
    for name in op["ids"]:
        how = BYPASS if op["on"] == BYPASS else bool(op["on"])
        if how == BYPASS and not _can_bypass(tree, str(name)):
            raise ConfigError(
                f"{name} cannot be bypassed: no output carries what its first input takes.",
                hint="Disable it.",
            )
        tree = set_fields(tree, {"id": name, "fields": {"disabled": how or None}})
    return tree


def _can_bypass(tree: Tree, name: str) -> bool:
    inputs, outputs = inputs_of(tree, name), outputs_of(tree, name)
    return bool(inputs) and any(port.carries == inputs[0].carries for port in outputs)


__all__ = [
    "ID",
    "add",
    "base_name",
    "delete",
    "disable",
    "end_renamed",
    "free_name",
    "rename",
    "section_of",
    "set_fields",
    "tests_renamed",
]

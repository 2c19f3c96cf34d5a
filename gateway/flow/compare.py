"""Compare: what differs between two versions of a flow, in the words of the flow.

A difference of texts shows lines; this one shows nodes, options and wires, and what the new
version would do to the world outside that the old one did not. Pure: nothing is read or run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.errors import ConfigError
from gateway.flow.document import Document
from gateway.flow.effects import effects
from gateway.flow.entries import Entry, entry_data

_HEAD: Final = ("about", "allow_write", "durability")
_SIGNS: Final = {"added": "+", "removed": "-", "renamed": ">", "changed": "~"}
_SHOWN_MAX: Final = 80


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One option: its name with dots, its value before and after; None where it is not set."""

    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.field}: {_shown(self.after)} (was not set)"
        if self.after is None:
            return f"{self.field}: not set (was {_shown(self.before)})"
        return f"{self.field}: {_shown(self.before)} -> {_shown(self.after)}"


@dataclass(frozen=True, slots=True)
class EntryChange:
    """A node or a connection that is new, gone, changed, or has another name.

    Args:
        change: What happened to it.
        name: Its id now; the old one where it is gone.
        type: Its type, likewise.
        fields: The options that differ.
        was: Its old id, where it has another name.
    """

    change: Literal["added", "removed", "changed", "renamed"]
    name: str
    type: str
    fields: tuple[FieldChange, ...] = ()
    was: str = ""

    def lines(self, section: str) -> Iterator[str]:
        """The change in words, an option a line."""
        name = f"{self.was} -> {self.name}" if self.was else self.name
        yield f"{_SIGNS[self.change]} {section} {name} ({self.type})"
        for change in self.fields:
            is_new = self.change == "added"
            yield f"    {change.field}: {_shown(change.after)}" if is_new else f"    {change}"


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs between two versions of a flow.

    Args:
        head: Keys of the flow itself.
        connections: Connections.
        nodes: Nodes.
        wires_added: New wires, as text.
        wires_removed: Wires that are gone.
        tests: Titles of tests that are new, gone or changed.
        effects_added: What it does to the world outside that it did not do before.
        effects_removed: What it does there no longer.
    """

    head: tuple[FieldChange, ...] = ()
    connections: tuple[EntryChange, ...] = ()
    nodes: tuple[EntryChange, ...] = ()
    wires_added: tuple[str, ...] = ()
    wires_removed: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    effects_added: tuple[str, ...] = ()
    effects_removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.lines())

    def lines(self) -> list[str]:
        """The difference in words; what reaches outside comes first."""
        found = [f"! new outside: {text}" for text in self.effects_added]
        found += [f"  no longer: {text}" for text in self.effects_removed]
        found += [f"~ {change}" for change in self.head]
        for section, changes in (("connection", self.connections), ("node", self.nodes)):
            for change in changes:
                found += change.lines(section)
        found += [f"+ wire {wire}" for wire in self.wires_added]
        found += [f"- wire {wire}" for wire in self.wires_removed]
        found += [f"~ test {title}" for title in self.tests]
        return found

    def data(self) -> dict[str, Any]:
        """The difference as plain values, for the API."""

        def entries(changes: tuple[EntryChange, ...]) -> list[dict[str, Any]]:
            return [
                {
                    "change": c.change,
                    "name": c.name,
                    "was": c.was,
                    "type": c.type,
                    "fields": [_field_data(one) for one in c.fields],
                }
                for c in changes
            ]

        return {
            "head": [_field_data(change) for change in self.head],
            "connections": entries(self.connections),
            "nodes": entries(self.nodes),
            "wires_added": list(self.wires_added),
            "wires_removed": list(self.wires_removed),
            "tests": list(self.tests),
            "effects_added": list(self.effects_added),
            "effects_removed": list(self.effects_removed),
        }


def compare(old: Document, new: Document) -> Difference:
    """What differs; empty where the two mean the same, however they are written.

    >>> a = Document.parse("flow: f\\nversion: 1\\nnodes: {d: {type: filter.deadband, band: 1}}")
    >>> b = Document.parse("flow: f\\nversion: 1\\nnodes: {d: {type: filter.deadband, band: 2}}")
    >>> compare(a, b).lines()
    ['~ node d (filter.deadband)', '    band: 1 -> 2']
    """
    old, new = _expanded(old), _expanded(new)
    before, after = _wires(old), _wires(new)
    old_effects, new_effects = effects(old), effects(new)
    return Difference(
        head=tuple(
            FieldChange(name, getattr(old, name), getattr(new, name))
            for name in _HEAD
            if getattr(old, name) != getattr(new, name)
        ),
        connections=tuple(_entries(old.connections, new.connections)),
        nodes=tuple(_entries(old.nodes, new.nodes)),
        wires_added=tuple(wire for wire in after if wire not in before),
        wires_removed=tuple(wire for wire in before if wire not in after),
        tests=tuple(_tests(old, new)),
        effects_added=tuple(text for text in new_effects if text not in old_effects),
        effects_removed=tuple(text for text in old_effects if text not in new_effects),
    )


def _expanded(document: Document) -> Document:
    """What it means; a flow whose subflows are wrong is compared as it is written."""
    try:
        return document.expanded()
    except ConfigError:
        return document


def _wires(document: Document) -> dict[str, None]:
    return dict.fromkeys(str(wire) for wire in document.wires)


def _entries(old: Mapping[str, Entry], new: Mapping[str, Entry]) -> Iterator[EntryChange]:
    gone = {name: entry for name, entry in old.items() if name not in new}
    for name, entry in new.items():
        if name in old:
            fields = tuple(_fields("", entry_data(old[name]), entry_data(entry)))
            if fields:
                yield EntryChange("changed", name, entry.type, fields)
            continue
        was = next((n for n, e in gone.items() if entry_data(e) == entry_data(entry)), "")
        if was:
            del gone[was]
            yield EntryChange("renamed", name, entry.type, was=was)
        else:
            yield EntryChange("added", name, entry.type, tuple(_fields("", {}, _options(entry))))
    for name, entry in gone.items():
        yield EntryChange("removed", name, entry.type)


def _options(entry: Entry) -> dict[str, Any]:
    return {key: value for key, value in entry_data(entry).items() if key != "type"}


def _fields(
    place: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[FieldChange]:
    for key in dict.fromkeys([*before, *after]):
        name = f"{place}.{key}" if place else str(key)
        one, other = before.get(key), after.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _fields(name, one, other)
        elif one != other:
            yield FieldChange(name, one, other)


def _tests(old: Document, new: Document) -> Iterator[str]:
    before = {test.title: test for test in old.tests}
    after = {test.title: test for test in new.tests}
    for title in dict.fromkeys([*before, *after]):
        if before.get(title) != after.get(title):
            how = "added" if title not in before else "removed" if title not in after else "changed"
            yield f"{how}: {title}"


def _shown(value: Any) -> str:
    is_plain = isinstance(value, str) and value.isprintable()
    text = str(value) if is_plain else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 1]}…"


def _field_data(change: FieldChange) -> dict[str, Any]:
    return {"field": change.field, "before": change.before, "after": change.after}


__all__ = ["Difference", "EntryChange", "FieldChange", "compare"]

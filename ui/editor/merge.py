"""Merge: three versions of one flow. What each side changed, and where they disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from gateway.errors import ConfigError
from gateway.flow.subflow import SEPARATOR
from ui.editor.level import levels
from ui.editor.patch import Change, Patch, Stale, diff, inserted, named, patched, same
from ui.editor.tree import LAYOUT, SECTIONS, Tree, text_of_key
from ui.editor.wires import has_end, links_of

Side = Literal["mine", "theirs"]
MEANING = tuple(section for section in SECTIONS if section not in LAYOUT)
_Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Clash:
    """One value that both sides changed, and not to the same.

    Args:
        place: Section, entry and field; the field is empty where an entry itself is meant.
        about: The same for people.
        base: What it was, as text; empty for nothing.
        mine: What it is here.
        theirs: What it is there.
    """

    place: _Place
    about: str
    base: str
    mine: str
    theirs: str

    def row(self) -> dict[str, Any]:
        """As plain values."""
        key = "\n".join(self.place)
        values = {"base": self.base, "mine": self.mine, "theirs": self.theirs}
        return {"key": key, "about": self.about, **values}


def clashes(base: Tree, mine: Tree, theirs: Tree) -> list[Clash]:
    """Where two people's changes since one version disagree."""
    ours, others = (
        diff(base, mine, MEANING, ordered=False),
        diff(base, theirs, MEANING, ordered=False),
    )
    by_place = {(c.section, c.id, c.field): c for c in ours}
    whole = {(c.section, c.id) for c in ours if not c.field}
    found: dict[_Place, Clash] = {}
    for change in others:
        place = (change.section, change.id, change.field)
        own = by_place.get(place)
        if own is None:
            touched = [p for p in by_place if p[:2] == place[:2]]
            if not change.field and touched:
                own = by_place[touched[0]]
            elif (change.section, change.id) in whole:
                own = by_place[change.section, change.id, ""]
        if own is None or same(own.value, change.value):
            continue
        place = place if own.field == change.field else (change.section, change.id, "")
        found.setdefault(place, _clash(place, change, base, mine, theirs))
    return list(found.values())


def _clash(place: _Place, change: Change, base: Tree, mine: Tree, theirs: Tree) -> Clash:
    values = [_shown(tree, place) for tree in (base, mine, theirs)]
    about = named(change) + (f": {place[2]}" if place[2] else "")
    return Clash(place, about, *values)


def _shown(tree: Tree, place: _Place) -> str:
    section, name, field = place
    entry = tree[section].get(name)
    if entry is None:
        return ""
    value = entry.get(field) if field else entry
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return text if len(text) <= 200 else f"{text[:199]}…"


def merged(base: Tree, mine: Tree, theirs: Tree, choices: Mapping[str, Side]) -> Tree:
    """Mine with what they changed; where both changed something, as was chosen.

    Args:
        base: What both began with.
        mine: What is edited here.
        theirs: What runs by now.
        choices: For each clash, by its key, which side counts.

    Raises:
        ConfigError: A clash is not decided, or the result would not hold together.
    """
    open_places = {clash.place: clash for clash in clashes(base, mine, theirs)}
    for place, clash in open_places.items():
        if choices.get("\n".join(place)) not in ("mine", "theirs"):
            raise ConfigError(f"{clash.about} is not decided.", hint="Choose one side for each.")
    kept = {place for place in open_places if choices["\n".join(place)] == "mine"}
    lost = {place for place in open_places if choices["\n".join(place)] == "theirs"}
    result = mine
    # What is theirs by choice is put back to what both began with, then taken from them.
    for place in lost:
        result = _restored(result, base, *place)
    wanted = [c for c in diff(base, theirs, MEANING, ordered=False) if not _is_in(c, kept)]
    for change in wanted:
        result = _taken(result, change)
    return whole(_with_boxes(result, theirs))


def _is_in(change: Change, places: set[_Place]) -> bool:
    here = (change.section, change.id)
    return (*here, change.field) in places or (*here, "") in places


def _restored(tree: Tree, base: Tree, section: str, name: str, field: str) -> Tree:
    """One entry, or one field of it, as it was."""
    entries = dict(tree[section])
    if field and name in entries:
        fields, before = dict(entries[name]), base[section].get(name, {})
        if field in before:
            fields[field] = before[field]
        else:
            fields.pop(field, None)
        entries[name] = fields
    elif name in base[section]:
        if name in entries:
            entries[name] = base[section][name]
        else:
            index = list(base[section]).index(name)
            entries = inserted(entries, name, index, base[section][name])
    else:
        entries.pop(name, None)
    return {**tree, section: entries}


def _taken(tree: Tree, change: Change) -> Tree:
    """One change of theirs; what is as they want it already stays."""
    try:
        return patched(tree, (change,))
    except Stale:
        return tree


def _with_boxes(tree: Tree, theirs: Tree) -> Tree:
    boxes = {k: v for k, v in theirs["boxes"].items() if k in tree["nodes"]}
    own = {k: v for k, v in tree["boxes"].items() if k in tree["nodes"]}
    return {**tree, "boxes": {**boxes, **own}}


def whole(tree: Tree) -> Tree:
    """The tree, when it holds together.

    Raises:
        Stale: A wire has lost one of its nodes.
    """
    for section in ("subnodes", "subwires"):
        for key in tree[section]:
            if (name := key.partition(SEPARATOR)[0]) not in tree["subflows"]:
                raise Stale(f"{text_of_key(key)} would be left without its subflow {name!r}.")
    for _, level in levels(tree):
        for link in links_of(level):
            for name in (link.source, link.target):
                if not has_end(level, name):
                    raise Stale(f"The wire {link.key} would be left without its node {name!r}.")
    return tree


__all__ = ["Clash", "Patch", "Side", "clashes", "merged", "whole"]

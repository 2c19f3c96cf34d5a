"""Patch: what makes one tree of another, exactly.

Every change of the editor is a step from one tree to another. What takes it back is the
difference the other way, so nothing has to know how to undo itself, and a step can be taken back
although others have edited elsewhere meanwhile. Three people's versions are compared the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Final

from gateway.errors import ConfigError
from ui.editor.tree import SECTIONS, Section, Tree, text_of_key

_GONE: Final = object()


class Stale(ConfigError):  # noqa: N818 - a state of a step, no fault
    """A step cannot be taken (back): what it is about has been changed by somebody since."""


@dataclass(frozen=True, slots=True)
class Change:
    """One value of a tree.

    Args:
        section: Of the tree.
        id: The entry.
        field: Of the entry; empty for the entry itself.
        index: Where it stands among its neighbours.
        value: What it is to be; see `is_gone`.
    """

    section: str
    id: str
    field: str
    index: int
    value: Any

    @property
    def is_gone(self) -> bool:
        """Whether it is to go."""
        return self.value is _GONE


Patch = tuple[Change, ...]


def same(one: Any, other: Any) -> bool:
    """Whether two values are written alike; 1, 1.0 and true are not.

    >>> same(1, 1.0), same({"a": 1}, {"a": 1})
    (False, True)
    """
    return one is other or repr(one) == repr(other)


def diff(
    before: Tree, after: Tree, sections: Sequence[str] = SECTIONS, *, ordered: bool = True
) -> Patch:
    """What makes one tree of another.

    Args:
        before: The one.
        after: The other.
        sections: Of the trees.
        ordered: Exactly, so that what moved among its neighbours goes and comes again; else only
            what is in it.
    """
    return tuple(
        change
        for section in sections
        if before[section] is not after[section]
        for change in _section_diff(section, before[section], after[section], ordered)
    )


def _section_diff(section: str, before: Section, after: Section, ordered: bool) -> Iterator[Change]:
    moved = _moved(before, after) if ordered else set()
    for name in before:
        if name not in after or name in moved:
            yield Change(section, name, "", 0, _GONE)
    for i, (name, fields) in enumerate(after.items()):
        old = before.get(name)
        if old is None or name in moved:
            yield Change(section, name, "", i, dict(fields))
        elif not same(old, fields):
            away = _moved(old, fields) if ordered else set()
            for key in old:
                if key not in fields or key in away:
                    yield Change(section, name, key, 0, _GONE)
            for j, (key, value) in enumerate(fields.items()):
                if key not in old or key in away or not same(old[key], value):
                    yield Change(section, name, key, j, value)


def _moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Keys of both that stand elsewhere among the others: few, but not always the fewest."""
    old = [key for key in before if key in after]
    new = [key for key in after if key in before]
    if old == new:
        return set()
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    stay = {old[block.a + k] for block in matcher.get_matching_blocks() for k in range(block.size)}
    return set(old) - stay


def patched(tree: Tree, patch: Patch) -> Tree:
    """A tree with a patch.

    Raises:
        Stale: Something it is about is not there any more, or is there already.
    """
    new = {section: dict(entries) for section, entries in tree.items()}
    for change in patch:
        if not change.field:
            _put(new[change.section], change.id, change, named(change))
            continue
        if change.id not in new[change.section]:
            raise Stale(f"{named(change)} is not there any more.")
        fields = dict(new[change.section][change.id])
        if change.is_gone:
            fields.pop(change.field, None)
        elif change.field in fields:
            fields[change.field] = change.value
        else:
            fields = inserted(fields, change.field, change.index, change.value)
        new[change.section][change.id] = fields
    return new


def _put(section: Section, name: str, change: Change, words: str) -> None:
    if change.is_gone:
        if section.pop(name, None) is None:
            raise Stale(f"{words} is not there any more.")
        return
    if name in section:
        raise Stale(f"{words} is there already.")
    ordered = inserted(section, name, change.index, dict(change.value))
    section.clear()
    section.update(ordered)


def inserted(mapping: Mapping[str, Any], key: str, index: int, value: Any) -> dict[str, Any]:
    """A mapping with one pair more, at a place among the others."""
    if index >= len(mapping):
        return {**mapping, key: value}
    pairs = list(mapping.items())
    pairs.insert(index, (key, value))
    return dict(pairs)


def named(change: Change) -> str:
    """What a change is about, for people."""
    name = text_of_key(change.id)
    match change.section:
        case "nodes" | "subnodes":
            return f"The node {name!r}"
        case "wires" | "subwires":
            return f"The wire {name!r}"
        case "connections":
            return f"The connection {name!r}"
        case "subflows":
            return f"The subflow {name!r}"
    return f"{change.section.capitalize()} {name!r}"


__all__ = ["Change", "Patch", "Stale", "diff", "inserted", "named", "patched", "same"]

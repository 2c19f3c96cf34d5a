"""Place: where boxes stand that nobody has put anywhere, and what surrounds a group.

Layers from left to right by the longest way from a source, and in each layer the order that
keeps wires short: the barycentre heuristic, swept down and up.

Source: Sugiyama, Tagawa, Toda, IEEE Trans. SMC 11 (1981) 109.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ui.editor.level import boxed, level_of, put_back
from ui.editor.tree import Section, Tree
from ui.editor.wires import Link, links_of

GRID: Final = 10
WIDTH: Final = 190
HEIGHT: Final = 62
"""Size of a box [px at zoom 1]; the style sheet of the canvas says the same."""
FAR: Final = 900_000
"""How far from the middle something may stand [px]; the API takes a little more."""
COLUMN: Final = 260.0
ROW: Final = 100
PAD: Final = 20
HEAD: Final = 34
_SWEEPS: Final = 6
Point = tuple[float, float]


def snapped(value: float) -> float:
    """The value on the grid, and on the canvas.

    Raises:
        ValueError: It is no number.
        OverflowError: It is infinite.
    """
    return float(min(max(round(value / GRID) * GRID, -FAR), FAR))


def arranged(nodes: Sequence[str], links: Iterable[Link]) -> dict[str, Point]:
    """(x, y) of each node [px], by layers."""
    known = set(nodes)
    pairs = [(a.source, a.target) for a in links if a.source in known and a.target in known]
    layer = _layers(nodes, pairs)
    layers: dict[int, list[str]] = {}
    for name in nodes:
        layers.setdefault(layer[name], []).append(name)
    before: dict[str, list[str]] = {name: [] for name in nodes}
    after: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in pairs:
        before[target].append(source)
        after[source].append(target)
    for sweep in range(_SWEEPS):
        is_down = sweep % 2 == 0
        order = sorted(layers, reverse=not is_down)
        rank = {name: i for one in layers.values() for i, name in enumerate(one)}
        for number in order:
            near = before if is_down else after
            layers[number].sort(key=lambda name: _centre(near[name], rank, rank[name]))
            rank.update({name: i for i, name in enumerate(layers[number])})
    tallest = max(map(len, layers.values()), default=0)
    return {
        name: (number * COLUMN, snapped((i + (tallest - len(row)) / 2) * ROW))
        for number, row in layers.items()
        for i, name in enumerate(row)
    }


def _centre(near: Sequence[str], rank: Mapping[str, int], own: int) -> float:
    return sum(rank[name] for name in near) / len(near) if near else float(own)


def _layers(nodes: Sequence[str], pairs: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The longest way to each node; wires that close a circle count for nothing."""
    layer = dict.fromkeys(nodes, 0)
    for _ in range(len(nodes)):
        is_same = True
        for source, target in pairs:
            if layer[target] < layer[source] + 1 <= len(nodes):
                layer[target], is_same = layer[source] + 1, False
        if is_same:
            return layer
    return layer


def placed(tree: Tree) -> Tree:
    """The tree with a place for every node that has none, also inside subflows."""
    for name in tree["subflows"]:
        level = level_of(tree, name)
        after = _placed(level)
        if after is not level:
            tree = put_back(tree, name, after)
    known = {
        key: at for key, at in tree["subboxes"].items() if key.partition("/")[0] in tree["subflows"]
    }
    if len(known) != len(tree["subboxes"]):
        tree = {**tree, "subboxes": known}
    return _placed(tree)


def _placed(tree: Tree) -> Tree:
    """The same of one level."""
    every = boxed(tree)
    there = set(every)
    missing = [name for name in every if name not in tree["boxes"]]
    known = {name: at for name, at in tree["boxes"].items() if name in there}
    if not missing:
        return tree if len(known) == len(tree["boxes"]) else {**tree, "boxes": known}
    found = arranged(missing, links_of(tree))
    below = max((at["y"] + ROW for at in known.values()), default=0.0)
    boxes: Section = dict(known)
    for name, (x, y) in found.items():
        boxes[name] = {"x": x, "y": y + below}
    return {**tree, "boxes": boxes}


def free_place(tree: Tree, x: float, y: float, *, is_chosen: bool = True) -> Point:
    """A place for one box more.

    Args:
        tree: What stands there.
        x: Wanted [px].
        y: Wanted [px].
        is_chosen: A person pointed at it: only a box at the very same place is avoided. Else no
            box is covered at all.
    """
    x, y = snapped(x), snapped(y)
    wide, high = (GRID, GRID) if is_chosen else (WIDTH + GRID, HEIGHT + GRID)
    taken = [(at["x"], at["y"]) for at in tree["boxes"].values()]
    while any(abs(x - left) < wide and abs(y - top) < high for left, top in taken):
        x, y = (x + 2 * GRID, y + 2 * GRID) if is_chosen else (x, y + 2 * GRID)
    return x, y


def surrounding(boxes: Iterable[Mapping[str, Any]]) -> dict[str, float] | None:
    """The frame around some boxes; None around nothing."""
    found = list(boxes)
    if not found:
        return None
    left, top = min(b["x"] for b in found) - PAD, min(b["y"] for b in found) - HEAD
    right, bottom = max(b["x"] for b in found) + WIDTH, max(b["y"] for b in found) + HEIGHT
    return {"x": left, "y": top, "w": right + PAD - left, "h": bottom + PAD - top}


__all__ = ["HEIGHT", "WIDTH", "arranged", "free_place", "placed", "snapped", "surrounding"]

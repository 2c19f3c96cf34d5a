"""Import from Node-RED: a ``flows.json`` becomes a flow, and every node of it is accounted for.

What has a node of ours with the same meaning is carried over; what works in another way says how;
what cannot be expressed is listed, node by node. Nothing is dropped silently, and where
something in the middle is missing its neighbours are not wired together: the flow would run
and mean something else. Pure: nothing is read and nothing runs.

Source: Node-RED 4, "Flow format" (nodered.org/docs/user-guide), and the help of its core nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.flow.document import Document
from gateway.flow.entries import Entry
from gateway.flow.nodered_export import (
    Export,
    Item,
    Made,
    Verdict,
    items_of,
    number_of,
    printable,
    slug,
    text_of,
    wires_of,
)
from gateway.flow.nodered_types import make

_GRID: Final = 10
_WIDER: Final = 1.5
_HIGHER: Final = 2.0
"""Our boxes are wider and higher than those of Node-RED, so the canvas is stretched."""
_TAB_GAP: Final = 120.0


@dataclass(frozen=True, slots=True)
class Note:
    """What became of one node.

    Args:
        id: Its id in the export.
        node: Its name there, or its type where it has none.
        type: Its type there.
        verdict: carried (means the same), changed (read the text), left_out.
        text: What it is now, or what to do instead.
        becomes: Its key in the new flow; empty where it has none.
    """

    id: str
    node: str
    type: str
    verdict: Verdict
    text: str
    becomes: str = ""


@dataclass(frozen=True, slots=True)
class Converted:
    """An export as a flow.

    Args:
        text: The flow file, in its canonical form; it may need work, which lint names.
        layout: (x, y) of each node [px at zoom 1].
        notes: One for every node of the export.
    """

    text: str
    layout: dict[str, tuple[float, float]]
    notes: tuple[Note, ...]


def convert(flows: str | Sequence[Any], name: str) -> Converted:
    """An export of Node-RED as a flow.

    Args:
        flows: The JSON of the export, or what it holds.
        name: The name of the new flow.

    Raises:
        ConfigError: It is no export of Node-RED, or no flow may have this name.
    """
    export = Export(items_of(flows))
    made: dict[str, Made] = {}
    left: dict[str, str] = {}
    for item in export.nodes:
        done = make(export, item)
        if isinstance(done, Made):
            made[item["id"]] = done
        else:
            left[item["id"]] = done.text
    names = export.named({key: m for key, m in made.items() if m.type})
    wires, loose = _wires(export, made, names)
    notes = [*_notes(export, made, left, names, loose)]
    document = Document(
        name,
        about="Imported from Node-RED. Look at the notes of the import before it runs.",
        connections=export.connections,
        nodes={
            names[key]: Entry(m.type, m.config, disabled=export.is_off(export.by_id[key]))
            for key, m in made.items()
            if m.type
        },
        chains=tuple(wires),
        comments=export.comments(),
    )
    text = document.text()
    Document.parse(text, f"{name}.flow.yaml")  # Such as a name that no flow may have.
    return Converted(text, _layout(export, names), tuple(notes))


# ---------------------------------------------------------------------- putting it together


def _wires(
    export: Export, made: Mapping[str, Made], names: Mapping[str, str]
) -> tuple[list[str], dict[str, int]]:
    """Wires as text, and by node how many of its wires lead to nothing any more."""
    wires: dict[str, None] = {}
    loose: dict[str, int] = {}
    for key, name in names.items():
        one = made[key]
        for port, targets in enumerate(wires_of(export.by_id[key])):
            if port >= one.outputs:
                loose[key] = loose.get(key, 0) + len(targets)
                continue
            for target in _reached(export, made, targets):
                if target in names and made[target].takes:
                    wires[f"{name} -> {names[target]}"] = None
                elif target not in made:
                    loose[key] = loose.get(key, 0) + 1
    return list(wires), loose


def _reached(export: Export, made: Mapping[str, Made], targets: Sequence[str]) -> Iterator[str]:
    """Where wires end, through nodes that only hand on."""
    seen: set[str] = set()
    waiting = list(targets)
    while waiting:
        key = waiting.pop(0)
        if key in seen or key not in export.by_id:
            continue
        seen.add(key)
        if key in made and not made[key].type:
            waiting += [target for part in wires_of(export.by_id[key]) for target in part]
        else:
            yield key


def _notes(
    export: Export,
    made: Mapping[str, Made],
    left: Mapping[str, str],
    names: Mapping[str, str],
    loose: Mapping[str, int],
) -> Iterator[Note]:
    for tab in export.tabs:
        text = "Its nodes are in this flow, all tabs together."
        yield _note(tab, "changed" if len(export.tabs) > 1 else "carried", text)
    for item in export.nodes:
        key = item["id"]
        if key in left:
            yield _note(item, "left_out", left[key])
            continue
        one, said, becomes = made[key], [made[key].text], names.get(key, "")
        verdict = one.verdict
        if loose.get(key):
            verdict = "changed"
            said.append(f"{loose[key]} of its wires lead to what was left out.")
        if one.config.get("connection") in export.absent:
            said.append("Its connection is not in the export: set the address.")
        text = " ".join(filter(None, said)) or f"Is now {becomes} ({one.type})."
        yield _note(item, verdict, text, becomes)
    for item in export.settings:
        if name := export.used.get(item["id"]):
            text = f"Is now the connection {name}. Users, passwords and keys are not in an export."
            yield _note(item, "changed", text, name)
        else:
            yield _note(item, "left_out", "No node that was carried over uses it.")


def _note(item: Item, verdict: Verdict, text: str, becomes: str = "") -> Note:
    shown = text_of(item, "name") or text_of(item, "label") or item["type"]
    return Note(item["id"], printable(shown)[:200], item["type"], verdict, text, becomes)


def _layout(export: Export, names: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """Positions on the canvas [px]; one tab stands below the other."""
    found: dict[str, tuple[float, float]] = {}
    base = 0.0
    tabs = list(dict.fromkeys(text_of(export.by_id[key], "z") for key in names))
    for tab in tabs:
        mine = [key for key in names if text_of(export.by_id[key], "z") == tab]
        top = base
        for key in mine:
            x = number_of(export.by_id[key], "x") or 0.0
            y = number_of(export.by_id[key], "y") or 0.0
            x, y = min(max(x, 0.0), 1e5), min(max(y, 0.0), 1e5)
            found[names[key]] = (_snapped(x * _WIDER), _snapped(top + y * _HIGHER))
            base = max(base, found[names[key]][1] + _TAB_GAP)
    return found


def _snapped(value: float) -> float:
    return float(round(value / _GRID) * _GRID)


__all__ = ["Converted", "Note", "convert", "slug"]

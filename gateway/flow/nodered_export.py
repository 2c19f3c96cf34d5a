"""An export of Node-RED as it is read: its nodes, what is wired to what, and what is made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from gateway.errors import ConfigError
from gateway.flow.entries import Entry

NODES_MAX: Final = 5_000
JSON_BYTES_MAX: Final = 8_000_000
Verdict = Literal["carried", "changed", "left_out"]
Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """A node of ours that takes the place of one of theirs.

    Args:
        type: Our type; empty for one through which the wires go as if it were not there.
        config: Its options.
        verdict: carried or changed.
        text: What to know.
        takes: False for one that brings values by itself: what is wired to it is not.
        outputs: How many of its outputs mean the same; others are named in the note.
    """

    type: str
    config: Mapping[str, Any] = field(default_factory=dict)
    verdict: Verdict = "carried"
    text: str = ""
    takes: bool = True
    outputs: int = 1


@dataclass(frozen=True, slots=True)
class Left:
    """A node that is left out, and what to do instead."""

    text: str


class Export:
    """What an export holds, and what was made from it so far.

    Args:
        items: Its objects.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self.by_id = {item["id"]: item for item in items}
        self.tabs = [item for item in items if item["type"] == "tab"]
        subflows = {item["id"] for item in items if item["type"] == "subflow"}
        self.subflows = {key: text_of(self.by_id[key], "name") or key for key in subflows}
        self.nodes = [item for item in items if item["type"] != "tab" and not is_config(item)]
        self.settings = [item for item in items if is_config(item)]
        self.connections: dict[str, Entry] = {}
        self.used: dict[str, str] = {}
        """Ids of config nodes with the name of the connection that was made from them."""
        self.absent: set[str] = set()
        """Connections of which the export has no node."""
        self._before: dict[str, list[str]] = {}
        for item in self.nodes:
            for targets in wires_of(item):
                for target in targets:
                    self._before.setdefault(target, []).append(item["id"])

    def before(self, item: Item) -> list[Item]:
        """The nodes that are wired to a node."""
        return [self.by_id[key] for key in self._before.get(item["id"], ())]

    def after(self, item: Item) -> list[Item]:
        """The nodes a node is wired to."""
        ids = [key for targets in wires_of(item) for key in targets]
        return [self.by_id[key] for key in ids if key in self.by_id]

    def is_off(self, item: Item) -> bool:
        """Whether it, or its whole tab, is disabled."""
        tab = self.by_id.get(text_of(item, "z"), {})
        return bool(item.get("d")) or bool(tab.get("disabled"))

    def connection(self, key: str, type_name: str, config: Mapping[str, Any]) -> str:
        """The name of the connection made from a config node, made when it is new."""
        if key not in self.used:
            is_there = key in self.by_id and is_config(self.by_id[key])
            item = self.by_id[key] if is_there else {}
            stem = slug(text_of(item, "name")) or type_name.partition(".")[0]
            self.used[key] = unique(stem, self.connections)
            self.connections[self.used[key]] = Entry(type_name, config)
            if not is_there:
                self.absent.add(self.used[key])
        return self.used[key]

    def named(self, made: Mapping[str, Made]) -> dict[str, str]:
        """A name for each node that is made: its own, else its type's."""
        taken: dict[str, Any] = {}
        found = {}
        for key, one in made.items():
            stem = slug(text_of(self.by_id[key], "name")) or one.type.partition(".")[2]
            found[key] = unique(stem, taken)
            taken[found[key]] = None
        return found

    def comments(self) -> dict[tuple[str | int, ...], list[str]]:
        """Comment nodes as comments above the nodes."""
        lines = []
        for item in self.nodes:
            if item["type"] == "comment":
                parts = f"{text_of(item, 'name')}\n{text_of(item, 'info')}".splitlines()
                lines += [printable(part)[:200] for part in parts if part.strip()]
        return {("nodes",): [f"# {line}" for line in lines]} if lines else {}


# ---------------------------------------------------------------------- reading an export


def items_of(flows: Any) -> list[Item]:
    """The nodes of an export, as text or as it is.

    Raises:
        ConfigError: It is none.
    """
    hint = "In Node-RED: menu, Export, all flows, JSON."
    if isinstance(flows, str):
        if len(flows) > JSON_BYTES_MAX:
            raise ConfigError(f"The export has more than {JSON_BYTES_MAX:,} characters.")
        try:
            flows = json.loads(flows)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"This is no JSON: {error}.", hint=hint) from error
    if isinstance(flows, Mapping) and isinstance(flows.get("flows"), list):
        flows = flows["flows"]  # As the admin API of Node-RED gives it.
    if not isinstance(flows, list) or not flows:
        raise ConfigError("This is no export of Node-RED: it is a list of nodes.", hint=hint)
    if len(flows) > NODES_MAX:
        raise ConfigError(f"The export has more than {NODES_MAX:,} nodes (nodes_max).")
    found: dict[str, Item] = {}
    for item in flows:
        key, kind = (item.get("id"), item.get("type")) if isinstance(item, Mapping) else ("", "")
        if not (isinstance(key, str) and key and isinstance(kind, str) and kind):
            raise ConfigError("This is no export of Node-RED: a node needs id and type.", hint=hint)
        if key in found:
            raise ConfigError(f"Two nodes of the export have the id {key!r}.")
        found[key] = item
    return list(found.values())


def is_config(item: Item) -> bool:
    """A config node stands on no canvas: a broker, an endpoint."""
    return "wires" not in item and "x" not in item and item["type"] not in ("tab", "subflow")


def wires_of(item: Item) -> list[list[str]]:
    """The ids each output is wired to; what a link out reaches counts as its only output."""
    if item["type"] == "link out" and text_of(item, "mode") != "return":
        return [[key for key in list_of(item, "links") if isinstance(key, str)]]
    return [
        [key for key in targets if isinstance(key, str)]
        for targets in list_of(item, "wires")
        if isinstance(targets, list)
    ]


def text_of(item: Item, key: str) -> str:
    """A text or a number of a node as text; empty where there is none."""
    value = item.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()


def number_of(item: Item, key: str) -> float | None:
    """A number of a node, which Node-RED often writes as text."""
    try:
        value = float(text_of(item, key))
    except ValueError:
        return None
    return value if abs(value) < 1e300 else None


def list_of(item: Item, key: str) -> list[Any]:
    """A list of a node; empty where there is none."""
    value = item.get(key)
    return value if isinstance(value, list) else []


def slug(text: str) -> str:
    """A name as an id of ours: ``Öl Temp. 1`` is ``l_temp_1``; empty where nothing remains."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40]
    return f"n_{name}" if name[:1].isdigit() else name


def unique(stem: str, taken: Mapping[str, Any]) -> str:
    """The name, with a number where it is taken."""
    number = next(n for n in range(1, len(taken) + 2) if _numbered(stem, n) not in taken)
    return _numbered(stem, number)


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}_{number}"


def printable(text: str) -> str:
    """A text in one line without control characters."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


__all__ = [
    "Export",
    "Item",
    "Left",
    "Made",
    "Verdict",
    "items_of",
    "list_of",
    "number_of",
    "printable",
    "slug",
    "text_of",
    "wires_of",
]

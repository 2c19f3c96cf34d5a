"""Turns the values of a flow file into a document, or says in one sentence what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from gateway.errors import ConfigError
from gateway.flow.entries import BYPASS, TEST_KEYS, Entry, FlowTest, OutboxOptions, ends_of
from gateway.flow.findings import near, valid_config
from gateway.flow.shape_subflow import subflows
from gateway.flow.yaml_read import Parsed, Path

FORMAT: Final = 1
NODES_MAX: Final = 2_000  # Chosen: an editor shows some hundred; a step visits every node.
SECTIONS: Final = ("connections", "subflows", "nodes", "wires", "tests")
_KEYS: Final = ("flow", "version", "about", "allow_write", "durability", *SECTIONS)
_ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")
_INNER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}(/[A-Za-z][A-Za-z0-9_-]{0,63})+\Z")
"""The id of a node inside an instance of a subflow, as the text of an expanded flow has it."""


class Shape:
    """The shape of a flow file: which keys there are and what stands under each."""

    def __init__(self, parsed: Parsed, file: str) -> None:
        self.parsed = parsed
        self.file = file

    def fields(self) -> dict[str, Any]:
        """The fields of a Document.

        Raises:
            ConfigError: Something is missing, unknown or of the wrong type.
        """
        if self.parsed.value is None:
            raise self.wrong((), "The file is empty.", "Begin with `flow: press-line`.")
        top = self.mapping((), self.parsed.value)
        self.only(top, _KEYS, ())
        if "flow" not in top:
            raise self.wrong((), "The flow has no name.", "Begin with `flow: press-line`.")
        name = self.text(("flow",), top["flow"])
        if not _ID.match(name):
            raise self.wrong(
                ("flow",), f"{name!r} is no flow name.", "Use letters, digits, - and _."
            )
        if (version := top.get("version", FORMAT)) != FORMAT:
            raise self.wrong(
                ("version",),
                f"This file has format {version!r}; this gateway reads format {FORMAT}.",
                "Update the gateway, or write `version: 1`.",
            )
        nodes = self.entries(("nodes",), top.get("nodes"))
        connections = self.entries(("connections",), top.get("connections"))
        for both in nodes.keys() & connections.keys():
            raise self.wrong(
                ("nodes", both), f"A node and a connection are both named {both!r}.", "Rename one."
            )
        return {
            "name": name,
            "about": self.text(("about",), top.get("about", "")),
            "allow_write": self.boolean(("allow_write",), top.get("allow_write", False)),
            "durability": self.durability(top.get("durability", "journal")),
            "connections": connections,
            "subflows": subflows(self, top.get("subflows")),
            "nodes": nodes,
            "chains": self.chains(("wires",), top.get("wires")),
            "tests": tuple(self.test(i, t) for i, t in self.items(("tests",), top.get("tests"))),
            "file": self.file,
            "lines": self.parsed.lines,
            "comments": self.parsed.comments,
        }

    def entries(self, section: Path, value: Any) -> dict[str, Entry]:
        found = self.mapping(section, value if value is not None else {})
        if len(found) > NODES_MAX:
            raise self.wrong(
                section,
                f"More than {NODES_MAX:,} {section[-1]} (flow_nodes_max).",
                "Split the flow.",
            )
        return {key: self.entry((*section, key), item) for key, item in found.items()}

    def id(self, place: Path) -> None:
        if not _ID.match(str(place[-1])):
            raise self.wrong(
                place,
                f"{place[-1]!r} cannot be an id.",
                "Begin with a letter; use letters, digits, - and _.",
            )

    def entry(self, place: Path, value: Any) -> Entry:
        if place[0] != "nodes" or not _INNER.match(str(place[-1])):
            self.id(place)
        if isinstance(value, str) and "." in value:
            hint = f"Write `{place[-1]}: {{type: {value}}}`."
            raise self.wrong(place, f"{place[-1]!r} is no mapping.", hint)
        data = dict(self.mapping(place, value))
        if "type" not in data:
            raise self.wrong(place, "The type is missing.", "Write `type: family.node`.")
        kind = self.text((*place, "type"), data.pop("type"))
        about = self.text((*place, "about"), data.pop("about", ""))
        said = data.pop("disabled", False)
        bypassed = said == BYPASS and place[0] != "connections"
        disabled = bypassed or self.boolean((*place, "disabled"), said)
        options = data.pop("outbox", None)
        if options is None:
            return Entry(kind, data, about, disabled, None, bypassed)
        within = (*place, "outbox")
        checked = valid_config(
            OutboxOptions, self.mapping(within, options), lambda *more: self.at((*within, *more))
        )
        return Entry(kind, data, about, disabled, checked, bypassed)

    def chains(self, section: Path, value: Any) -> tuple[str, ...]:
        return tuple(self.chain((*section, i), c) for i, c in self.items(section, value))

    def chain(self, place: Path, value: Any) -> str:
        text = self.text(place, value)
        try:
            return " -> ".join(f"{n}.{p}" if p else n for n, p in ends_of(text))
        except ValueError as error:
            raise self.wrong(place, f"{text!r} is no wire.", str(error)) from error

    def test(self, i: int, value: Any) -> FlowTest:
        place: Path = ("tests", i)
        data = self.mapping(place, value)
        self.only(data, TEST_KEYS, place)
        for key in ("title", "given", "expect"):
            if key not in data:
                raise self.wrong(
                    place,
                    f"The test has no `{key}`.",
                    "A test has all three: title, given, expect.",
                )
        until = data.get("until")
        return FlowTest(
            title=self.text((*place, "title"), data["title"]),
            given=self.texts((*place, "given"), data["given"]),
            expect=self.texts((*place, "expect"), data["expect"]),
            until=None if until is None else self.until((*place, "until"), until),
            tags=self.tables((*place, "tags"), data.get("tags", {})),
            config=self.tables((*place, "config"), data.get("config", {})),
        )

    def until(self, place: Path, value: Any) -> str:
        if not isinstance(value, str):
            raise self.wrong(place, f"{_show(value)} is no time.", "Write its unit: 90s, 5min, 2h.")
        return value

    def texts(self, place: Path, value: Any) -> dict[str, str]:
        return {k: self.text((*place, k), v) for k, v in self.mapping(place, value).items()}

    def tables(self, place: Path, value: Any) -> dict[str, Mapping[str, Any]]:
        return {k: self.mapping((*place, k), v) for k, v in self.mapping(place, value).items()}

    def items(self, section: Path, value: Any) -> list[tuple[int, Any]]:
        if value is None:
            return []
        if not isinstance(value, list):
            name = ".".join(map(str, section))
            raise self.wrong(section, f"`{name}` must be a list.", "Begin each line with `- `.")
        return list(enumerate(value))

    def mapping(self, place: Path, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            name = f"`{'.'.join(map(str, place))}`" if place else "The flow"
            raise self.wrong(place, f"{name} must be a mapping.", "Write `key: value` lines.")
        return value

    def text(self, place: Path, value: Any) -> str:
        if not isinstance(value, str):
            raise self.wrong(place, f"This must be text, not {_show(value)}.", "Put it in quotes.")
        return value

    def boolean(self, place: Path, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self.wrong(place, f"This must be true or false, not {_show(value)}.", "")
        return value

    def durability(self, value: Any) -> Literal["journal", "memory"]:
        if value == "journal" or value == "memory":
            return "memory" if value == "memory" else "journal"
        raise self.wrong(
            ("durability",),
            f"{_show(value)} is no durability.",
            "Write `journal` (every input is stored first) or `memory` (lost at a power cut).",
        )

    def only(self, data: Mapping[str, Any], known: tuple[str, ...], place: Path) -> None:
        for key in data:
            if key not in known:
                hint = near(key, known, f"There is {', '.join(known)}.")
                raise self.wrong((*place, key), f"There is no key {key!r} here.", hint)

    def at(self, place: Path) -> str:
        lines = self.parsed.lines
        at = place
        while at and at not in lines:
            at = at[:-1]
        return f"{self.file}:{lines.get(at, 1)} {'.'.join(map(str, place))}".strip()

    def wrong(self, place: Path, text: str, hint: str) -> ConfigError:
        return ConfigError(text, where=self.at(place), hint=hint)


def is_id(text: str) -> bool:
    """True for what a node or a subflow may be called."""
    return _ID.match(text) is not None


def _show(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:60]


__all__ = ["FORMAT", "NODES_MAX", "SECTIONS", "Shape", "is_id"]

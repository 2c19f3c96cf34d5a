"""Junctions: ends of wires that are no node, such as a port of an instance of a subflow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.errors import ConfigError
from gateway.flow.entries import Wire

WIRES_MAX: Final = 20_000
"""Of an expanded flow: n wires into a junction and m out of it are n times m."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a wire: a port of a node, or a junction."""

    node: str
    port: str
    is_junction: bool = False


@dataclass(frozen=True, slots=True)
class _Edge:
    """A wire as it is written: where it leads, its line, and how deep it stands in subflows."""

    target: End
    line: int
    depth: int


class Junctions:
    """Wires that begin or end at junctions, and those from node to node that they mean."""

    def __init__(self) -> None:
        self._after: dict[End, list[_Edge]] = {}
        self._before: dict[End, list[End]] = {}

    def add(self, source: End, target: End, line: int, depth: int) -> None:
        """One wire as it is written."""
        self._after.setdefault(source, []).append(_Edge(target, line, depth))
        self._before.setdefault(target, []).append(source)

    def wires(self) -> list[Wire]:
        """The wires between nodes, each once; their line is that of the outermost part.

        Raises:
            ConfigError: They are too many.
        """
        found: dict[Wire, None] = {}
        for source in self._after:
            if source.is_junction:
                continue
            for target, line in self._targets(source):
                wire = Wire(source.node, source.port, target.node, target.port, line)
                found.setdefault(wire)
                if len(found) > WIRES_MAX:
                    text = f"With its subflows the flow has more than {WIRES_MAX:,} wires."
                    raise ConfigError(text, hint="Split the flow.")
        return list(found)

    def targets(self, source: End) -> list[End]:
        """The nodes' inputs that a junction leads to."""
        return [target for target, _ in self._targets(source)]

    def sources(self, target: End) -> list[End]:
        """The nodes' outputs that lead to a junction."""
        found: dict[End, None] = {}
        seen, waiting = {target}, [target]
        while waiting:
            for before in self._before.get(waiting.pop(), ()):
                if not before.is_junction:
                    found.setdefault(before)
                elif before not in seen:
                    seen.add(before)
                    waiting.append(before)
        return list(found)

    def _targets(self, source: End) -> Iterator[tuple[End, int]]:
        """Depth first, in the order of the wires; each junction once."""
        seen: set[End] = set()
        waiting = [(edge, edge) for edge in reversed(self._after.get(source, []))]
        while waiting:
            edge, outer = waiting.pop()
            if not edge.target.is_junction:
                yield edge.target, outer.line
            elif edge.target not in seen:
                seen.add(edge.target)
                waiting += [
                    (one, one if one.depth < outer.depth else outer)
                    for one in reversed(self._after.get(edge.target, []))
                ]


__all__ = ["WIRES_MAX", "End", "Junctions"]

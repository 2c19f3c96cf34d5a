"""Traffic: how many rows went where in a graph, for the books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.flow.node import Node

Ends = tuple[str, str, str, str]
"""A wire: source, its port, target, its port."""


class WireCount:
    """Rows that went over one wire, and what became of those for a transform.

    Args:
        rows: All that went over it.
        done: Rows the node at its end has worked on.
        failed: Rows on which the node failed; they are dead letters.
        stopped: Rows that came when it was stopped.
    """

    __slots__ = ("done", "failed", "rows", "stopped")

    def __init__(self) -> None:
        self.rows = self.done = self.failed = self.stopped = 0

    @property
    def dropped(self) -> int:
        """Rows that came to nothing."""
        return self.failed + self.stopped

    def end(self, size: int, was_stopped: bool, is_stopped: bool) -> None:
        """A message of so many rows has come to its end, and how the node is now."""
        if was_stopped:
            self.stopped += size
        elif is_stopped:
            self.failed += size
        else:
            self.done += size

    def reasons(self) -> dict[str, int]:
        """Why, and how many rows."""
        counts = {"node_failed": self.failed, "node_stopped": self.stopped}
        return {reason: count for reason, count in counts.items() if count}

    def go_on(self, old: WireCount) -> None:
        """Count on where another ended."""
        self.rows, self.done = old.rows, old.done
        self.failed, self.stopped = old.failed, old.stopped

    def clear(self) -> None:
        """Start over."""
        self.rows = self.done = self.failed = self.stopped = 0


@dataclass(slots=True)
class Traffic:
    """All counts of a graph.

    Args:
        wires: What went over each wire.
        unwired: Rows that came in and that no wire takes, by node and port.
        direct: Rows that came in for a sink or a worker itself, without a wire.
    """

    wires: dict[Ends, WireCount] = field(default_factory=dict)
    unwired: Counter[tuple[str, str]] = field(default_factory=Counter)
    direct: Counter[str] = field(default_factory=Counter)

    def reached(self) -> Counter[str]:
        """Rows that were given to each node over all its wires and besides."""
        found = Counter(self.direct)
        for (_, _, target, _), count in self.wires.items():
            found[target] += count.rows
        return found

    def go_on(self, old: Traffic) -> None:
        """Another revision takes over: what goes over the same wires is counted on."""
        self.unwired.update(old.unwired)
        self.direct.update(old.direct)
        for ends, count in self.wires.items():
            if ends in old.wires:
                count.go_on(old.wires[ends])

    def clear(self) -> None:
        """Start over: what a replay counted says nothing of this life."""
        self.unwired.clear()
        self.direct.clear()
        for count in self.wires.values():
            count.clear()


def takes(classes: Mapping[str, type[Node[Any]]], node: str, port: str) -> bool:
    """True when a graph gives an input of that name to the node itself."""
    cls = classes.get(node)
    if cls is None or cls.kind != "transform":
        return is_outlet(cls, port)
    return any(one.name == port for one in cls.inputs)


def gives(classes: Mapping[str, type[Node[Any]]], node: str, port: str) -> bool:
    """True when what comes in under that name is what a source or a worker has brought."""
    cls = classes.get(node)
    if cls is None or cls.kind not in ("source", "worker"):
        return False
    return any(one.name == port for one in cls.outputs)


def is_outlet(cls: type[Node[Any]] | None, port: str) -> bool:
    """True for the input of a sink or a worker, to which a person gives something again."""
    if cls is None or cls.kind not in ("sink", "worker"):
        return False
    is_output = any(one.name == port for one in cls.outputs)
    return not is_output and any(one.name == port for one in cls.inputs)

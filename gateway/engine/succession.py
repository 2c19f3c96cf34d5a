"""Succession: what one revision of a flow takes over from another, node by node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.engine.wiring import Stage
from gateway.flow.node import Node, State, Transform

Stages = Mapping[str, Stage]


@dataclass(slots=True)
class Takeover:
    """What a revision has taken over from the one before.

    Args:
        kept: Nodes that go on with what they remember.
        said: A sentence for each node that was changed.
    """

    kept: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)


def take_back(node: Node[Any], state: State, version: int) -> None:
    """Give a node its stored state, of whatever version it is.

    Raises:
        StateError: It cannot be used; the node may be half restored.
    """
    if version != node.state_version:
        state = node.migrate(version, state)
    node.restore(state)


def adopt(new: Stages, old: Stages, make: Callable[[str], Transform[Any, Any]]) -> Takeover:
    """Give the new nodes the state of the old ones, where it means the same.

    Nothing of the old revision is touched. The same two revisions with the same state always
    give the same, so that a replay comes out as it did.

    Args:
        new: The nodes of the new revision, all fresh.
        old: Those of the one that ran, between two steps.
        make: Makes a fresh node, where one could not take the state of the old one.
    """
    taken = Takeover()
    for node_id, stage in new.items():
        before = old.get(node_id)
        if before is None:
            continue
        if before.faulted:
            taken.said.append(f"{node_id} had failed: it starts fresh.")
        elif type(before.node) is type(stage.node) and before.node.config == stage.node.config:
            stage.node = before.node
            taken.kept.add(node_id)
        elif _keeps(stage, before):
            taken.kept.add(node_id)
            taken.said.append(f"{node_id} was changed: it keeps what it remembers.")
        else:
            stage.node = make(node_id)
            if before.node.snapshot():
                taken.said.append(f"{node_id} was changed: it starts fresh.")
    return taken


def _keeps(stage: Stage, before: Stage) -> bool:
    """Give a changed node the state of the one before it, when that still means the same."""
    if type(before.node) is not type(stage.node):
        return False
    try:
        if not stage.node.keeps(before.node.config):
            return False
        stage.node.restore(before.node.snapshot())
    except Exception:  # noqa: BLE001 - a node of a stranger may raise anything: it starts fresh
        return False
    return True


__all__ = ["Takeover", "adopt"]

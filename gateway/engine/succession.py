"""Succession: what one revision of a flow takes over from another, node by node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.engine.wiring import Stage
from gateway.flow.node import Node, State

Stages = Mapping[str, Stage]


def kept(new: Stages, old: Stages) -> set[str]:
    """Ids of the nodes that go on as they are."""
    return {
        node_id
        for node_id, stage in new.items()
        if (before := old.get(node_id)) is not None
        and not before.faulted
        and type(before.node) is type(stage.node)
        and (before.node.config == stage.node.config or stage.node.keeps(before.node.config))
    }


def take_back(node: Node[Any], state: State, version: int) -> None:
    """Give a node its stored state, of whatever version it is.

    Raises:
        StateError: It cannot be used; the node may be half restored.
    """
    if version != node.state_version:
        state = node.migrate(version, state)
    node.restore(state)


def adopt(new: Stages, old: Stages) -> list[str]:
    """Give the new nodes the state of the old ones, where it means the same.

    Returns: a sentence for each node that starts fresh although one of its name was there.
    """
    going_on = kept(new, old)
    fresh = []
    for node_id, stage in new.items():
        before = old.get(node_id)
        if before is None:
            continue
        if node_id not in going_on:
            fresh.append(f"{node_id} was changed: it starts fresh.")
        elif before.node.config == stage.node.config:
            stage.node = before.node
        else:
            stage.node.restore(before.node.snapshot())
    return fresh

"""Arrived: one entry of a flow's inbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.engine.outbox import Outbox
from gateway.engine.store_letters import Again
from gateway.flow.node import Message

if TYPE_CHECKING:
    from gateway.engine.ingress import Ingress


@dataclass(slots=True)
class Arrived:
    """One entry of a flow's inbox: messages of one node, and whom to tell when they are safe."""

    node: str
    outputs: list[tuple[str, Message]]
    ingress: Ingress | None = None
    token: Any = None
    position: Any = None
    answers: int = 0
    """Number of the question that a worker has answered with this."""
    again: Again | None = None
    """Set when a person gives this: a dead letter to its node again, or values of their own."""
    outbox: Outbox | None = None
    """Where that question waits."""

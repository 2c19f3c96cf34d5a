"""Faults: a node raised, so our code is wrong. Tell people, keep the message as a test."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Final

from gateway.engine.codec import pack_inputs
from gateway.engine.graph import Graph
from gateway.engine.metrics import NodeStatus
from gateway.engine.store import Store
from gateway.engine.store_records import keep_letter
from gateway.engine.wiring import Fault, Result
from gateway.errors import Disconnected

_log = logging.getLogger("genba.faults")
FAULTS_MAX: Final = 3  # A node that raised this often stays stopped; a person must look.


class FaultDesk:
    """What is done about nodes that raise: a fresh one in their place, and a letter kept.

    Args:
        flow: The flow's name.
        store: Where dead letters are kept.
    """

    def __init__(self, flow: str, store: Store) -> None:
        self.counts: Counter[str] = Counter()
        self._graph: Graph | None = None
        self._flow = flow
        self._store = store

    def attend(self, result: Result, graph: Graph, statuses: Mapping[str, NodeStatus]) -> None:
        """Put fresh nodes in the place of those that raised, unless they did so too often.

        Another revision of the flow begins to count anew.
        """
        if graph is not self._graph:
            self.counts.clear()
            self._graph = graph
        for fault in result.faults:
            self.counts[fault.node] += 1
            count = self.counts[fault.node]
            if count < FAULTS_MAX:
                graph.revive(fault.node)
            report(fault, statuses.get(fault.node), stopped=count >= FAULTS_MAX)

    async def keep(
        self, node: str, port: str, error: str, data: bytes, *, seq: int, now: int, revision: int
    ) -> None:
        """Dead-letter what made a node fail; that is a help, not a promise."""
        key = f"{self._flow}/{node}/fault/{seq}"
        try:
            await keep_letter(
                self._store, key, self._flow, node, port, now, revision, error, 0, data
            )
        except Disconnected as trouble:
            _log.error("A dead letter of %s is lost: %s", node, trouble)


def report(fault: Fault, status: NodeStatus | None, *, stopped: bool) -> None:
    """Say once per fault what happened and what the gateway did about it.

    Args:
        fault: What was raised, and on which message.
        status: The node's status, which is marked.
        stopped: True when the node has raised too often and stays stopped.
    """
    did = "It is stopped" if stopped else "It starts fresh and goes on"
    text = f"{fault.node} failed: {fault.text}. {did}; the other nodes run on."
    _log.error("%s\n%s", text, fault.detail)
    if status is not None:
        status.counts["faults"] += 1
        status.state = "faulted" if stopped else status.state
        status.text = text


def poison(fault: Fault, now: int) -> bytes:
    """The message that made a node fail, as a block that `unpack_inputs` reads."""
    message = fault.message
    return pack_inputs([] if message is None else [(fault.node, fault.port, message)], now)

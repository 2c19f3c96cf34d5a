"""Faults: a node raised, so our code is wrong. Tell people, keep the message as a test."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.engine.codec import pack_inputs
from gateway.engine.graph import Graph
from gateway.engine.metrics import NodeStatus
from gateway.engine.place import about
from gateway.engine.store import Store
from gateway.engine.store_letters import letter_key
from gateway.engine.store_records import keep_letter
from gateway.engine.wiring import Fault, Input, Result, rows
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
        self._flow = flow
        self._store = store

    def attend(self, result: Result, graph: Graph, statuses: Mapping[str, NodeStatus]) -> None:
        """Put fresh nodes in the place of those that raised, unless they did so too often."""
        for fault in result.faults:
            count = graph.faults()[fault.node][0]
            if count < FAULTS_MAX:
                graph.revive(fault.node)
            report(fault, statuses.get(fault.node), stopped=count >= FAULTS_MAX)

    async def keep(self, faults: Sequence[Fault], seq: int, now: int, revision: int) -> None:
        """Dead-letter what made nodes fail."""
        for fault in faults:
            size = 0 if fault.message is None else rows(fault.message)
            block = poison(fault, now)
            await self._keep(
                fault.node, fault.port, fault.detail, block, size, seq=seq, now=now, rev=revision
            )

    async def refuse(
        self,
        item: Input,
        error: Exception,
        status: NodeStatus | None,
        seq: int,
        now: int,
        revision: int,
    ) -> None:
        """Dead-letter what a node brought and what cannot be written down; as words."""
        node, port, message = item
        text = f"{node} sent what cannot be stored: {error}."
        _log.error("%s", text, extra=about(self._flow, node))
        if status is not None:
            status.counts["faults"] += 1
        words = repr(message)[:10_000].encode()
        await self._keep(node, port, text, words, rows(message), seq=seq, now=now, rev=revision)

    async def _keep(
        self,
        node: str,
        port: str,
        error: str,
        data: bytes,
        size: int,
        *,
        seq: int,
        now: int,
        rev: int,
    ) -> None:
        """Keep a dead letter; that is a help, not a promise."""
        key = letter_key(f"{self._flow}/{node}/{port}/fault/{seq}", data)
        try:
            await keep_letter(self._store, key, self._flow, node, port, now, rev, error, size, data)
        except Disconnected as trouble:
            place = about(self._flow, node)
            _log.error("A dead letter of %s is lost: %s", node, trouble, extra=place)


def report(fault: Fault, status: NodeStatus | None, *, stopped: bool) -> None:
    """Say once per fault what happened and what the gateway did about it.

    Args:
        fault: What was raised, and on which message.
        status: The node's status, which is marked.
        stopped: True when the node has raised too often and stays stopped.
    """
    did = "It is stopped" if stopped else "It starts fresh and goes on"
    text = f"{fault.node} failed: {fault.text}. {did}; the other nodes run on."
    place = about(status.flow, fault.node) if status is not None else {"node": fault.node}
    _log.error("%s\n%s", text, fault.detail, extra=place)
    if status is not None:
        status.counts["faults"] += 1
        status.state = "faulted" if stopped else status.state
        status.text = text


def poison(fault: Fault, now: int) -> bytes:
    """The message that made a node fail, as a block that `unpack_inputs` reads."""
    message = fault.message
    return pack_inputs([] if message is None else [(fault.node, fault.port, message)], now)

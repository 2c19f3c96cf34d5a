"""Faults: a node raised, so our code is wrong. Tell people, keep the message as a test."""

from __future__ import annotations

import logging
from typing import Final

from gateway.engine.codec import pack_inputs
from gateway.engine.metrics import NodeStatus
from gateway.engine.wiring import Fault

_log = logging.getLogger("genba.faults")
FAULTS_MAX: Final = 3
"""A node that raised this often stays stopped; a person must look."""


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

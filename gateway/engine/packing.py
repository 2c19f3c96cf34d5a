"""Packing: the state of a whole flow as one block, and neighbours in an inbox as one batch."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gateway.data.batch import Batch
from gateway.engine.codec import pack_inputs, pack_states, unpack_inputs
from gateway.engine.ingress import Arrived
from gateway.engine.outbox import Waiting
from gateway.engine.wiring import Input
from gateway.flow.node import State

_log = logging.getLogger("genba.flow")
Box = tuple[int, int, Sequence[Waiting]]
"""An outbox: messages offered, delivered, and those that wait."""


def pack_flow(
    states: Mapping[str, State], boxes: Mapping[str, Box], head: Mapping[str, Any]
) -> bytes:
    """The states of the nodes and what waits for the sinks, as one block."""
    whole: dict[str, State] = dict(states)
    numbers = {}
    for sink, (offered, delivered, waiting) in boxes.items():
        block = pack_inputs([(sink, item.port, item.message) for item in waiting], 0)
        whole[f"outbox:{sink}"] = {"block": np.frombuffer(block, np.uint8)}
        numbers[sink] = {
            "offered": offered,
            "delivered": delivered,
            "waiting": [item.number for item in waiting],
        }
    return pack_states(whole, {**head, "outbox": numbers})


def unpack_box(states: Mapping[str, State], sink: str, numbers: Mapping[str, Any]) -> Box:
    """The outbox of a sink that `pack_flow` was given.

    Raises:
        StateError: It is damaged.
    """
    inputs, _ = unpack_inputs(states[f"outbox:{sink}"]["block"].tobytes())
    waiting = [
        Waiting(number, port, message)
        for number, (_, port, message) in zip(numbers["waiting"], inputs, strict=True)
    ]
    return int(numbers["offered"]), int(numbers["delivered"]), waiting


def positions_of(entries: Sequence[Arrived]) -> dict[str, str]:
    """The newest position of each source as JSON; one that is no JSON is left out, loudly."""
    found = {}
    for entry in entries:
        if entry.position is not None:
            try:
                found[entry.node] = json.dumps(entry.position)
            except (TypeError, ValueError, RecursionError) as error:
                _log.error("The position of %s cannot be stored: %s", entry.node, error)
    return found


def storable(inputs: list[Input], now: int) -> tuple[list[Input], list[tuple[Input, Exception]]]:
    """Inputs that can be written down, and those that cannot, such as an event that is no JSON."""
    kept: list[Input] = []
    refused: list[tuple[Input, Exception]] = []
    for item in inputs:
        if isinstance(item[2], Batch):
            kept.append(item)
            continue
        try:
            pack_inputs([item], now)
        except (TypeError, ValueError, RecursionError) as error:
            refused.append((item, error))
        else:
            kept.append(item)
    return kept, refused


def merged(entries: Sequence[Arrived]) -> list[Input]:
    """All messages in order; neighbours from the same port as one batch."""
    inputs: list[Input] = []
    parts: list[Batch] = []
    for entry in entries:
        for port, message in entry.outputs:
            is_next = bool(parts) and inputs[-1][:2] == (entry.node, port)
            if isinstance(message, Batch) and is_next:
                parts.append(message)
                continue
            _close(inputs, parts)
            inputs.append((entry.node, port, message))
            parts = [message] if isinstance(message, Batch) else []
    _close(inputs, parts)
    return inputs


def _close(inputs: list[Input], parts: list[Batch]) -> None:
    if len(parts) > 1:
        node, port, _ = inputs[-1]
        inputs[-1] = (node, port, Batch.concat(parts))

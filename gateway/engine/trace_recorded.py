"""A trace of what was recorded: the newest rows of one port, through the flow as it was then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.engine.codec import unpack_inputs
from gateway.engine.replay import Player, Steps
from gateway.engine.store_read import StateReader
from gateway.engine.trace import Tracer, below, told
from gateway.engine.wiring import rows
from gateway.errors import ConfigError, StateError

LOOKED_AT_MAX: Final = 20_000
"""Records that are looked at for the newest rows of a port."""
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class Found:
    """Where the newest rows are.

    Args:
        first: Number of the first record with one of them.
        last: Number of the last.
        start: Time of the first [ns].
        end: Time of the last [ns].
        port: The port they came by.
    """

    first: int
    last: int
    start: int
    end: int
    port: str


def newest(reader: StateReader, flow: str, node: str, port: str, count: int) -> Found:
    """Where the newest rows are that a source brought, or that were handed to a node.

    Args:
        reader: The state file.
        flow: The flow's name.
        node: Source, worker or transform.
        port: Its port; empty is whichever rows came by, its status aside.
        count: How many rows at least.

    Raises:
        ConfigError: There is none.
    """
    journal = reader.journal(flow)
    found: Found | None = None
    if journal is not None:
        high, seen = journal.last + 1, 0
        bottom = max(journal.first, high - LOOKED_AT_MAX)
        while high > bottom and seen < count:
            low = max(bottom, high - _CHUNK)
            for seq, block in reversed(list(_records(reader, flow, low, high))):
                here = _rows(block, node, port)
                if here is None or seen >= count:
                    continue
                now, name, size = here
                seen += size
                last = (found.last, found.end) if found is not None else (seq, now)
                found = Found(seq, last[0], now, last[1], port or name)
            high = low
    if found is None:
        raise ConfigError(
            f"Nothing that {node}{f'.{port}' if port else ''} brought is recorded.",
            hint="Recorded is what sources and workers bring and what people hand in; name one of "
            "them, or write the samples yourself.",
        )
    return found


def _records(reader: StateReader, flow: str, low: int, high: int) -> Iterator[tuple[int, bytes]]:
    for seq, block in reader.records(flow, low):
        if seq >= high:
            return
        yield seq, block


def _rows(block: bytes, node: str, port: str) -> tuple[int, str, int] | None:
    """(time, port, rows) of what a record has of a port; None for nothing."""
    try:
        inputs, now = unpack_inputs(block)
    except StateError:
        return None
    size, name = 0, port
    for from_node, from_port, message in inputs:
        if from_node == node and from_port == (port or from_port) and from_port != "status":
            size += rows(message)
            name = name or from_port
    return (now, name, size) if size else None


def trace_recorded(
    player: Player, steps: Steps, where: Found, node: str, said: Sequence[str] = ()
) -> dict[str, Any]:
    """Follow recorded rows through a flow that has run up to them.

    Args:
        player: The flow, ready for the first step.
        steps: From there on.
        where: The rows.
        node: Where they came in; only what is behind it is shown.
        said: What the reader should know.
    """
    tracer: Tracer | None = None
    for inputs, now in steps:
        if steps.seq < where.first:
            player.step(inputs, now)
            continue
        if tracer is None:
            graph = player.graph
            tracer = Tracer(graph, where.start, below(list(graph.traffic.wires), node))
        if steps.seq > where.last or not tracer.step(inputs, now):
            break
    if tracer is None:
        raise ConfigError("The records were dropped meanwhile.", hint="Try again.")
    return told(player.graph, tracer, where.start, said)


__all__ = ["LOOKED_AT_MAX", "Found", "newest", "trace_recorded"]

"""Inject: what a person hands to a node of a flow that runs, as if it had come by a wire.

It is journalled input like any other: it is in a replay, it outlives a crash, and it is in the
audit before it goes in. Nothing is handed to a sink, since what a sink writes is the flow's to
decide, and nobody acts on alarms or tells of gaps in another's name. Who hands something to a flow
that may change the plant could move a machine by it, so that needs the grant for setpoints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.tag import TagTable
from gateway.engine.arrived import Arrived
from gateway.engine.store_letters import Again
from gateway.engine.store_records import audit
from gateway.errors import ConfigError, Disconnected, LimitError
from gateway.flow import gaps, notation
from gateway.flow.node import Carries, Message, Node, Port

if TYPE_CHECKING:
    from gateway.engine.runner import FlowRunner
    from gateway.engine.runtime import Runtime
    from gateway.flow.document import Document

ROWS_MAX: Final = 1_000
"""Rows of one message that is written by hand."""
STORED_WITHIN_S: Final = 5.0
"""So long a person waits for the disk; the message goes in whenever it can be written."""
_ENDS: Final = ("flow.sink", "flow.source")
_KINDS: Final = ("samples", "events")
_SHOWN_CHARS: Final = 500


async def inject(
    runtime: Runtime,
    flow: str,
    node: str,
    port: str,
    given: tuple[Carries, str],
    actor: str,
    *,
    makes_tags: bool = False,
) -> str:
    """Hand a message to a transform, or let a source or worker bring it.

    Args:
        runtime: The gateway.
        flow: The flow's name.
        node: The node's id.
        port: An input of a transform, or an output of a source or worker; empty is the first.
        given: What it is, samples or events, and the text as in a flow test; ``0s`` is now, and
            where times lie after it, the latest of them is now.
        actor: Who does it.
        makes_tags: A tag that does not exist is made; else it is taken for a slip.

    Returns:
        A sentence about what became of it.

    Raises:
        ConfigError: There is no such flow, node or port, or it takes nothing by hand.
        ValueError: The text cannot be read.
        LimitError: It is too much.
        Disconnected: It cannot be recorded; nothing was done.
    """
    runner = runtime.runners.get(flow)
    if runner is None:
        raise ConfigError(f"There is no flow {flow!r} that runs.")
    carries, text = given
    found = _port(runner, node, port)
    if found.carries != carries:
        raise ConfigError(f"{node}.{found.name} takes {found.carries}, not {carries}.")
    now = runtime.clock.now()
    message = message_of(text, found.carries, runtime.tags, now, makes_tags=makes_tags)
    if runner.inbox.rows >= runner.inbox.rows_max:
        raise Disconnected(f"{flow} has more to do than it can; try again in a few seconds.")
    detail = {"flow": flow, "node": node, "port": found.name, "rows": len(message)}
    await audit(runtime.store, now, actor, "flow/inject", {**detail, "text": text[:_SHOWN_CHARS]})
    entry = Arrived(node, [(found.name, message)])
    entry.again = again = Again()
    again.settled.add_done_callback(_seen)
    runner.inbox.put_now(entry, len(message))
    try:
        async with asyncio.timeout(STORED_WITHIN_S):
            await asyncio.shield(again.settled)
    except TimeoutError:
        return f"The disk is busy: {node} is given the message as soon as it can be stored."
    went = "1 row was" if len(message) == 1 else f"{len(message):,} rows were"
    return f"{went} given to {node}.{found.name}."


def may_write(runtime: Runtime, flow: str) -> str:
    """The flow that may change the plant by what is handed to this one; empty when none may.

    It is the flow itself, or one that it gives a stream to (``flow.sink``), and so on.
    """
    documents = {name: host.document for name, host in runtime.hosts.items()}
    given, taken = ({name: _streams(d, kind) for name, d in documents.items()} for kind in _ENDS)
    seen, waiting = {flow}, [flow]
    while waiting:
        name = waiting.pop()
        if name in documents and documents[name].allow_write:
            return name
        more = {other for other in documents if not given.get(name, set()).isdisjoint(taken[other])}
        waiting += more - seen
        seen |= more
    return ""


def _streams(document: Document, kind: str) -> set[str]:
    nodes = document.nodes.values()
    return {str(one.config.get("stream")) for one in nodes if one.type == kind}


def _seen(settled: asyncio.Future[None]) -> None:
    if not settled.cancelled():
        settled.exception()  # Who asked may have gone meanwhile.


def message_of(
    text: str, carries: Carries, tags: TagTable, now: int, *, makes_tags: bool = False
) -> Message:
    """The message that a text describes, at the time now.

    Raises:
        ValueError: It cannot be read, or names a tag that does not exist.
        LimitError: It is too much, or the tag table is full.
    """
    scratch = TagTable(ROWS_MAX)
    message = notation.parse(text, carries, scratch)
    if not len(message):
        raise ValueError("There is no row in the text.")
    if len(message) > ROWS_MAX:
        raise LimitError("rows_max", ROWS_MAX, "Hand in fewer rows at once.")
    if not isinstance(message, Batch):
        return _events(message, now)
    unknown = [name for name in scratch.names() if name not in tags]
    if unknown and not makes_tags:
        raise ValueError(f"There is no tag {unknown[0]!r}.")
    codes = np.array([tags.code(name) for name in scratch.names()], np.uint16)
    origin = now - max(int(message.ts.max()), 0)
    return Batch.columns(codes[message.tag], message.ts + origin, message.value, message.quality)


def _events(message: Any, now: int) -> Message:
    events: Sequence[Event] = message
    origin = now - max(max(event.ts for event in events), 0)
    if any(event.topic == gaps.TOPIC for event in events):
        raise ValueError("A gap is told by the source that has missed something, by nobody else.")
    return tuple(replace(event, ts=event.ts + origin) for event in events)


def _port(runner: FlowRunner, node: str, port: str) -> Port:
    """The port that a message is handed to.

    Raises:
        ConfigError: There is none, or it takes nothing by hand.
    """
    cls: type[Node[Any]] | None = runner.graph.classes.get(node)
    if cls is None:
        known = ", ".join(runner.graph.classes)
        raise ConfigError(f"{runner.name} has no node {node!r}.", hint=f"There is {known}.")
    if cls.kind == "sink":
        raise ConfigError(
            f"{node} is a sink: nothing is written that the flow has not decided.",
            hint="Hand it to a node before it.",
        )
    ports = cls.inputs if cls.kind == "transform" else cls.outputs
    found = next((one for one in ports if port in ("", one.name)), None)
    if found is None:
        known = ", ".join(one.name for one in ports) or "none"
        raise ConfigError(f"{node} has no port {port!r} for it.", hint=f"There is {known}.")
    if found.name == "operator":
        raise ConfigError(
            "Nobody acts on alarms in another's name.",
            hint="POST /api/alarms/action acknowledges, resets and shelves them.",
        )
    if found.carries not in _KINDS:
        raise ConfigError(
            f"{node}.{found.name} takes {found.carries}, which nobody writes by hand.",
            hint="Hand samples or events to a node before it.",
        )
    return found


__all__ = ["inject", "may_write", "message_of"]

"""Timed: the parts of a flow that leave spans, in place of the plain ones where it is traced."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from gateway.engine.arrived import Arrived
from gateway.engine.graph import Graph
from gateway.engine.lane import Waiting
from gateway.engine.rowgate import Write
from gateway.engine.runner import STEPS_A_COMMIT, FlowRunner, Ready
from gateway.engine.spans import Span, Spans, name_number
from gateway.engine.wiring import COMMUNICATION, Input, Result, Stage, rows
from gateway.engine.workers import WorkerDriver
from gateway.engine.writegate import WriteGate
from gateway.flow.node import Clock, Message, Outputs, Sink

_AHEAD_MAX: Final = 8
"""Batches that are drawn, on the disk and not stepped; more were given up."""
_TOGETHER_MAX: Final = 2 * STEPS_A_COMMIT + 1
"""Batches of one commit: two neighbours have more rows than a step takes."""


@dataclass(slots=True)
class _Work:
    """What one node did in one step: seconds by the monotonic clock, calls and rows."""

    begin_s: float
    end_s: float = 0.0
    busy_s: float = 0.0
    calls: int = 0
    rows_in: int = 0
    rows_out: int = 0
    error: str = ""


class TimedGraph(Graph):
    """A graph of which single steps can be watched; all other steps run the plain code."""

    @contextmanager
    def watched(self, clock: Clock) -> Iterator[dict[str, _Work]]:
        """While this is entered, what each node does is noted, by node id in their order."""
        plain = self._call
        done: dict[str, _Work] = {}

        def call(stage: Stage, port: str, message: Message | None, out: Result) -> Outputs:
            at_s = clock.monotonic()
            outputs = plain(stage, port, message, out)
            now_s = clock.monotonic()
            work = done.get(stage.id)
            if work is None:
                work = done[stage.id] = _Work(at_s)
            work.end_s = now_s
            work.busy_s += now_s - at_s
            work.calls += 1
            work.rows_in += 0 if message is None else rows(message)
            work.rows_out += sum(rows(one) for one in outputs.values())
            work.error = stage.faulted
            return outputs

        # On this one object, and only now: the steps that are not drawn do not even ask. Not by
        # `__dict__`, which makes every attribute of the object slower from then on.
        setattr(self, "_call", call)  # noqa: B010 - to mypy a method is no variable
        try:
            yield done
        finally:
            del self._call


class _Draw:
    """What one flow knows of its batches that are drawn.

    Args:
        flow: Its name.
        spans: Where they leave what they took.
    """

    __slots__ = ("commits", "number", "spans")

    def __init__(self, flow: str, spans: Spans) -> None:
        self.spans = spans
        self.number = name_number(flow)
        self.commits: dict[int, tuple[int, int]] = {}
        """When the commit of a drawn batch began and ended [ns], by its number."""

    def next_from(self, batch: int) -> int:
        """The first batch from this one on that may be drawn."""
        return self.spans.next_drawn(self.number, batch)


class TimedRunner(FlowRunner):
    """A flow whose drawn batches leave spans: the batch, what the disk took, and each node."""

    _draw: _Draw
    _drawn_at: int = 0
    """No batch before this one is drawn."""

    def trace_with(self, spans: Spans) -> TimedRunner:
        """Leave them there; returns itself. Before the flow starts."""
        self._draw = _Draw(self.name, spans)
        return self

    # A step may take 20 µs: around one that is not drawn there is no coroutine, one comparison at
    # its commit, and nothing at all at its step.

    def _commit(
        self, entries: Sequence[Arrived], after: int = 0
    ) -> Coroutine[Any, Any, list[Ready]]:
        plain = FlowRunner._commit(self, entries, after)
        # A flow that journals nothing counts its steps.
        first = self.seq + 1 if self.durable else self.steps
        if first + _TOGETHER_MAX <= self._drawn_at:
            return plain
        end = first + (min(max(len(entries), 1), _TOGETHER_MAX) if self.durable else 1)
        self._drawn_at = self._draw.next_from(first)
        return plain if end <= self._drawn_at else self._timed_commit(plain, first)

    async def _timed_commit(
        self, plain: Coroutine[Any, Any, list[Ready]], first: int
    ) -> list[Ready]:
        begin = self._clock.now()
        ready = await plain
        draw = self._draw
        for batch in range(first, first + len(ready)):  # None where nothing came.
            if draw.spans.is_drawn(draw.number, batch):
                if len(draw.commits) >= _AHEAD_MAX:
                    draw.commits.clear()
                draw.commits[batch] = begin, self._clock.now()
                setattr(self, "_step", self._drawn_step)  # noqa: B010 - as in `watched`
        return ready

    def _drawn_step(self, ready: Ready) -> Coroutine[Any, Any, None]:
        """In place of the plain step from a drawn commit on until its step."""
        commits, graph = self._draw.commits, self.graph
        plain = FlowRunner._step(self, ready)
        known = commits.pop(ready.seq if self.durable else self.steps, None)
        if not commits:
            del self._step
        if known is None or not isinstance(graph, TimedGraph):
            return plain
        batch = ready.seq if self.durable else self.steps
        return self._timed_step(plain, graph, ready, (batch, *known))

    async def _timed_step(
        self,
        plain: Coroutine[Any, Any, None],
        graph: TimedGraph,
        ready: Ready,
        known: tuple[int, int, int],
    ) -> None:
        batch, begin, committed = known
        clock = self._clock
        stepped, at_s = clock.now(), clock.monotonic()
        with graph.watched(clock) as done:
            await plain
        end = stepped + round((clock.monotonic() - at_s) * 1e9)
        trace = self._draw.spans.trace_of(self.name, batch)
        common: dict[str, str | int | float] = {"genba.flow": self.name, "genba.batch": batch}
        size = sum(rows(message) for _, _, message in ready.inputs)
        whole: dict[str, str | int | float] = {
            **common,
            "genba.rows": size,
            "genba.revision": self.revision,
        }
        root = Span(trace, trace[8:], b"", self.name, "consumer", begin, end, whole)
        self._draw.spans.add(
            root,
            *_sources(root, ready.inputs, committed, common),
            *_nodes(root, graph, done, (stepped, at_s), common),
        )


def _child(root: Span, name: str, kind: str, begin: int, end: int) -> Span:
    words = root.trace + f"{kind} {name}".encode()
    identity = hashlib.blake2b(words, digest_size=8, person=b"genba.span").digest()
    return Span(root.trace, identity, root.id, name, kind, begin, end)


def _sources(
    root: Span, inputs: Sequence[Input], committed: int, common: Mapping[str, str | int | float]
) -> Iterator[Span]:
    """One span for each node that something came from: until it was on the disk."""
    sizes: dict[str, int] = {}
    for node, _, message in inputs:
        sizes[node] = sizes.get(node, 0) + rows(message)
    for node, size in sizes.items():
        span = _child(root, node, "consumer", root.begin, committed)
        span.attributes = {**common, "genba.node": node, "genba.rows_out": size}
        yield span


def _nodes(
    root: Span,
    graph: Graph,
    done: Mapping[str, _Work],
    began: tuple[int, float],
    common: Mapping[str, str | int | float],
) -> Iterator[Span]:
    """One span for each transform that was called."""
    at, at_s = began
    for node, work in done.items():
        begin = at + round((work.begin_s - at_s) * 1e9)
        end = at + round((work.end_s - at_s) * 1e9)
        span = _child(root, node, "internal", begin, end)
        span.attributes = {
            **common,
            "genba.node": node,
            "genba.type": getattr(graph.document.nodes.get(node), "type", f"alarm.{COMMUNICATION}"),
            "genba.calls": work.calls,
            "genba.busy_us": round(work.busy_s * 1e6, 1),
            "genba.rows_in": work.rows_in,
            "genba.rows_out": work.rows_out,
        }
        span.error = work.error
        yield span


class TimedGate(WriteGate):
    """A gate that leaves a span for each write that is drawn."""

    spans: Spans

    def around(self, sink: Sink[Any]) -> Write:
        """The sink's `write`, with this in front."""
        plain, spans, ctx = super().around(sink), self.spans, self._ctx
        whose = f"{ctx.flow}/{ctx.node_id}"
        number_of = name_number(whose)

        def write(message: Message, port: str) -> Awaitable[None]:
            number = ctx.number
            if not spans.is_drawn(number_of, number):
                return plain(message, port)
            told = _told(ctx.flow, ctx.node_id, number, message)
            return spans.around(whose, number, told, plain(message, port))

        return write


class TimedWorker(WorkerDriver):
    """A worker that leaves a span for each question that is drawn."""

    spans: Spans

    async def _answer(self, question: Waiting) -> None:
        whose, number = f"{self.ctx.flow}/{self.ctx.node_id}", question.number
        work = super()._answer(question)
        if not self.spans.is_drawn(name_number(whose), number):
            await work
            return
        told = _told(self.ctx.flow, self.ctx.node_id, number, question.message)
        await self.spans.around(whose, number, told, work)


def _told(flow: str, node: str, number: int, message: Message) -> dict[str, str | int]:
    return {
        "genba.flow": flow,
        "genba.node": node,
        "genba.message": number,
        "genba.rows_in": rows(message),
    }


__all__ = ["TimedGate", "TimedGraph", "TimedRunner", "TimedWorker"]

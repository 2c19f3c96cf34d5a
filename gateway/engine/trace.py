"""Trace: samples through a copy of a flow, call by call, so that one can walk along with them.

The copy has the state of the flow and nodes and tags of its own. Its sources, sinks and workers
are never made, so nothing is read, written or asked, and the flow that runs does not notice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final

from gateway.data.tag import Tag, TagTable
from gateway.engine.clock import SystemClock
from gateway.engine.graph import Graph
from gateway.engine.inject import ROWS_MAX
from gateway.engine.replay import Player, carried
from gateway.engine.wiring import Ends, Input, rows
from gateway.errors import ConfigError, LimitError
from gateway.flow import notation
from gateway.flow.document import Document
from gateway.flow.harness import instants
from gateway.flow.node import Message, Node, Outputs, Port, State, Transform

CALLS_MAX: Final = 2_000
"""Calls of nodes that a trace shows; a hundred nodes and twenty samples."""
WORK_MAX: Final = 50_000
"""Calls of nodes in all, also of those that are not shown."""
SHOWN_ROWS: Final = 20
"""Rows of one message that are shown."""
TIME_S: Final = 5.0


class _Enough(BaseException):
    """The trace is as long as it may be; no node can catch it."""


@dataclass(slots=True)
class Call:
    """What one node got and gave.

    Args:
        at: When, in seconds after the origin of the trace.
        node: Its id.
        kind: source, transform, sink or worker; timer for a transform that was woken.
        port: Where the message came in; empty for a timer and for a source.
        got: What came in, in the notation of flow tests, times from the origin.
        rows: How many rows that were.
        gave: What left, by port, likewise.
        error: Why it failed; empty when it did not.
    """

    at: float
    node: str
    kind: str
    port: str = ""
    got: str = ""
    rows: int = 0
    gave: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""


class Tracer:
    """Notes what the nodes of a graph get and give. The graph is for nothing else from then on.

    Args:
        graph: A copy.
        origin: What is shown as ``0s`` [ns].
        only: Nodes that are shown; None shows all.
    """

    def __init__(self, graph: Graph, origin: int, only: frozenset[str] | None = None) -> None:
        self.calls: list[Call] = []
        self.cut = ""
        """Why it is not whole; empty when it is."""
        self._graph = graph
        self._origin = origin
        self._only = only
        self._work = 0
        self._monotonic = SystemClock().monotonic
        self._until_s = self._monotonic() + TIME_S
        self._ends: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for source, port, target, into in graph.traffic.wires:
            if graph.classes[target].kind != "transform":
                self._ends.setdefault((source, port), []).append((target, into))
        graph.observe = self._reach
        for name, node in graph.transforms().items():
            self._watch(name, node)

    def _watch(self, name: str, node: Transform[Any, Any]) -> None:
        process, wake = node.process, node.wake
        setattr(node, "process", partial(self._process, name, process))  # noqa: B010 - of one node
        setattr(node, "wake", partial(self._wake, name, wake))  # noqa: B010 - of one node

    def _reach(self, node: str, port: str, message: Message) -> None:
        """A message leaves a port: the sinks and workers at its wires get it."""
        for target, into in self._ends.get((node, port), ()):
            self._begin(target, self._graph.classes[target].kind, into, message)

    def _process(
        self, name: str, process: Callable[[Message, str], Outputs], message: Message, port: str
    ) -> Outputs:
        call = self._begin(name, "transform", port, message)
        return self._end(call, lambda: process(message, port))

    def _wake(self, name: str, wake: Callable[[int], Outputs], now: int) -> Outputs:
        return self._end(self._begin(name, "timer"), lambda: wake(now))

    def _begin(self, name: str, kind: str, port: str = "", message: Message | None = None) -> Call:
        self._work += 1
        if self._work > WORK_MAX or self._monotonic() > self._until_s:
            self.cut = f"It was ended after {self._work - 1:,} calls of nodes and {TIME_S:g} s."
            raise _Enough
        call = Call((self._graph.now - self._origin) / 1e9, name, kind, port)
        if self._only is not None and name not in self._only:
            return call
        if len(self.calls) >= CALLS_MAX:
            self.cut = f"Only the first {CALLS_MAX:,} calls of nodes are shown."
            raise _Enough
        self.calls.append(call)
        if message is not None:
            call.got, call.rows = self._text(message), rows(message)
        return call

    def _end(self, call: Call, work: Callable[[], Outputs]) -> Outputs:
        try:
            outputs = work()
        except Exception as error:
            call.error = f"{type(error).__name__}: {error}"
            raise
        self._give(call, outputs)
        return outputs

    def _give(self, call: Call, outputs: Mapping[str, Message]) -> None:
        if self._only is None or call.node in self._only:
            call.gave += [
                {"port": port, "text": self._text(message), "rows": rows(message)}
                for port, message in outputs.items()
                if len(message)
            ]

    def _text(self, message: Message) -> str:
        """The first rows, in the notation of flow tests."""
        shown = instants(message)[:SHOWN_ROWS] if len(message) > SHOWN_ROWS else [(message, 0)]
        whole = notation.concat([part for part, _ in shown])
        assert whole is not None
        return notation.show(notation.moved(whole, -self._origin), self._graph.tags)

    def step(self, inputs: Sequence[Input], now: int) -> bool:
        """One step; False when there is enough."""
        try:
            for node, port, message in inputs:
                cls = self._graph.classes.get(node)
                if cls is not None and cls.kind in ("source", "worker"):
                    call = self._begin(node, cls.kind)
                    call.at = (now - self._origin) / 1e9
                    self._give(call, {port: message})
            self._graph.step(inputs, now)
        except _Enough:
            return False
        return True


def copied(
    live: Graph, document: Document | None = None
) -> Callable[[], tuple[Graph, Sequence[str]]]:
    """Take the state of a flow between two steps; what is returned makes a copy of it, elsewhere.

    Args:
        live: The flow; it is read and not touched.
        document: An edited flow, whose nodes have the state of those that are the same.
    """
    states = live.snapshot()
    now, limit, known = live.now, live.tags.limit, list(live.tags)
    versions = {name: node.state_version for name, node in live.transforms().items()}
    faults = live.faults()
    before = live.document

    def make() -> tuple[Graph, Sequence[str]]:
        player = Player(document or before, _tags(known, limit))
        kept: Mapping[str, State] = states
        if document is not None:
            kept = carried(before, document, states)
        said = player.graph.restore(kept, versions=versions, faults=faults)
        player.graph.now = now
        return player.graph, said

    return make


def _tags(known: Sequence[Tag], limit: int) -> TagTable:
    """The same tags under the same codes, and room for what a sample names anew."""
    tags = TagTable(limit)
    for tag in known:
        tags.add(tag)
    return tags


def trace_samples(
    make: Callable[[], tuple[Graph, Sequence[str]]],
    end: tuple[str, str],
    text: str,
    until_ns: int,
    now: int,
) -> dict[str, Any]:
    """Samples that somebody writes, through a copy of the flow.

    Args:
        make: Makes the copy.
        end: Node and port; an empty port is the first.
        text: Rows in the notation of flow tests; ``0s`` is now.
        until_ns: How long after now timers fire [ns].
        now: The time [ns].

    Raises:
        ConfigError: There is no such node or port.
        ValueError: The text cannot be read.
        LimitError: It is too much.
    """
    graph, said = make()
    port = port_of(graph, *end)
    message = notation.parse(text, port.carries, graph.tags)
    if len(message) > ROWS_MAX:
        raise LimitError("rows_max", ROWS_MAX, "Trace fewer rows at once.")
    origin = max(now, graph.now)
    graph.wake(origin)  # What the flow would have done by now is no part of the trace.
    tracer = Tracer(graph, origin)
    latest = origin
    for part, ts in instants(notation.moved(message, origin)) if len(message) else ():
        latest = max(latest, ts)
        if not tracer.step([(end[0], port.name, part)], latest):
            break
    if not tracer.cut and until_ns:
        tracer.step((), max(latest, origin + until_ns))
    return told(graph, tracer, origin, said)


def told(graph: Graph, tracer: Tracer, origin: int, said: Sequence[str]) -> dict[str, Any]:
    """A trace as plain values.

    Returns: ``flow``, ``origin`` [ns] of all times, ``calls`` in order, ``said`` of nodes that
    started fresh, ``cut`` why it is not whole.
    """
    calls = [asdict(call) for call in tracer.calls]
    return {
        "flow": graph.name,
        "origin": origin,
        "calls": calls,
        "said": list(said),
        "cut": tracer.cut,
    }


def port_of(graph: Graph, node: str, port: str) -> Port:
    """The port at which something enters a flow: of a transform its input, else an output.

    Raises:
        ConfigError: There is none.
    """
    cls: type[Node[Any]] | None = graph.classes.get(node)
    if cls is None:
        hint = f"There is {', '.join(graph.classes)}."
        raise ConfigError(f"{graph.name} has no node {node!r}.", hint=hint)
    if cls.kind == "sink":
        text = f"{node} is a sink: nothing is traced behind it."
        raise ConfigError(text, hint="Name a node before it.")
    ports = cls.inputs if cls.kind == "transform" else cls.outputs
    found = next((one for one in ports if port in ("", one.name)), None)
    if found is None:
        known = ", ".join(one.name for one in ports) or "none"
        raise ConfigError(f"{node} has no port {port!r} for it.", hint=f"There is {known}.")
    return found


def below(wires: Sequence[Ends], node: str) -> frozenset[str]:
    """A node and all that its messages can reach."""
    found, waiting = {node}, [node]
    while waiting:
        here = waiting.pop()
        for source, _, target, _ in wires:
            if source == here and target not in found:
                found.add(target)
                waiting.append(target)
    return frozenset(found)


__all__ = ["Tracer", "below", "copied", "port_of", "told", "trace_samples"]

"""Graph: a flow made executable. Pure: messages and the time go in, messages come out.

No await, no clock, no I/O. Between two steps nothing is in flight, so the state of the nodes
between two steps is a checkpoint that needs no barrier, and a run over the same journal gives
the same outputs.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from gateway.data.batch import Batch
from gateway.data.tag import TagTable
from gateway.data.windows import Windows
from gateway.errors import ConfigError, StateError
from gateway.flow import registry
from gateway.flow.document import Document
from gateway.flow.node import Alarms, Context, Message, Node, Outputs, State, Transform

COMMUNICATION = "communication"
"""Id of the node that every flow has without being told: one alarm a lost device."""

class ContextFactory(Protocol):
    """Makes the context of a node."""

    def __call__(self, node_id: str, cls: type[Node[Any]]) -> Context:
        """The context for the node with this id."""


Observer = Callable[[str, str, Message], None]


class Graph:
    """The executable form of one flow.

    Args:
        document: The flow; it should have passed lint.
        tags: The gateway's tag table.
        make_context: Gives each transform its context.
        trace: Keep every message that leaves a port in `Result.trace`.
        observe: Called with every message that leaves a port; it must not raise.

    Raises:
        ConfigError: A node type or a config is wrong, or wires form a cycle.
    """

    def __init__(
        self,
        document: Document,
        tags: TagTable,
        make_context: ContextFactory | None = None,
        *,
        trace: bool = False,
        observe: Observer | None = None,
    ) -> None:
        self.name = document.name
        self.tags = tags
        self.now = 0
        self._trace = trace
        self._observe = observe
        self._make_context = make_context or _bench_contexts(document.name, tags)
        self.classes: dict[str, type[Node[Any]]] = {
            node_id: registry.node_class(entry.type)
            for node_id, entry in document.nodes.items()
            if not entry.disabled
        }
        self._configs = {node_id: document.nodes[node_id].config for node_id in self.classes}
        wires = [
            (w.source, w.source_port, w.target, w.target_port)
            for w in document.wires
            if w.source in self.classes and w.target in self.classes
        ]
        wires += self._add_communication()
        self._runners: dict[str, Stage] = {}
        for rank, node_id in enumerate(in_order(list(self.classes), wires)):
            if issubclass(self.classes[node_id], Transform):
                self._runners[node_id] = Stage(node_id, self._new_node(node_id), rank)
        self._order = sorted(self._runners.values(), key=lambda runner: runner.rank)
        self._entry: dict[tuple[str, str], list[_Route]] = {}
        self.wires: dict[tuple[str, str, str, str], WireCount] = {}
        for source, port, target, target_port in wires:
            route = _Route(target, target_port, self._runners.get(target))
            self.wires[source, port, target, target_port] = route.count
            self._entry.setdefault((source, port), []).append(route)
            if source in self._runners:
                self._runners[source].routes.setdefault(port, []).append(route)
        self._sleepers = [r for r in self._order if type(r.node).wake_at is not Transform.wake_at]

    def _add_communication(self) -> list[tuple[str, str, str, str]]:
        """Wire the status of every source to one alarm node, unless the flow has its own."""
        sources = [i for i, cls in self.classes.items() if cls.kind == "source"]
        kinds = {cls.__module__ for cls in self.classes.values()}
        if not sources or "nodes.alarm.communication" in kinds or COMMUNICATION in self.classes:
            return []
        self.classes[COMMUNICATION] = registry.node_class("alarm.communication")
        self._configs[COMMUNICATION] = {}
        return [(source, "status", COMMUNICATION, "in") for source in sources]

    def _new_node(self, node_id: str) -> Transform[Any, Any]:
        cls = self.classes[node_id]
        config = cls.Config.model_validate(dict(self._configs[node_id]))
        node = cls(config, self._make_context(node_id, cls))
        assert isinstance(node, Transform)
        return node

    # ------------------------------------------------------------------ running

    def step(self, inputs: Sequence[Input], now: int) -> Result:
        """Timers that are due, then the inputs in order.

        Args:
            inputs: What came in: from a source or worker by its output port, or for a
                transform by its input port.
            now: The time of this step [ns]; it never goes back.
        """
        result = Result()
        if self._sleepers:
            self._wake(now, result)
        self.now = now = max(now, self.now)
        for node_id, port, message in inputs:
            runner = self._runners.get(node_id)
            if runner is not None and any(p.name == port for p in runner.node.inputs):
                runner.inbox.append((port, message, None))
            else:
                self._emit(node_id, port, message, self._entry.get((node_id, port), ()), result)
            self._drain(result)
        return result

    def wake(self, now: int) -> Result:
        """Fire the timers that are due at or before `now`, in order."""
        return self.step((), now)

    def wake_at(self) -> int | None:
        """When the earliest timer is due [ns], or None."""
        due = [at for r in self._sleepers if not r.faulted and (at := r.node.wake_at()) is not None]
        return min(due, default=None)

    def _wake(self, now: int, result: Result) -> None:
        for _ in range(100_000):
            first: tuple[int, int] | None = None
            runner = None
            for sleeper in self._sleepers:
                if sleeper.faulted:
                    continue
                at = sleeper.node.wake_at()
                if at is not None and at <= now and (first is None or (at, sleeper.rank) < first):
                    first, runner = (at, sleeper.rank), sleeper
            if first is None or runner is None:
                return
            self.now = max(self.now, first[0])
            outputs = self._call(runner, "", None, result)
            self._send(runner, outputs, result)
            self._drain(result)
        raise AssertionError(
            "Timers fire for ever: a node's wake() does not move its wake_at() on."
        )

    def _drain(self, result: Result) -> None:
        """Run every transform that has something waiting, upstream first."""
        for runner in self._order:
            if not runner.inbox:
                continue
            waiting, runner.inbox = runner.inbox, []
            for port, message, count in waiting:
                if runner.faulted:
                    if count is not None:
                        count.dropped += len(message)
                    continue
                self._send(runner, self._call(runner, port, message, result), result)

    def _call(self, runner: Stage, port: str, message: Message | None, out: Result) -> Outputs:
        """Call a node; when it raises it is stopped and the others go on."""
        node = runner.node
        node.ctx.now = self.now
        try:
            return node.wake(self.now) if message is None else node.process(message, port)
        except Exception as error:  # noqa: BLE001 - a node of a stranger may raise anything
            runner.faulted = f"{type(error).__name__}: {error}"
            detail = traceback.format_exc()
            out.faults.append(Fault(runner.id, port, message, runner.faulted, detail))
            return {}

    def _send(self, runner: Stage, outputs: Outputs, result: Result) -> None:
        for port, message in outputs.items():
            self._emit(runner.id, port, message, runner.routes.get(port, ()), result)

    def _emit(
        self, node: str, port: str, message: Message, routes: Sequence[_Route], result: Result
    ) -> None:
        if self._trace:
            result.trace.append((node, port, message))
        if self._observe is not None:
            self._observe(node, port, message)
        if port == "alarms" and isinstance(message, tuple):
            result.alarms.append((node, message))  # type: ignore[arg-type]  # the port says so
        for route in routes:
            route.count.rows += len(message)
            if route.runner is None:
                result.outputs.append((route.target, route.target_port, message))
            else:
                route.runner.inbox.append((route.target_port, message, route.count))

    # ------------------------------------------------------------------ state

    def snapshot(self) -> dict[str, State]:
        """A copy of the state of every node that works, by node id."""
        return {r.id: r.node.snapshot() for r in self._order if not r.faulted}

    def restore(self, states: Mapping[str, State]) -> list[str]:
        """Take back a snapshot; returns a sentence for every node that starts fresh instead."""
        fresh = []
        for runner in self._order:
            if runner.id not in states:
                continue
            try:
                runner.node.restore(states[runner.id])
            except StateError as error:
                runner.node = self._new_node(runner.id)
                fresh.append(f"{error} It starts fresh.")
        return fresh

    def faulted(self) -> dict[str, str]:
        """Nodes that are stopped, with the reason."""
        return {r.id: r.faulted for r in self._order if r.faulted}

    def revive(self, node_id: str, state: State | None) -> None:
        """Put a fresh node in the place of a stopped one, with the state of a checkpoint."""
        runner = self._runners[node_id]
        runner.node = self._new_node(node_id)
        if state is not None:
            try:
                runner.node.restore(state)
            except StateError:
                runner.node = self._new_node(node_id)
        runner.faulted = ""

    def transforms(self) -> dict[str, Transform[Any, Any]]:
        """The transforms by id."""
        return {runner.id: runner.node for runner in self._order}

    def alarm_nodes(self) -> list[str]:
        """Ids of nodes that take operators' actions."""
        return [
            i
            for i, runner in self._runners.items()
            if any(port.name == "operator" for port in runner.node.inputs)
        ]


def _bench_contexts(flow: str, tags: TagTable) -> ContextFactory:
    """Contexts without an engine, for tests of flows."""
    from gateway.flow.harness import BenchContext

    def make(node_id: str, cls: type[Node[Any]]) -> Context:
        return BenchContext(tags=tags, node_id=node_id, flow=flow)

    return make

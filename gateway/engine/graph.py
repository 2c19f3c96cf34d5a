"""Graph: a flow made executable. Pure: messages and the time go in, messages come out.

No await, no clock, no I/O. Between two steps nothing is in flight, so the state of the nodes
between two steps is a checkpoint that needs no barrier, and a run over the same journal gives
the same outputs.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gateway.data.tag import TagTable
from gateway.engine.steptime import go_on, is_restart, told
from gateway.engine.succession import Takeover, adopt, take_back
from gateway.engine.traffic import Traffic, is_outlet
from gateway.engine.wiring import (
    COMMUNICATION,
    RESUMED,
    ContextFactory,
    Fault,
    Input,
    Result,
    Route,
    Stage,
    bench_contexts,
    classes_of,
    in_order,
    new_node,
    rows,
    watch_sources,
    wires_of,
)
from gateway.errors import FaultError, StateError
from gateway.flow.document import Document
from gateway.flow.node import Message, Outputs, State, Transform

WAKES_MAX: Final = 1_000_000
"""Timers of one node in one step: a day of catching up with one every 0.1 s."""
Observer = Callable[[str, str, Message], None]


class Graph:
    """The executable form of one flow.

    Args:
        document: The flow; it should have passed lint.
        tags: The gateway's tag table.
        make_context: Gives each transform its context.
        trace: Keep every message that leaves a port in `Result.trace`.
        observe: Called with every message that leaves a port; it must not raise. See `Taps`.

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
        self.document = document = document.expanded()
        self.tags = tags
        self.now = 0
        self._trace = trace
        self.observe = observe
        self._make_context = make_context or bench_contexts(document.name, tags)
        self.classes = classes_of(document)
        wires = wires_of(document, self.classes) + watch_sources(self.classes)
        self._stages: dict[str, Stage] = {}
        for rank, node_id in enumerate(in_order(list(self.classes), wires)):
            if issubclass(self.classes[node_id], Transform):
                self._stages[node_id] = Stage(node_id, self._new_node(node_id), rank)
        self._order = list(self._stages.values())
        self._entry: dict[tuple[str, str], list[Route]] = {}
        self.traffic = Traffic()
        for source, port, target, target_port in wires:
            route = Route(target, target_port, self._stages.get(target))
            self.traffic.wires[source, port, target, target_port] = route.count
            self._entry.setdefault((source, port), []).append(route)
            if source in self._stages:
                self._stages[source].routes.setdefault(port, []).append(route)
        self._sleepers = [s for s in self._order if type(s.node).wake_at is not Transform.wake_at]

    def _new_node(self, node_id: str) -> Transform[Any, Any]:
        cls = self.classes[node_id]
        node = new_node(self.document, node_id, cls, self._make_context(node_id, cls))
        assert isinstance(node, Transform)
        return node

    # ------------------------------------------------------------------ running

    def step(self, inputs: Sequence[Input], now: int) -> Result:
        """Timers that are due, then the inputs in order.

        Args:
            inputs: What came in: from a source or worker by its output port, or for a
                transform, sink or worker by its input port.
            now: The time of this step [ns]; it never goes back but by an input that says so.
        """
        result = Result()
        if inputs and inputs[0][:2] == RESUMED:
            self._resume(inputs[0], now, result)
            inputs = inputs[1:]
        if self._sleepers:
            self._wake(now, result)
        self.now = max(now, self.now)
        for node_id, port, message in inputs:
            stage = self._stages.get(node_id)
            if stage is not None and port in stage.ports:
                stage.inbox.append((port, message, None))
            elif is_outlet(self.classes.get(node_id), port):
                self.traffic.direct[node_id] += rows(message)
                result.outputs.append((node_id, port, message))
            else:
                routes = self._entry.get((node_id, port), ())
                if not routes:
                    self.traffic.unwired[node_id, port] += rows(message)
                self._emit(node_id, port, message, routes, result)
            self._drain(result)
        return result

    def _resume(self, marker: Input, now: int, result: Result) -> None:
        """Go on after a time in which nobody was silent; see `RESUMED` and `steptime`."""
        restarted, (by, stood) = is_restart(marker), told(marker, self.now, now)
        self._wake(now - by - stood, result)
        self.now = now if by else max(now, self.now)
        for stage in self._order:
            if restarted:
                if stage.faulted:
                    self.revive(stage.id)
                stage.faults = 0
            stage.node.ctx.now = self.now
            go_on(stage.node, by, stood)

    def wake(self, now: int) -> Result:
        """Fire the timers that are due at or before `now`, in order."""
        return self.step((), now)

    def wake_at(self) -> int | None:
        """When the earliest timer is due [ns], or None."""
        due = [at for s in self._sleepers if (at := self._due(s, None)) is not None]
        return min(due, default=None)

    def _due(self, stage: Stage, result: Result | None) -> int | None:
        """When a node wants to be woken; one that cannot say is asked again by the next step."""
        if stage.faulted:
            return None
        try:
            return stage.node.wake_at()
        except Exception as error:  # noqa: BLE001 - a node of a stranger may raise anything
            if result is None:
                return self.now
            self._fail(stage, "", None, error, result)
            return None

    def _wake(self, now: int, result: Result) -> None:
        """Fire what is due by now, the earliest first; each sees the time it was due at.

        So that a step that comes late, or a replay that has no steps for timers at all, gives
        the very same as timers that fired in time.
        """
        fired: dict[int, tuple[int, int]] = {}
        while True:
            first: Stage | None = None
            due = now + 1
            for stage in self._sleepers:
                if (at := self._due(stage, result)) is not None and at < due:
                    first, due = stage, at
            if first is None:
                return
            before, times = fired.get(first.rank, (None, 0))
            if before == due or times >= WAKES_MAX:
                text = f"its timer does not move on from {due}"
                self._fail(first, "", None, FaultError(text), result)
                continue
            fired[first.rank] = due, times + 1
            self.now = max(self.now, due)
            self._send(first, self._call(first, "", None, result), result)
            self._drain(result)

    def _drain(self, result: Result) -> None:
        """Run every transform that has something waiting, upstream first."""
        for stage in self._order:
            if not stage.inbox:
                continue
            waiting, stage.inbox = stage.inbox, []
            for port, message, count in waiting:
                was_stopped = bool(stage.faulted)
                outputs = {} if was_stopped else self._call(stage, port, message, result)
                if count is not None:
                    count.end(rows(message), was_stopped, bool(stage.faulted))
                self._send(stage, outputs, result)

    def _call(self, stage: Stage, port: str, message: Message | None, out: Result) -> Outputs:
        """Call a node; when it raises it is stopped and the others go on."""
        node = stage.node
        node.ctx.now = self.now
        try:
            return node.wake(self.now) if message is None else node.process(message, port)
        except Exception as error:  # noqa: BLE001 - a node of a stranger may raise anything
            self._fail(stage, port, message, error, out)
            return {}

    def _fail(
        self, stage: Stage, port: str, message: Message | None, error: Exception, out: Result
    ) -> None:
        stage.faulted = f"{type(error).__name__}: {error}"
        stage.faults += 1
        detail = "".join(traceback.format_exception(error))
        out.faults.append(Fault(stage.id, port, message, stage.faulted, detail))

    def _send(self, stage: Stage, outputs: Outputs, result: Result) -> None:
        for port, message in outputs.items():
            self._emit(stage.id, port, message, stage.routes.get(port, ()), result)

    def _emit(
        self, node: str, port: str, message: Message, routes: Sequence[Route], result: Result
    ) -> None:
        if self._trace:
            result.trace.append((node, port, message))
        if self.observe is not None:
            self.observe(node, port, message)
        if port == "alarms" and isinstance(message, tuple):
            result.alarms.append((node, message))  # type: ignore[arg-type]  # the port says so
        size = rows(message) if routes else 0
        for route in routes:
            route.count.rows += size
            if route.stage is None:
                result.outputs.append((route.target, route.target_port, message))
            else:
                route.stage.inbox.append((route.target_port, message, route.count))

    # ------------------------------------------------------------------ state

    def snapshot(self) -> dict[str, State]:
        """A copy of the state of every node that works, by node id."""
        return {s.id: s.node.snapshot() for s in self._order if not s.faulted}

    def faults(self) -> dict[str, tuple[int, str]]:
        """How often nodes raised, and why they are stopped; a snapshot is not whole without."""
        return {s.id: (s.faults, s.faulted) for s in self._order if s.faults}

    def restore(
        self,
        states: Mapping[str, State],
        *,
        versions: Mapping[str, int] | None = None,
        faults: Mapping[str, tuple[int, str]] | None = None,
    ) -> list[str]:
        """Take back a snapshot; returns a sentence for every node that starts fresh instead."""
        fresh = []
        for stage in self._order:
            stage.faults, stage.faulted = (faults or {}).get(stage.id, (0, ""))
            if stage.id not in states:
                continue
            try:
                take_back(stage.node, states[stage.id], (versions or {}).get(stage.id, 1))
            except Exception as error:  # noqa: BLE001 - of an older version, or of a stranger
                stage.node = self._new_node(stage.id)
                text = error if isinstance(error, StateError) else repr(error)
                fresh.append(f"The stored state of {stage.id} cannot be used ({text}): it is new.")
        return fresh

    def adopt(self, old: Graph) -> Takeover:
        """Take the place of another revision: nodes that did not change keep their state.

        The old graph is left as it is, so that the change can still be called off.
        """
        self.now = old.now
        self.traffic.go_on(old.traffic)
        return adopt(self._stages, old._stages, self._new_node)

    def faulted(self) -> dict[str, str]:
        """Nodes that are stopped, with the reason."""
        return {s.id: s.faulted for s in self._order if s.faulted}

    def revive(self, node_id: str) -> None:
        """Put a fresh node in the place of a stopped one."""
        stage = self._stages[node_id]
        stage.node = self._new_node(node_id)
        stage.faulted = ""

    def transforms(self) -> dict[str, Transform[Any, Any]]:
        """The transforms by id, upstream first."""
        return {stage.id: stage.node for stage in self._order}

    def alarm_nodes(self) -> list[str]:
        """Ids of nodes that take operators' actions."""
        return [node_id for node_id, stage in self._stages.items() if "operator" in stage.ports]


__all__ = ["COMMUNICATION", "Graph", "Input", "Observer", "Result", "new_node", "rows"]

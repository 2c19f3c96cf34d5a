"""Shadows: flows that run beside live ones, on the same input, with their effects muted.

A shadow is stepped after the live flow has handed on what it made, and only while it is quick
enough: what it costs, an alarm of the next step has to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gateway.data.tag import TagTable
from gateway.engine.host import FlowHost
from gateway.engine.shadow import Shadow
from gateway.engine.wiring import Input, Result
from gateway.errors import ConfigError
from gateway.flow.document import Document
from gateway.flow.node import Clock

STEP_S_MAX: Final = 0.02
"""What a step of a shadow may take on average [s]; more would be felt by the live flow."""
STEPS_AVERAGED: Final = 200
_FIRST_STEPS: Final = 20  # The first steps load code and tables, and say nothing.


class _Beside:
    """One shadow, and what it costs."""

    def __init__(self, shadow: Shadow, clock: Clock) -> None:
        self.shadow = shadow
        self._clock = clock
        self._mean_s = 0.0

    def __call__(self, inputs: Sequence[Input], now: int, live: Result) -> None:
        if self.shadow.disabled:
            return
        began_s = self._clock.monotonic()
        self.shadow.step(inputs, now, live)
        took_s = self._clock.monotonic() - began_s
        if self.shadow.steps > _FIRST_STEPS:
            self._mean_s += (took_s - self._mean_s) / STEPS_AVERAGED
        if self._mean_s > STEP_S_MAX:
            self.shadow.disable(
                f"Its steps take {self._mean_s * 1e3:.0f} ms, and {STEP_S_MAX * 1e3:.0f} ms is "
                "what the live flow can spare. Replay it instead: genba replay."
            )

    def as_dict(self) -> dict[str, Any]:
        return {**self.shadow.as_dict(), "step_ms": round(self._mean_s * 1e3, 3)}


class Shadows:
    """The shadows of a gateway, at most one for each flow; they do not outlive it.

    Args:
        hosts: The flows that run.
        tags: The gateway's tags.
        clock: The time.
    """

    def __init__(
        self, hosts: Callable[[], Mapping[str, FlowHost]], tags: TagTable, clock: Clock
    ) -> None:
        self._hosts = hosts
        self._tags = tags
        self._clock = clock
        self._running: dict[str, _Beside] = {}

    async def start(self, document: Document) -> list[str]:
        """Let a flow run in the shadow of the live one of its name, instead of any before it.

        It begins with the state of the live flow in all nodes that are the same in both.

        Args:
            document: The flow, its variables replaced.

        Returns: sentences about states that did not fit.

        Raises:
            ConfigError: No such flow runs, or the shadow cannot be made.
        """
        host = self._hosts().get(document.name)
        if host is None:
            raise ConfigError(
                f"No flow {document.name!r} runs.", hint="A shadow runs beside a live flow."
            )
        graph = host.runner.graph
        writes = [node for node, cls in graph.classes.items() if cls.writes]
        shadow = Shadow(document, self._tags, writes=writes)
        async with host.runner.lock:
            graph = host.runner.graph
            said = shadow.adopt(host.document, graph.snapshot(), graph.now)
            self._running[document.name] = beside = _Beside(shadow, self._clock)
            host.runner.after_step = beside
        return said

    def stop(self, flow: str) -> dict[str, Any]:
        """End a shadow; returns how it stood.

        Raises:
            ConfigError: There is none.
        """
        row = self.row(flow)
        beside = self._running.pop(flow)
        beside.shadow.disable("It was ended.")
        return row

    def row(self, flow: str) -> dict[str, Any]:
        """How a shadow stands, as plain values; left is the live flow, right the shadow.

        Raises:
            ConfigError: There is none.
        """
        if flow not in self._running:
            raise ConfigError(f"No shadow runs beside {flow!r}.", hint="genba shadow start FILE")
        return self._running[flow].as_dict()

"""Flow sinks: the way of a person's setpoint to the sink of a flow that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.data.batch import Batch
from gateway.engine.runner import FlowRunner


class FlowSinks:
    """The sinks of all flows that run.

    Args:
        runners: The flows, by name.
    """

    def __init__(self, runners: Callable[[], Mapping[str, FlowRunner]]) -> None:
        self._runners = runners

    def problem(self, flow: str, node: str, tag: str) -> str:
        """Why a sink cannot write a tag now, or empty."""
        runner = self._runners().get(flow)
        if runner is None:
            return f"The flow {flow} does not run."
        egress = runner.egresses.get(node)
        if egress is None or all(port.carries != "samples" for port in egress.sink.inputs):
            return f"{flow} has no sink {node} that takes samples."
        tags = getattr(egress.sink.config, "tags", None)
        if isinstance(tags, Mapping) and tag not in tags:
            return f"{flow}/{node} does not write {tag}: it is not in its tags."
        trouble = egress.trouble
        return f"{flow}/{node} cannot write now: {trouble}" if trouble else ""

    def hand_in(self, flow: str, node: str, tag: str, value: float, ts: int) -> None:
        """Give a sink one sample as journalled input; where there is none any more, it expires."""
        runner = self._runners().get(flow)
        egress = runner.egresses.get(node) if runner is not None else None
        if runner is None or egress is None:
            return
        port = next(port.name for port in egress.sink.inputs if port.carries == "samples")
        code = egress.ctx.tags.code(tag)
        runner.put(node, port, Batch.of([(code, ts, value, 0)]))


__all__ = ["FlowSinks"]

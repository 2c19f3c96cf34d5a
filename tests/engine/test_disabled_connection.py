"""A connection with `disabled: true` is not opened; what uses it waits and says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from gateway import Batch, Disconnected, Message, Reading, quality
from gateway.engine import store_writer
from gateway.engine.backoff import Backoff
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import gaps
from gateway.flow import registry
from gateway.flow.document import Document
from gateway.flow.lint import lint
from tests.engine.gear import Script, Wanted, flow, kill, lent, samples, started, until

ON = "connections:\n  line: {type: script.connection}"
OFF = ON.replace("connection}", "connection, disabled: true}")
NODES = (
    "src: {type: test.polled, connection: line}\nout: {type: script.sink}\n"
    "far: {type: test.far_sink, connection: line}\nask: {type: test.far_worker, connection: line}\n"
    "comm: {type: alarm.communication, on_delay_s: 0}"
)
WIRES = "src -> out, src -> far, src -> ask, src.status -> comm"
TEXT = "line is disabled in the flow. Take `disabled` out of it and deploy to use it."


class OnLine(Script):
    """A script with a sink and a worker on the line."""

    def __init__(self) -> None:
        super().__init__()
        self.far: list[float] = []
        """What the sink on the line has taken."""


def flow_with(connection: str) -> Document:
    return flow(NODES, WIRES, more=connection)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[OnLine]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(Backoff, "next_s", lambda self, at_least_s=0.0: min(at_least_s, 0.01))
    with lent(OnLine()) as script:
        made = script.nodes()

        class Polled(made["script.source"]):  # type: ignore[name-defined,misc]  # made by the script
            tells_gaps: ClassVar[bool] = False

        class FarSink(made["script.sink"]):  # type: ignore[name-defined,misc]  # made by the script
            Config = Wanted

            async def write(self, message: Message, port: str) -> None:
                assert isinstance(message, Batch)
                script.far.extend(message.value.tolist())

        class FarWorker(made["script.worker"]):  # type: ignore[name-defined,misc]  # made by the script
            Config = Wanted

        registry.LENT |= {
            "test.polled": Polled,
            "test.far_sink": FarSink,
            "test.far_worker": FarWorker,
        }
        yield script


def states(runtime: Runtime) -> dict[str, tuple[str, str]]:
    """(state, text) by node and connection."""
    return {s.node: (s.state, s.text) for s in runtime.statuses if s.flow == "test"}


def qualities(script: OnLine) -> list[int]:
    """Of all rows that the other sink has taken."""
    batches = [message for _, message in script.written if isinstance(message, Batch)]
    return [q for batch in batches for q in batch.quality.tolist()]


async def test_nothing_is_opened_and_everybody_says_why(script: OnLine, tmp_path: Path) -> None:
    runtime = await started(flow_with(OFF), tmp_path)
    await until(lambda: states(runtime)["src"][0] == "disconnected")
    found = states(runtime)
    assert found["line"] == ("stopped", TEXT)
    assert [found[node] for node in ("src", "far", "ask")] == [("disconnected", TEXT)] * 3
    assert (script.opened, runtime.book.open()) == (0, [])
    await runtime.deploy(flow_with(ON), "user:anna")
    await script.readings.put(Reading({"out": samples(runtime, "A 0s 1")}))
    await until(lambda: script.far == [1.0])
    assert script.opened == 1
    assert states(runtime)["src"][0] == "running"
    await runtime.stop()


async def test_what_it_brought_is_bad_and_what_it_was_to_get_waits(
    script: OnLine, tmp_path: Path
) -> None:
    runtime = await started(flow_with(ON), tmp_path)
    await script.readings.put(Reading({"out": samples(runtime, "A 0s 1")}))
    await until(lambda: script.far == [1.0])
    await runtime.deploy(flow_with(OFF), "user:anna")
    await until(lambda: len(qualities(script)) == 2)
    assert quality.severity(qualities(script)[1]) == quality.severity(quality.BAD)
    runtime.runners["test"].put("src", "out", samples(runtime, "A 5s 5"))
    await until(lambda: runtime.runners["test"].egresses["far"].queued_rows == 2)
    await kill(runtime)
    runtime = await started(flow_with(OFF), tmp_path)
    await until(lambda: states(runtime)["src"][0] == "disconnected")
    assert runtime.book.open() == []
    assert script.far == [1.0]
    await runtime.deploy(flow_with(ON), "user:anna")
    await until(lambda: 5.0 in script.far)
    await script.readings.put(Reading({"out": samples(runtime, "A 9s 9")}))
    await until(lambda: 9.0 in script.far)
    (gap,) = [row for row in await gaps(runtime.store) if row["source"] == "src"]
    assert gap["cause"] == "disconnected"
    await runtime.stop()


async def test_an_alarm_of_before_ends_with_the_connection(script: OnLine, tmp_path: Path) -> None:
    runtime = await started(flow_with(ON), tmp_path)
    await script.readings.put(Disconnected("No answer."))
    await until(lambda: [e.condition for e in runtime.book.open()] == ["COMM"])
    await runtime.deploy(flow_with(OFF), "user:anna")
    await until(lambda: not runtime.book.open())
    await runtime.stop()


def test_lint_says_what_it_means(script: OnLine) -> None:
    found = [str(finding) for finding in lint(flow_with(OFF))]
    assert any("what uses it reads and writes nothing meanwhile" in text for text in found)

"""Subflows in a gateway that runs: status and outboxes by inner node, deploy, kill and restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import AlarmEvent, Reading
from gateway.engine import store_writer
from gateway.engine.runtime import Runtime
from gateway.flow.document import Document
from tests.engine.gear import Script, kill, lent, samples, started, until

FLOW = """\
flow: test
version: 1
subflows:
  watch:
    parameters: {hi: {default: 80}, size: {default: 60}}
    inputs: {in: samples}
    nodes:
      minute: {type: window.tumbling, size_s: "${size}", future_max_s: 1000000000}
      stats: {type: feature.statistics, features: [mean]}
      high: {type: alarm.limit, hi: "${hi}"}
      out: {type: script.sink}
    wires:
      - in -> minute -> stats -> out
      - in -> high
      - high.alarms -> out.alarms
nodes:
  src: {type: script.source}
  one: {type: subflow.watch}
  two: {type: subflow.watch, hi: 90}
wires:
  - src -> one
  - src -> two
"""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(Script()) as script:
        yield script


async def send(runtime: Runtime, script: Script, text: str) -> None:
    runner = runtime.runners["test"]
    before = runner._done_seq
    await script.readings.put(Reading({"out": samples(runtime, text)}))
    await until(lambda: runner._done_seq > before)


def changes(script: Script) -> list[tuple[str, str]]:
    """(alarm, change) that sinks took."""
    events = [e for _, m in script.written if isinstance(m, tuple) for e in m]
    return [(e.alarm, e.change) for e in events if isinstance(e, AlarmEvent)]


async def test_instances_run_side_by_side_and_a_deploy_keeps_the_other(
    script: Script, tmp_path: Path
) -> None:
    runtime = await started(Document.parse(FLOW), tmp_path)
    await send(runtime, script, "TT1 0s 70 | 30s 85")
    await until(lambda: changes(script) == [("test/one/high:TT1:HI", "raised")])
    graph = runtime.runners["test"].graph
    names = {status.node for status in runtime.statuses if status.flow == "test"}
    assert {"one/minute", "one/out", "two/high", "src"} <= names
    before = graph.transforms()
    edited = Document.parse(FLOW.replace("hi: 90}", "hi: 84}"))
    deployed = await runtime.deploy(edited, "user:anna")
    assert deployed.said == ("two/high was changed: it keeps what it remembers.",)
    after = runtime.runners["test"].graph.transforms()
    assert {n for n in after if after[n] is not before[n]} == {"two/high"}
    await send(runtime, script, "TT1 40s 86")
    await until(lambda: ("test/two/high:TT1:HI", "raised") in changes(script))
    other = Document.parse(FLOW.replace("size: {default: 60}", "size: {default: 30}"))
    deployed = await runtime.deploy(other, "user:anna")
    assert {text.partition(" ")[0] for text in deployed.said} >= {"one/minute", "two/minute"}
    await runtime.stop()


async def test_a_killed_gateway_goes_on_with_each_instance(script: Script, tmp_path: Path) -> None:
    runtime = await started(Document.parse(FLOW), tmp_path)
    await send(runtime, script, "TT1 0s 70 | 30s 95")
    await until(lambda: len(changes(script)) == 2)
    await kill(runtime)
    again = await started(Document.parse(FLOW), tmp_path)
    await send(again, script, "TT1 61s 70 | 125s 71")
    await until(lambda: sum(not isinstance(m, tuple) for _, m in script.written) >= 2)
    raised = {alarm for alarm, change in changes(script) if change == "raised"}
    assert raised == {"test/one/high:TT1:HI", "test/two/high:TT1:HI"}
    held = {(e.alarm, e.occurrence) for e in again.book.current() if e.alarm[:5] == "test/"}
    assert held == {("test/one/high:TT1:HI", 1), ("test/two/high:TT1:HI", 1)}, "no second one"
    means = [m for _, m in script.written if not isinstance(m, tuple)]
    assert float(means[0].value[0]) == 82.5, "the window of before the kill is whole"
    await again.stop()

"""What a person hands in: over the API, into the audit and the journal, and still there later."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.engine import store_writer
from gateway.engine.inject import inject
from gateway.engine.report import report
from gateway.engine.store_records import audit_rows
from gateway.flow.node import Carries
from tests.api.test_live import House, opened
from tests.engine.gear import Script, flow, kill, lent, started, until, values

NODES = """
src: {type: script.source}
near: {type: filter.deadband, band: 0.5}
high: {type: alarm.limit, hi: 80}
ask: {type: script.worker}
answer: {type: script.sink}
sink: {type: script.sink}
minute: {type: window.tumbling, size_s: 60}
mean: {type: feature.statistics}
"""
WIRES = "src -> near -> sink, src -> high, ask -> answer, near -> ask, near -> minute -> mean"
FLOW = flow(NODES, WIRES)


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    async with opened(tmp_path, FLOW) as house:
        yield house


async def post(house: House, flow: str = "test", **body: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=house.server.url) as client:
        return await client.post(f"/api/flows/{flow}/inject", json=body)


async def test_samples_go_in_at_a_node_and_out_of_a_source(house: House) -> None:
    answer = await post(house, node="near", samples="A 0s 1 | 1s 9 bad", new_tags=True)
    assert (answer.status_code, answer.json()) == (200, {"text": "2 rows were given to near.in."})
    assert len(house.runtime.book) == 0
    answer = await post(house, node="src", port="out", samples="A 0s 95", actor="user:anna")
    assert answer.json() == {"text": "1 row was given to src.out."}
    await until(lambda: len(house.runtime.book) == 1)
    await until(lambda: values(house.script)[-1] == 95.0)
    (newest, *_) = await audit_rows(house.runtime.store)
    assert (newest["actor"], newest["action"]) == ("user:anna", "flow/inject")
    detail = newest["detail"]
    assert (detail["node"], detail["rows"], detail["text"]) == ("src", 1, "A 0s 95")
    found = await report(house.runtime)
    assert found["unbalanced"] == 0


async def test_times_end_now(house: House) -> None:
    before = house.runtime.clock.now()
    await post(house, node="near", samples="A 0s 1 | 10s 9", new_tags=True)
    after = house.runtime.clock.now()
    live, code = house.runtime.live, house.runtime.tags.code("A")
    await until(lambda: live.ts[code])
    assert before <= live.ts[code] <= after, "the latest is now, and none is in the future"
    await post(house, node="near", samples="A -5s 20")
    await until(lambda: live.value[code] == 20)
    assert live.ts[code] < after


async def test_events_go_in(house: House) -> None:
    answer = await post(
        house,
        node="src",
        port="status",
        event='0s source/lost {"source": "src", "device": "plc", "text": "It is away."}',
    )
    assert answer.json() == {"text": "1 row was given to src.status."}
    await until(lambda: len(house.runtime.book) == 1)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"node": "nobody", "samples": "A 0s 1"}, "test has no node 'nobody'. There is src, near"),
        ({"node": "near", "port": "x", "samples": "A 0s 1"}, "near has no port 'x'"),
        ({"node": "near", "samples": "A 0s 1"}, "There is no tag 'A'."),
        ({"node": "near", "samples": "A 0s"}, "'0s' is no sample"),
        ({"node": "near", "samples": " "}, "There is no row in the text."),
        ({"node": "near"}, "Give either samples or an event."),
        ({"node": "near", "samples": "A 0s 1", "event": "0s a"}, "Give either"),
        ({"node": "near", "event": "0s a"}, "near.in takes samples, not events."),
        ({"node": "src", "event": "0s a"}, "src.out takes samples, not events."),
        ({"node": "sink", "samples": "A 0s 1"}, "sink is a sink"),
        ({"node": "mean", "samples": "A 0s 1"}, "mean.in takes windows"),
        ({"node": "high", "port": "operator", "event": "0s alarm/ack"}, "in another's name"),
        ({"node": "src", "port": "status", "event": "0s source/gap {}"}, "A gap is told by"),
        ({"node": "src", "port": "status", "event": "0s a {"}, "Expecting"),
        ({"node": "near", "samples": "A " + " | ".join("0s 1" for _ in range(1001))}, "rows_max"),
    ],
)
async def test_what_is_not_taken_is_told_why(house: House, body: dict[str, Any], said: str) -> None:
    journalled = house.runtime.runners["test"].seq
    answer = await post(house, **body)
    assert (answer.status_code, said in answer.text) == (422, True), answer.text
    assert "A" not in house.runtime.tags
    assert house.runtime.runners["test"].seq == journalled
    assert not await audit_rows(house.runtime.store)


async def test_a_flow_that_does_not_run(house: House) -> None:
    answer = await post(house, flow="other", node="near", samples="A 0s 1")
    assert (answer.status_code, answer.text) == (404, "There is no flow 'other' that runs.")


async def test_a_worker_brings_it_as_an_answer(house: House) -> None:
    answer = await post(house, node="ask", samples="A 0s 42", new_tags=True)
    assert answer.json() == {"text": "1 row was given to ask.out."}
    await until(lambda: values(house.script) == [42.0])
    assert (await report(house.runtime))["unbalanced"] == 0


async def test_what_was_taken_is_there_after_a_crash(tmp_path: Path) -> None:
    """The gateway dies at once after its answer, with no checkpoint: the alarm is still there."""
    with lent(Script()):
        runtime = await started(FLOW, tmp_path, checkpoint_s=1e6)
        given: tuple[Carries, str] = ("samples", "A 0s 95")
        await inject(runtime, "test", "high", "", given, "user:anna", makes_tags=True)
        await kill(runtime)
        runtime = await started(FLOW, tmp_path)
        (event,) = runtime.book.open()
        assert (event.alarm, event.value) == ("test/high:A:HI", 95.0)
        (row,) = [r for r in await audit_rows(runtime.store) if r["action"] == "flow/inject"]
        assert row["actor"] == "user:anna"
        await runtime.stop()


KILLED = """
flow: test
version: 1
nodes:
  plant: {type: simulate.source, tag: a, every_s: 1000}
  high: {type: alarm.limit, hi: 80}
wires: [plant -> high]
"""


@pytest.mark.plant
async def test_kill_9_after_the_answer(tmp_path: Path) -> None:
    """The real program, a real SIGKILL right after the answer, and a second start."""
    (tmp_path / "test.flow.yaml").write_text(KILLED)
    process, url = await run(tmp_path)
    body = {"node": "high", "samples": "hand 0s 99", "new_tags": True}
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/api/flows/test/inject", json=body)
        assert answer.status_code == 200, answer.text
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    process, url = await run(tmp_path)
    async with httpx.AsyncClient(base_url=url) as client:
        (alarm,) = (await client.get("/api/alarms")).json()
    process.terminate()
    process.wait(20)
    assert (alarm["alarm"], alarm["value"]) == ("test/high:hand:HI", 99.0)


async def run(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """The program, once it answers."""
    port_file = folder / "port"
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "gateway", "run", str(folder / "test.flow.yaml")]
    command += ["--state", str(folder / "state"), "--port", "0", "--port-file", str(port_file)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    async with asyncio.timeout(30):
        while not port_file.exists() or not port_file.read_text().strip():
            assert process.poll() is None, "the gateway has ended"
            await asyncio.sleep(0.05)
    return process, f"http://127.0.0.1:{port_file.read_text().strip()}"

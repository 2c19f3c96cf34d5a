"""Traces, catches and tests that are made of what was recorded, over the API of a real gateway."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import ConfigError, Reading
from gateway.cli.trace import _trace, lines
from gateway.engine import store_writer
from gateway.engine.catch import CATCHES_MAX
from gateway.engine.flowtest import run_tests
from gateway.engine.trace import CALLS_MAX
from gateway.flow.document import Document
from tests.api.test_live import House, opened
from tests.engine.gear import flow, samples, until, values

NODES = """
src: {type: script.source}
near: {type: filter.deadband, band: 0.5}
high: {type: alarm.limit, hi: 80, on_delay_s: 10}
sink: {type: script.sink}
ask: {type: script.worker}
minute: {type: window.tumbling, size_s: 60, future_max_s: 1000000000}
mean: {type: feature.statistics, features: [mean]}
"""
WIRES = "src -> near -> sink, near -> high, high.alarms -> sink.alarms, near -> ask, "
FLOW = flow(NODES, WIRES + "near -> minute -> mean -> sink")


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    async with opened(tmp_path, FLOW) as house:
        yield house


async def post(house: House, what: str, flow: str = "test", **body: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=house.server.url, timeout=60) as client:
        return await client.post(f"/api/flows/{flow}/{what}", json=body)


async def send(house: House, text: str) -> None:
    """One reading of the source, served; its first row is of now."""
    runner = house.runtime.runners["test"]
    before = runner._done_seq
    batch = samples(house.runtime, text)
    now = house.runtime.clock.now()
    moved = type(batch).columns(batch.tag, batch.ts - batch.ts[0] + now, batch.value, batch.quality)
    await house.script.readings.put(Reading({"out": moved}))
    await until(lambda: runner._done_seq > before)


async def test_a_sample_is_followed_and_nothing_is_touched(house: House) -> None:
    await send(house, "A 0s 70")
    await until(lambda: len(house.script.written) == 1)
    graph = house.runtime.runners["test"].graph
    before = graph.snapshot()
    tags, seq = len(house.runtime.tags), house.runtime.runners["test"].seq
    answer = await post(
        house, "trace", node="src", samples="A 0s 70.1 | 1s 91 | 12s 92\nB 1s 5", until="2min"
    )
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["cut"], found["said"]) == ("", [])
    rows = [(c["node"], c["kind"], c["port"], c["got"]) for c in found["calls"]]
    assert ("near", "transform", "in", "A 0s 70.1") in rows
    near = [call["gave"] for call in found["calls"] if call["node"] == "near"]
    assert near[0] == [], "within the band of the last value of the flow that runs"
    assert near[1] == [{"port": "out", "text": "A 1s 91\nB 1s 5", "rows": 2}]
    assert ("sink", "sink", "in", "A 1s 91\nB 1s 5") in rows
    assert ("ask", "worker", "in", "A 1s 91\nB 1s 5") in rows, "the question is muted and shown"
    (raised,) = [c for c in found["calls"] if c["node"] == "high" and c["gave"]]
    assert (raised["kind"], raised["at"]) == ("timer", 11.0), "the delay runs on in the copy"
    assert raised["gave"][0]["text"] == "11s A HI raised UNACK 91 80"
    windows = [c for c in found["calls"] if c["node"] == "minute" and c["kind"] == "timer"]
    assert windows, "timers fire until the end"
    shown = [c["at"] for c in found["calls"] if c["node"] == "sink" and "#mean" in c["got"]]
    assert shown == [c["at"] for c in windows if c["gave"]], "what they give arrives at once"
    assert len(house.runtime.tags) == tags, "B is known in the copy only"
    assert len(house.script.written) == 1
    assert house.runtime.runners["test"].seq == seq
    after = graph.snapshot()
    assert all((after[n][k] == v).all() for n, s in before.items() for k, v in s.items() if v.size)


async def test_an_edited_flow_is_followed_with_the_state_of_the_other(house: House) -> None:
    await send(house, "A 0s 70")
    text = FLOW.text().replace("hi: 80, on_delay_s: 10", "hi: 75")
    answer = await post(house, "trace", node="near", samples="A 1s 76", text=text)
    calls = {call["node"]: call for call in answer.json()["calls"]}
    assert calls["high"]["gave"][0]["text"] == "1s A HI raised UNACK 76 75"
    assert calls["near"]["got"] == "A 1s 76"


async def test_the_newest_recorded_rows_are_followed_as_they_went(house: House) -> None:
    for value in (70, 70.2, 95):
        await send(house, f"A 0s {value}")
    args = argparse.Namespace(
        flow="test", node="src", last=2, state=house.runtime.state_dir, gently=False
    )
    found = await asyncio.to_thread(_trace, args)
    near = [call for call in found["calls"] if call["node"] == "near"]
    assert [bool(call["gave"]) for call in near] == [False, True], "70.2 is near 70, 95 is not"
    assert near[0]["got"].split()[2] == "70.2"
    assert {c["node"] for c in found["calls"]} >= {"src", "near", "sink", "high", "minute"}
    assert any(line.endswith("s 70.2") and "got in: A " in line for line in lines(found))
    args.node = "mean"
    with pytest.raises(ConfigError, match="Nothing that mean brought is recorded"):
        await asyncio.to_thread(_trace, args)


REAL = """
src: {type: simulate.source, tag: A, every_s: 0.05, period_s: 1}
half: {type: compute.scale, gain: 0.5}
high: {type: alarm.limit, hi: 60}
log: {type: log.sink, level: debug}
"""


@pytest.fixture
async def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A gateway with nodes that a process of its own knows as well."""
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    document = flow(REAL, "src -> half -> log, half -> high, high.alarms -> log.alarms")
    async with opened(tmp_path, document) as house:
        yield house


async def test_recorded_rows_are_followed_in_a_process_of_its_own(real: House) -> None:
    runner = real.runtime.runners["test"]
    await until(lambda: runner._done_seq > 5)
    found = (await post(real, "trace", node="src.out", last=1)).json()
    assert "detail" in found, "the pattern of a node has no port in it"
    found = (await post(real, "trace", node="src", port="out", last=3)).json()
    nodes = {call["node"] for call in found["calls"]}
    assert nodes == {"src", "half", "log", "high"}
    gave = [float(c["gave"][0]["text"].split()[2]) for c in found["calls"] if c["node"] == "half"]
    got = [float(c["got"].split()[2]) for c in found["calls"] if c["node"] == "half"]
    assert len(got) == 3
    assert gave == pytest.approx([value / 2 for value in got])
    missing = await post(real, "trace", node="half", last=1)
    assert (missing.status_code, "Nothing that half brought" in missing.text) == (422, True)


async def test_a_trace_is_bounded_and_says_what_is_wrong(house: House) -> None:
    many = "A " + " | ".join(f"{i / 10:g}s {i}" for i in range(900))
    found = (await post(house, "trace", node="src", samples=many)).json()
    assert len(found["calls"]) == CALLS_MAX
    assert "Only the first 2,000 calls" in found["cut"]
    for body, status, said in (
        ({"node": "sink", "samples": "A 0s 1"}, 422, "sink is a sink"),
        ({"node": "nobody", "samples": "A 0s 1"}, 422, "has no node 'nobody'"),
        ({"node": "near", "port": "x", "samples": "A 0s 1"}, 422, "no port 'x'"),
        ({"node": "near", "samples": "A soon 1"}, 422, "is no time"),
        ({"node": "near", "samples": "A 0s 1", "last": 1}, 422, "either samples or last"),
        (
            {"node": "near", "samples": "A 0s 1", "text": "flow: test\nnodes: {a: 1}"},
            422,
            "nodes.a",
        ),
        ({"node": "near"}, 422, "either samples or last"),
        ({"flow": "other", "node": "near", "samples": "A 0s 1"}, 404, "no flow 'other'"),
    ):
        answer = await post(house, "trace", **body)
        assert (answer.status_code, said in answer.text) == (status, True), answer.text


async def call(house: House, method: str, path: str, **more: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=house.server.url, timeout=60) as client:
        return await client.request(method, f"/api/flows/test/{path}", **more)


async def test_what_fulfils_a_condition_is_caught_with_what_was_before(house: House) -> None:
    made = await post(
        house, "catch", node="near", condition="value > 80 and good", hits=2, before=2
    )
    assert (made.status_code, made.json()["id"], made.json()["port"]) == (201, "c1", "out")
    for text in ("A 0s 1", "A 0s 2", "A 0s 3", "A 0s 91 bad", "A 0s 92 | 1s 5\nB 0s 93"):
        await send(house, text)
    await house.runtime.deploy(
        flow(NODES.replace("hi: 80", "hi: 81"), WIRES + "near -> minute -> mean"), "user:anna"
    )
    for text in ("A 0s 94", "A 0s 95", "A 0s 96"):
        await send(house, text)
    (found,) = (await call(house, "GET", "catch")).json()
    assert (found["is_full"], found["error"], len(found["hits"])) == (True, "", 2)
    first, second = found["hits"]
    assert [row[2] for row in first["samples"]] == [92.0, 93.0]
    assert first["count"] == 2
    assert [row[2] for row in first["before"]["samples"]] == [3.0, 91.0], "bad ones as well"
    assert [row[2] for row in second["samples"]] == [94.0], "it goes on after a deploy"
    assert abs(first["now"] - house.runtime.clock.now()) < 60 * 10**9
    await until(lambda: 96.0 in values(house.script))  # Nothing was held.
    assert (await call(house, "DELETE", "catch/c1")).json() == {"text": "c1 is removed."}
    assert (await call(house, "GET", "catch")).json() == []
    assert (await call(house, "DELETE", "catch/c1")).status_code == 404
    assert not len(house.runtime.runners["test"].taps), "and nobody looks any more"


async def test_alarms_windows_and_single_tags_are_caught(house: House) -> None:
    await post(house, "catch", node="high", port="alarms", condition="value > limit + 10")
    await post(house, "catch", node="minute", condition="rows > 1")
    await post(house, "catch", node="src", tags="B")
    await send(house, "A 0s 85 | 15s 86 | 70s 99 | 90s 99\nB 1s 85 | 20s 99")
    found = {one["node"]: one for one in (await call(house, "GET", "catch")).json()}
    assert [row[0] for row in found["src"]["hits"][0]["samples"]] == ["B", "B"]
    hits = [hit for one in found["high"]["hits"] for hit in one["items"]]
    assert all(hit["value"] > 90 for hit in hits)
    for one in found["minute"]["hits"]:
        assert all(item["rows"] > 1 for item in one["items"])


async def test_catches_are_bounded_and_say_what_is_wrong(house: House) -> None:
    for body, said in (
        ({"node": "sink"}, "sink has no output ''. There is none."),
        ({"node": "nobody"}, "has no node 'nobody'"),
        ({"node": "near", "port": "x"}, "near has no output 'x'. There is out"),
        ({"node": "near", "condition": "value >"}, "condition"),
        ({"node": "near", "condition": "temperature > 1"}, "temperature"),
    ):
        answer = await post(house, "catch", **body)
        assert (answer.status_code, said in answer.text) == (422, True), answer.text
    for _ in range(CATCHES_MAX):
        assert (await post(house, "catch", node="near")).status_code == 201
    answer = await post(house, "catch", node="near")
    assert (answer.status_code, "catches_max" in answer.text) == (422, True)
    await send(house, "A " + " | ".join(f"{i}s {i}" for i in range(500)))
    rows = (await call(house, "GET", "catch")).json()
    assert {len(one["hits"][0]["samples"]) for one in rows} == {50}
    assert {one["hits"][0]["count"] for one in rows} == {500}


async def test_a_test_is_made_of_what_was_recorded_and_passes(real: House) -> None:
    runner = real.runtime.runners["test"]
    await until(lambda: runner._done_seq > 30)
    answer = await post(real, "make_test", title="As it was")
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert (made["passed"], made["failures"]) == (True, [])
    assert set(made["test"]["expect"]) == {"high.alarms", "log"}
    document = Document.parse(made["text"])
    assert [test.title for test in document.tests] == ["As it was"]
    assert [outcome.failures for outcome in run_tests(document)] == [()]
    assert len(made["test"]["given"]["src"].split("|")) >= 10
    edited = made["text"].replace("gain: 0.5", "gain: 0.25")
    (outcome,) = run_tests(Document.parse(edited))
    assert "log.in differs" in "\n".join(outcome.failures), "and it holds what it saw"
    again = await post(real, "make_test", text=made["text"], title="As it was", nodes=["half"])
    assert again.json()["title"] == "As it was (2)"
    assert set(again.json()["test"]["expect"]) == {"half"}
    for body, said in (
        ({"nodes": ["nobody"]}, "There is no node 'nobody'."),
        ({"from": "-1h", "to": "-30min"}, "Nothing is recorded of test"),
        ({"from": "soon"}, "is no time"),
    ):
        answer = await post(real, "make_test", **body)
        assert (answer.status_code, said in answer.text) == (422, True), answer.text


async def test_subflows_of_a_text_and_a_new_one_of_some_of_its_nodes(house: House) -> None:
    asked = {"nodes": ["near", "high"], "name": "watch", "instance": "one"}
    answer = await post(house, "subflows", text=FLOW.text(), gather=asked)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [one["type"] for one in found["subflows"]] == ["subflow.watch"]
    assert [(p["name"], p["carries"]) for p in found["subflows"][0]["outputs"]] == [
        ("out", "samples"),
        ("alarms", "alarms"),
    ]
    deployed = await call(house, "POST", "deploy", json={"text": found["text"]})
    assert deployed.status_code == 200, deployed.text
    assert {"one/near", "one/high"} <= house.runtime.runners["test"].graph.transforms().keys()
    await send(house, "A 0s 91 | 11s 92")
    await until(lambda: any(e.alarm == "test/one/high:A:HI" for e in house.runtime.book.current()))
    async with httpx.AsyncClient(base_url=house.server.url) as client:
        library = (await client.get("/api/subflows")).json()
    assert [(one["flow"], one["type"]) for one in library] == [("test", "subflow.watch")]
    empty, wanted = "flow: other\nnodes: {}\n", {"flow": "test", "name": "watch"}
    taken = await post(house, "subflows", flow="other", text=empty, take=wanted)
    other = Document.parse(taken.json()["text"])
    assert other.subflows == Document.parse(found["text"]).subflows
    assert (await post(house, "subflows", text=taken.json()["text"], take=wanted)).json() == {
        **taken.json()
    }, "once is enough"
    clash = taken.json()["text"].replace("band: 0.5", "band: 0.6")
    refused = await post(house, "subflows", text=clash, take=wanted)
    assert (refused.status_code, "another subflow 'watch'" in refused.text) == (422, True)
    refused = await post(house, "subflows", text=FLOW.text(), gather={**asked, "nodes": ["x"]})
    assert (refused.status_code, "no node 'x'" in refused.text) == (422, True)

"""What the flow editor asks: nodes, lint, plan, tests, replay, drafts and expressions."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.engine import jobs as jobs_module
from gateway.engine import store_writer
from gateway.engine.store_drafts import Draft, save_draft
from gateway.flow.document import Document
from tests.api.desk import Desk, closed, opened
from tests.engine.gear import Script, flow, lent, samples, until

TEXT = """flow: press
version: 1
allow_write: true
connections:
  line: {type: modbus.connection, address: "tcp://127.0.0.1:1"}
nodes:
  src: {type: script.source}
  smooth: {type: window.tumbling, size_s: 60}
  high: {type: alarm.limit, hi: 80}
  out: {type: file.jsonl_sink, path: out.jsonl}
wires:
- src -> smooth
- src -> high
- src -> out
"""
EDITED = (
    TEXT.replace("size_s: 60", "size_s: 30")
    .replace("hi: 80", "hi: 85")
    .replace("- src -> out\n", "")
    .replace("  out: {type: file.jsonl_sink, path: out.jsonl}\n", "")
)


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(script := Script()):
        desk = await opened(Document.parse(TEXT), tmp_path)
        desk.script = script  # type: ignore[attr-defined]  # for the tests that feed it
        yield desk
        await closed(desk)


async def test_the_catalogue_has_every_node_and_is_cached(desk: Desk) -> None:
    answer = await desk.client.get("/api/nodes")
    nodes = {row["type"]: row for row in answer.json()["nodes"]}
    assert answer.headers["cache-control"] == "private, no-cache"
    assert nodes["filter.deadband"]["kind"] == "transform"
    assert nodes["modbus.connection"]["effect"] == "talks to something outside"
    assert nodes["modbus.sink"]["writes"] is True
    (named,) = [f for f in nodes["opcua.source"]["fields"] if f["widget"] == "connection"]
    assert named["connection"] == "opcua.connection"
    for row in nodes.values():
        assert row["about"].endswith((".", "?", "!")), row["type"]
        assert row["schema"]["type"] == "object"
        assert row["examples"], row["type"]
        assert all({"name", "carries", "about"} == port.keys() for port in row["inputs"])
    (formula,) = [f for f in nodes["compute.expression"]["fields"] if f["name"] == "formula"]
    assert (formula["widget"], formula["required"]) == ("expression", True)
    again = await desk.client.get("/api/nodes", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_lint_says_the_same_as_the_command_and_also_what_cannot_be_read(desk: Desk) -> None:
    rows = await desk.post("/api/flows/press/lint", text=TEXT.replace("hi: 80", "hi: much"))
    (error,) = [row for row in rows if row["severity"] == "error"]
    assert (error["where"], error["line"]) == ("nodes.high.hi", 9)
    assert error["text"] == '"much" is not a number.'
    (unused,) = [row for row in rows if row["section"] == "connections"]
    assert unused["text"] == "No node uses this connection."
    (broken,) = await desk.post("/api/flows/press/lint", text="flow: press\nversion: 1\nnodes: [")
    assert broken["severity"] == "error"
    (other, *_) = await desk.post("/api/flows/other/lint", text=TEXT)
    assert other["text"] == "The text is that of the flow 'press', not of 'other'."


async def test_a_plan_says_what_a_deploy_then_does(desk: Desk) -> None:
    script: Script = desk.script  # type: ignore[attr-defined]  # see the fixture
    await script.readings.put(samples(desk.runtime, "A 0s 70"))
    await until(lambda: "A" in desk.runtime.tags and desk.runtime.live.rows[0] > 0)
    found = await desk.post("/api/flows/press/plan", text=EDITED)
    assert found["can_run"], found["errors"]
    assert (found["revision"], found["is_same"]) == (1, False)
    fates = {row["name"]: row["fate"] for row in found["nodes"]}
    assert fates == {
        "src": "same",
        "smooth": "fresh",
        "high": "keeps",
        "out": "closed",
    }
    assert found["difference"]["effects_removed"] == ["out sends to out.jsonl (file.jsonl_sink)"]
    assert found["difference"]["wires_removed"] == ["src.out -> out.in"]
    assert {"field": "hi", "before": 80, "after": 85} in [
        one for node in found["difference"]["nodes"] for one in node["fields"]
    ]
    done = await desk.post("/api/flows/press/deploy", text=EDITED)
    said = [text for text in found["said"] if "closed" not in text]
    assert sorted(done["said"]) == sorted(said)
    again = await desk.post("/api/flows/press/plan", text=EDITED)
    assert again["is_same"] and {row["fate"] for row in again["nodes"]} == {"same"}
    moved = EDITED.replace("  src: {type: script.source}\n", "", 1).replace(
        "wires:", "  src: {type: script.source}\nwires:"
    )
    assert (await desk.post("/api/flows/press/plan", text=moved))["is_same"]


async def test_a_plan_touches_nothing(desk: Desk) -> None:
    tags, statuses = len(desk.runtime.tags), desk.runtime.status()["nodes"]
    text = TEXT.replace(
        "  high:",
        "  fresh: {type: compute.expression, formula: a, inputs: {a: new/tag}, output: other/tag}\n"
        "  new: {type: modbus.sink, connection: line, "
        "tags: {press/out: {address: 'holding:20'}}}\n  high:",
    ).replace("wires:", "wires:\n- src -> fresh -> new")
    found = await desk.post("/api/flows/press/plan", text=text)
    assert found["can_run"], found["errors"]
    fates = {row["name"]: row["fate"] for row in found["nodes"]}
    assert (fates["fresh"], fates["new"], fates["smooth"]) == ("new", "new", "same")
    assert (
        "new can change the plant: it writes press/out to tcp://127.0.0.1:1"
        in found["difference"]["effects_added"]
    )
    assert len(desk.runtime.tags) == tags
    assert desk.runtime.status()["nodes"] == statuses
    memory = await desk.post("/api/flows/press/plan", text=TEXT + "durability: memory\n")
    assert memory["durability"] == {"before": "journal", "after": "memory"}
    assert not memory["can_run"]
    wrong = await desk.post("/api/flows/press/plan", text=TEXT.replace("hi: 80", "hi: x"))
    assert (wrong["can_run"], wrong["nodes"]) == (False, [])
    fresh = TEXT.replace("flow: press", "flow: other")
    new = await desk.post("/api/flows/other/plan", text=fresh)
    assert (new["revision"], {row["fate"] for row in new["nodes"]}) == (None, {"new"})
    assert "press.flow.yaml:1" in await desk.post("/api/flows/press/plan", 422, text="flow: [")


TESTED = """flow: press
version: 1
nodes:
  src: {type: simulate.source, tag: A}
  quiet: {type: filter.deadband, band: 1}
wires:
- src -> quiet
tests:
- title: small steps are left out
  given: {src: "A 0s 70 | 1s 70.5 | 2s 90"}
  expect: {quiet.out: "A 0s 70 | 2s 90"}
- title: a wrong one
  given: {src: "A 0s 70"}
  expect: {quiet.out: "A 0s 71"}
"""


async def test_tests_run_beside_the_gateway(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = await desk.post("/api/flows/press/test", text=TESTED)
    assert (good["title"], good["passed"]) == ("small steps are left out", True)
    assert (bad["passed"], bad["line"]) == (False, 12)
    assert "-A 0s 71" in bad["text"] and "+A 0s 70" in bad["text"]
    (only,) = await desk.post("/api/flows/press/test", text=TESTED, only="wrong")
    assert only["title"] == "a wrong one"
    (broken,) = await desk.post("/api/flows/press/test", text="flow: press\nversion: 1\nnodes: [")
    assert (broken["title"], broken["passed"]) == ("The file loads", False)
    monkeypatch.setattr("gateway.api.routes_editor.TEST_S_MAX", 0.01)
    text = await desk.post("/api/flows/press/test", 422, text=TESTED)
    assert text == "It was ended: it took longer than 0.01 s."


async def test_drafts_are_saved_with_a_version(desk: Desk) -> None:
    assert await desk.get("/api/drafts") == []
    path, what = "/api/drafts/press", {"text": "flow: [", "layout": {"src": [1, 2.5]}, "base": 1}
    first = await desk.put(path, **what, version=0)
    found = await desk.get(path)
    assert (found["text"], found["layout"]) == ("flow: [", {"src": [1, 2.5]})
    assert (found["base"], found["by"], found["version"]) == (1, "user:local", first["version"])
    second = await desk.put(path, **what, version=first["version"])
    assert second["version"] > first["version"]
    text = await desk.put(path, 409, **what, version=first["version"])
    assert text.startswith("user:local has saved this draft meanwhile (version ")
    await desk.put(path, 409, **what, version=0)
    (row,) = await desk.get("/api/drafts")
    assert "text" not in row and row["flow"] == "press"
    gone = await desk.client.delete(f"{path}?version={first['version']}")
    assert gone.status_code == 409
    assert (await desk.client.delete(path)).status_code == 200
    await desk.get(path, 404)
    text = await desk.put(path, 409, **what, version=second["version"])
    assert text.startswith("The draft was thrown away meanwhile.")
    assert (await desk.put(path, **what, version=0))["version"] > second["version"]
    for wrong in ({"src": [1]}, {"src": [1, 1e9]}, {"": [1, 2]}):
        await desk.put(path, 422, **{**what, "layout": wrong}, version=0)


async def test_drafts_cannot_fill_the_disk(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.engine.store_drafts.DRAFTS_BYTES_MAX", 1_000)
    await desk.put("/api/drafts/a", text="x" * 500, version=0)
    text = await desk.put("/api/drafts/b", 413, text="x" * 500, version=0)
    assert text.endswith("(drafts_bytes_max is 1000)")
    monkeypatch.setattr("gateway.engine.store_drafts.DRAFT_BYTES_MAX", 100)
    await desk.put("/api/drafts/c", 413, text="x" * 500, version=0)
    await desk.put("/api/flows/press/layout", 413, layout={"x" * 100: [1, 2]})


async def test_a_damaged_draft_is_said_and_can_be_written_anew(desk: Desk, tmp_path: Path) -> None:
    await desk.put("/api/drafts/press", text="a", version=0)
    with sqlite3.connect(tmp_path / "genba.db") as db:
        db.execute("UPDATE draft SET fact = replace(fact, 'user:local', 'user:other')")
    assert await desk.get("/api/drafts") == []
    await desk.get("/api/drafts/press", 404)
    assert any("draft of 'press' is damaged" in line[3] for line in desk.runtime.lines.kept)
    await desk.put("/api/drafts/press", text="b", version=0)
    assert (await desk.get("/api/drafts/press"))["text"] == "b"


async def test_a_draft_outlives_a_kill(tmp_path: Path) -> None:
    """The process is gone in the moment the answer is there: nothing is closed or folded."""
    code = (
        "import asyncio, os, sys; from pathlib import Path;"
        "from gateway.engine.store import Store;"
        "from gateway.engine.store_drafts import Draft, save_draft;"
        "s = Store(Path(sys.argv[1]));"
        "d = Draft('f', 'kept', {}, None, 0, 'user:anna', 5);"
        "run = asyncio.new_event_loop().run_until_complete;"
        "run(s.open()); run(save_draft(s, d)); os.kill(os.getpid(), 9)"
    )

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path / "genba.db")
    )
    assert await process.wait() == -9
    desk = await opened(flow("src: {type: simulate.source, tag: A}", ""), tmp_path)
    found = await desk.get("/api/drafts/f")
    await closed(desk)
    assert (found["text"], found["by"]) == ("kept", "user:anna")


async def test_the_layout_of_the_deployed_flow(desk: Desk) -> None:
    assert await desk.get("/api/flows/press/layout") == {"layout": {}}
    await desk.put("/api/flows/press/layout", layout={"src": [3, 4]})
    assert await desk.get("/api/flows/press/layout") == {"layout": {"src": [3, 4]}}
    await desk.put("/api/flows/none/layout", 404, layout={})
    await save_draft(desk.runtime.store, Draft("press", "", {}, None, 0, "user:a", 1))
    assert await desk.get("/api/flows/press/layout") == {"layout": {"src": [3, 4]}}


async def test_an_expression_on_the_newest_samples(desk: Desk) -> None:
    script: Script = desk.script  # type: ignore[attr-defined]  # see the fixture
    await script.readings.put(samples(desk.runtime, "A 0s 70 | 1s 90\nB 0s 2 bad"))
    await until(lambda: len(desk.runtime.tags) == 2 and desk.runtime.live.rows[1] > 0)
    found = await desk.post("/api/expression", text="a / b", tags={"a": "A", "b": "B"})
    assert (found["error"], found["value"], found["quality"]) == (None, 45.0, "Bad")
    assert found["samples"]["a"]["value"] == 90.0
    assert "clamp" in [one["name"] for one in found["functions"]]
    zero = await desk.post("/api/expression", text="a / (b - 2)", tags={"a": "A", "b": "B"})
    assert (zero["value"], zero["quality"]) == (None, "Bad")
    none = await desk.post("/api/expression", text="a + c", tags={"a": "A", "c": "not/there"})
    assert (none["error"], none["value"], none["names"]) == (None, None, ["a", "c"])
    assert "not/there" not in desk.runtime.tags
    assert (await desk.post("/api/expression", text="value * 2"))["value"] is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("  a + (b", "("),
        ("a + bogus * 2", "bogus"),
        ("a + sin(a, a)", "sin(a, a)"),
        ("1 + nope(a)", "nope(a)"),
        ("a + a ** 2", "a ** 2"),
        ("a + __import__('os')", "__import__('os')"),
        (" a + a.real", "a.real"),
    ],
)
async def test_an_expression_that_is_wrong_says_where(desk: Desk, text: str, part: str) -> None:
    found = await desk.post("/api/expression", text=text, tags={"a": "A"})
    error = found["error"]
    assert text[error["begin"] : error["end"]] == part, error
    assert (error["text"] and error["hint"]) or "arguments" in error["text"]


REPLAYED = """flow: press
version: 1
nodes:
  src: {type: simulate.source, tag: A, every_s: 0.05, period_s: 1}
  high: {type: alarm.limit, hi: 90}
  out: {type: file.jsonl_sink, path: out.jsonl}
wires:
- src -> high
- high.alarms -> out
"""


async def result(desk: Desk, id: str) -> dict[str, Any]:
    async with asyncio.timeout(120):
        while (row := await desk.get(f"/api/jobs/{id}"))["state"] == "running":
            await asyncio.sleep(0.05)
    return dict(row)


async def test_a_replay_is_a_job_in_a_process_of_its_own(tmp_path: Path) -> None:
    desk = await opened(Document.parse(REPLAYED), tmp_path)
    await until(lambda: len(desk.runtime.book.history()) > 2, 30)
    edited = REPLAYED.replace("hi: 90", "hi: 95")
    job = await desk.post("/api/flows/press/replay", 202, text=edited, **{"from": "-1h"})
    text = await desk.post("/api/flows/press/replay", 409, text=edited)
    assert text.startswith("A replay of press runs already, started by user:local.")
    row = await result(desk, job["id"])
    assert (row["state"], row["progress"]) == ("done", 1.0), row["text"]
    found = row["result"]["alarms"]
    assert found["left"] > 2 and found["moved"] + found["changed"] + found["removed"] > 0
    assert (await desk.client.delete(f"/api/jobs/{job['id']}")).status_code == 200
    await desk.get(f"/api/jobs/{job['id']}", 404)
    job = await desk.post("/api/flows/press/replay", 202, text=edited, **{"from": "in a while"})
    row = await result(desk, job["id"])
    assert row["state"] == "failed" and row["text"].startswith("'in a while' is no time.")
    job = await desk.post("/api/flows/press/replay", 202, text=edited)
    ended = (await desk.client.delete(f"/api/jobs/{job['id']}")).json()
    assert (ended["state"], ended["text"]) == ("cancelled", "It was ended.")
    job = await desk.post("/api/flows/press/replay", 202, text=edited)
    assert (await result(desk, job["id"]))["state"] == "done"
    await closed(desk)


async def test_a_child_ends_when_nobody_holds_it_any_more(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(TESTED)
    words = (*jobs_module.command(), "test", str(tmp_path / "f.yaml"), "--gently")
    reader, writer = os.pipe()
    os.close(writer)
    process = await asyncio.create_subprocess_exec(*words, stdin=reader)
    os.close(reader)
    assert await process.wait() == 3


async def test_tags_go_out_and_come_in_as_a_table(desk: Desk) -> None:
    text = TEXT.replace(
        "  smooth:",
        "  meter: {type: modbus.source, connection: line, "
        "tags: {a/b: 'input:0 float32'}}\n  smooth:",
    )
    path, what = "/api/flows/press/tags", {"text": text, "node": "meter"}
    table = (await desk.post(path, **what))["csv"]
    assert table.splitlines()[1].startswith("a/b,input:0,float32,")
    taken = await desk.post(path, **what, csv="tag,address\nc/d,holding:7\n")
    assert (taken["added"], taken["changed"], taken["removed"]) == (1, 0, 0)
    tags = Document.parse(taken["text"]).nodes["meter"].config["tags"]
    assert tags == {"a/b": "input:0 float32", "c/d": {"address": "holding:7"}}
    wrong = await desk.post(path, **what, csv="tag,address\nc/d,nowhere\n", mode="replace")
    assert wrong["text"] is None
    assert (wrong["errors"][0]["row"], wrong["errors"][0]["column"]) == (2, "address")
    assert "lists no tags" in await desk.post(path, 422, text=text, node="smooth")


async def test_an_export_of_node_red_is_converted(desk: Desk) -> None:
    flows = [
        {"id": "a", "type": "inject", "payload": "1", "payloadType": "num", "wires": [["b"]]},
        {"id": "b", "type": "debug", "x": 360, "y": 60, "wires": []},
        {"id": "c", "type": "exec", "wires": []},
    ]
    found = await desk.post("/api/flows/press/convert", flows_json=flows)
    assert "inject -> sink" in found["text"]
    assert found["layout"]["sink"] == [540, 120]
    assert [note["verdict"] for note in found["notes"]] == ["changed", "changed", "left_out"]
    assert "no JSON" in await desk.post("/api/flows/press/convert", 422, flows_json="{")


async def test_a_large_draft_is_taken_and_a_huge_one_is_not(desk: Desk) -> None:
    large = "#" * 1_500_000
    first = await desk.put("/api/drafts/press", text=large, version=0)
    assert (await desk.get("/api/drafts/press"))["text"] == large
    answer = await desk.client.put(
        "/api/drafts/press", json={"text": "#" * 5_000_000, "version": first["version"]}
    )
    assert answer.status_code == 413
    findings = await desk.post("/api/flows/press/lint", text=TEXT + "\n" + "# x\n" * 50_000)
    assert not [row for row in findings if row["severity"] == "error"]

"""Flows over HTTP: what runs, revisions, deploy, rollback and removal, each in the audit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Rejected
from gateway.api.client_flows import FlowClient
from gateway.api.server import Server
from gateway.engine import store_writer
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit_rows
from tests.engine.gear import Script, flow, lent, started, until

FLOW = flow("src: {type: script.source}\nhigh: {type: alarm.limit, hi: 80}", "src -> high")
TEXT = FLOW.text()


@pytest.fixture
async def running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Runtime, FlowClient]]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(Script()):
        runtime = await started(FLOW, tmp_path)
        server = Server(runtime, 0)
        serving = asyncio.ensure_future(server.run())
        await until(lambda: server._server.started)
        yield runtime, FlowClient(server.url)
        server.stop()
        await serving
        await runtime.stop()


async def test_the_whole_life_of_a_flow(running: tuple[Runtime, FlowClient]) -> None:
    runtime, client = running
    (row,) = await asyncio.to_thread(client.flows)
    assert (row["flow"], row["state"], row["revision"], row["nodes"]) == ("test", "running", 1, 2)
    edited = TEXT.replace("hi: 80", "hi: 85")
    done = await asyncio.to_thread(client.deploy, "test", edited, "user:anna", "higher", 1)
    assert done["revision"] == 2
    assert done["said"] == ["high was changed: it keeps what it remembers."]
    assert done["before"]["text"] == TEXT
    with pytest.raises(Rejected, match="was deployed by user:anna while you edited revision 1"):
        await asyncio.to_thread(client.deploy, "test", TEXT, "user:bob", "", 1)
    rows = await asyncio.to_thread(client.revisions, "test")
    assert [(r["revision"], r["author"], r["note"]) for r in rows] == [
        (1, "file", "First start."),
        (2, "user:anna", "higher"),
    ]
    assert (await asyncio.to_thread(client.revision, "test", 2))["text"] == edited
    assert (await asyncio.to_thread(client.flow, "test"))["text"] == edited
    done = await asyncio.to_thread(client.rollback, "test", "user:bob", "too high")
    assert done["revision"] == 3
    assert runtime.hosts["test"].document.nodes["high"].config["hi"] == 80
    done = await asyncio.to_thread(client.remove, "test", "user:bob", "sold")
    assert (done["revision"], runtime.runners) == (4, {})
    (row,) = await asyncio.to_thread(client.flows)
    assert (row["state"], row["note"]) == ("removed", "sold")
    done = await asyncio.to_thread(client.deploy, "test", TEXT, "user:anna", "bought back")
    assert done["revision"] == 5
    actions = [(r["actor"], r["action"]) for r in reversed(await audit_rows(runtime.store))]
    assert [pair for pair in actions if not pair[1].endswith("_said")] == [
        ("user:anna", "flow/deploy"),
        ("user:bob", "flow/deploy"),
        ("user:bob", "flow/remove"),
        ("user:anna", "flow/deploy"),
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "text"),
    [
        ("GET", "/api/flows/none", None, "There is no flow 'none'"),
        ("GET", "/api/flows/none/revisions", None, "There is no flow 'none'"),
        ("GET", "/api/flows/test/revisions/9", None, "test has no revision 9"),
        ("POST", "/api/flows/none/rollback", {}, "There is no flow 'none'"),
        ("POST", "/api/flows/test/rollback", {}, "no earlier revision that differs"),
        ("DELETE", "/api/flows/none", None, "There is no flow 'none'"),
        ("POST", "/api/flows/other/deploy", {"text": TEXT}, "that of the flow 'test'"),
        ("POST", "/api/flows/test/deploy", {"text": "flow: ["}, "test.flow.yaml"),
        ("POST", "/api/flows/test/deploy", {"text": TEXT, "more": 1}, "more"),
        (
            "POST",
            "/api/flows/test/deploy",
            {"text": TEXT.replace("hi: 80", "hi: high")},
            "test.flow.yaml:6: error: high.hi",
        ),
    ],
)
async def test_what_cannot_be_done_is_said(
    running: tuple[Runtime, FlowClient], method: str, path: str, body: Any, text: str
) -> None:
    runtime, client = running
    with pytest.raises(Rejected) as refused:
        await asyncio.to_thread(client._ask, method, path, body)
    assert text in str(refused.value)
    assert runtime.hosts["test"].revision.number == 1


async def test_a_large_flow_is_taken_and_a_huge_one_is_not(
    running: tuple[Runtime, FlowClient],
) -> None:
    runtime, client = running
    about = json.dumps("x" * 200_000)
    large = TEXT.replace("version: 1", f"version: 1\nabout: {about}")
    done = await asyncio.to_thread(client.deploy, "test", large, "user:anna")
    assert done["revision"] == 2
    with pytest.raises(Rejected):
        await asyncio.to_thread(client.deploy, "test", TEXT + "#" * 3_000_000, "user:anna")
    assert runtime.hosts["test"].revision.number == 2

"""The library of prompts over HTTP: versions with authors, rules, previews, and who may what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.api.server import Server
from gateway.engine.passwords import Cost
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit_rows
from gateway.flow.document import Document
from tests.api.test_accounts import House, closed
from tests.engine.gear import started

TEXT = "Sort: {{ data.text | truncate(50) }}"
OTHER = "Sort this line: {{ data.text }}"
FLOW = """
flow: shop
version: 1
nodes:
  lines: {type: simulate.events, items: ["hello"], every_s: 3600}
  model:
    type: llm.generate
    prompts:
      ja: {when: {equals: {lang: ja}}, user: "分類: {{ data.text }}"}
      rest: {file: sort}
    params: {shop: ours}
    deadline_s: 1
  screen: {type: console.sink}
wires:
  - lines -> model -> screen.events
"""


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "sort.jinja").write_text(TEXT)
    runtime = await started(Document.parse(FLOW), tmp_path)
    server = Server(runtime, 0, cost=Cost(16, 8, 1))
    await server.accounts.ready()
    made = House(runtime, server)
    await made.add("anna", "administrator")
    await made.add("eva", "engineer")
    await made.add("vic", "viewer")
    yield made
    await closed(made)


async def ask(house: House, method: str, path: str, body: Any = None, who: str = "eva") -> Any:
    client = await house.browser(who)
    answer = await client.request(method, path, **({} if body is None else {"json": body}))
    await client.aclose()
    return answer


async def test_what_is_asked_by_whom_and_for_which_event(house: House) -> None:
    found = (await ask(house, "GET", "/api/prompts", who="vic")).json()
    (shared,) = found["texts"]
    assert (shared["prompt"], shared["used"], shared["by"]) == ("sort", ["shop/model"], "")
    rows = {row["prompt"]: row for row in found["in_flows"]}
    assert list(rows) == ["ja", "rest"], "in the order in which they are tried"
    assert rows["ja"]["when"] == {"equals": {"lang": "ja"}}
    assert rows["rest"]["when"] is None
    assert rows["rest"]["file"] == "sort"


async def test_an_edit_has_a_version_an_author_and_a_way_back(house: House) -> None:
    one = (await ask(house, "GET", "/api/prompts/sort")).json()
    body = {"text": OTHER, "base": one["version"], "note": "shorter"}
    saved = await ask(house, "PUT", "/api/prompts/sort", body)
    assert saved.status_code == 200
    again = await ask(house, "PUT", "/api/prompts/sort", body)
    assert again.status_code == 409
    assert "changed meanwhile" in again.text
    back = {"text": TEXT, "base": saved.json()["version"], "note": "back"}
    assert (await ask(house, "PUT", "/api/prompts/sort", back)).status_code == 200
    now = (await ask(house, "GET", "/api/prompts/sort")).json()
    assert now["text"] == TEXT
    assert [(row["text"], row["note"]) for row in now["revisions"]] == [
        (TEXT, "back"),
        (OTHER, "shorter"),
    ]
    assert {row["by"] for row in now["revisions"]} == {"user:eva"}
    kept = [row for row in await audit_rows(house.runtime.store) if row["action"] == "prompt/save"]
    assert [row["detail"]["text"] for row in kept] == [TEXT, OTHER]


async def test_a_node_asks_with_the_new_text_at_once(house: House) -> None:
    runtime: Runtime = house.runtime
    node: Any = runtime.runners["shop"].workers["model"].worker
    values = {"topic": "m", "id": "", "time": "", "data": {"text": "abc"}, "params": {}}
    first = node._prompts[1].ask(values, 1000)
    one = (await ask(house, "GET", "/api/prompts/sort")).json()
    await ask(house, "PUT", "/api/prompts/sort", {"text": OTHER, "base": one["version"]})
    second = node._prompts[1].ask(values, 1000)
    assert second.messages == (("user", "Sort this line: abc"),)
    assert first.prompt != second.prompt, "Its answers say with which version they were asked."


async def test_a_preview_says_which_prompt_an_event_gets(house: House) -> None:
    path = "/api/prompts/preview"
    given = {"flow": "shop", "node": "model", "topic": "m", "data": {"text": "現場", "lang": "ja"}}
    found = (await ask(house, "POST", path, given)).json()
    assert found["prompt"].startswith("ja@")
    assert found["messages"] == [["user", "分類: 現場"]]
    other = {**given, "data": {"text": "hi"}}
    assert (await ask(house, "POST", path, other)).json()["messages"] == [["user", "Sort: hi"]]
    missing = await ask(house, "POST", path, {**given, "data": {}})
    assert missing.status_code == 422
    assert "there is no 'text'" in missing.text
    by_itself = await ask(house, "POST", path, {"text": "{{ topic }}!", "topic": "a/b"})
    assert by_itself.json()["messages"] == [["user", "a/b!"]]
    assert (await ask(house, "POST", path, {"flow": "shop", "node": "lines"})).status_code == 409


@pytest.mark.parametrize("text", ["{{ data.", "{% import 'x' %}", "{{ ''.__class__() }}", ""])
async def test_what_is_no_prompt_is_not_kept(house: House, text: str) -> None:
    answer = await ask(house, "PUT", "/api/prompts/bad", {"text": text})
    assert answer.status_code == 409, answer.text
    assert (await ask(house, "GET", "/api/prompts/bad")).status_code == 404


async def test_who_only_looks_changes_nothing_and_no_name_leads_elsewhere(house: House) -> None:
    version = (await ask(house, "GET", "/api/prompts/sort")).json()["version"]
    for method, path, body in (
        ("PUT", "/api/prompts/sort", {"text": "x", "base": version}),
        ("DELETE", f"/api/prompts/sort?base={version}", None),
        ("POST", "/api/prompts/preview", {"text": "x"}),
    ):
        assert (await ask(house, method, path, body, who="vic")).status_code == 403
    assert (await ask(house, "PUT", "/api/prompts/..%2Fx", {"text": "x"})).status_code in (404, 409)
    used = await ask(house, "DELETE", f"/api/prompts/sort?base={version}")
    assert used.status_code == 409
    assert "shop/model" in used.text
    made = (await ask(house, "PUT", "/api/prompts/new", {"text": "x"})).json()["version"]
    assert (await ask(house, "DELETE", f"/api/prompts/new?base={made}")).status_code == 200
    gone = (await ask(house, "GET", "/api/prompts/new")).json()
    assert (gone["text"], gone["revisions"][0]["is_removal"]) == ("", True)


async def test_ready_flows_are_there_to_begin_with(house: House) -> None:
    rows = (await ask(house, "GET", "/api/ready", who="vic")).json()
    names = [row["flow"] for row in rows]
    assert names[:5] == [
        "websocket-model-console",
        "factory-shift",
        "market-feed",
        "service-errors",
        "support-urgent",
    ]
    for row in rows:
        assert row["about"], row["flow"]
        assert row["tests"], row["flow"]
        assert Document.parse(row["text"]).name == row["flow"]
    assert all("llm.generate" in row["nodes"] for row in rows[:5])

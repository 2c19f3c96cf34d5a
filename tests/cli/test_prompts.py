"""genba prompts, against a whole gateway."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit_rows
from gateway.flow.document import Document
from tests.api.serving import Terminal, served
from tests.api.test_prompts import FLOW, OTHER, TEXT
from tests.engine.gear import started


@pytest.fixture
async def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Runtime]:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "sort.jinja").write_text(TEXT)
    runtime = await started(Document.parse(FLOW), tmp_path)
    async with served(runtime) as url:
        monkeypatch.setenv("GENBA_API", url)
        yield runtime
    await runtime.stop()


@pytest.fixture
def genba(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


async def test_a_text_is_listed_shown_edited_and_put_back(
    runtime: Runtime, genba: Terminal, tmp_path: Path
) -> None:
    listed = await genba("prompts")
    version = listed.split()[1]
    assert listed == f"sort                 {version}  asked by shop/model\n"
    assert await genba("prompts", "show", "sort") == TEXT
    assert "Nobody has saved it here" in await genba("prompts", "show", "sort", "--versions")
    edited = tmp_path / "edited.txt"
    edited.write_text(OTHER)
    said = await genba("prompts", "save", "sort", str(edited), "--note", "shorter")
    newer = said.rstrip(".\n").split()[-1]
    assert newer != version
    assert said == f"sort is saved as version {newer}.\n"
    assert (tmp_path / "prompts" / "sort.jinja").read_text() == OTHER
    edited.write_text(TEXT)
    await genba("prompts", "save", "sort", str(edited), "--base", newer)
    versions = (await genba("prompts", "show", "sort", "--versions")).splitlines()
    assert [line[:10].strip() for line in versions] == [f"* {version}", newer]
    assert versions[1].endswith("shorter")
    assert await genba("prompts", "show", "sort", "--at", newer) == OTHER
    assert "has no version 'x'" in await genba("prompts", "show", "sort", "--at", "x", code=1)
    (row,) = [json.loads(line) for line in (await genba("prompts", "list", "--json")).splitlines()]
    assert (row["prompt"], row["version"], row["used"]) == ("sort", version, ["shop/model"])
    saved = [row for row in await audit_rows(runtime.store) if row["action"] == "prompt/save"]
    assert len(saved) == 2


async def test_what_somebody_else_has_saved_is_not_written_over(
    runtime: Runtime, genba: Terminal, tmp_path: Path
) -> None:
    file = tmp_path / "text"
    file.write_text(OTHER)
    said = await genba("prompts", "save", "sort", str(file), "--base", "0bad0bad", code=1)
    assert "has been changed meanwhile" in said
    assert "exists already" in await genba(
        "prompts", "save", "sort", str(file), "--base", "", code=1
    )
    assert (tmp_path / "prompts" / "sort.jinja").read_text() == TEXT
    file.write_text("{% for x in data %}")
    assert "template" in await genba("prompts", "save", "new", str(file), code=1)
    file.write_bytes(b"\xff")
    assert "is no text in UTF-8" in await genba("prompts", "save", "new", str(file), code=1)
    assert not (tmp_path / "prompts" / "new.jinja").exists()


async def test_a_new_one_comes_from_a_pipe_and_goes_when_nobody_asks_it(
    runtime: Runtime, genba: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Say: {{ data.text }}\n"))
    await genba("prompts", "save", "fresh", "-", "--base", "")
    assert await genba("prompts", "show", "fresh") == "Say: {{ data.text }}\n"
    assert "asked by nobody" in await genba("prompts")
    assert "fresh is deleted" in await genba("prompts", "remove", "fresh")
    assert not (tmp_path / "prompts" / "fresh.jinja").exists()
    assert "is deleted" in await genba("prompts", "show", "fresh", code=1)
    assert "deleted" in (await genba("prompts", "show", "fresh", "--versions")).splitlines()[0]
    assert "is asked by shop/model" in await genba("prompts", "remove", "sort", code=1)


async def test_rules_say_which_is_asked_and_an_event_is_tried(
    runtime: Runtime, genba: Terminal
) -> None:
    first, second = (await genba("prompts", "rules")).splitlines()
    assert first.startswith("shop/model")
    assert '{"equals": {"lang": "ja"}} -> its own text' in first
    assert "any event -> file sort" in second
    rows = [json.loads(line) for line in (await genba("prompts", "rules", "--json")).splitlines()]
    assert [row["prompt"] for row in rows] == ["ja", "rest"]
    data = ("--data", '{"lang": "ja", "text": "熱い"}')
    assert await genba("prompts", "try", "--node", "shop/model", *data) == "user:\n  分類: 熱い\n"
    data = ("--data", '{"text": "hot"}')
    assert await genba("prompts", "try", "--name", "sort", *data) == "user:\n  Sort: hot\n"
    assert "No node shop/none" in await genba("prompts", "try", "--node", "shop/none", code=1)
    assert "is no FLOW/NODE" in await genba("prompts", "try", "--node", "shop", code=1)
    said = await genba("prompts", "try", "--name", "sort", "--data", "[1]", code=1)
    assert "is no JSON object" in said
    assert "is no JSON" in await genba("prompts", "try", "--name", "sort", "--data", "x", code=1)

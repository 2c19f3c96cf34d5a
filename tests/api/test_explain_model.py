"""A model words explanations: streamed, checked, late, cancelled, away, killed, poisoned."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect

from gateway.engine import explain as explain_module
from gateway.engine import history as history_module
from gateway.engine import store_writer
from gateway.engine.explain import ExplainOptions
from gateway.engine.history import HistoryLimits
from gateway.flow.models import ModelList
from models.explainer import prompt
from models.explainer.sheet import FactSheet
from tests.api.serving import served
from tests.api.test_explain import (
    HIGH,
    HOSTILE,
    HOT,
    OTHER,
    Bench,
    Wall,
    alarm_of,
    rows,
)
from tests.engine.gear import NS, T0, Script, lent, started, until
from tests.engine.llm_server import LlmServer, hangs, says, serving, streams
from tests.engine.models_gear import needs_llama, server
from tests.models.llm import tiny

OWN = Path(prompt.__file__).with_name("genba.gguf")
GOOD = (
    "{tag} is at {value}, ",
    "{above} its limit of {limit}.\n",
    "The likely cause is {cause}.\nFirst, {check}.",
)


@asynccontextmanager
async def gateway(
    folder: Path, monkeypatch: pytest.MonkeyPatch, deadline_s: float = 5.0
) -> AsyncIterator[Bench]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(history_module, "FLUSH_S", 0.02)
    monkeypatch.setattr(explain_module, "GATHER_S", 0.05)
    with lent(Script()) as script:
        options = ExplainOptions(deadline_s=deadline_s)
        runtime = await started(
            HIGH, folder, history=HistoryLimits(), explain=options, clock=Wall()
        )
        runtime.destinations.allow("127.0.0.1")
        try:
            async with served(runtime) as url:
                yield Bench(runtime, script, url)
        finally:
            await runtime.stop()


async def use(bench: Bench, *found: LlmServer) -> None:
    """These servers are asked, in this order; nothing else is."""
    names = {f"m{i}": server(one.url) for i, one in enumerate(found)}
    models = ModelList.of({"models": names, "rules": [{"models": list(names)}]})
    await bench.runtime.models.book.put(models, None, "user:test", "models/set")


def said(found: dict[str, Any]) -> str:
    return " ".join("".join(p["text"] for p in s["pieces"]) for s in found["text"]["sentences"])


async def test_a_model_words_it_and_every_slot_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(streams(*GOOD)) as llm, gateway(tmp_path, monkeypatch) as bench:
        await use(bench, llm)
        await bench.story()
        found = await bench.explained(alarm_of(HOT))
        assert found["text"]["by"] == "m0", found["text"]["reason"]
        assert "{" not in said(found)
        assert HOT in said(found)
        linked = {p["slot"]: p for s in found["text"]["sentences"] for p in s["pieces"]}
        assert linked["value"]["tag"] == HOT
        assert bench.explainer.counts["by_model"] >= 1
        asked = json.dumps(llm.bodies, ensure_ascii=False)
        assert HOT not in asked
        assert "press1" not in asked
        stored = bench.explainer.board.get((alarm_of(HOT), 1))
        assert stored is not None and stored.explained is not None


async def test_what_is_written_is_seen_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = streams("{tag} is at 99 and ", "{value}, ", "above.", *GOOD, pause_s=0.15)
    async with serving(slow) as llm, gateway(tmp_path, monkeypatch) as bench:
        await use(bench, llm)
        url = bench.client.url.replace("http", "ws") + "/live"
        async with connect(url) as socket:
            await bench.story()
            asked = {"sub": "k", "explain": [alarm_of(HOT), 1], "language": "en"}
            await socket.send(json.dumps(asked))
            seen: list[dict[str, Any]] = []
            async with asyncio.timeout(20):
                while not seen or seen[-1] is None or seen[-1]["state"] != "done":
                    frame = json.loads(await socket.recv())
                    if "k" in frame:
                        seen.append(frame["k"])
        drafts = [one["draft"] for one in seen if one and one["draft"]]
        assert drafts, "it is streamed"
        first = "".join(p["text"] for s in drafts[0]["sentences"] for p in s["pieces"])
        assert "99" not in json.dumps(drafts), "a number that nobody has checked is not shown"
        assert HOT in first
        assert not any(s["is_checked"] for one in drafts for s in one["sentences"])
        before = [one for one in seen if one and one["state"] == "writing" and one["text"]]
        assert before[0]["text"]["by"] == "template", "there is a text before the model's"


async def test_a_wrong_text_a_refusal_and_a_silence_leave_the_template_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lies = streams("It is at 12345 and everything is fine.")
    for number, (step, deadline_s, wanted) in enumerate(
        (
            (lies, 5.0, "did not pass the check"),
            (says(400), 5.0, "did not answer"),
            (hangs(), 0.6, "within 0.6 s"),
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with serving(step) as llm, gateway(folder, monkeypatch, deadline_s) as bench:
            await use(bench, llm)
            await bench.story()
            found = await bench.explained(alarm_of(HOT))
            assert found["text"]["by"] == "template"
            assert wanted in found["text"]["reason"], found["text"]["reason"]
            assert "12345" not in said(found)
            japanese = await bench.explained(alarm_of(HOT), "ja")
            assert "モデル" in japanese["text"]["reason"]


async def test_the_next_model_is_asked_when_one_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serving(says(404)) as away,
        serving(streams(*GOOD)) as llm,
        gateway(tmp_path, monkeypatch) as bench,
    ):
        await use(bench, away, llm)
        await bench.story()
        found = await bench.explained(alarm_of(HOT))
        assert found["text"]["by"] == "m1", found["text"]["reason"]


async def test_a_model_is_stopped_when_the_alarm_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(hangs()) as llm, gateway(tmp_path, monkeypatch, 60.0) as bench:
        await use(bench, llm)
        await bench.story((HOT,))
        await until(lambda: llm.bodies)
        progress = bench.explainer.board.get((alarm_of(HOT), 1))
        assert progress is not None and progress.state == "writing"
        assert progress.explained is not None, "the template's text is there meanwhile"
        bench.explainer.desk.over((alarm_of(HOT), 1))
        found = await bench.explained(alarm_of(HOT))
        assert "The alarm was over" in found["text"]["reason"]
        assert bench.explainer.counts["cancelled"] == 2
        await asyncio.wait_for(llm.gone.wait(), 10)


async def test_hostile_names_give_the_byte_identical_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    for number, line in enumerate(("press1", f"press1{HOSTILE}")):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with serving(streams(*GOOD)) as llm, gateway(folder, monkeypatch) as bench:
            await use(bench, llm)
            tags = (f"plant/{line}/bearing/temperature", f"plant/{line}/bearing/vibration")
            await bench.story(tags)
            found = await bench.explained(alarm_of(tags[0]))
            sheet = FactSheet.from_json(found["sheet"])
            assert sheet.signal.quantity == "temperature"
            asked.append([body["messages"] for body in llm.bodies])
            own = prompt.ask(sheet, "en", is_own_model=True)
            assert "img" not in str(own.messages)
    assert asked[0] == asked[1]


async def use_file(bench: Bench, path: Path) -> None:
    """A model in a file of the models folder is asked, and nothing else."""
    model = {
        "kind": "gguf",
        "file": path.name,
        "context": 4_096,
        "size": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    found = ModelList.of({"models": {"file": model}, "rules": [{"models": ["file"]}]})
    await bench.runtime.models.book.put(found, None, "user:test", "models/set")


def folder_of(bench: Bench) -> Path:
    folder = bench.runtime.state_dir / "models"
    folder.mkdir(exist_ok=True)
    return folder


@needs_llama
async def test_a_worker_that_is_killed_while_it_writes_costs_an_alarm_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch, 30.0) as bench:
        await use_file(bench, tiny.write(folder_of(bench) / "tiny.gguf"))
        await bench.story((HOT,))
        pool = bench.runtime.models

        def pid() -> int:
            entry = pool._runners.get("file")
            return int(getattr(entry[1], "pid", 0) or 0) if entry is not None else 0

        await until(pid, 30)
        for _ in range(4):  # As often as it comes back.
            if (number := pid()) > 0:  # 0 would be all of us.
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            await bench.read(one_more(bench))
            await asyncio.sleep(0.3)
        found = await bench.explained(alarm_of(HOT))
        assert found["state"] == "done"
        assert found["text"]["sentences"]
        assert found["text"]["by"] == "template", "what random weights say does not pass"
        assert found["text"]["reason"]
        assert bench.runtime.book.get(alarm_of(OTHER)) is not None, "alarms go on"


def one_more(bench: Bench) -> Any:
    """Samples of another line that raise an alarm of their own."""
    at_s = (bench.clock.at - T0) / NS + 1
    return rows(bench.runtime, (OTHER,), at_s, 2, lambda t, i: np.full(len(t), 90.0))


@needs_llama
async def test_a_poisoned_model_file_changes_nothing_but_the_wording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch, 15.0) as bench:
        whole = bytearray(tiny.write(folder_of(bench) / "tiny.gguf").read_bytes())
        for at in range(8, len(whole), 7):
            whole[at] ^= 0x5A
        poison = folder_of(bench) / "poison.gguf"
        poison.write_bytes(whole)
        await use_file(bench, poison)
        await bench.story((HOT,))
        found = await bench.explained(alarm_of(HOT))
        assert (found["state"], found["text"]["by"]) == ("done", "template")
        assert found["text"]["reason"]


@needs_llama
@pytest.mark.skipif(not OWN.exists(), reason="there is no own model yet: make model")
async def test_our_own_model_words_it_in_both_languages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch, 20.0) as bench:
        known = bench.runtime.models.book.found
        ruled = ModelList.of(
            known.model_dump(mode="json") | {"rules": [{"task": "explain", "models": ["own"]}]}
        )
        await bench.runtime.models.book.put(ruled, None, "user:test", "models/set")
        await bench.story((HOT,))
        for language in ("en", "ja"):
            found = await bench.explained(alarm_of(HOT), language)
            assert found["text"]["by"] == "own", found["text"]["reason"]
            assert HOT in said(found)


async def test_a_gateway_stops_while_a_model_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serving(hangs()) as llm,
        asyncio.timeout(60),
        gateway(tmp_path, monkeypatch, 600.0) as bench,
    ):
        await use(bench, llm)
        await bench.story((HOT,))
        await until(lambda: llm.bodies)


async def test_without_a_rule_the_text_is_the_templates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch) as bench:
        await bench.story((HOT,))
        found = await bench.explained(alarm_of(HOT))
        assert (found["state"], found["text"]["by"]) == ("done", "template")
        assert "rule for explain" in found["text"]["reason"]

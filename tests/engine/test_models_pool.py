"""The pool: who is asked, what it may cost, what is kept, and how the list is changed."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from gateway import ConfigError, Disconnected, Rejected
from gateway.engine.models_choice import Known, choose
from gateway.engine.store_answers import Answers, Stored
from gateway.engine.store_records import audit_rows
from gateway.flow.models import USUAL, LocalModel, ModelList
from tests.engine.llm_server import gives, hangs, says, serving, streams
from tests.engine.models_gear import ask, gear, server

LOCAL = {"kind": "gguf", "file": "own"}


def listed(models: dict[str, Any], *rules: dict[str, Any]) -> ModelList:
    return ModelList.of({"models": models, "rules": list(rules)})


# ---------------------------------------------------------------- the choice

OUTSIDE = server("https://api.example.com/v1", is_inside=False)
INSIDE = server("http://10.0.0.9:8080/v1")


def test_nothing_leaves_the_plant_unless_a_rule_says_so() -> None:
    models = {"out": OUTSIDE, "in": INSIDE, "own": LOCAL}
    assert choose(listed(models), ask(), {}).names == ["own", "in"]
    assert "may not leave" in choose(listed(models), ask(), {}).out["out"]
    public = ask(is_private=False)
    assert choose(listed(models), public, {}).names == ["own", "in", "out"]
    named = choose(listed(models), ask(model="out"), {})
    assert named.names == [], "Naming a model is no way round."
    assert isinstance(named.refusal(), ConfigError)
    allowed = listed(models, {"task": "chat", "may_leave": True})
    assert choose(allowed, ask(), {}).names == ["own", "in", "out"]
    assert choose(allowed, ask(task="explain"), {}).names == ["own", "in"]


def test_the_first_rule_that_fits_is_the_one() -> None:
    found = listed(
        {"a": LOCAL, "b": INSIDE, "c": INSIDE},
        {"task": "explain", "language": "ja", "models": ["b"]},
        {"task": "explain", "models": ["a", "b"]},
        {"models": ["c"]},
    )
    assert choose(found, ask(task="explain", language="ja"), {}).names == ["b"]
    assert choose(found, ask(task="explain"), {}).names == ["a", "b"]
    assert choose(found, ask(), {}).names == ["c"]
    assert "rule 3" in choose(found, ask(), {}).why


def test_what_a_model_is_for() -> None:
    models = {"a": {**LOCAL, "tasks": ["explain"], "languages": ["en"]}, "b": INSIDE}
    found = listed(models)
    assert choose(found, ask(task="explain"), {}).names == ["a", "b"]
    assert choose(found, ask(task="explain", language="ja"), {}).names == ["b"]
    assert choose(found, ask(), {}).out == {"a": "it is not for chat"}


def test_latency_and_cost() -> None:
    known = {"a": Known(2.0, 0.5), "b": Known(0.2, 0.9), "c": Known(None, 0.1)}
    models = {"a": INSIDE, "b": INSIDE, "c": INSIDE}
    assert choose(listed(models, {"prefer": "latency"}), ask(), known).names == ["c", "b", "a"]
    assert choose(listed(models, {"prefer": "cost"}), ask(), known).names == ["c", "a", "b"]
    bounded = listed(models, {"latency_max_s": 1, "cost_max": 0.5})
    assert choose(bounded, ask(), known).names == ["c"]
    full = choose(listed({"a": INSIDE}), ask(), {"a": Known(budget="all is used")})
    assert isinstance(full.refusal(), Disconnected), "Tomorrow it is allowed again."


# ---------------------------------------------------------------- one after the other


async def test_one_that_fails_is_followed_by_the_next(tmp_path: Path) -> None:
    async with gear(tmp_path) as g, serving(says(500, "down")) as bad, serving(gives("x")) as good:
        await g.set({"a": server(bad.url, tries=1), "b": server(good.url)}, [{}])
        found = await g.pool.generate(ask())
        assert (found.text, found.model) == ("x", "b")
        assert "a failed: 127.0.0.1" in found.reason
        assert "down" in found.reason
        assert [level for level, where, _ in g.said if where == "models/a"] == ["warning"]
        await g.pool.generate(ask("again"))
        assert len(g.said) == 1, "It is said once."
        bad.steps = [gives("back")]
        assert (await g.pool.generate(ask("third"))).model == "a"
        assert g.said[-1] == ("info", "models/a", "The model a answers again.")


async def test_a_hanging_one_leaves_time_for_the_next(tmp_path: Path) -> None:
    async with gear(tmp_path) as g, serving(hangs()) as bad, serving(gives("x")) as good:
        await g.set({"a": server(bad.url), "b": server(good.url)}, [{}])
        found = await g.pool.generate(ask(deadline_s=2.0))
        assert found.model == "b"
        assert g.pool.rows()[0]["counts"]["late"] == 1


async def test_when_none_answers_every_reason_is_said(tmp_path: Path) -> None:
    async with gear(tmp_path) as g, serving(says(400, "never")) as a, serving(says(503)) as b:
        await g.set({"a": server(a.url), "b": server(b.url, tries=1)}, [{}])
        with pytest.raises(Disconnected, match=r"a: .*never.*; b: .*later"):
            await g.pool.generate(ask())
        await g.set({"a": server(a.url)})
        with pytest.raises(Rejected, match="never"):
            await g.pool.generate(ask())
        await g.set({})
        with pytest.raises(ConfigError, match="No model may answer"):
            await g.pool.generate(ask())


async def test_one_who_fails_at_pieces_costs_no_answer(tmp_path: Path) -> None:
    def hears(text: str) -> None:
        raise RuntimeError("a closed browser")

    async with gear(tmp_path) as g, serving(streams("a", "b")) as s:
        await g.set({"a": server(s.url)})
        assert (await g.pool.generate(ask(), hears)).text == "ab"


# ---------------------------------------------------------------- what it costs


async def test_a_day_has_a_budget_that_outlives_a_restart(tmp_path: Path) -> None:
    limits = {"tokens_per_day": 300, "price_in": 1e6, "price_out": 2e6, "cost_per_day": 1_000}
    async with gear(tmp_path) as g, serving(gives("x", usage=(100, 50))) as s:
        await g.set({"a": server(s.url, **limits)})
        found = await g.pool.generate(ask("1", tokens_max=60))
        assert found.cost == 100 * 1 + 50 * 2
        await g.restart()
        await g.pool.generate(ask("2", tokens_max=60))
        with pytest.raises(Disconnected, match="300 of 300 tokens"):
            await g.pool.generate(ask("3", tokens_max=60))
        (row,) = g.pool.rows()
        assert (row["tokens_today"], row["cost_today"]) == (300, 400)
        assert len(s.bodies) == 2


async def test_what_is_under_way_counts_as_spent(tmp_path: Path) -> None:
    async with gear(tmp_path) as g, serving(hangs()) as s:
        await g.set({"a": server(s.url, tokens_per_day=150, at_once=4)})
        first = asyncio.ensure_future(g.pool.generate(ask("1", tokens_max=100)))
        while not s.bodies:
            await asyncio.sleep(0.01)
        with pytest.raises(Disconnected, match="tokens_per_day"):
            await g.pool.generate(ask("2", tokens_max=100))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert g.pool.tallies.of("a").spent.reserved_tokens == 0


# ---------------------------------------------------------------- what is kept


async def test_the_same_question_is_answered_from_what_is_kept(tmp_path: Path) -> None:
    async with gear(tmp_path) as g, serving(gives("1")) as s:
        await g.set({"a": server(s.url)})
        await g.pool.generate(ask("1"))
        await g.restart()
        pieces: list[str] = []
        found = await g.pool.generate(ask("1", deadline_s=1, priority=9, key="k"), pieces.append)
        assert (found.text, found.is_cached, pieces) == ("1", True, ["1"])
        changes = ({"temperature": 0.5}, {"seed": 2}, {"tokens_max": 9}, {"schema": {}},
                   {"grammar": "root ::= .*"}, {"messages": (("system", "1"),)})  # fmt: skip
        for change in changes:
            found = await g.pool.generate(dataclasses.replace(ask("1"), **change))
            assert not found.is_cached, change
        assert len(s.bodies) == 1 + len(changes)
        assert g.pool.rows()[0]["counts"]["cached"] == 1


async def test_what_is_kept_is_bounded_and_the_unused_goes_first(tmp_path: Path) -> None:
    said: list[str] = []
    answers = Answers(tmp_path / "a.db", said.append, rows_max=3, bytes_max=1_000)
    for n in range(3):
        await answers.put(bytes([n]), Stored("m", "x", 1, 1), n)
    assert await answers.get(b"\0", 10) is not None
    await answers.put(b"\3", Stored("m", "x", 1, 1), 11)
    assert await answers.get(b"\1", 12) is None
    assert await answers.get(b"\0", 12) is not None
    await answers.put(b"\4", Stored("m", "x" * 850, 1, 1), 13)
    assert answers.rows == 2, "The bytes have a bound as well."
    await answers.put(b"\5", Stored("m", "x" * 2_000, 1, 1), 14)
    assert await answers.get(b"\5", 15) is None
    assert await answers.forget() == 2
    await answers.close()
    assert said == []


async def test_a_damaged_file_begins_anew_and_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "a.db"
    path.write_bytes(b"no database at all" * 100)
    answers = Answers(path, said.append)
    assert await answers.get(b"k", 1) is None
    await answers.put(b"k", Stored("m", "x", 1, 1), 1)
    assert await answers.get(b"k", 1) == Stored("m", "x", 1, 1)
    await answers.close()
    assert len(said) == 1
    assert "begins anew" in said[0]


async def test_a_disk_that_takes_nothing_costs_no_answer(tmp_path: Path) -> None:
    async with gear(tmp_path) as g, serving(gives("x")) as s:
        (tmp_path / "answers.db").mkdir()
        await g.set({"a": server(s.url)})
        assert (await g.pool.generate(ask())).text == "x"
        assert any("cannot be kept" in text for _, _, text in g.said)


# ---------------------------------------------------------------- the list


async def test_a_change_is_in_the_audit_and_on_the_disk(tmp_path: Path) -> None:
    async with gear(tmp_path) as g:
        assert g.pool.book.found == USUAL
        await g.set({"b": INSIDE}, [{"models": ["b"]}])
        (row, *_) = await audit_rows(g.store)
        assert (row["actor"], row["action"]) == ("user:test", "models/set")
        assert ModelList.parse(row["detail"]["text"]) == g.pool.book.found
        await g.restart()
        assert list(g.pool.book.found.models) == ["b"]
        await g.pool.book.remove("b", "user:test")
        assert (g.pool.book.found.models, g.pool.book.found.rules) == ({}, ())
        with pytest.raises(ConfigError, match="no model 'b'"):
            await g.pool.book.remove("b", "user:test")


async def test_nobody_saves_over_what_they_have_not_seen(tmp_path: Path) -> None:
    async with gear(tmp_path) as g:
        base = g.pool.book.version
        await g.set({"b": INSIDE})
        with pytest.raises(ConfigError, match="meanwhile"):
            await g.pool.book.put(USUAL, base, "user:test", "models/set")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("models: {a: {kind: server, url: 'ftp://x/v1', model: m}}", "no address"),
        ("models: {a: {kind: server, url: 'http://u:p@x/v1', model: m}}", "no password"),
        ("models: {a: {kind: server, url: 'http://x/v1', model: m, api_key: k}}", "api_key"),
        ("models: {a: {kind: gguf, file: ../../etc/x.gguf}}", "no GGUF file"),
        ("models: {a: {kind: gguf, file: x.gguf}}", "no sha256"),
        ("models: {A b: {kind: gguf, file: own}}", "A b"),
        ("rules: [{models: [x]}]", "names 'x'"),
        ("rules: [{task: dance}]", "task"),
        ("models: 3", "models"),
        ("[", "models.yaml"),
    ],
)
def test_a_list_that_is_wrong_is_refused_with_its_place(text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        ModelList.parse(text)


async def test_a_list_that_cannot_be_read_leaves_the_usual_one(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text("models: {a: {kind: magic}}\n")
    async with gear(tmp_path) as g:
        assert g.pool.book.found == USUAL
        assert "models.yaml" in g.pool.book.problem


def test_equal_lists_are_equal_files() -> None:
    found = listed({"b": OUTSIDE, "own": LOCAL}, {"models": ["own", "b"], "may_leave": True})
    again = ModelList.parse(found.text())
    assert again == found
    assert again.text() == found.text()
    assert json.loads(json.dumps(found.model_dump(mode="json")))["rules"][0]["may_leave"]


async def test_a_file_that_is_there_is_found_and_must_be_whole(tmp_path: Path) -> None:
    from tests.models.llm import tiny

    folder = tmp_path / "models"
    folder.mkdir()
    tiny.write(folder / "good.gguf", context=512)
    (folder / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    async with gear(tmp_path) as g:
        rows = {row["file"]: row for row in g.pool.book.files()}
        assert rows["good.gguf"]["architecture"] == "llama"
        assert rows["good.gguf"]["context"] == 512
        assert "no model that can be used" in rows["bad.gguf"]["problem"]
        model = LocalModel.model_validate({"kind": "gguf", "file": "good.gguf", "context": 9_999})
        await g.pool.book.add("good", model, "user:test")
        added = g.pool.book.found.models["good"]
        assert isinstance(added, LocalModel)
        assert (added.context, len(added.sha256)) == (512, 64)
        for file, match in (("bad.gguf", "no model"), ("absent.gguf", "no file")):
            wrong = LocalModel.model_validate({"kind": "gguf", "file": file})
            with pytest.raises(ConfigError, match=match):
                await g.pool.book.add("x", wrong, "user:test")

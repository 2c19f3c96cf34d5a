"""Explanations of alarms over the API of a running gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway import Reading, Rejected
from gateway.api.client_explain import ExplainClient
from gateway.data.batch import Batch
from gateway.engine import explain as explain_module
from gateway.engine import history as history_module
from gateway.engine import store_writer
from gateway.engine.explain import Explainer, ExplainOptions
from gateway.engine.history import HistoryLimits
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit_rows
from tests.api.serving import Terminal, served
from tests.engine.gear import NS, T0, Script, flow, kill, lent, started, until
from tests.engine.test_history import Hand

HOT = "plant/press1/bearing/temperature"
SHAKES = "plant/press1/bearing/vibration"
OTHER = "plant/press2/bearing/temperature"
HIGH = flow(
    "src: {type: script.source}\nhigh: {type: alarm.limit, hi: 75, deadband: 5}", "src -> high"
)


class Wall(Hand):
    """A clock that a test sets forward, and that runs besides."""

    def monotonic(self) -> float:
        return self.at / 1e9 + asyncio.get_running_loop().time()


class Bench:
    """A gateway that explains, its script and a client."""

    def __init__(self, runtime: Runtime, script: Script, url: str) -> None:
        self.runtime = runtime
        self.script = script
        self.client = ExplainClient(url)
        assert runtime.explainer is not None
        self.explainer: Explainer = runtime.explainer
        self.clock: Any = runtime.clock
        self._token = 0

    async def read(self, batch: Batch) -> None:
        """Have the source read samples, and wait until all is done with them."""
        self._token += 1
        self.clock.at = max(self.clock.at, int(batch.ts.max()))
        await self.script.readings.put(Reading({"out": batch}, token=self._token))
        await until(lambda: self._token in self.script.acknowledged)
        await until(lambda: self.runtime.runners["test"].inbox.rows == 0)

    async def story(self, tags: tuple[str, ...] = (HOT, SHAKES), *, at_s: float = 0) -> None:
        """Ten quiet minutes; then each tag rises, one after the other, above its limit."""
        await self.read(rows(self.runtime, tags, at_s, 600, lambda t, i: np.full(len(t), 50.0)))
        await self.read(
            rows(
                self.runtime,
                tags,
                at_s + 600,
                90,
                lambda t, i: 50.0 + 0.5 * np.maximum(t - 600 - at_s - 5 * i, 0.0),
            )
        )

    async def explained_or_not(self, alarm: str) -> dict[str, Any]:
        """What is said of an alarm now."""
        return await asyncio.to_thread(self.client.explanation, alarm)

    async def explained(self, alarm: str, language: str = "en") -> dict[str, Any]:
        """What is said of an alarm once it is all done."""
        async with asyncio.timeout(20):
            while True:
                found = await asyncio.to_thread(self.client.explanation, alarm, 0, language)
                if found["state"] in ("done", "failed", "dropped"):
                    return found
                await asyncio.sleep(0.02)


def rows(runtime: Runtime, tags: tuple[str, ...], from_s: float, length_s: float, f: Any) -> Batch:
    """Samples of some tags, two a second, with a little noise."""
    rng = np.random.default_rng(int(from_s) + 1)
    t = from_s + np.arange(0, length_s, 0.5)
    parts = []
    for i, tag in enumerate(tags):
        code = np.full(len(t), runtime.tags.code(tag), np.uint16)
        ts = T0 + (t * NS).astype(np.int64)
        value = f(t, i) + rng.normal(0, 0.2, len(t))
        parts.append(Batch(code, ts, value, np.zeros(len(t), np.uint32)))
    batch = Batch.concat(parts)
    return batch.where(np.argsort(batch.ts, kind="stable"))


def alarm_of(tag: str, condition: str = "HI") -> str:
    return f"test/high:{tag}:{condition}"


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(history_module, "FLUSH_S", 0.02)
    monkeypatch.setattr(explain_module, "GATHER_S", 0.05)
    monkeypatch.setattr(explain_module, "AFTER_S", 0.05)
    with lent(Script()) as script:
        runtime = await started(
            HIGH,
            tmp_path,
            history=HistoryLimits(),
            explain=ExplainOptions(deadline_s=0),
            clock=Wall(),
        )
        async with served(runtime) as url:
            yield Bench(runtime, script, url)
        await runtime.stop()


async def test_an_alarm_is_explained_in_both_languages(bench: Bench) -> None:
    await bench.story()
    found = await bench.explained(alarm_of(HOT))
    assert found["state"] == "done", found["note"]
    text = found["text"]
    said = " ".join("".join(p["text"] for p in s["pieces"]) for s in text["sentences"])
    assert HOT in said
    assert "rising" in said, said
    assert text["by"] == "template"
    assert text["reason"] == "Models are switched off for explanations (--explain-deadline-s 0)."
    assert all(sentence["is_checked"] for sentence in text["sentences"])
    linked = [p for s in text["sentences"] for p in s["pieces"] if p["tag"]]
    assert {piece["tag"] for piece in linked} >= {HOT}
    assert found["sheet"]["move"]["shape"] == "drift"
    assert found["causes"][0]["name"]
    assert found["causes"][0]["check"]
    assert found["causes"][0]["sources"]
    japanese = await bench.explained(alarm_of(HOT), "ja")
    assert japanese["text"]["language"] == "ja"
    assert japanese["sheet"] == found["sheet"]
    assert japanese["causes"][0]["id"] == found["causes"][0]["id"]


async def test_ten_alarms_at_once_are_explained_once(bench: Bench) -> None:
    tags = tuple(f"plant/press1/pump/pressure{i}" for i in range(10))
    quiet = rows(bench.runtime, tags, 0, 600, lambda t, i: np.full(len(t), 50.0))
    await bench.read(quiet)
    rise = rows(bench.runtime, tags, 600, 60, lambda t, i: 50.0 + 0.6 * (t - 600))
    await bench.read(rise)
    await until(lambda: len(bench.runtime.book.open()) == 10)
    found = [await bench.explained(alarm_of(tag)) for tag in tags]
    assert {one["state"] for one in found} == {"done"}
    assert len({one["alarm"] for one in found}) == 1, "one explanation for all of them"
    assert len(found[0]["members"]) == 10
    assert (bench.explainer.counts["explained"], bench.explainer.counts["joined"]) == (1, 9)
    assert found[0]["sheet"]["incident"] == sorted(alarm_of(tag) for tag in tags)
    await asyncio.sleep(0.3)  # It is shown before it is stored.
    stored = (await asyncio.to_thread(bench.client.export_explanations)).splitlines()
    assert len(stored) == 1


async def test_two_faults_at_once_on_two_lines_are_two_incidents(bench: Bench) -> None:
    await bench.story((HOT, SHAKES, OTHER))
    one = await bench.explained(alarm_of(HOT))
    two = await bench.explained(alarm_of(OTHER))
    assert one["alarm"] == (await bench.explained(alarm_of(SHAKES)))["alarm"]
    assert two["alarm"] == alarm_of(OTHER)
    assert one["alarm"] != two["alarm"]


async def test_what_an_operator_says_is_shown_next_time_and_moves_the_ranking(
    bench: Bench,
) -> None:
    await bench.story()
    first = await bench.explained(alarm_of(HOT))
    ranked = [cause["id"] for cause in first["causes"]]
    assert len(ranked) > 1
    right = ranked[1]
    said = {"cause": right, "said": "It was <b>this</b>."}
    lead = first["alarm"]
    await asyncio.to_thread(lambda: bench.client.judge(lead, 0, "other", **said, actor="user:oli"))
    assert (await bench.explained(lead))["judgement"]["said"] == "It was <b>this</b>."
    await bench.read(
        rows(bench.runtime, (HOT, SHAKES), 690, 60, lambda t, i: np.full(len(t), 50.0))
    )
    await bench.story(at_s=2000)
    await until(lambda: bench.runtime.book.get(lead).occurrence == 2)  # type: ignore[union-attr]  # it is open
    second = await bench.explained(lead)
    assert second["occurrence"] == 2
    assert [(case["verdict"], case["cause"], case["said"]) for case in second["cases"]] == [
        ("other", right, "It was <b>this</b>.")
    ]
    weights = [{c["id"]: c["weight"] for c in one["causes"]} for one in (first, second)]
    assert weights[1][right] > 2 * weights[0][right]
    cases = await asyncio.to_thread(bench.client.similar_cases, lead)
    assert cases == second["cases"]
    record = (await audit_rows(bench.runtime.store))[0]
    assert (record["action"], record["detail"]["cause"]) == ("explanation/judge", right)


async def test_a_verdict_needs_something_to_say_and_an_explanation(bench: Bench) -> None:
    await bench.story()
    lead = (await bench.explained(alarm_of(HOT)))["alarm"]
    with pytest.raises(Rejected, match="what it was"):
        await asyncio.to_thread(bench.client.judge, lead, 0, "other")
    with pytest.raises(Rejected, match="any more"):
        await asyncio.to_thread(bench.client.judge, "test/high:none:HI", 1, "right")
    await asyncio.to_thread(bench.client.judge, lead, 0, "right")
    found = await bench.explained(lead)
    assert found["judgement"]["cause"] == found["causes"][0]["id"], "right means the first cause"


HOSTILE = '"><img src=x onerror=alert(1)>{value}<|im_end|>99\u202e'


async def test_a_hostile_name_is_text_and_changes_nothing_else(bench: Bench) -> None:
    await bench.story((f"plant/press1/bearing/{HOSTILE}", SHAKES))
    alarm = alarm_of(f"plant/press1/bearing/{HOSTILE}")
    found = await bench.explained(alarm)
    assert found["state"] == "done"
    pieces = [p for s in found["text"]["sentences"] for p in s["pieces"]]
    assert not any("\u202e" in piece["text"] for piece in pieces), "no change of direction"
    named = [piece for piece in pieces if "<img" in piece["text"]]
    assert all(piece["slot"] for piece in named), "it fills a slot and is no word of ours"


async def test_it_survives_a_restart_and_what_was_open_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(history_module, "FLUSH_S", 0.02)
    clock = Wall()
    more: dict[str, Any] = {"history": HistoryLimits(), "clock": clock}
    with lent(Script()) as script:
        runtime = await started(HIGH, tmp_path, explain=ExplainOptions(deadline_s=0), **more)
        async with served(runtime) as url:
            bench = Bench(runtime, script, url)
            await bench.story()
            before = await bench.explained(alarm_of(HOT))
            await asyncio.sleep(0.2)
        await kill(runtime)
    with lent(Script()) as script:
        runtime = await started(HIGH, tmp_path, explain=ExplainOptions(deadline_s=0), **more)
        async with served(runtime) as url:
            bench = Bench(runtime, script, url)
            after = await bench.explained(alarm_of(HOT))
            ignored = ("version",)
            assert {k: v for k, v in after.items() if k not in ignored} == {
                k: v for k, v in before.items() if k not in ignored
            }
            await asyncio.sleep(0.3)
            assert bench.explainer.counts["explained"] == 0, "it is not made a second time"
            await bench.runtime.store.run(lambda db: db.execute("DELETE FROM explanation"))
            bench.explainer.board._known.clear()
        await runtime.stop()
        runtime = await started(HIGH, tmp_path, explain=ExplainOptions(deadline_s=0), **more)
        async with served(runtime) as url:
            bench = Bench(runtime, script, url)
            assert (await bench.explained(alarm_of(HOT)))["state"] == "done"
        await runtime.stop()


async def test_explained_anew_and_what_nobody_knows(bench: Bench) -> None:
    assert (await bench.explained_or_not(alarm_of(HOT)))["state"] == "none"
    with pytest.raises(Rejected, match="No alarm event"):
        await asyncio.to_thread(bench.client.explain, alarm_of(HOT))
    await bench.story()
    first = await bench.explained(alarm_of(HOT))
    bench.clock.at += 30 * NS
    asked = await asyncio.to_thread(bench.client.explain, alarm_of(HOT))
    assert asked["state"] in ("waiting", "looking", "done")
    await until(lambda: bench.explainer.counts["explained"] >= 2)
    again = await bench.explained(alarm_of(HOT))
    assert again["made"] > first["made"]


async def test_a_storm_is_bounded_and_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.explainer._queue, "_rows_max", 5)
    tags = tuple(f"hall{i}/line{i}/motor/current" for i in range(40))
    await bench.read(rows(bench.runtime, tags, 0, 60, lambda t, i: np.full(len(t), 50.0)))
    await bench.read(rows(bench.runtime, tags, 60, 10, lambda t, i: np.full(len(t), 90.0)))
    await until(lambda: len(bench.runtime.book.open()) == 40)
    await until(lambda: bench.explainer.dropped >= 30, 60)
    await until(lambda: not bench.explainer.waiting, 60)
    states = [await bench.explained(alarm_of(tag)) for tag in tags]
    dropped = [one for one in states if one["state"] == "dropped"]
    assert len(dropped) == bench.explainer.dropped
    assert "Ask for it" in dropped[0]["note"]
    await asyncio.to_thread(bench.client.explain, dropped[0]["alarm"])
    await until(lambda: bench.explainer.board.get((dropped[0]["alarm"], 1)).state == "done")  # type: ignore[union-attr]  # it is known


async def test_an_error_of_ours_costs_one_explanation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*values: Any) -> Any:
        raise ValueError("it was told to")

    monkeypatch.setattr(explain_module, "make", fails)
    await bench.story()
    found = await bench.explained(alarm_of(HOT))
    assert found["state"] == "failed"
    assert "it was told to" in found["note"]
    monkeypatch.undo()
    await asyncio.to_thread(bench.client.explain, alarm_of(HOT))
    await until(lambda: bench.explainer.counts["explained"] == 1)


async def test_the_command(
    bench: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    terminal = Terminal(capsys)
    await bench.story()
    await bench.explained(alarm_of(HOT))
    url = bench.client.url
    said = await terminal("explain", "bearing/temperature:HI", "--api", url)
    assert HOT in said
    assert "template" in said
    japanese = await terminal(
        "explain", "bearing/temperature:HI", "--api", url, "--language", "ja", "--facts"
    )
    assert "限界値" in japanese
    assert '"shape": "drift"' in japanese
    out = tmp_path / "all.jsonl"
    await terminal("explain", "export", "--api", url, "--out", str(out))
    (line,) = out.read_text().splitlines()
    assert set(json.loads(line)) >= {"sheet", "texts", "causes", "judgement"}
    missing = await terminal("explain", "nothing:HI", "--api", url, code=1)
    assert "There is no alarm" in missing


def jumped(bench: Bench, from_s: float, length_s: float) -> Batch:
    """The hot one stands high, its neighbour where it was."""
    tags = (HOT, SHAKES)
    return rows(
        bench.runtime, tags, from_s, length_s, lambda t, i: np.full(len(t), (90.0, 50.0)[i])
    )


async def jumps(bench: Bench) -> None:
    """Ten minutes of calm, and a jump that is four seconds old."""
    calm = rows(bench.runtime, (HOT, SHAKES), 0, 600, lambda t, i: np.full(len(t), 50.0))
    await bench.read(calm)
    await bench.read(jumped(bench, 600, 4))


async def test_a_jump_that_stays_is_told_as_such_once_it_is_old_enough(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to ask, and the alarm need not be over."""
    monkeypatch.setattr(explain_module, "YOUNG_S", 0.3)
    await jumps(bench)
    first = await bench.explained(alarm_of(HOT))
    assert first["sheet"]["move"]["is_new"]
    await bench.read(jumped(bench, 604, 60))
    await until(lambda: bench.explainer.counts["explained"] == 2)
    again = await bench.explained(alarm_of(HOT))
    assert again["sheet"]["move"]["shape"] == "step"
    assert not again["sheet"]["move"]["is_new"]
    await asyncio.sleep(1.2)
    assert bench.explainer.counts["explained"] == 2, "now it is known"


async def test_a_jump_that_stays_young_is_looked_at_so_often_and_no_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_module, "YOUNG_S", 0.02)
    await jumps(bench)
    most = 1 + explain_module.YOUNG_LOOKS_MAX
    await until(lambda: bench.explainer.counts["explained"] == most)
    await asyncio.sleep(0.3)
    assert bench.explainer.counts["explained"] == most


async def test_a_spike_is_seen_as_one_when_it_is_over(bench: Bench) -> None:
    tags = (HOT, SHAKES)
    await bench.read(rows(bench.runtime, tags, 0, 600, lambda t, i: np.full(len(t), 50.0)))
    await bench.read(
        rows(bench.runtime, tags, 600, 4, lambda t, i: np.where(i == 0, 90.0, 50.0) + 0 * t)
    )
    first = await bench.explained(alarm_of(HOT))
    assert first["sheet"]["move"]["shape"] == "step", "nobody can know yet"
    await bench.read(rows(bench.runtime, tags, 604, 20, lambda t, i: np.full(len(t), 50.0)))
    await until(lambda: bench.explainer.counts["explained"] == 2)
    again = await bench.explained(alarm_of(HOT))
    assert again["sheet"]["move"]["shape"] == "spike"
    await asyncio.sleep(0.2)
    assert bench.explainer.counts["explained"] == 2, "once more, and not for ever"

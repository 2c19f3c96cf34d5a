"""Trends, CSV, stored alarms and KPIs over the API of a running gateway."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from gateway import Reading, Rejected
from gateway.api import routes_history
from gateway.api.client_history import HistoryClient
from gateway.engine import history as history_module
from gateway.engine import store_writer
from gateway.engine.history import History, HistoryLimits
from gateway.engine.runtime import Runtime
from tests.api.serving import Terminal, served
from tests.engine.gear import NS, T0, Script, flow, lent, samples, started, until
from tests.engine.test_history import Hand

FLOW = flow(
    "src: {type: script.source}\nhigh: {type: alarm.limit, hi: 75}\n"
    "mean: {type: window.tumbling, size_s: 10}\nstats: {type: feature.statistics}",
    "src -> high, src -> mean -> stats",
)
MINUTE = 60 * NS


class Bench:
    """A gateway that runs, its script and a client."""

    def __init__(self, runtime: Runtime, script: Script, url: str) -> None:
        self.runtime = runtime
        self.script = script
        self.client = HistoryClient(url)
        assert runtime.history is not None
        self.history: History = runtime.history
        self._token = 0

    async def read(self, text: str) -> None:
        """Have the source read samples, and wait until all is done with them."""
        self._token += 1
        reading = Reading({"out": samples(self.runtime, text)}, token=self._token)
        await self.script.readings.put(reading)
        await until(lambda: self._token in self.script.acknowledged)
        await until(lambda: self.runtime.runners["test"].inbox.rows == 0)

    async def ask(self, path: str, **values: Any) -> Any:
        asked = urlencode({k.rstrip("_"): v for k, v in values.items()})
        return await asyncio.to_thread(self.client._ask, "GET", f"{path}?{asked}")

    async def text(self, path: str) -> str:
        return (await asyncio.to_thread(self.client._get, path)).decode()


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(history_module, "FLUSH_S", 0.02)
    with lent(Script()) as script:
        clock = Hand()
        runtime = await started(FLOW, tmp_path, history=HistoryLimits(), clock=clock)
        async with served(runtime) as url:
            yield Bench(runtime, script, url)
        await runtime.stop()


async def test_a_trend_as_samples_and_as_spans(bench: Bench) -> None:
    await bench.read("A 0s 1 | 1s 5 | 2s 3 bad | 3s -2; B 0s 7")
    found = await bench.ask("/api/history", tags="A,B,none", from_=T0, to=T0 + 4 * NS, points=4)
    a = found["tags"]["A"]
    assert a["t"] == [(T0 + i * NS) / 1e6 for i in range(4)]
    assert a["min"] == a["max"] == a["last"] == [1.0, 5.0, None, -2.0]
    assert a["q"] == [0, 0, 0x80000000, 0]
    assert (found["from"], found["to"], a["width_ms"]) == (T0, T0 + 4 * NS, 0)
    assert found["tags"]["B"]["last"] == [7.0]
    assert found["tags"]["none"]["t"] == []
    found = await bench.ask("/api/history", tags="A", from_=T0, to=T0 + 4 * NS, points=2)
    a = found["tags"]["A"]
    assert a["width_ms"] == 2_000
    assert (a["min"], a["max"], a["last"]) == ([1.0, -2.0], [5.0, -2.0], [5.0, -2.0])
    assert a["q"] == [0, 0x80000000], "a span that holds a bad sample says so"


async def test_what_is_computed_is_kept_too_and_the_newest_hour_is_the_default(
    bench: Bench,
) -> None:
    await bench.read("A 0s 1 | 5s 3 | 12s 9")
    names = [name for name in bench.runtime.tags.names() if name.startswith("A#")]
    assert names
    bench.runtime.clock.at = T0 + 60 * NS  # type: ignore[attr-defined]  # the clock of this test
    found = await asyncio.to_thread(bench.client.history, ["A", *names])
    assert found["to"] - found["from"] == 3600 * NS
    assert all(found["tags"][name]["t"] for name in names)


async def test_gaps_are_told_with_the_tags_they_touch(bench: Bench) -> None:
    from gateway.data.event import Event

    await bench.read("A 0s 1")
    for source in ("src", "other"):
        data = {"source": source, "cause": "away", "from": T0 + NS, "to": T0 + 5 * NS}
        event = Event(T0 + 5 * NS, "source/gap", data)
        bench.runtime.runners["test"].put(source, "status", (event,))
    await bench.read("A 6s 2")

    async def told() -> Any:
        return await bench.ask("/api/history", tags="A,none", from_=T0, to=T0 + 9 * NS)

    async with asyncio.timeout(10):
        while len((found := await told())["gaps"]) < 2:
            await asyncio.sleep(0.01)
    touched = {gap["source"]: gap["tags"] for gap in found["gaps"]}
    assert touched == {"src": ["A", "none"], "other": ["none"]}, "A does not come from the other"
    later = await bench.ask("/api/history", tags="A", from_=T0 + 6 * NS, to=T0 + 9 * NS)
    assert later["gaps"] == []


async def test_a_table_of_rows(bench: Bench) -> None:
    await bench.read("A 0s 1.5 | 1s 2 bad; =B 0s 7")
    asked = f"tags=A&tags={quote('=B')}&from={T0}&to={T0 + 9 * NS}"
    text = await bench.text(f"/api/history.csv?{asked}")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [
        ["time", "tag", "value", "quality"],
        ["2027-01-15T08:00:00.000000000Z", "A", "1.5", "Good"],
        ["2027-01-15T08:00:00.000000000Z", "'=B", "7.0", "Good"],
        ["2027-01-15T08:00:01.000000000Z", "A", "2.0", "Bad"],
    ]


async def test_a_long_table_comes_in_parts_and_a_longer_one_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.read("A " + " | ".join(f"{i}s {i}" for i in range(500)))
    monkeypatch.setattr("gateway.engine.history_query._CHUNK_ROWS", 60)
    text = await bench.text(f"/api/history.csv?tags=A&from={T0}&to={T0 + 500 * NS}")
    assert [float(line.split(",")[2]) for line in text.splitlines()[1:]] == list(range(500))
    monkeypatch.setattr(routes_history, "CSV_ROWS_MAX", 499)
    with pytest.raises(Rejected, match="at most 499"):
        await bench.text(f"/api/history.csv?tags=A&from={T0}&to={T0 + 500 * NS}")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"tags": ""}, "Ask for 1 to 20"),
        ({"tags": ",".join(f"t{i}" for i in range(21))}, "21 tags"),
        ({"tags": "A", "points": 4_001}, "4000"),
        ({"tags": "A", "points": 0}, "greater than or equal to 1"),
        ({"tags": "A", "from": 9, "to": 9}, "ends before it begins"),
        ({"tags": "A", "to": 1 << 63}, "less than or equal"),
        ({}, "tags"),
    ],
)
async def test_what_is_refused(bench: Bench, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(Rejected, match=says):
        await bench.ask("/api/history", **asked)


async def test_a_name_with_a_comma_is_one_name(bench: Bench) -> None:
    bench.runtime.tags.code("a,b")
    found = await bench.ask("/api/history", tags="a,b")
    assert list(found["tags"]) == ["a,b"]


async def test_too_many_at_once_are_sent_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes_history, "WAITING_MAX", 0)
    with pytest.raises(Rejected, match="Try again in a moment"):
        await bench.ask("/api/history", tags="A")


async def test_a_gateway_without_history_says_so(tmp_path: Path) -> None:
    with lent(Script()):
        runtime = await started(FLOW, tmp_path)
        async with served(runtime) as url:
            with pytest.raises(Rejected, match="keeps no history"):
                await asyncio.to_thread(HistoryClient(url).history, ["A"])
            assert "genba_history" not in await asyncio.to_thread(
                lambda: HistoryClient(url)._get("/metrics").decode()
            )
        await runtime.stop()


async def test_metrics_count_what_was_kept(bench: Bench) -> None:
    await bench.read("A 0s 1 | 1s 5")
    await until(lambda: bench.history.rows >= 2)
    text = await bench.text("/metrics")
    assert f'genba_history_rows_total{{what="written"}} {bench.history.rows}' in text
    assert "genba_history_stopped 0" in text


# ---------------------------------------------------------------- alarms


async def alarms(bench: Bench) -> None:
    """Two alarms: one that is acknowledged after ten seconds, and one that comes and goes."""
    await bench.read("A 0s 80; B 1s 90 | 3s 60 | 5s 90 | 7s 60 | 9s 90")
    await until(lambda: len(bench.runtime.book.open()) == 2)
    bench.runtime.clock.at = T0 + 10 * NS  # type: ignore[attr-defined]  # the clock of this test
    event = next(e for e in bench.runtime.book.open() if e.tag == "A")
    data = {"alarm": event.alarm, "occurrence": event.occurrence, "actor": "user:anna"}
    await bench.runtime.act("ack", data)
    # It is in the book at once, and in the store with the next commit.
    while not any(row["change"] == "acked" for row in await bench.ask("/api/alarms/history")):
        await asyncio.sleep(0.02)


async def test_stored_alarms_are_found(bench: Bench) -> None:
    await alarms(bench)
    path = "/api/alarms/history"
    rows = await bench.ask(path)
    assert rows[0]["change"] == "acked"
    assert len(rows) == 7
    assert [r["id"] for r in rows] == sorted((r["id"] for r in rows), reverse=True)
    assert {r["tag"] for r in await bench.ask(path, tag="B")} == {"B"}
    assert {r["tag"] for r in await bench.ask(path, tag="#")} == {"A", "B"}
    assert len(await bench.ask(path, priority="medium,urgent")) == 7
    assert await bench.ask(path, priority="low") == []
    assert [r["actor"] for r in await bench.ask(path, text="ANNA")] == ["user:anna"]
    assert len(await bench.ask(path, from_=T0 + 3 * NS, to=T0 + 8 * NS)) == 3
    first = await bench.ask(path, limit=3)
    rest = await bench.ask(path, before=first[-1]["id"])
    assert [*first, *rest] == rows
    with pytest.raises(Rejected, match="There is no priority 'loud'"):
        await bench.ask(path, priority="loud")


async def test_alarm_kpis(bench: Bench) -> None:
    await alarms(bench)
    found = await bench.ask("/api/alarms/kpi", from_=T0, to=T0 + 600 * NS)
    assert found["annunciated"] == 4
    assert found["rate"]["peak"] == 4
    assert found["chattering"]["alarms"] == ["test/high:B:HI"]
    assert found["chattering"]["annunciations"] == 3
    assert found["acknowledged"] == {"count": 1, "median_s": 10.0, "p95_s": 10.0}
    assert found["priorities"]["medium"] == 1.0
    assert found["verdicts"]["chattering"] == found["verdicts"]["above_low"] == "bad"
    assert found["complete_from"] == 0
    await bench.read("C 20s 99")  # What is new is read on top of what is known.
    await until(lambda: len(bench.runtime.book.open()) == 3)
    found = await bench.ask("/api/alarms/kpi", from_=T0, to=T0 + 600 * NS)
    assert (found["annunciated"], found["standing"]["open"]) == (5, 3)


async def test_alarm_kpis_in_the_terminal(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENBA_API", bench.client.url)
    monkeypatch.setenv("COLUMNS", "160")
    await alarms(bench)
    bench.runtime.clock.at = T0 + 60 * NS  # type: ignore[attr-defined]  # the clock of this test
    terminal = Terminal(capsys)
    said = await terminal("alarms", "kpi", "--from", "-10min")
    for line in (
        r"alarms announced.*4",
        "chattering alarms.*1, announced 3 times.*none.*too much",
        "time to acknowledge.*median 10 s",
        "75 %  test/high:B:HI",
    ):
        assert re.search(line, said), said
    found = json.loads(await terminal("alarms", "kpi", "--from", "-1d", "--to", "now", "--json"))
    assert found["annunciated"] == 4
    said = await terminal("alarms", "kpi", "--from", "now", code=1)
    assert "ends before it begins" in said

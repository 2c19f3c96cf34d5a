"""`genba status` and `genba gaps`: one page that says what is, of a gateway that runs or not."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Disconnected, Event, Reading, Rejected
from gateway.cli import status
from gateway.cli.gaps import since_of
from gateway.engine import store_report, store_writer, wear
from gateway.engine.backoff import Backoff
from gateway.engine.runtime import Runtime
from gateway.engine.sealed import seal
from gateway.engine.store_records import letters
from gateway.errors import ConfigError
from tests.api.serving import Terminal, served
from tests.engine.gear import NS, Script, flow, kill, lent, samples, started, until, values

FLOW = flow(
    "src: {type: script.source}\nhigh: {type: alarm.limit, hi: 80}\nout: {type: script.sink}",
    "src -> out, src -> high, src.status -> out.events",
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(Backoff, "next_s", lambda self, at_least_s=0.0: min(at_least_s, 0.01))
    with lent(Script()) as script:
        yield script


@pytest.fixture
def genba(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


def line(page: str, head: str) -> str:
    """The line of the page that begins with a word."""
    return next(row for row in page.splitlines() if row.startswith(head))


async def busy(runtime: Runtime, script: Script) -> None:
    """A refused row, an alarm, a gap, and two rows that wait."""
    await script.readings.put(Reading({"out": samples(runtime, "A 0s 1")}))
    await until(lambda: values(script) == [1.0])
    script.poison = lambda message: Rejected("No.")
    await script.readings.put(Reading({"out": samples(runtime, "A 1s 99")}))
    async with asyncio.timeout(10):
        while not await letters(runtime.store):
            await asyncio.sleep(0.005)
    script.poison = lambda message: None
    script.slow.clear()
    now = runtime.clock.now()
    data = {"cause": "poll_missed", "from": now - 5 * NS, "to": now - 2 * NS, "unit": 3}
    gap = (Event(now, "source/gap", data),)
    await script.readings.put(Reading({"status": gap, "out": samples(runtime, "A 2s 2 | 3s 3")}))
    await until(lambda: runtime.runners["test"].egresses["out"].queued_rows >= 2)


async def test_the_page_says_what_is(
    script: Script, genba: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = flow("x: {type: filter.deadband, band: -1}", "", name="wrong")
    runtime = await started([FLOW, wrong], tmp_path)
    async with served(runtime) as url:
        monkeypatch.setenv("GENBA_API", url)
        await busy(runtime, script)
        await runtime.runners["test"].checkpoint()
        await runtime.wear.note(runtime.clock.now())
        page = await genba("status")
        assert re.match(
            r"Genba runs since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \(.* s\): 1 flow, 1 tag", page
        )
        assert "they balance: every row is accounted for" in line(page, "Books")
        assert re.search(r"test: revision 1, journal, \d+ rows read since .*, 1 refused", page)
        assert "wrong DOES NOT RUN" in page
        assert re.search(r"test/out: 4 rows, .* B, the oldest of 20\d\d", line(page, "Waits"))
        assert "test/src: poll_missed, 20" in line(page, "Gaps (24 h)")
        assert "1 message to decide about: genba dlq list" in line(page, "Dead letters")
        assert "1 medium, 1 not acknowledged" in line(page, "Alarms")
        assert re.search(r"Written +[\d.]+ k?M?B on 20", page)
        assert re.search(r"test: .*B, back to 20.*, the newest checkpoint is .* s old", page)
        found = json.loads(await genba("status", "--json"))
        assert found["running"] is True
        assert found["unbalanced"] == 0
        assert found["left_out"] == ["wrong"]
        (outlet,) = found["flows"][0]["outlets"]
        assert (outlet["dead"], outlet["queued"], outlet["delivery"]) == (1, 4, "every")
        assert sum(found["wear"].values()) > 0
        said = await genba("gaps", "--since", "1h")
        assert re.fullmatch(
            r"20.*\.\d{3} to 20.* \(3\.0 s\)  test/src: poll_missed \(.*unit: 3\)\n", said
        )
        (row,) = [json.loads(x) for x in (await genba("gaps", "--json")).splitlines()]
        assert (row["source"], row["cause"], row["to"] - row["from"]) == (
            "src",
            "poll_missed",
            3 * NS,
        )
        assert await genba("gaps", "--since", "1s") == "No gap.\n"
        script.slow.set()
    await runtime.stop()


async def test_books_that_do_not_balance_are_loud(
    script: Script, genba: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = await started(FLOW, tmp_path)
    async with served(runtime) as url:
        monkeypatch.setenv("GENBA_API", url)
        await script.readings.put(Reading({"out": samples(runtime, "A 0s 1")}))
        await until(lambda: values(script) == [1.0])
        runtime.runners["test"].egresses["out"].outbox.books.delivered -= 1
        page = await genba("status", code=1)
        assert "THEY DO NOT BALANCE: nobody can account for 1 row." in line(page, "Books")
        assert "test/out: 1 row\n" in page
        assert "a fault of ours" in page
    await runtime.stop()


async def test_a_disk_that_refuses_is_on_the_page(
    script: Script, genba: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = await started(FLOW, tmp_path)
    async with served(runtime) as url:
        monkeypatch.setenv("GENBA_API", url)
        commit = runtime.store.commit

        async def refuse(entry: Any) -> None:
            raise Disconnected("The disk is full.")

        monkeypatch.setattr(runtime.store, "commit", refuse)
        await script.readings.put(Reading({"out": samples(runtime, "A 0s 1 | 1s 2")}))
        await until(lambda: runtime.store.trouble)
        page = await genba("status")
        assert "The disk is full. Nothing is acknowledged meanwhile." in line(page, "Disk")
        assert "they balance" in line(page, "Books")
        assert re.search(r"test/src: \d rows", line(page, "Waits"))
        monkeypatch.setattr(runtime.store, "commit", commit)
        await until(lambda: not runtime.store.trouble)
    await runtime.stop()


@pytest.mark.parametrize("end", ["killed", "stopped"])
async def test_the_file_of_a_gateway_that_does_not_run_is_read_and_not_touched(
    script: Script, genba: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setenv("GENBA_API", "http://127.0.0.1:1")
    state = tmp_path / "state"
    runtime = await started(FLOW, state)
    await busy(runtime, script)
    if end == "killed":
        await runtime.runners["test"].checkpoint()
        await _left_as_by_kill(runtime, tmp_path)
        state = tmp_path / "copy"
    else:
        script.slow.set()
        await runtime.stop()
    before = _content(state)
    page = await genba("status", "--state", str(state))
    assert page.startswith("No gateway runs; this is what its state file says.\n")
    assert "they balance" in line(page, "Books")
    assert "test: revision 1" in line(page, "Flows")
    assert "poll_missed" in line(page, "Gaps")
    assert "1 message" in line(page, "Dead letters")
    assert "1 medium" in line(page, "Alarms")
    if end == "killed":
        assert re.search(r"test/out: 4 rows, \d+ B", line(page, "Waits"))
    assert _content(state) == before
    found = json.loads(await genba("status", "--json", "--state", str(state)))
    assert found["running"] is False
    if end == "killed":
        script.slow.set()
        await runtime.stop()


async def _left_as_by_kill(runtime: Runtime, folder: Path) -> None:
    """A copy of the state as it is on the disk now, log and all."""
    await runtime.store.run(lambda db: shutil.copytree(runtime.state_dir, folder / "copy"))


def _content(folder: Path) -> dict[str, bytes]:
    """Files that hold something; an index that SQLite makes for readers is none of them."""
    files = [p for p in folder.iterdir() if p.is_file() and not p.name.endswith("-shm")]
    return {p.name: p.read_bytes() for p in files if p.stat().st_size}


async def test_what_cannot_be_read_is_said(
    genba: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENBA_API", "http://127.0.0.1:1")
    said = await genba("status", code=1)
    assert "No gateway answers" in said
    assert "With --state FOLDER" in said
    said = await genba("status", "--state", str(tmp_path), code=1)
    assert "There is no state file" in said
    (tmp_path / "genba.db").write_bytes(b"no database" * 1000)
    assert "cannot be read" in await genba("status", "--state", str(tmp_path), code=1)
    (tmp_path / "genba.db").unlink()
    sqlite3.connect(tmp_path / "genba.db").close()
    with sqlite3.connect(tmp_path / "genba.db") as db:
        db.execute("PRAGMA user_version=99")
        db.execute("CREATE TABLE x (y)")
    db.close()
    assert "of version 99" in await genba("status", "--state", str(tmp_path), code=1)


async def test_books_that_the_last_commit_left_odd_are_found(tmp_path: Path) -> None:
    with lent(Script()):
        runtime = await started(FLOW, tmp_path)
        await runtime.stop()
    with sqlite3.connect(tmp_path / "genba.db") as db:
        mark = json.dumps({"low": 1, "rows": [5, 4, 0], "dropped": {"full": 3}})
        mark = seal(mark, "test", "out", 1)
        db.execute("REPLACE INTO outlet VALUES ('test', 'out', 1, ?)", (mark,))
    db.close()
    assert store_report.read_file(tmp_path / "genba.db", 0)["unbalanced"] == 2


def test_how_far_back() -> None:
    day = since_of("2026-11-26", lambda: 0)
    assert since_of("2026-11-26T01:00", lambda: 0) - day == 3600 * NS
    assert since_of("2026-11-26T00:00:00+00:00", lambda: 0) % (86_400 * NS) == 0
    assert since_of("2h", lambda: 10_000 * NS) == 2_800 * NS
    with pytest.raises(ConfigError, match="neither how long nor a time"):
        since_of("yesterday", lambda: 0)


def test_long_lists_are_cut() -> None:
    lines = [
        text.plain for text in status._block("Gaps", [f"g{i}" for i in range(20)], "", "More.")
    ]
    assert len(lines) == 13
    assert lines[-1].strip() == "… and 8 more. More."


async def test_what_is_written_is_counted_by_day(script: Script, tmp_path: Path) -> None:
    runtime = await started(FLOW, tmp_path)
    io = tmp_path / "io"
    meter = wear.WearMeter(runtime.store, io)
    assert meter.written == runtime.store.bytes_written, "where the system does not tell"
    io.write_text(f"rchar: 1\nwrite_bytes: {10**9}\n", "ascii")
    assert meter.pending == 10**9
    today = wear.day_of(runtime.clock.now())
    await meter.note(runtime.clock.now())
    io.write_text(f"rchar: 1\nwrite_bytes: {10**9 + 5}\n", "ascii")
    await meter.note(runtime.clock.now())
    days = (await runtime.store.run(lambda db: store_report.read_records(db, 0)))["wear"]
    assert days == {today: 10**9 + 5}
    assert meter.pending == 0
    await kill(runtime)

"""The local historian: once in the file however often it comes, a file a day, old days go."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from gateway import AlarmEvent, AlarmState, Batch, Tag
from gateway.flow import harness
from gateway.flow.registry import node_class

S = 10**9
DAY = 86_400 * S


def sink(folder: Path, **config: Any) -> Any:
    ctx = harness.BenchContext(data_dir=folder)
    ctx.tags.add(Tag("A", "Cel"))
    ctx.tags.add(Tag("B"))
    return harness.make(node_class("sqlite.sink"), config, ctx)


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(path)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


SAMPLES = (
    "SELECT name, unit, ts, value, quality FROM sample JOIN tag USING (code) ORDER BY name, ts"
)


async def test_samples_stand_once_and_the_newest_wins(tmp_path: Path) -> None:
    node = sink(tmp_path)
    await node.connect()
    await node.write(Batch.of([(0, 1, 1.0, 0), (1, 1, float("nan"), 0)]), "in")
    await node.write(Batch.of([(0, 1, 1.0, 0), (0, 2, 2.0, 0)]), "in")
    await node.write(Batch.of([(0, 2, 2.5, 0)]), "in")
    await node.close()
    assert query(tmp_path / "history" / "1970-01-01.db", SAMPLES) == [
        ("A", "Cel", 1, 1.0, 0),
        ("A", "Cel", 2, 2.5, 0),
        ("B", "", 1, None, 0x80000000),
    ]


async def test_a_file_a_day_with_its_own_tags_and_old_days_go(tmp_path: Path) -> None:
    node = sink(tmp_path, days_max=3)
    await node.connect()
    for day in range(8):
        await node.write(Batch.of([(day % 2, day * DAY + 5, float(day), 0)]), "in")
    await node.close()
    names = sorted(path.name for path in (tmp_path / "history").glob("*.db"))
    assert names[-3:] == ["1970-01-06.db", "1970-01-07.db", "1970-01-08.db"]
    assert len(names) <= 3 + 4, "files that are open stay until they are closed"
    assert query(tmp_path / "history" / "1970-01-08.db", "SELECT name FROM tag") == [("B",)]


async def test_many_rows_of_new_tags_are_a_few_statements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy event loop lets the file's thread in once a turn, so each statement costs one."""
    statements = 0
    execute = aiosqlite.Connection.execute

    def counted(self: Any, *words: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(self, *words)

    monkeypatch.setattr(aiosqlite.Connection, "execute", counted)
    tags = harness.TagTable(2_000)
    names = ["it's", 'say "a"', "öl/\U0001f6e2", *(f"t{i}" for i in range(1_197))]
    for name in names:
        tags.add(Tag(name, "Cel" if name == "it's" else ""))
    ctx = harness.BenchContext(data_dir=tmp_path, tags=tags)
    node = harness.make(node_class("sqlite.sink"), {}, ctx)
    await node.connect()
    rows = [(k % 1_200, k, k / 7, 0) for k in range(3_600)]
    await node.write(Batch.of(rows), "in")
    await node.close()
    assert statements < 12
    path = tmp_path / "history" / "1970-01-01.db"
    want = [(names[tag], "Cel" if not tag else "", ts, value, 0) for tag, ts, value, _ in rows]
    assert sorted(query(path, SAMPLES), key=lambda row: row[2]) == want
    assert query(path, "SELECT name FROM tag ORDER BY code LIMIT 3") == [(n,) for n in names[:3]]


async def test_it_goes_on_after_a_restart(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        node = sink(tmp_path)
        await node.connect()
        await node.write(Batch.of([(0, int(value), value, 0)]), "in")
        await node.close()
    rows = query(tmp_path / "history" / "1970-01-01.db", SAMPLES)
    assert [row[3] for row in rows] == [1.0, 2.0]


async def test_alarm_events_stand_once(tmp_path: Path) -> None:
    node = sink(tmp_path)
    event = AlarmEvent("f/n:A:HI", "A", 5, "raised", AlarmState.UNACK, value=9.0)
    await node.connect()
    await node.write((event,), "alarms")
    await node.write((event,), "alarms")
    await node.close()
    ((alarm, change, text),) = query(
        tmp_path / "history" / "1970-01-01.db", "SELECT alarm, change, event FROM alarm_event"
    )
    assert (alarm, change) == ("f/n:A:HI", "raised")
    assert '"limit": null' in text


async def test_a_time_without_a_day_costs_its_row_only(tmp_path: Path) -> None:
    node = sink(tmp_path)
    await node.connect()
    await node.write(
        Batch.of([(0, -(2**62), 1.0, 0), (0, 7, 2.0, 0), (0, 2**63 - 1, 3.0, 0)]), "in"
    )
    await node.close()
    rows = query(tmp_path / "history" / "1970-01-01.db", SAMPLES)
    assert [row[3] for row in rows] == [2.0]
    assert node.ctx.counts["bad_time"] == 1, "the year 2262 has a file"

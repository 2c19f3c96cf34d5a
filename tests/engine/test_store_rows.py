"""Rows that rot: a flipped bit in a text is a record that is lost, with a word."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import AlarmEvent, AlarmState, StateError, Tag
from gateway.engine import store_journal
from gateway.engine.deploy import first_revision
from gateway.engine.sealed import seal, unseal
from gateway.engine.store import Entry, InlineExecutor, Store
from gateway.engine.store_entry import GapRow, OutboxRow, Revision
from gateway.engine.store_journal import Segment
from gateway.engine.store_records import gaps, revisions
from gateway.flow.document import Document


@pytest.fixture
async def store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Store, list[str]]]:
    """A store with two of everything, closed and opened again; and what it says."""
    monkeypatch.setattr(store_journal, "SEGMENT_BYTES", 10)  # Each record is one.
    first = Store(tmp_path / "genba.db", InlineExecutor())
    await first.open()
    alarms = [AlarmEvent("f/high:TT1:HI", "TT1", ts, "raised", AlarmState.UNACK) for ts in (1, 2)]
    tags = {0: Tag("TT1", "Cel"), 1: Tag("TT2", "Cel")}
    positions = {"a": '{"row": 5}', "b": "7"}
    outlets = {"a": '{"low": 3}', "b": '{"low": 7}'}
    blocks = [
        OutboxRow("a", first_number, last, rows, lambda: b"waiting")
        for first_number, last, rows in ((4, 6, 30), (7, 9, 40))
    ]
    gaps = [GapRow("src", "away", 10, 20, {"missing": 2}), GapRow("src", "away", 30, 40)]
    entry = Entry("f", 1, 1, 1, bytes(10), positions, outlets, blocks, gaps=gaps)
    entry.alarms, entry.tags = alarms, tags
    entry.revision = Revision(1, 1, "file", "", "flow: f")
    await first.commit(entry)
    entry = Entry("f", 2, 2, 1, bytes(10))
    entry.revision = Revision(2, 2, "user:anna", "", "flow: f")
    await first.commit(entry)
    await first.commit(Entry("f", 3, 3, 1, bytes(10)))
    await first.close()
    said: list[str] = []
    second = Store(first.path, InlineExecutor())
    second.told = lambda level, text: said.append(f"{level}: {text}")
    await second.open()
    yield second, said
    await second.close()


def rot(store: Store, sql: str) -> None:
    with sqlite3.connect(store.path) as db:
        assert db.execute(sql).rowcount == 1
    db.close()


def test_a_seal_knows_its_text_and_its_key() -> None:
    assert unseal(seal("text\nof two lines", "f", 1), "f", 1) == "text\nof two lines"
    for stored, key in ((seal("a", 1), (2,)), (seal("a", 1).replace("a", "b"), (1,)), ("a", ())):
        with pytest.raises(StateError, match="damaged"):
            unseal(stored, *key)


async def test_whole_rows_are_read_without_a_word(store: tuple[Store, list[str]]) -> None:
    whole, said = store
    assert [fact["name"] for fact in await whole.tags()] == ["TT1", "TT2"]
    assert await whole.positions("f") == {"a": {"row": 5}, "b": 7}
    assert [event.ts for event in await whole.alarm_events()] == [1, 2]
    assert set(await whole.outlets("f")) == {"a", "b"}
    assert await whole.blocks("f", "a") == [(4, 6, 30, 7), (7, 9, 40, 7)]
    assert await whole.block("f", "a", 4) == b"waiting"
    assert [revision.number for revision in await revisions(whole, "f")] == [1, 2]
    assert [gap["from"] for gap in await gaps(whole)] == [30, 10]
    assert [part.first for part in whole.segments.closed["f"]] == [1, 2, 3]
    assert said == whole.damage == []


@pytest.mark.parametrize("how", ["fact=replace(fact,'TT1','TT9')", "code=70000"])
async def test_a_tag_that_rots_keeps_its_code(store: tuple[Store, list[str]], how: str) -> None:
    rotten, said = store
    rot(rotten, f"UPDATE tag SET {how} WHERE code=0")
    assert [fact["name"] for fact in await rotten.tags()] == ["damaged/0", "TT2"]
    assert said == ["error: 1 of 2 tags are damaged; they start fresh."]


async def test_a_position_that_rots_is_left_out(store: tuple[Store, list[str]]) -> None:
    rotten, said = store
    rot(rotten, "UPDATE position SET value=replace(value,'5','4') WHERE node='a'")
    assert await rotten.positions("f") == {"b": 7}
    (line,) = said
    assert "The position of a in f is damaged" in line


@pytest.mark.parametrize("value", ["replace(event,'TT1','TT2')", "CAST(x'7bff' AS TEXT)"])
async def test_an_alarm_event_that_rots_is_left_out(
    store: tuple[Store, list[str]], value: str
) -> None:
    rotten, said = store
    rot(rotten, f"UPDATE alarm_event SET event={value} WHERE ts=1")
    assert [event.ts for event in await rotten.alarm_events()] == [2]
    assert said == ["error: 1 alarm events are damaged and left out of the history."]


async def test_what_is_said_again_is_said_once(store: tuple[Store, list[str]]) -> None:
    rotten, said = store
    rot(rotten, "UPDATE position SET value='' WHERE node='a'")
    assert await rotten.positions("f") == await rotten.positions("f")
    assert [f"error: {text}" for text in rotten.damage] == said
    assert len(said) == 1


@pytest.mark.parametrize("how", ["mark=replace(mark,'3','9')", "seq=2"])
async def test_a_mark_that_rots_is_left_out(store: tuple[Store, list[str]], how: str) -> None:
    rotten, said = store
    rot(rotten, f"UPDATE outlet SET {how} WHERE sink='a'")
    assert await rotten.outlets("f") == {"b": (1, {"low": 7})}
    (line,) = said
    assert "What a in f has taken is damaged" in line


@pytest.mark.parametrize("how", ["last=last+8", "rows=31", "data=x'00'", "data=data||x'00'"])
async def test_a_block_whose_row_rots_is_dropped(store: tuple[Store, list[str]], how: str) -> None:
    rotten, said = store
    rot(rotten, f"UPDATE outbox SET {how} WHERE first=4")
    assert await rotten.blocks("f", "a") == [(7, 9, 40, 7)]
    assert said == ["error: Rows that waited for a in f are lost: 1 stored blocks."]
    assert await rotten.block("f", "a", 4) == b"", "it would be found again and again"


@pytest.mark.parametrize(
    "how", ["text=replace(text,'f','g')", "variables='[]'", "author='user:bnna'", "ts=9"]
)
async def test_a_revision_that_rots_is_left_out_and_its_number_is_not_used_again(
    store: tuple[Store, list[str]], how: str
) -> None:
    rotten, said = store
    rot(rotten, f"UPDATE revision SET {how} WHERE number=2")
    assert [revision.number for revision in await revisions(rotten, "f")] == [1]
    assert said == ["error: Revision 2 of f is damaged and cannot run any more."]
    edited = Document.parse("flow: f\nversion: 1\nnodes:\n  out: {type: log.sink}\n")
    revision, _ = await first_revision(rotten, edited, {}, 5)
    assert revision.number == 3


@pytest.mark.parametrize("how", ["cause='away!'", "to_ts=41", "detail='{\"missing\": 3}'"])
async def test_a_gap_that_rots_is_left_out(store: tuple[Store, list[str]], how: str) -> None:
    rotten, _ = store
    rot(rotten, f"UPDATE gap SET {how} WHERE from_ts=10")
    assert [gap["from"] for gap in await gaps(rotten)] == [30]


@pytest.mark.parametrize("how", ["last=last+4", "to_ts=99", "from_ts='x'", "first=0"])
async def test_segments_that_rot_are_counted_again(
    store: tuple[Store, list[str]], how: str
) -> None:
    rotten, _ = store
    rot(rotten, f"UPDATE segment SET {how} WHERE last=2")
    await rotten.close()
    again = Store(rotten.path, InlineExecutor())
    await again.open()
    assert again.segments.closed == {}
    assert again.segments.growing == {"f": Segment(1, 3, 1, 3, 3, 30)}
    await again.close()
    await rotten.open()

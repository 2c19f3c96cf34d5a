"""Rows that rot: a flipped bit in a text is a record that is lost, with a word."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import AlarmEvent, AlarmState, StateError, Tag
from gateway.engine.sealed import seal, unseal
from gateway.engine.store import Entry, InlineExecutor, Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[tuple[Store, list[str]]]:
    """A store with two of everything, closed and opened again; and what it says."""
    first = Store(tmp_path / "genba.db", InlineExecutor())
    await first.open()
    alarms = [AlarmEvent("f/high:TT1:HI", "TT1", ts, "raised", AlarmState.UNACK) for ts in (1, 2)]
    tags = {0: Tag("TT1", "Cel"), 1: Tag("TT2", "Cel")}
    positions = {"a": '{"row": 5}', "b": "7"}
    await first.commit(Entry("f", 1, 1, positions=positions, alarms=alarms, tags=tags))
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
    assert said == []


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

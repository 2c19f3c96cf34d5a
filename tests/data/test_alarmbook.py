"""The alarm book: a fold over events, followed, repeated and bounded."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from gateway.data.alarm import AlarmEvent, AlarmState, Overlay
from gateway.engine.alarmbook import AlarmBook

HI = AlarmEvent("f/n:a:HI", "a", 1, "raised", AlarmState.UNACK, occurrence=1, priority="low")
LO = replace(HI, alarm="f/n:b:LO", tag="b", ts=2, priority="high")


def test_open_alarms_are_sorted_by_urgency_and_leave_when_normal() -> None:
    book = AlarmBook()
    book.apply([HI, LO])
    assert book.open() == [LO, HI]
    acked = replace(LO, ts=3, change="acked", state=AlarmState.ACKED)
    book.apply([acked])
    assert book.get(LO.alarm) == acked
    assert book.counts() == {
        "urgent": 0, "high": 1, "medium": 0, "low": 1, "unacknowledged": 1, "hidden": 0,
    }  # fmt: skip
    book.apply([replace(acked, ts=4, change="cleared", state=AlarmState.NORM)])
    assert book.open() == [HI]
    assert book.get(LO.alarm) is None
    assert len(book.history()) == 4


def test_a_shelved_alarm_is_hidden_until_it_is_shown_again() -> None:
    book = AlarmBook()
    shelved = replace(HI, ts=2, change="shelved", overlay=Overlay.SHLVD)
    normal = replace(shelved, ts=3, change="cleared", state=AlarmState.NORM)
    book.apply([HI, shelved])
    assert (book.open(), book.hidden()) == ([], [shelved])
    assert book.counts()["hidden"] == 1
    book.apply([normal])
    assert book.hidden() == [normal]
    book.apply([replace(normal, ts=4, change="unshelved", overlay=Overlay.NONE)])
    assert (book.open(), book.hidden(), len(book)) == ([], [], 0)


def test_a_hidden_alarm_tells_who_hid_it_whatever_the_process_does_meanwhile() -> None:
    book = AlarmBook()
    assert book.row(HI)["hid"] is None
    text = "user:anna shelved the HI alarm of a: repair"
    shelved = replace(HI, ts=2, change="shelved", overlay=Overlay.SHLVD, text=text)
    shelved = replace(shelved, actor="user:anna", until=99)
    out = replace(shelved, ts=3, change="removed_from_service", overlay=Overlay.OOSRV, until=0)
    book.apply([HI, shelved, replace(out, actor="user:eva", text="eva took it out")])
    row = book.row(book.hidden()[0])
    assert row["hid"] == {"actor": "user:eva", "ts": 3, "text": "eva took it out"}
    assert "until" not in row
    back = replace(shelved, ts=4, change="returned_to_service", actor="user:eva")
    book.apply([back, replace(back, ts=5, change="returned", actor="node:high", text="70")])
    row = book.row(book.hidden()[0])
    assert row["hid"] == {"actor": "user:anna", "ts": 2, "text": text}
    assert (row["until"], row["reason"]) == (99, "70")
    book.apply([replace(HI, ts=6, change="unshelved", overlay=Overlay.NONE)])
    assert book.row(book.open()[0])["hid"] is None


def test_events_that_come_again_change_nothing() -> None:
    book = AlarmBook()
    events = [HI, replace(HI, ts=5, change="acked", state=AlarmState.ACKED), LO]
    book.apply(events)
    before = (book.open(), book.history())
    book.apply(events)
    assert (book.open(), book.history()) == before


def test_the_history_is_bounded_and_the_current_alarms_stay() -> None:
    book = AlarmBook(history_rows_max=3)
    book.apply([HI])
    book.apply(replace(LO, ts=ts, occurrence=ts) for ts in range(10))
    assert [event.ts for event in book.history()] == [7, 8, 9]
    assert HI in book.open()
    assert len(book._known) == 3


def test_a_row_is_json_and_keeps_when_it_was_raised() -> None:
    book = AlarmBook()
    acked = replace(HI, ts=9, change="acked", state=AlarmState.ACKED)
    book.apply([HI, acked])
    row = json.loads(json.dumps(book.row(acked), allow_nan=False))
    assert (row["raised_ts"], row["state"], row["value"]) == (1, "ACKED", None)


async def test_followers_get_every_event_and_a_slow_one_the_newest() -> None:
    book = AlarmBook(follower_rows_max=2)
    book.apply([HI])
    got: list[int] = []

    async def listen() -> None:
        async for event in book.follow():
            got.append(event.ts)
            if event.ts == 9:
                return

    listening = asyncio.gather(listen())
    await asyncio.sleep(0)
    book.apply([LO])
    while not got:
        await asyncio.sleep(0)
    book.apply([replace(LO, ts=ts) for ts in (5, 6, 8, 9)])
    await listening
    assert got == [2, 8, 9]


def test_a_reason_outlives_what_a_person_does() -> None:
    book = AlarmBook()
    raised = AlarmEvent("a", "t", 1, "raised", AlarmState.UNACK, text="t 9 is above 8")
    acked = AlarmEvent("a", "t", 2, "acked", AlarmState.ACKED, text="anna acknowledged it")
    book.apply([raised, acked])
    (opened,) = book.open()
    assert book.row(opened)["text"] == "anna acknowledged it"
    assert book.row(opened)["reason"] == "t 9 is above 8"
    assert book.row(opened)["raised_ts"] == 1

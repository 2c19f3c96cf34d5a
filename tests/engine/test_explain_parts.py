"""Parts of the explainer: the queue, incidents, and what is stored."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.data.alarm import AlarmEvent, AlarmState
from gateway.engine import store_explain
from gateway.engine.explain_incident import INCIDENTS_MAX, Incidents
from gateway.engine.explain_queue import Queue, Wish
from gateway.engine.store import Store
from gateway.engine.store_explain import Explained, Judgement, cases, find, judge, keep, page
from gateway.engine.store_records import audit_rows
from gateway.errors import Rejected, StateError

NS = 10**9
PRIORITIES = ("low", "medium", "high", "urgent")


def event(
    tag: str = "plant/a/b/c", at_s: float = 0, priority: str = "high", n: int = 1
) -> AlarmEvent:
    return AlarmEvent(
        f"flow/node:{tag}:HI",
        tag,
        round(at_s * NS),
        "raised",
        AlarmState.UNACK,
        occurrence=n,
        priority=priority,  # type: ignore[arg-type]  # one of PRIORITIES
        condition="HI",
    )


def test_the_most_urgent_comes_first_then_the_oldest_and_what_was_asked_for_before_all() -> None:
    queue = Queue()
    for at, (tag, priority) in enumerate(
        (("a", "low"), ("b", "urgent"), ("c", "urgent"), ("d", "high"))
    ):
        queue.put(Wish(event(tag, priority=priority), at))
    queue.put(Wish(event("a", priority="low"), 9, is_asked=True))
    order = []
    while (wish := queue.first()) is not None:
        order.append(wish.event.tag)
        queue.remove(wish.key)
    assert order == ["a", "b", "c", "d"]


def test_a_full_queue_drops_the_oldest_of_the_least_urgent_and_counts() -> None:
    rng = random.Random(5)
    queue = Queue(10)
    wishes = [Wish(event(str(i), priority=rng.choice(PRIORITIES)), i) for i in range(200)]
    gone = [dropped for wish in wishes if (dropped := queue.put(wish)) is not None]
    assert (len(queue), queue.dropped, len(gone)) == (10, 190, 190)
    kept = [wish for wish in wishes if wish.key in queue]
    assert {wish.event.priority for wish in kept} == {"urgent"}
    urgent = [wish for wish in wishes if wish.event.priority == "urgent"]
    assert kept == urgent[-10:], "the oldest go first, so that what is shown is of now"


def test_an_alarm_that_is_announced_again_waits_once() -> None:
    queue = Queue()
    assert queue.put(Wish(event(), 1)) is None
    assert queue.put(Wish(event(), 2)) is None
    assert len(queue) == 1
    assert queue.put(Wish(event(n=2), 3)) is None
    assert len(queue) == 2


def test_alarms_belong_together_by_line_time_and_what_moved() -> None:
    incidents = Incidents()
    lead = event("plant/press1/pump/flow", 10)
    incident = incidents.begin(lead, ["plant/press1/pump/flow", "plant/press1/oil/pressure"])
    assert incidents.of(event("plant/press1/oil/pressure#mean", 12)) is incident
    for other in (
        event("plant/press1/scale/weight", 12),  # It did not move with it.
        event("plant/press2/oil/pressure", 12),  # Another line.
        event("plant/press1/oil/pressure", 90),  # Much later.
    ):
        assert incidents.of(other) is None, other.tag
    incident.add(event("plant/press1/oil/pressure", 15))
    assert incidents.of(event("plant/press1/oil/pressure", 24, n=2)) is None, "it does not creep"


def test_a_new_lead_takes_the_members_over() -> None:
    incidents = Incidents()
    first = incidents.begin(event("p/l/u/a", 1), ["p/l/u/b"])
    first.add(event("p/l/u/b", 2))
    second = incidents.begin(event("p/l/u/b", 3, "urgent", 2), ["p/l/u/a"])
    assert set(second.members) == {
        ("flow/node:p/l/u/a:HI", 1),
        ("flow/node:p/l/u/b:HI", 1),
        ("flow/node:p/l/u/b:HI", 2),
    }
    assert incidents.of(event("p/l/u/a", 4)) is second
    for i in range(2 * INCIDENTS_MAX):
        incidents.begin(event(f"p/{i}/u/a", 1), [])
    assert incidents.of(event("p/l/u/a", 4)) is None, "only the last ones are remembered"


# ---------------------------------------------------------------- the state file


async def opened(folder: Path) -> Store:
    store = Store(folder / "genba.db")
    await store.open()
    return store


def row(n: int = 1, **more: object) -> Explained:
    made = Explained(f"flow/node:tag{n}:HI", 1, n, 5, {"alarm": "x"}, {"en": {"language": "en"}})
    return replace(made, causes=(("bearing.wear", 0.5),), **more)  # type: ignore[arg-type]  # fields


async def test_what_is_explained_is_found_again(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    lead = row(1, members=(("flow/node:tag1:HI", 1), ("other", 3)))
    await keep(store, lead, Explained("other", 3, 7, lead=lead.key))
    assert find(store.path, lead.key) == lead
    assert find(store.path, ("other", 3)) == lead, "an incident is explained once"
    assert find(store.path, ("other", 0)) == lead, "0 is the newest occurrence"
    assert find(store.path, ("other", 4)) is None
    assert page(store.path, 0)[0] == [lead], "pointers are no explanations"
    assert page(store.path, page(store.path, 0)[1]) == ([], 0)
    await store.close()


async def test_a_verdict_stays_when_an_alarm_is_explained_anew(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await keep(store, row(1), Explained("other", 3, 7, lead=row(1).key))
    said = Judgement("other", "bearing.wear", "the <b>belt</b>", "user:oli", 9)
    assert (await judge(store, ("other", 3), said)).key == row(1).key
    await keep(store, replace(row(1), made=77))
    found = cases(store.path)
    assert [(one.made, one.judgement) for one in found] == [(77, said)]
    assert (await audit_rows(store))[0] == {
        "ts": 9,
        "actor": "user:oli",
        "action": "explanation/judge",
        "detail": {
            "alarm": "flow/node:tag1:HI",
            "occurrence": 1,
            "verdict": "other",
            "cause": "bearing.wear",
            "said": "the <b>belt</b>",
        },
    }
    with pytest.raises(Rejected, match="any more"):
        await judge(store, ("none", 1), said)
    await store.close()


async def test_a_storm_pushes_no_case_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_explain, "ROWS_MAX", 20)
    monkeypatch.setattr(store_explain, "CASES_MAX", 5)
    store = await opened(tmp_path)
    for n in range(8):
        await keep(store, row(n))
        await judge(store, row(n).key, Judgement("right", "", "", "user:oli", n))
    await keep(store, *(row(n) for n in range(100, 200)))
    assert [one.ts for one in cases(store.path)] == [7, 6, 5, 4, 3]
    kept = [one.ts for one in page(store.path, 0, 1_000)[0]]
    assert kept == [3, 4, 5, 6, 7, *range(180, 200)]
    await store.close()


async def test_a_flipped_bit_costs_one_explanation(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await keep(store, row(1), row(2))
    data = bytearray(row(1).packed())
    data[len(data) // 2] ^= 1
    with pytest.raises(StateError):
        Explained.unpacked(*row(1).key, bytes(data))
    with pytest.raises(StateError):
        Explained.unpacked("another", 1, row(1).packed())
    sql = "UPDATE explanation SET data=? WHERE alarm=?"
    await store.run(lambda db: db.execute(sql, (bytes(data), row(1).alarm)))
    assert find(store.path, row(1).key) is None
    assert [one.ts for one in page(store.path, 0)[0]] == [2]
    await store.close()

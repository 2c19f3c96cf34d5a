"""Workers that have several questions under way: order, crashes, dead letters, pressure, books."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gateway import Disconnected, Event, Events, Give, Outputs, Port, Reading, Rejected, Worker
from gateway.engine.bookkeeping import flow_books
from gateway.engine.lane import Block, Waiting
from gateway.engine.outbox import Outbox
from gateway.engine.store_records import letters
from gateway.engine.taken import Taken
from gateway.flow import registry
from tests.engine.gear import Empty, Script, flow, kill, lent, started, until


class Desk:
    """What the worker of a test does, and what it did."""

    def __init__(self) -> None:
        self.gates: dict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self.is_open = False
        self.asked: list[int] = []
        self.now = 0
        self.most = 0
        self.by_key: Counter[str] = Counter()
        self.trouble: dict[int, list[Exception]] = {}
        self.parts = 0

    async def answer(self, event: Event, give: Give) -> Outputs:
        n, key = event.data["n"], event.data["key"]
        self.asked.append(n)
        self.now += 1
        self.by_key[key] += 1
        self.most = max(self.most, self.now)
        assert self.by_key[key] == 1, "one of a key at a time"
        try:
            for i in range(self.parts):
                await give({"parts": (Event(event.ts, "part", {"n": n, "i": i}),)})
            if not self.is_open:
                await self.gates[n].wait()
            if self.trouble.get(n):
                raise self.trouble[n].pop(0)
            return {"out": (Event(event.ts, "answer", dict(event.data), event.id),)}
        finally:
            self.now -= 1
            self.by_key[key] -= 1


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def script(desk: Desk) -> Iterator[Script]:
    class Many(Worker[Empty, Events]):
        Config = Empty
        each: ClassVar[bool] = True
        inputs = (Port("in", "events", "Questions."),)
        outputs = (Port("out", "events", "Answers."), Port("parts", "events", "Parts."))

        def parallel(self) -> int:
            return 4

        def key(self, message: Events) -> str:
            return str(message[0].data["key"])

        async def answer(self, message: Events, port: str, give: Give) -> Outputs:
            assert len(message) == 1, "each event is a question"
            return await desk.answer(message[0], give)

    with lent(Script()) as found:
        base = found.nodes()["script.source"]
        ports = (Port("out", "events", "Questions."), Port("status", "events", "How it is."))
        registry.LENT["script.events"] = type("Asker", (base,), {"outputs": ports})
        registry.LENT["script.many"] = Many
        yield found


def many(more: str = "") -> Any:
    nodes = f"src: {{type: script.events}}\nask: {{type: script.many{more}}}\n"
    wires = "src -> ask, ask.out -> out.events, ask.parts -> out.events"
    return flow(nodes + "out: {type: script.sink}", wires)


async def send(script: Script, *questions: tuple[int, str]) -> None:
    events = tuple(Event(n, "q", {"n": n, "key": key}, str(n)) for n, key in questions)
    await script.readings.put(Reading({"out": events}, token=questions[-1][0]))


def answered(script: Script, topic: str = "answer") -> list[Any]:
    events = [e for _, message in script.written for e in message]
    return [e.data["n"] for e in events if e.topic == topic]  # type: ignore[union-attr]  # events


def outlet(runtime: Any) -> Any:
    return next(o for o in flow_books(runtime.runners["test"])["outlets"] if o["node"] == "ask")


async def test_keys_go_side_by_side_and_each_in_order(
    script: Script, desk: Desk, tmp_path: Path
) -> None:
    runtime = await started(many(), tmp_path)
    await send(script, (1, "a"), (2, "a"), (3, "b"), (4, "c"), (5, "a"), (6, "d"), (7, "e"))
    await until(lambda: len(desk.asked) == 4)
    assert sorted(desk.asked) == [1, 3, 4, 6], "one of each key, four at once"
    desk.gates[6].set()
    desk.gates[3].set()
    await until(lambda: sorted(answered(script)) == [3, 6])
    await until(lambda: 7 in desk.asked)
    assert outlet(runtime)["queued"] == 5
    assert not outlet(runtime)["unbalanced"]
    desk.is_open = True
    for gate in list(desk.gates.values()):
        gate.set()
    await until(lambda: len(answered(script)) == 7)
    assert [n for n in answered(script) if n in (1, 2, 5)] == [1, 2, 5]
    assert desk.most == 4
    await until(lambda: outlet(runtime)["delivered"] == 7)
    assert not flow_books(runtime.runners["test"])["unbalanced"]
    assert runtime.runners["test"].workers["ask"].outbox.mark()["low"] == 7, "one number remains"
    await runtime.stop()


@pytest.mark.parametrize("has_checkpoint", [True, False])
async def test_after_a_crash_only_what_was_under_way_is_asked_again(
    script: Script, desk: Desk, tmp_path: Path, has_checkpoint: bool
) -> None:
    runtime = await started(many(), tmp_path)
    await send(script, *((n, f"k{n}") for n in range(1, 21)))
    for n in (1, 2, 4, 5, 6, 7, 8, 9):
        desk.gates[n].set()
    await until(lambda: len(answered(script)) == 8)
    assert 3 not in answered(script), "it still waits, and holds up none of another key"
    if has_checkpoint:
        await runtime.runners["test"].checkpoint()
    await kill(runtime)
    before, under_way = set(answered(script)), set(desk.asked) - set(answered(script))
    desk.is_open = True
    runtime = await started(many(), tmp_path)
    await until(lambda: len(set(answered(script))) == 20)
    again = {n for n, times in Counter(desk.asked).items() if times > 1}
    assert again == under_way
    assert not before & again
    await until(lambda: outlet(runtime)["delivered"] == 20)
    assert not flow_books(runtime.runners["test"])["unbalanced"]
    await runtime.stop()


async def test_one_that_is_refused_is_a_dead_letter_and_the_others_go_on(
    script: Script, desk: Desk, tmp_path: Path
) -> None:
    desk.is_open = True
    desk.trouble = {2: [Rejected("Never.")], 3: [Disconnected("Later.", retry_after_s=0.01)]}
    runtime = await started(many(), tmp_path)
    await send(script, *((n, f"k{n}") for n in range(1, 11)))
    await until(lambda: len(answered(script)) == 9)
    assert sorted(answered(script)) == [1, 3, 4, 5, 6, 7, 8, 9, 10]
    await until(lambda: outlet(runtime)["dead"] == 1)
    assert outlet(runtime)["delivered"] == 9
    (letter,) = await letters(runtime.store)
    assert letter["error"] == "Never."
    assert not flow_books(runtime.runners["test"])["unbalanced"]
    await runtime.stop()


async def test_parts_go_ahead_of_the_answer_and_come_again_after_a_crash(
    script: Script, desk: Desk, tmp_path: Path
) -> None:
    desk.parts = 3
    runtime = await started(many(), tmp_path)
    await send(script, (1, "a"))
    await until(lambda: len(answered(script, "part")) == 3)
    assert not answered(script)
    await kill(runtime)
    desk.is_open = True
    runtime = await started(many(), tmp_path)
    await until(lambda: answered(script) == [1])
    parts = [e.data["i"] for _, message in script.written for e in message if e.topic == "part"]  # type: ignore[union-attr]  # events
    assert parts[-3:] == [0, 1, 2], "the whole again"
    await runtime.stop()


async def test_a_full_queue_that_loses_nothing_holds_up_the_source(
    script: Script, desk: Desk, tmp_path: Path
) -> None:
    runtime = await started(many(", outbox: {bytes_max: 10000, when_full: block}"), tmp_path)
    worker = runtime.runners["test"].workers["ask"]
    for n in range(1, 41):
        await send(script, (n, f"k{n % 8}"))
    await until(lambda: worker.holds_up)
    for n in range(41, 201):
        await send(script, (n, f"k{n % 8}"))
    await asyncio.sleep(0.5)
    assert script.readings.qsize() >= 159, "the source has stopped reading"
    assert worker.queued_rows <= 41, "10,000 bytes, and what was in the inbox"
    desk.is_open = True
    for gate in list(desk.gates.values()):
        gate.set()
    await until(lambda: len(answered(script)) == 200)
    assert sorted(answered(script)) == list(range(1, 201))
    for k in range(8):
        mine = [n for n in answered(script) if n % 8 == k]
        assert mine == sorted(mine)
    assert not flow_books(runtime.runners["test"])["unbalanced"]
    await runtime.stop()


async def test_another_revision_lets_the_source_go_on(
    script: Script, desk: Desk, tmp_path: Path
) -> None:
    runtime = await started(many(", outbox: {bytes_max: 10000, when_full: block}"), tmp_path)
    for n in range(1, 41):
        await send(script, (n, f"k{n}"))
    await until(lambda: runtime.runners["test"].workers["ask"].holds_up)
    for n in range(41, 101):
        await send(script, (n, f"k{n}"))
    await runtime.deploy(many(", outbox: {bytes_max: 1000000, when_full: block}"), "user:anna")
    await until(lambda: script.readings.empty())
    desk.is_open = True
    for gate in list(desk.gates.values()):
        gate.set()
    await until(lambda: len(answered(script)) == 100)
    await runtime.stop()


# ---------------------------------------------------------------------- the queue


def test_numbers_may_leave_in_any_order_and_through_restarts() -> None:
    """Against a plain set: what has left never comes back, and what waits is never lost."""
    for seed in range(30):
        dice = random.Random(seed)
        box, mark, waits, gone, offered = Outbox(), {}, set(), set(), 0
        stored: list[Block] = []
        for _ in range(60):
            match dice.choice(["add", "add", "leave", "leave", "restart"]):
                case "add":
                    for _ in range(dice.randint(1, 5)):
                        offered += 1
                        box.add("in", (Event(offered, "e"),), 0.0)
                        waits.add(offered)
                case "leave" if waits:
                    number = dice.choice(sorted(waits)[:20])
                    assert box.taken_one(number, 1) == 1
                    assert box.taken_one(number, 1) == 0, "once"
                    waits.discard(number)
                    gone.add(number)
                case "restart":
                    mark = box.mark()
                    box = Outbox()
                    box.restore(mark, (0, 0), stored)
                    for n in range(1, offered + 1):
                        box.add("in", (Event(n, "e"),), 0.0)
            assert {item.number for item in box.waiting()} == waits
            assert not box.books.unbalanced(box.rows)
            assert box.books.delivered == len(gone)


def test_a_question_that_went_to_the_disk_meanwhile_is_done_with_all_the_same() -> None:
    box = Outbox(memory_rows_max=0)
    for n in range(1, 30_002):
        box.add("in", (Event(n, "e"),), 0.0)
    spills = box.to_store()
    assert len(spills) > 3
    box.stored(spills)
    last = spills[-2]
    assert any(isinstance(part, Block) for part in box.lane().ahead())
    assert box.taken_one(last.first + 1, 1) == 1
    assert box.taken_one(2, 1) == 1
    assert box.rows == 30_001 - 2
    block = next(b for b in box.lane()._blocks if b.first == last.first)
    items = [Waiting(i.number, "in", i.message) for i in last.items]
    assert box.load(box.lane(), block, items) == 0
    assert not box.books.unbalanced(box.rows)
    assert last.first + 1 not in {item.number for item in box.waiting()}


def test_single_numbers_join() -> None:
    taken = Taken()
    for n in (5, 3, 4, 9, 1):
        taken.one(n)
    assert (taken.low, taken.mark()["runs"]) == (1, [[3, 5], [9, 9]])
    taken.one(2)
    assert Taken(taken.mark()).low == 5

"""`genba dlq`: a refused message is looked at, given back or let go, once, and it is recorded."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway import Batch, Disconnected, Event, Message, Reading, Rejected
from gateway.engine import store_writer
from gateway.engine.backoff import Backoff
from gateway.engine.bookkeeping import flow_books
from gateway.engine.codec import unpack_inputs
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit_rows, letters
from tests.api.serving import Terminal, served
from tests.engine.gear import Script, flow, kill, lent, samples, started, until, values

FLOW = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(Backoff, "next_s", lambda self, at_least_s=0.0: min(at_least_s, 0.01))
    with lent(Script()) as script:
        script.poison = _negative
        yield script


@pytest.fixture
def genba(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


def _negative(message: Message) -> Exception | None:
    """A receiver that takes no negative value."""
    wrong = isinstance(message, Batch) and bool((message.value < 0).any())
    return Rejected("A pressure cannot be negative.") if wrong else None


async def refused(runtime: Runtime, script: Script, text: str, count: int = 1) -> None:
    """Send rows and wait until the sink has refused them."""
    before = len(await letters(runtime.store))
    await script.readings.put(Reading({"out": samples(runtime, text)}))
    async with asyncio.timeout(10):
        while len(await letters(runtime.store)) < before + count:
            await asyncio.sleep(0.005)


def balanced(runtime: Runtime) -> bool:
    return not any(flow_books(runner)["unbalanced"] for runner in runtime.runners.values())


async def test_a_letter_is_listed_and_shown_as_a_table(
    script: Script, genba: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = await started(FLOW, tmp_path)
    async with served(runtime) as url:
        monkeypatch.setenv("GENBA_API", url)
        assert await genba("dlq") == "No dead letter.\n"
        await refused(runtime, script, "press/oil 0s -1.5 | 1s -2 bad\npress/ram 2s -3 bad")
        listed = await genba("dlq", "list")
        assert re.search(
            r"^ +1  20\d\d-\d\d-\d\d .* test/out\.in  3 rows, \d+ B, revision 1", listed
        )
        assert "A pressure cannot be negative." in listed
        shown = await genba("dlq", "show", "1")
        lines = [line.split() for line in shown.splitlines()]
        assert ["time", "tag", "value", "quality"] in lines
        at = next(i for i, line in enumerate(lines) if "-1.5" in line)
        assert lines[at][2:] == ["press/oil", "-1.5", "Good"]
        assert lines[at + 1][2:] == ["press/oil", "-2", "Bad"]
        assert lines[at + 2][2:] == ["press/ram", "-3", "Bad"]
        (row,) = [json.loads(line) for line in (await genba("dlq", "list", "--json")).splitlines()]
        assert (row["id"], row["node"], row["rows"], row["state"]) == (1, "out", 3, "waiting")
        said = await genba("dlq", "show", "1", "--raw", str(tmp_path / "letter.bin"))
        assert "bytes written to" in said
        ((node, port, message),), _ = unpack_inputs((tmp_path / "letter.bin").read_bytes())
        assert (node, port, message.value.tolist()[0]) == ("out", "in", -1.5)  # type: ignore[union-attr]  # a batch
        assert "There is no dead letter 9" in await genba("dlq", "show", "9", code=1)
    await runtime.stop()


async def test_a_letter_is_given_back_once(
    script: Script, genba: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = await started(FLOW, tmp_path)
    async with served(runtime) as url:
        monkeypatch.setenv("GENBA_API", url)
        await refused(runtime, script, "A 0s -1 | 1s -5")
        assert values(script) == []
        said = await genba("dlq", "replay", "1", "--actor", "user:anna")
        assert said == "2 rows were given to out again.\n"
        async with asyncio.timeout(10):  # The receiver refuses them as before: a new letter.
            while not (found := await letters(runtime.store)):
                await asyncio.sleep(0.005)
        assert found[0]["id"] == 2
        script.poison = lambda message: None
        await genba("dlq", "replay", "2", "--actor", "user:anna")
        await until(lambda: values(script) == [-1.0, -5.0])
        again = await genba("dlq", "replay", "2", code=1)
        assert "Dead letter 2 was replayed already." in again
        assert "was replayed already" in await genba("dlq", "discard", "2", "--reason", "x", code=1)
        assert await genba("dlq") == "No dead letter.\n"
        assert (await genba("dlq", "list", "--all")).count("replayed") == 2
        rows = await audit_rows(runtime.store)
        assert [(row["actor"], row["action"]) for row in rows] == [("user:anna", "dlq/replay")] * 2
        assert rows[0]["detail"] == {"flow": "test", "letter": 2, "node": "out", "rows": 2}
        assert balanced(runtime)
        (book,) = flow_books(runtime.runners["test"])["outlets"]
        assert (book["offered"], book["delivered"], book["dead"]) == (6, 2, 4)
        assert values(script) == [-1.0, -5.0]
    await runtime.stop()


async def test_two_who_replay_at_once_replay_once(script: Script, tmp_path: Path) -> None:
    runtime = await started(FLOW, tmp_path)
    await refused(runtime, script, "A 0s -1")
    script.poison = lambda message: None
    found = await asyncio.gather(
        *(runtime.letters.replay(1, f"user:{i}") for i in range(5)),
        runtime.letters.discard(1, "user:x", "no"),
        return_exceptions=True,
    )
    assert sum(isinstance(one, str) or one is None for one in found) == 1, found
    await asyncio.sleep(0.05)
    assert len(values(script)) <= 1
    assert len(await audit_rows(runtime.store)) == 1
    await runtime.stop()


async def test_a_replay_is_journalled_and_outlives_a_kill(script: Script, tmp_path: Path) -> None:
    runtime = await started(FLOW, tmp_path)
    await refused(runtime, script, "A 0s -1")
    script.poison = lambda message: None
    script.slow.clear()
    await runtime.letters.replay(1, "user:anna")
    assert await letters(runtime.store) == []
    await kill(runtime)
    script.slow.set()
    runtime = await started(FLOW, tmp_path)
    await until(lambda: values(script) == [-1.0])
    assert balanced(runtime)
    await runtime.stop()


async def test_a_kill_before_the_commit_leaves_the_letter_waiting(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = await started(FLOW, tmp_path)
    await refused(runtime, script, "A 0s -1")
    await script.readings.put(samples(runtime, "A 1s 1"))  # Its commit says what was refused.
    await until(lambda: values(script) == [1.0])
    script.poison = lambda message: None

    async def refuse(entry: Any) -> None:
        raise Disconnected("The disk is full.")

    monkeypatch.setattr(runtime.store, "commit", refuse)
    asked = asyncio.ensure_future(runtime.letters.replay(1, "user:anna"))
    await until(lambda: runtime.runners["test"].inbox.book("out").in_hand)
    asked.cancel()
    await kill(runtime)
    runtime = await started(FLOW, tmp_path)
    (row,) = await letters(runtime.store)
    assert row["state"] == "waiting"
    assert await audit_rows(runtime.store) == []
    await runtime.letters.replay(1, "user:anna")
    await until(lambda: values(script)[-1] == -1.0)
    assert values(script).count(-1.0) == 1
    await runtime.stop()


async def test_what_made_a_transform_fail_goes_back_to_its_port(
    script: Script, tmp_path: Path
) -> None:
    document = flow(
        "src: {type: script.source}\nbad: {type: test.fault, above: 100}\nout: {type: script.sink}",
        "src -> bad -> out",
    )
    runtime = await started(document, tmp_path)
    await refused(runtime, script, "A 0s 500")
    healed = flow(
        "src: {type: script.source}\nbad: {type: test.fault, above: 1000}\n"
        "out: {type: script.sink}",
        "src -> bad -> out",
    )
    await runtime.deploy(healed, "user:anna")
    (row,) = await letters(runtime.store)
    assert (row["node"], row["port"], row["rows"], row["revision"]) == ("bad", "in", 1, 1)
    await runtime.letters.replay(row["id"], "user:anna")
    await until(lambda: values(script) == [500.0])
    assert balanced(runtime)
    await runtime.stop()


async def test_what_cannot_be_given_back_says_why(
    script: Script, genba: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = flow(
        "src: {type: script.source}\nout: {type: script.sink}\nvalve: {type: script.fresh}",
        "src -> out, src.status -> out.events, src.late -> valve",
    )
    runtime = await started(document, tmp_path)
    async with served(runtime) as url:
        monkeypatch.setenv("GENBA_API", url)
        await until(lambda: runtime.runners["test"].egresses["valve"]._is_up)
        await script.readings.put(Reading({"late": samples(runtime, "A 0s -1")}))
        await script.readings.put(Reading({"status": (Event(1, "t", {"x": object()}),)}))
        async with asyncio.timeout(10):
            while len(await letters(runtime.store)) < 2:
                await asyncio.sleep(0.005)
        by_node = {row["node"]: str(row["id"]) for row in await letters(runtime.store)}
        said = await genba("dlq", "replay", by_node["valve"], code=1)
        assert "setpoints are never written late. Set it anew, and discard the letter." in said
        said = await genba("dlq", "replay", by_node["src"], code=1)
        assert "is no whole message" in said
        shown = await genba("dlq", "show", by_node["src"])
        assert "It could not be stored as a message. In words:" in shown
        assert "topic='t'" in shown
        assert "needs a reason" in await genba("dlq", "discard", by_node["src"], code=1)
        said = await genba("dlq", "discard", by_node["src"], "--reason", "a test")
        assert said == f"Dead letter {by_node['src']} was discarded.\n"
        (row, *_) = await audit_rows(runtime.store)
        assert (row["action"], row["detail"]["reason"]) == ("dlq/discard", "a test")
        await refused(runtime, script, "A 0s -1")
        less = flow("src: {type: script.source}\nvalve: {type: script.fresh}", "src -> valve")
        await runtime.deploy(less, "user:anna")
        number = str((await letters(runtime.store))[0]["id"])
        said = await genba("dlq", "replay", number, code=1)
        assert "came in at out.in, which the flow does not have any more." in said
    await runtime.stop()


async def test_a_node_that_goes_while_its_letter_is_on_its_way(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = await started(FLOW, tmp_path)
    await refused(runtime, script, "A 0s -1")
    runner = runtime.runners["test"]
    asked: list[asyncio.Future[str]] = []
    serve = runner.serve_waiting

    async def and_then() -> None:  # The letter comes while the deploy is being committed.
        await serve()
        asked.append(asyncio.ensure_future(runtime.letters.replay(1, "user:anna")))
        book = runner.inbox.book("out")
        await until(lambda: book.in_inbox + book.in_hand > 0)

    monkeypatch.setattr(runner, "serve_waiting", and_then)
    less = flow("src: {type: script.source}\nother: {type: script.sink}", "src -> other")
    await runtime.deploy(less, "user:anna")
    with pytest.raises(Exception, match="out is gone from the flow"):
        await asked[0]
    (row,) = await letters(runtime.store)
    assert row["state"] == "waiting"
    assert flow_books(runner)["inputs"][-1]["given_back"] == 1
    assert balanced(runtime)
    await runtime.stop()


async def test_a_flow_without_a_journal_takes_letters_back_as_well(
    script: Script, tmp_path: Path
) -> None:
    document = flow(
        "src: {type: script.source}\nout: {type: script.sink}",
        "src -> out",
        more="durability: memory",
    )
    runtime = await started(document, tmp_path)
    await refused(runtime, script, "A 0s -1")
    script.poison = lambda message: None
    await runtime.letters.replay(1, "user:anna")
    await until(lambda: values(script) == [-1.0])
    with pytest.raises(Exception, match="was replayed already"):
        await runtime.letters.replay(1, "user:anna")
    assert balanced(runtime)
    await runtime.stop()


async def test_windows_alarms_and_events_are_shown(script: Script, tmp_path: Path) -> None:
    document = flow(
        """
        src: {type: script.source}
        high: {type: alarm.limit, hi: 80}
        out: {type: script.sink}
        """,
        "src -> high, high.alarms -> out.alarms, src.status -> out.events",
    )
    runtime = await started(document, tmp_path)
    await script.readings.put(samples(runtime, "A 0s 20"))
    await until(lambda: script.written)  # It says that it reads.
    script.poison = lambda message: Rejected("No.")
    await refused(runtime, script, "A 1s 90")
    await script.readings.put(Reading({"status": (Event(7, "door/open", {"n": 1}),)}))
    async with asyncio.timeout(10):
        while len(await letters(runtime.store)) < 2:
            await asyncio.sleep(0.005)
    shown = {one["kind"]: one for one in [await runtime.letters.show(i) for i in (1, 2)]}
    assert shown["alarms"]["items"][0]["alarm"] == "test/high:A:HI"
    event = shown["events"]["items"][0]
    assert (event["ts"], event["topic"], event["data"]) == (7, "door/open", {"n": 1})
    await runtime.stop()


async def test_a_long_message_is_shown_in_part(
    script: Script, genba: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = await started(FLOW, tmp_path)
    async with served(runtime) as url:
        monkeypatch.setenv("GENBA_API", url)
        code = runtime.tags.code("A")
        n = 1_200
        batch = Batch.columns(np.full(n, code, np.uint16), np.arange(n), np.full(n, -1.0))
        await script.readings.put(Reading({"out": batch}))
        async with asyncio.timeout(10):
            while not await letters(runtime.store):
                await asyncio.sleep(0.005)
        assert "… and 200 rows more." in await genba("dlq", "show", "1")
    await runtime.stop()

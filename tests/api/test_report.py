"""What the API says of books, gaps and dead letters, and what it refuses."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Disconnected, Reading, Rejected
from gateway.api.client import Client
from gateway.engine import store_writer
from gateway.engine.health import Condition
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit_rows, letters
from tests.api.serving import served
from tests.engine.gear import Script, flow, lent, samples, started, until, values

FLOW = flow(
    "src: {type: script.source}\nout: {type: script.sink}\nask: {type: script.worker}",
    "src -> out, src -> ask",
)


class Bench:
    """A gateway that runs, its script and a client."""

    def __init__(self, runtime: Runtime, script: Script, url: str) -> None:
        self.runtime = runtime
        self.script = script
        self.client = Client(url)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request; an answer that is no success is raised as `Rejected`."""
        return await asyncio.to_thread(self.client._ask, method, path, body)

    async def text(self, path: str) -> str:
        return (await asyncio.to_thread(self.client._get, path)).decode()

    async def refuse_one(self) -> int:
        """Have a row refused; returns the letter's number."""
        self.script.poison = lambda message: Rejected("No.")
        await self.script.readings.put(Reading({"out": samples(self.runtime, "A 0s 7")}))
        async with asyncio.timeout(10):
            while not (found := await letters(self.runtime.store)):
                await asyncio.sleep(0.005)
        self.script.poison = lambda message: None
        return int(found[0]["id"])


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(Script()) as script:
        runtime = await started(FLOW, tmp_path)
        async with served(runtime) as url:
            yield Bench(runtime, script, url)
        await runtime.stop()


async def test_the_books_are_in_status_report_and_metrics(bench: Bench) -> None:
    await bench.script.readings.put(Reading({"out": samples(bench.runtime, "A 0s 1 | 1s 2")}))
    await until(lambda: values(bench.script) == [1.0, 2.0])
    unwired = bench.runtime.runners["test"].graph.traffic.unwired
    await until(lambda: unwired["ask", "out"] == 2)
    status = await bench.ask("GET", "/api/status")
    assert status["unbalanced"] == 0
    assert status["since"] <= status["now"]
    wire = next(wire for wire in status["wires"] if wire["to"] == "out.in")
    assert (wire["rows"], wire["dropped"], wire["reasons"]) == (2, 0, {})
    flow_found, own = (await bench.ask("GET", "/api/report"))["flows"]
    assert (flow_found["flow"], own["flow"], own["unbalanced"]) == ("test", "gateway", 0)
    assert (flow_found["own"], own["own"]) == (False, True)
    for book in (status["books"]["test"], flow_found):
        inputs = {row["node"]: row for row in book["inputs"]}
        assert (inputs["src"]["kind"], inputs["src"]["journalled"]) == ("source", 3)
        assert (inputs["ask"]["kind"], inputs["ask"]["unwired"]) == ("worker", 2)
        outlets = {row["node"]: row for row in book["outlets"]}
        assert (outlets["ask"]["delivered"], outlets["out"]["delivered"]) == (2, 2)
        assert outlets["out"]["bytes_max"] == 4_000_000_000
    text = await bench.text("/metrics")
    assert 'genba_unbalanced_rows{flow="test"} 0\n' in text
    assert 'genba_unbalanced_rows{flow="gateway"} 0\n' in text
    assert 'genba_input_rows_total{flow="test",node="ask",what="unwired"} 2\n' in text
    assert 'genba_outlet_rows_total{flow="test",node="out",what="delivered"} 2\n' in text
    assert re.search(r'genba_journal_bytes\{flow="test"\} [1-9]\d*\n', text)
    assert "genba_dead_letters 0\n" in text


async def test_the_gateways_own_alarms_are_in_the_books(bench: Bench) -> None:
    health = bench.runtime.health
    assert health is not None
    health.once("gateway/test", Condition("Something is wrong, and over."))
    own = bench.runtime.booked["gateway"]
    await until(lambda: own.inbox.book("health").journalled >= 2)
    (found,) = [row for row in (await bench.ask("GET", "/api/report"))["flows"] if row["own"]]
    (book,) = [row for row in found["inputs"] if row["node"] == "health"]
    assert (book["read"], book["waiting"], found["unbalanced"]) == (book["journalled"], 0, 0)
    assert (await bench.ask("GET", "/api/status"))["books"]["gateway"]["unbalanced"] == 0


async def test_metrics_of_a_disk_that_is_away_say_what_is_in_memory(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(work: Any) -> None:
        raise Disconnected("The disk is away.")

    monkeypatch.setattr(bench.runtime.store, "run", refuse)
    text = await bench.text("/metrics")
    assert "genba_unbalanced_rows" in text
    assert "genba_dead_letters" not in text
    with pytest.raises(Rejected, match="The disk is away"):
        await bench.ask("GET", "/api/report")
    monkeypatch.undo()


async def test_ready_while_it_can_be_stored(bench: Bench) -> None:
    assert await bench.text("/readyz") == "ready\n"
    bench.runtime.store.trouble = "The disk is full."
    with pytest.raises(Rejected, match="not ready: The disk is full"):
        await bench.text("/readyz")
    bench.runtime.store.trouble = ""
    hosts = dict(bench.runtime.hosts)
    bench.runtime.hosts.clear()
    with pytest.raises(Rejected, match="no flow runs"):
        await bench.text("/readyz")
    bench.runtime.hosts.update(hosts)


async def test_letters_over_the_api(bench: Bench) -> None:
    number = await bench.refuse_one()
    client = bench.client
    (row,) = await asyncio.to_thread(client.letters)
    assert (row["id"], row["error"], row["state"]) == (number, "No.", "waiting")
    letter = await asyncio.to_thread(client.letter, number)
    assert letter["kind"] == "samples"
    assert letter["items"][0]["tag"] == "A"
    assert await asyncio.to_thread(client.letter_bytes, number)
    said = await asyncio.to_thread(client.replay_letter, number, "user:anna")
    assert said == "1 row was given to out again."
    await until(lambda: values(bench.script) == [7.0])
    with pytest.raises(Rejected, match="was replayed already"):
        await asyncio.to_thread(client.discard_letter, number, "user:anna", "no")
    assert await asyncio.to_thread(client.letters) == []
    assert len(await asyncio.to_thread(client.letters, "replayed")) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "says"),
    [
        ("GET", "/api/letters/99", None, "There is no dead letter 99"),
        ("GET", "/api/letters/99/raw", None, "There is no dead letter 99"),
        ("POST", "/api/letters/99/replay", {}, "There is no dead letter 99"),
        ("POST", "/api/letters/99/discard", {"reason": "x"}, "There is no dead letter 99"),
        ("POST", "/api/letters/1/discard", {}, "Say why"),
        ("POST", "/api/letters/1/replay", {"extra": 1}, "extra"),
        ("GET", "/api/letters?state=burnt", None, "state"),
        ("GET", "/api/letters?limit=0", None, "limit"),
        ("GET", "/api/gaps?limit=0", None, "limit"),
    ],
)
async def test_what_cannot_be_done(
    bench: Bench, method: str, path: str, body: Any, says: str
) -> None:
    await bench.refuse_one()
    with pytest.raises(Rejected, match=says):
        await bench.ask(method, path, body)
    assert await audit_rows(bench.runtime.store) == []
    assert len(await letters(bench.runtime.store)) == 1

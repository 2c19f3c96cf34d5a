"""Streams between flows: in order, each once, through deploys, stops and kill -9."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import Batch, Reading
from gateway.engine import store_writer
from gateway.engine.codec import unpack_inputs
from gateway.engine.crash import POINTS
from gateway.engine.runtime import Runtime
from gateway.engine.store import Entry, Store
from gateway.engine.store_read import StateReader
from gateway.flow.document import Document
from gateway.flow.lint import lint
from tests.engine.gear import Script, kill, lent, samples, until, values

GIVES = Document.parse("""\
flow: gives
nodes:
  src: {type: script.source}
  half: {type: compute.scale, gain: 0.5}
  give: {type: flow.sink, stream: hall/half}
wires: [src -> half -> give]
""")
TAKES = Document.parse("""\
flow: takes
nodes:
  take: {type: flow.source, stream: hall/half}
  double: {type: compute.scale, gain: 2}
  out: {type: script.sink}
wires: [take -> double -> out]
""")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(Script()) as script:
        yield script


async def run(folder: Path, *documents: Document) -> Runtime:
    runtime = Runtime(documents, folder)
    await runtime.start()
    return runtime


async def send(runtime: Runtime, script: Script, *numbers: float) -> None:
    for number in numbers:
        text = f"A {int(number)}s {number:g}"
        await script.readings.put(Reading({"out": samples(runtime, text)}))


async def test_what_one_flow_gives_another_takes_in_order(script: Script, tmp_path: Path) -> None:
    runtime = await run(tmp_path, GIVES, TAKES)
    await send(runtime, script, *range(50))
    await until(lambda: len(values(script)) == 50)
    assert values(script) == [float(i) for i in range(50)]
    await runtime.stop()


async def test_it_waits_for_a_flow_that_is_away_and_goes_on(script: Script, tmp_path: Path) -> None:
    runtime = await run(tmp_path, GIVES)
    await send(runtime, script, 1, 2, 3)
    egress = runtime.runners["gives"].egresses["give"]
    await until(lambda: egress.queued_rows == 3)
    await until(lambda: "No flow takes the stream 'hall/half'" in egress.trouble)
    await runtime.deploy(TAKES, "user:anna")
    await until(lambda: values(script) == [1.0, 2.0, 3.0])
    edited = Document.parse(
        TAKES.text()
        .replace("out: {type", "calm: {type: filter.quality}\n  out: {type")
        .replace("double -> out", "double -> calm -> out")
    )
    await send(runtime, script, 4, 5)
    await runtime.deploy(edited, "user:anna")
    await send(runtime, script, 6)
    await until(lambda: values(script)[-1] == 6.0)
    assert values(script) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    await runtime.stop()


async def test_a_sink_that_is_taken_out_and_put_in_again_counts_anew(
    script: Script, tmp_path: Path
) -> None:
    runtime = await run(tmp_path, GIVES, TAKES)
    await send(runtime, script, *range(20))
    await until(lambda: len(values(script)) == 20)
    await runtime.remove("takes", "user:anna")
    without = Document.parse(
        GIVES.text()
        .replace("  give: {type: flow.sink, stream: hall/half}\n", "")
        .replace(" -> give", "")
    )
    await runtime.deploy(without, "user:anna")
    await runtime.deploy(GIVES, "user:anna")
    await send(runtime, script, *range(100, 125))
    await until(lambda: runtime.runners["gives"].egresses["give"].queued_rows == 25)
    await runtime.deploy(TAKES, "user:anna")
    await until(lambda: values(script)[-1:] == [124.0])
    assert values(script)[20:] == [float(i) for i in range(100, 125)], "none is taken for known"
    await runtime.stop()


async def test_killed_at_any_time_each_is_taken_once(script: Script, tmp_path: Path) -> None:
    sent = 0
    for _ in range(6):
        runtime = await run(tmp_path, GIVES, TAKES)
        done = len(values(script))
        await send(runtime, script, *range(sent, sent + 10))
        sent += 10
        await until(lambda done=done: len(values(script)) >= done + 3)
        await kill(runtime)
    runtime = await run(tmp_path, GIVES, TAKES)
    await until(lambda: not runtime.runners["gives"].egresses["give"].queued_rows)
    await runtime.stop()
    given = journalled(tmp_path, "gives", "src")
    assert len(given) > 20
    assert taken(tmp_path) == [value / 2 for value in given]


def taken(folder: Path) -> list[float]:
    """Values in the journal of the flow that takes, in order."""
    return journalled(folder, "takes", "take")


def journalled(folder: Path, flow: str, source: str) -> list[float]:
    """All values that a source brought, as the journal has them."""
    found: list[float] = []
    with StateReader(folder / "genba.db") as reader:
        for _, block in reader.records(flow, 1):
            for node, port, message in unpack_inputs(block)[0]:
                if (node, port) == (source, "out") and isinstance(message, Batch):
                    found += message.value.tolist()
    return found


async def test_positions_by_an_outbox_go_with_it(tmp_path: Path) -> None:
    """A flow that takes and does not run must not know numbers that are given out anew."""
    store = Store(tmp_path / "genba.db")
    await store.open()
    known = {"take": json.dumps({"from": "gives/give", "number": 57}), "file": '{"row": 5}'}
    await store.commit(Entry("takes", 1, 1, positions=known))
    await store.commit(Entry("gives", 1, 1, closed={"giv": 0}))
    assert len(await store.positions("takes")) == 2
    await store.commit(Entry("gives", 2, 1, closed={"give": 0}))
    assert await store.positions("takes") == {"file": {"row": 5}}
    await store.close()


async def test_one_end_gives_and_one_takes(script: Script, tmp_path: Path) -> None:
    second = Document.parse(TAKES.text().replace("flow: takes", "flow: other"))
    runtime = await run(tmp_path, GIVES, TAKES, second)
    boards = runtime.statuses
    await until(lambda: any("is taken by" in status.text for status in boards))
    await runtime.stop()


def test_lint_wants_a_journal() -> None:
    text = GIVES.text().replace("flow: gives\n", "flow: gives\ndurability: memory\n")
    found = [f for f in lint(Document.parse(text)) if f.node == "give" and f.severity == "error"]
    assert "exactly once only where both are journalled" in found[0].text


# ---------------------------------------------------------------------- the whole program

ROWS = 10_000 if os.environ.get("GENBA_TORTURE") else 3_000
REAL = """\
flow: gives
nodes:
  file: {type: file.csv_source, path: rows.csv, batch_rows_max: 20}
  give: {type: flow.sink, stream: rows}
wires: [file -> give]
"""
OTHER = """\
flow: takes
nodes:
  take: {type: flow.source, stream: rows}
  log: {type: log.sink, level: debug}
wires: [take -> log]
"""


def start(folder: Path, crash_at: str = "") -> subprocess.Popen[bytes]:
    (folder / "ready").unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.nodes.streams_run", str(folder)]
    environment = os.environ | ({"GENBA_CRASH_AT": crash_at} if crash_at else {})
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


def test_kill_9_loses_and_doubles_nothing(tmp_path: Path) -> None:
    (tmp_path / "gives.flow.yaml").write_text(REAL)
    (tmp_path / "takes.flow.yaml").write_text(OTHER)
    rows = [f"{1_700_000_000 + i},{i}" for i in range(ROWS)]
    (tmp_path / "rows.csv").write_text("\n".join(["ts,a", *rows]) + "\n")
    chance = random.Random(3)
    # Points that the program may die at by itself, or none: then it is killed from outside.
    is_long = bool(os.environ.get("GENBA_TORTURE"))
    deaths = ["", "", *(f"{point}:{n}" for n in (2, 9) for point in POINTS), *[""] * 8]
    partial = 0
    for crash_at in deaths if is_long else deaths[:3]:
        process = start(tmp_path, crash_at)
        while not (tmp_path / "ready").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.1, 0.8))
        process.send_signal(signal.SIGKILL)
        process.wait()
        partial += 0 < len(taken(tmp_path)) < ROWS
    process = start(tmp_path)
    for _ in range(600):
        time.sleep(0.1)
        if len(taken(tmp_path)) >= ROWS:
            break
    process.send_signal(signal.SIGTERM)
    process.wait()
    found = taken(tmp_path)
    twice = [value for value, count in Counter(found).items() if count > 1]
    assert not twice
    assert found == [float(i) for i in range(ROWS)]
    assert partial, "it was killed in the middle at least once"

"""Fold: a state computed afresh is that of a run; what is missing in the journal is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import Batch, StateError, TagTable
from gateway.engine.codec import pack_inputs
from gateway.engine.crash import when
from gateway.engine.fold import digest_of, fold, stored
from gateway.engine.graph import Graph
from gateway.engine.store import Entry, Store
from gateway.engine.store_state import Checkpoint
from gateway.flow.document import Document

FLOW = Document.parse(
    """
flow: f
version: 1
nodes:
  file: {type: file.csv_source, path: rows.csv}
  three: {type: window.count, size: 3}
  high: {type: alarm.limit, hi: 75}
  log: {type: file.jsonl_sink, path: log.jsonl}
wires:
  - file -> three
  - file -> high
  - high.alarms -> log.alarms
"""
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "genba.db")
    await store.open()
    yield store
    await store.close()


async def _run(store: Store, numbers: range) -> Graph:
    """Journal some rows of a tag, a record each, and step a graph with them."""
    tags = TagTable()
    code = tags.code("TT1")
    graph = Graph(FLOW, tags)
    for seq in numbers:
        inputs = [("file", "out", Batch.of([(code, seq * 10**9, seq * 20.0, 0)]))]
        now = seq * 10**9
        known = {code: tags[code]}
        await store.commit(Entry("f", seq, now, 1, pack_inputs(inputs, now), tags=known))
        graph.step(inputs, now)
    return graph


async def test_the_state_of_a_run(store: Store) -> None:
    graph = await _run(store, range(1, 6))
    states = graph.snapshot()
    found = await fold(store, FLOW, marks=[2, 5])
    assert (found.seq, found.rows, found.digest) == (5, 5, digest_of(states))
    await store.save_snapshot(Checkpoint("f", 5, 0, states, {}))
    assert await stored(store, "f") == (5, found.digest)
    assert found.digests[5] == found.digest != found.digests[2]
    assert [(event.tag, event.change) for event in found.alarms] == [("TT1", "raised")]


async def test_a_bit_more_is_another_state(store: Store) -> None:
    states = (await _run(store, range(1, 3))).snapshot()
    before = digest_of(states)
    states["three"]["skip"][0] += 1
    assert digest_of(states) != before


async def test_a_journal_without_its_beginning(store: Store) -> None:
    await _run(store, range(3, 6))
    with pytest.raises(StateError, match="goes on with record 3 after 0"):
        await fold(store, FLOW)


async def test_no_checkpoint_yet(store: Store) -> None:
    with pytest.raises(StateError, match="f has no checkpoint"):
        await stored(store, "f")


@pytest.mark.parametrize(("wanted", "lives"), [("mid_step:3", 2), ("mid_step:1.0", 0)])
def test_a_crash_point_kills_for_real(wanted: str, lives: int) -> None:
    """With a count, and with a probability, as the environment says."""
    program = (
        "from gateway.engine.crash import crash_point\n"
        "for i in range(9):\n"
        "    crash_point('pre_ack'); crash_point('mid_step'); print(i, flush=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"GENBA_CRASH_AT": wanted},
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert len(done.stdout.splitlines()) == lives


def test_chances_that_repeat() -> None:
    def dies(seed: int) -> list[bool]:
        _, die = when("post_commit:0.5", seed)
        return [die() for _ in range(50)]

    assert dies(1) == dies(1) != dies(2)
    assert {True, False} == set(dies(1))


@pytest.mark.parametrize("wanted", ["nowhere", "mid_step:0.0", "mid_step:1.5"])
def test_a_crash_point_that_makes_no_sense(wanted: str) -> None:
    with pytest.raises(AssertionError, match="GENBA_CRASH_AT"):
        when(wanted)

"""Power cuts below SQLite: nothing acknowledged is lost, nothing is corrupt, states are exact.

A child process runs the real gateway on a watched folder. For many moments of its life the
files are put together as a disk may hold them after a cut, the gateway is started on them, and
the source's own history, the journal's fold and the sinks' books are compared with what it has.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import figures, power
from tests.faults.conftest import LONG
from tests.faults.power import Recording, Watched

CUTS = int(os.environ.get("GENBA_CUTS", 10_000 if LONG else 240))
SEED = 20_261_126


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = power.scratch()
    yield folder
    shutil.rmtree(folder)


def record(library: Path, folder: Path, readings: int, seed: int, mutant: str = "") -> Recording:
    """One whole life."""
    watched = Watched(library, folder, readings, seed, mutant)
    watched.start()
    assert watched.wait() == 0
    log = watched.log()
    assert {"write", "sync", "link", "unlink", "mark"} <= {op.kind for op in log.ops}
    return Recording(log, readings)


class Tally:
    """Counts cuts, and tells how to repeat one that went wrong."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cuts = self.lost = self.corrupt = self.wrong = 0
        self.said: list[str] = []
        self._began = time.monotonic()

    def cut(self, recording: Recording, cut: int, seed: int) -> bool:
        """Cut once; True when all is well."""
        said = power.check(recording, cut, seed)
        self.cuts += 1
        self.lost += any(line.startswith("lost") for line in said)
        self.corrupt += any("corrupt" in line or "cannot be used" in line for line in said)
        self.wrong += bool(said)
        if said and len(self.said) < 5:
            kept = Path(tempfile.gettempdir()) / f"genba-{self.name}-{self.cuts}.json"
            recording.save(kept)
            command = f"python -m tests.faults.power {kept} --cut {cut} --seed {seed}"
            self.said.append(f"{command}\n  " + "\n  ".join(said))
        return not said

    def end(self) -> None:
        """Tell the figures; fail when a cut did harm."""
        figures.record(
            self.name,
            cuts=self.cuts,
            lost=self.lost,
            corrupt=self.corrupt,
            wrong=self.wrong,
            seconds=round(time.monotonic() - self._began, 1),
            seed=SEED,
        )
        assert not self.said, "\n".join(self.said)


@pytest.mark.slow
def test_every_operation_of_a_short_life(iolog: Path, folder: Path) -> None:
    recording = record(iolog, folder, 8, 2)
    tally = Tally("power_cuts_every_operation")
    for seed in range(5 if LONG else 1):
        for cut in range(len(recording.log.ops) + 1):
            tally.cut(recording, cut, SEED + seed)
    tally.end()


@pytest.mark.slow
def test_any_moment_of_long_lives(iolog: Path, folder: Path) -> None:
    tally = Tally("power_cuts")
    chance = random.Random(SEED)
    a_life = 250 if LONG else 40
    for life in range(CUTS // a_life):
        recording = record(iolog, folder / str(life), 60, life)
        for _ in range(a_life // 2):
            tally.cut(recording, chance.randrange(len(recording.log.ops) + 1), tally.cuts)
        # A life that began with a cut, and is cut again: in its recovery as well.
        cut, seed = chance.randrange(len(recording.log.ops) + 1), chance.randrange(1000)
        watched = Watched(iolog, folder / f"{life}b", 60, life + 1)
        again = power.next_life(recording, cut, watched, seed)
        for _ in range(a_life - a_life // 2):
            tally.cut(again, chance.randrange(len(again.log.ops) + 1), tally.cuts)
    tally.end()


def failed_sync(library: Path, folder: Path, seed: int, mutant: str = "") -> tuple[Recording, int]:
    """A sync fails, the process is killed and started; a life, and where its second part begins."""
    watched = Watched(library, folder, 40, seed, mutant)
    watched.control.fail("sync", errno.EIO, nth=4 + seed % 8, count=1, suffix="-wal")
    watched.start()
    until = time.monotonic() + 20
    while not watched.control.failed and watched.process.poll() is None:
        assert time.monotonic() < until
    watched.kill()
    assert watched.control.heal() == 1, "it ended before a sync failed"
    watched.start()
    assert watched.wait() == 0
    log = watched.log()
    (_, second) = (i for i, op in enumerate(log.ops) if op.kind == "start")
    return Recording(log, 40), second


@pytest.mark.slow
def test_a_failed_sync_a_new_process_and_then_a_power_cut(iolog: Path, folder: Path) -> None:
    """What a failed sync left is read back as if it were on the disk; see `store_log`."""
    tally = Tally("power_cuts_after_a_failed_sync")
    chance = random.Random(SEED)
    for life in range(40 if LONG else 4):
        recording, second = failed_sync(iolog, folder / str(life), life)
        for _ in range(40 if LONG else 15):
            tally.cut(recording, chance.randrange(second, len(recording.log.ops) + 1), tally.cuts)
    tally.end()


@pytest.mark.slow
def test_a_failed_sync_and_going_on(iolog: Path, folder: Path) -> None:
    """The same process writes all that failed again, so no later sync can lie about it."""
    tally = Tally("power_cuts_going_on_after_a_failed_sync")
    chance = random.Random(SEED)
    for life in range(40 if LONG else 4):
        watched = Watched(iolog, folder / str(life), 40, life)
        suffix = chance.choice(("-wal", ".db"))
        nth = chance.randint(3, 12) if suffix == "-wal" else chance.randint(2, 4)
        watched.control.fail("sync", errno.EIO, nth=nth, count=1, suffix=suffix)
        watched.start()
        assert watched.wait() == 0
        recording = Recording(watched.log(), 40)
        for _ in range(40 if LONG else 15):
            tally.cut(recording, chance.randrange(len(recording.log.ops) + 1), tally.cuts)
    tally.end()


def mutant(name: str) -> Callable[[Path, Path, int], tuple[Recording, int]]:
    """A life of a gateway that is wrong on purpose."""

    def life(library: Path, folder: Path, seed: int) -> tuple[Recording, int]:
        if name == "trusting":
            return failed_sync(library, folder, seed, name)
        return record(library, folder, 30, seed, name), 0

    return life


@pytest.mark.slow
@pytest.mark.parametrize("name", ["NORMAL", "OFF", "early", "trusting"])
def test_a_mutant_is_caught(iolog: Path, folder: Path, name: str) -> None:
    chance = random.Random(SEED)
    for seed in range(4):
        recording, first = mutant(name)(iolog, folder / str(seed), seed)
        for i in range(40):
            cut = chance.randrange(first, len(recording.log.ops) + 1)
            said = power.check(recording, cut, i)
            if any(line.startswith("lost") for line in said):
                figures.record("power_cut_mutant", mutant=name, caught_by_cut=seed * 40 + i + 1)
                return
    pytest.fail(f"nobody noticed the mutant {name}")

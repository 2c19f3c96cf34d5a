"""A disk that is full, read-only or broken for a while, under the real gateway.

It never acknowledges what is not stored, stays up, says so, goes on by itself when the disk is
well, and nothing acknowledged is lost. Faults are put between the process and libc by `iolog`;
one test fills a real file system.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import figures, power
from tests.faults.conftest import LONG
from tests.faults.power import Recording, Watched

READINGS = 1_000_000
SEED = 3  # Its log is folded often.
ANY = 10**9


@dataclass(frozen=True)
class Fault:
    """What fails, and how."""

    name: str
    kinds: str
    error: int
    suffix: str = ""
    is_rare: bool = False  # The file itself is written and the log cut only at a checkpoint.


FAULTS = (
    Fault("full", "write truncate", errno.ENOSPC),
    Fault("quota", "write", errno.EDQUOT),
    Fault("read-only", "write truncate open unlink rename", errno.EROFS),
    Fault("broken writes", "write", errno.EIO),
    Fault("broken syncs", "sync", errno.EIO),
    Fault("broken syncs of the log", "sync", errno.EIO, "-wal"),
    Fault("broken syncs of the file", "sync", errno.EIO, ".db", True),
    Fault("broken truncates", "truncate", errno.EIO, is_rare=True),
    Fault("broken reads", "read", errno.EIO),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = power.scratch()
    yield folder
    shutil.rmtree(folder)


def end_well(watched: Watched, name: str) -> None:
    """Kill it, start again on its files, and compare with the source's own history."""
    watched.follow()
    watched.kill()
    watched.control.heal()
    log = watched.log()
    recording = Recording(log, watched.acknowledged + 20)
    chance = random.Random(SEED)
    place = watched.folder / "after"
    place.mkdir()
    for file in watched.state.iterdir():
        if not file.name.endswith(("-shm", ".marks", ".ballast")):
            shutil.copy(file, place)
    acknowledged, delivered = recording.before(len(log.ops))
    said = asyncio.run(power.start_again(recording, acknowledged, delivered, place))
    assert not said, f"{name}: {said}"
    for i in range(30 if LONG else 3):  # And with a power cut at any moment of it all.
        cut = chance.randrange(len(log.ops) + 1)
        assert not (said := power.check(recording, cut, i)), f"{name}, cut {cut}, seed {i}: {said}"


def moves_on(watched: Watched, readings: int = 5) -> float:
    """Wait for more acknowledgements; how long they took [s]."""
    watched.follow()
    wanted = watched.acknowledged + readings
    return watched.until(lambda: watched.acknowledged >= wanted, "acknowledgement")


def fail_once(
    watched: Watched, fault: Fault, nth: int, count: int, hold_s: float
) -> tuple[int, float]:
    """Let calls fail for a while; how many did, and how long it took to go on [s]."""
    control = watched.control
    half = nth % 2 == 1
    control.fail(fault.kinds, fault.error, nth=nth, count=count, suffix=fault.suffix, half=half)
    watched.until(lambda: control.failed >= min(count, 2), "fault", 120)
    time.sleep(hold_s)  # Long enough for the longest wait between two tries.
    return control.heal(), moves_on(watched)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_disk_that_fails_and_heals(iolog: Path, folder: Path, fault: Fault) -> None:
    watched = Watched(iolog, folder, READINGS, SEED, stay=True)
    watched.start()
    moves_on(watched)
    slowest, failed = 0.0, 0
    often = range(1, 6) if fault.is_rare else (*range(1, 16), *range(16, 200, 23))
    for i, nth in enumerate(often if LONG else (2,)):
        for count in (1, 3, ANY) if LONG else (1, ANY):
            hold_s = 15 if LONG and count == ANY and i % 10 == 0 else 0
            calls, back_s = fail_once(watched, fault, nth, count, hold_s)
            failed, slowest = failed + calls, max(slowest, back_s)
    end_well(watched, fault.name)
    sentences = ("Nothing is acknowledged", "No checkpoint", "The log of the state file grows")
    assert any(sentence in line for line in watched.said for sentence in sentences)
    figures.record(
        "disk_faults", fault=fault.name, failed_calls=failed, slowest_s=round(slowest, 1)
    )


def fail_at_the_start(watched: Watched, fault: Fault, nth: int) -> float:
    """Let calls fail from the start; how long it took to start after they did no more [s]."""
    watched.control.fail(fault.kinds, fault.error, nth=nth)
    watched.start()
    watched.until(lambda: watched.control.failed >= 2, "fault")
    watched.until(lambda: bool(watched.said), "sentence")
    watched.control.heal()
    took = watched.until(lambda: watched.is_up, "start")
    moves_on(watched)
    return took


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS[:5], ids=lambda fault: fault.name)
def test_a_disk_that_fails_at_the_start(iolog: Path, folder: Path, fault: Fault) -> None:
    slowest = 0.0
    for nth in range(1, 12) if LONG else (2,):
        watched = Watched(iolog, folder / str(nth), READINGS, SEED, stay=True)
        slowest = max(slowest, fail_at_the_start(watched, fault, nth))
        end_well(watched, fault.name)
    figures.record("disk_faults_at_start", fault=fault.name, slowest_s=round(slowest, 1))


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS[:5], ids=lambda fault: fault.name)
def test_a_stop_with_a_disk_that_fails(iolog: Path, folder: Path, fault: Fault) -> None:
    watched = Watched(iolog, folder, READINGS, SEED, stay=True, holds="raw")
    watched.start()
    moves_on(watched, 20)
    watched.control.fail(fault.kinds, fault.error, suffix=fault.suffix)
    watched.until(lambda: watched.control.failed >= 2, "fault")
    began = time.monotonic()
    assert watched.stop() == 0, "it ends in order"
    figures.record("disk_faults_stop", fault=fault.name, took_s=round(time.monotonic() - began, 1))
    end_well(watched, fault.name)
    assert any("No checkpoint" in line for line in watched.said)


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    place = folder / "life"
    (place / "state").mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place / "state")]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("file systems can be mounted by root only, and not in every container")
    yield place
    subprocess.run(["umount", str(place / "state")], check=True)


def fill(path: Path) -> None:
    """Take all the room there is."""
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4096, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC


@pytest.mark.slow
def test_a_real_full_disk(iolog: Path, small_disk: Path) -> None:
    watched = Watched(iolog, small_disk, READINGS, SEED, stay=True, ballast=64 << 20)
    watched.start()
    moves_on(watched)
    ballast = watched.state / "genba.db.ballast"
    watched.until(ballast.exists, "ballast")
    size = ballast.stat().st_size
    assert 256 << 10 <= size <= (8 << 20) // 16
    fill(watched.state / "logs")
    watched.until(lambda: any("A reserve of" in line for line in watched.said), "sentence")
    assert not ballast.exists()
    moves_on(watched, 20)  # It lives on what was set aside.
    fill(watched.state / "more logs")
    watched.until(lambda: any("Nothing is ack" in line for line in watched.said), "sentence")
    watched.follow()
    (watched.state / "logs").unlink()
    (watched.state / "more logs").unlink()
    slowest = moves_on(watched, 20)
    watched.until(lambda: any("the reserve is back" in line for line in watched.said), "reserve")
    assert ballast.stat().st_size > 0
    fill(watched.state / "logs")  # And a start on a full disk, which the ballast makes possible.
    watched.kill()
    watched.is_up = False
    watched.start()
    watched.until(lambda: watched.is_up, "start")
    moves_on(watched, 20)
    (watched.state / "logs").unlink()
    end_well(watched, "a real full disk")
    figures.record("real_full_disk", ballast_bytes=size, slowest_s=round(slowest, 1))

"""Files that rot: the gateway always starts, and what it serves is right or it says what it lost.

A life is killed, and copies of its state file and log are damaged: bits flipped, ranges zeroed,
filled with garbage or with another page, cut, emptied, removed. The gateway is started on each
copy. Without a word from it everything must be as without the damage; with one, what reaches
sinks and screens must still be true. What nobody can tell from a power cut is lost without a
word: the newest commit or two of a log, and a log that ends early or is gone. A state file that is
gone is a new gateway; a page of an empty table in the place of another is an empty table.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.health import OWN
from gateway.engine.runtime import Runtime
from gateway.engine.store import InlineExecutor
from tests.engine.gear import kill
from tests.faults import figures, power
from tests.faults.bench import NAME, TAGS, TAGS_MAX, Bench, NotingStore, batch, document, hurry
from tests.faults.conftest import LONG
from tests.faults.power import Fold, Recording, Watched

MUTATIONS = 1_500 if LONG else 120
SEED = 11
READ_ON = 10
HOLDS = {False: "raw", True: "windows"}
"""By whether the life is stopped: the sink that takes nothing in it."""
TAIL = 2
"""Records at the end of a log that may be lost without a word."""
DB, LOG = "genba.db", "genba.db-wal"
Files = dict[str, bytes]


def lives(library: Path, folder: Path) -> Iterator[tuple[Recording, Files]]:
    """A life that was killed, with a log, and one that was stopped, without."""
    for name, stop in (("killed", False), ("stopped", True)):
        watched = Watched(library, folder / name, 1_000_000, SEED, stay=True, holds=HOLDS[stop])
        watched.start()
        watched.until(lambda watched=watched: watched.acknowledged >= 45, "acknowledgements")  # type: ignore[misc]  # bound now
        if stop:
            assert watched.stop() == 0
        else:
            watched.kill()
        watched.follow()
        recording = Recording(watched.log(), watched.acknowledged + READ_ON)
        found = (watched.state / name for name in (DB, LOG))
        yield recording, {path.name: path.read_bytes() for path in found if path.exists()}


def mutate(files: Files, chance: random.Random) -> tuple[Files, str]:
    """The files with one damage, and what it is."""
    files = dict(files)
    name = chance.choice([name for name, content in files.items() if content])
    content = bytearray(files[name])
    size = len(content)
    kind = chance.choice(
        ("flip",) * 6 + ("flips", "zero", "garbage", "page", "cut", "empty", "head", "gone", "more")
    )
    at = chance.randrange(size)
    length = min(chance.choice((1, 16, 512, 4096)), size - at)
    match kind:
        case "flip":
            content[at] ^= 1 << chance.randrange(8)
        case "flips":
            for _ in range(64):
                content[chance.randrange(size)] ^= 1 << chance.randrange(8)
        case "zero":
            content[at : at + length] = bytes(length)
        case "garbage":
            content[at : at + length] = chance.randbytes(length)
        case "page":
            one, other = (chance.randrange(size // 4096) * 4096 for _ in range(2))
            if content[other + 3 : other + 5] == bytes(2):  # Nothing in it, as in a new table.
                return files, "nothing: an empty page"
            content[one : one + 4096] = content[other : other + 4096]
        case "cut":
            del content[at:]
        case "empty":
            content.clear()
        case "head":
            content[:100] = chance.randbytes(100)
        case "gone":
            del files[name]
            return files, f"{name} is gone"
        case _:
            content += chance.randbytes(length)
    files[name] = bytes(content)
    return files, f"{name}: {kind} at {at} ({length})"


ROTTING = (
    "journal",
    "segment",
    "position",
    "tag",
    "outlet",
    "outbox",
    "snapshot",
    "state",
    "alarm_event",
    "revision",
)


ALWAYS_SAID = (
    "alarm_event.event",
    "outbox.",
    "outlet.",
    "position.",
    "revision.",
    "snapshot.",
    "state.",
    "tag.",
)


def rot_in(files: Files, place: Path, chance: random.Random) -> tuple[Files, str]:
    """The files with one flipped bit in a row, in a file that is sound in all else.

    Columns of keys stand in an index as well: what rots there is found by SQLite.
    """
    for name, content in files.items():
        (place / name).write_bytes(content)
    with closing(sqlite3.connect(place / DB, isolation_level=None)) as db:
        filled = [t for t in ROTTING if db.execute(f"SELECT 1 FROM {t} LIMIT 1").fetchone()]
        table = chance.choice(filled)
        columns = db.execute(f"PRAGMA table_info({table})").fetchall()
        column = chance.choice([name for _, name, _, _, _, key in columns if not key])
        keys = [name for _, name, _, _, _, key in columns if key]
        rows = db.execute(f"SELECT {column}, {', '.join(keys)} FROM {table}").fetchall()
        value, *row = chance.choice(rows)
        what = f"{table}.{column} of {row}"
        if isinstance(value, int):
            value ^= 1 << chance.randrange(max(value.bit_length() + 1, 8))
        else:
            raw = bytearray(value.encode() if isinstance(value, str) else value)
            if not raw:
                return files, f"nothing: {what} is empty"
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
            value = bytes(raw)
        where = " AND ".join(f"{key}=?" for key in keys)
        to = "CAST(? AS TEXT)" if isinstance(rows[0][0], str) else "?"
        done = db.execute(f"UPDATE {table} SET {column}={to} WHERE {where}", (value, *row))
        assert done.rowcount == 1
    found = {DB: (place / DB).read_bytes()}
    for path in place.iterdir():
        path.unlink()
    return found, what


def true_rows(fold: Fold) -> set[tuple[Any, ...]]:
    """All rows that the source ever had or will have."""
    rows = set()
    for number in range(1, max(fold.readings.values()) + READ_ON + 20):
        for code, ts, value, quality in batch(number, fold.tags).rows():
            rows.add((TAGS[code], ts, repr(value), quality))
    return rows


def tail(what: str, fold: Fold) -> int:
    """How many records may be lost without a word."""
    if any(what.startswith(f"{LOG}{how}") for how in (": cut", ": empty", " is gone")):
        return max(fold.states)
    if what == f"{DB} is gone":
        return max(fold.states)
    return TAIL if what.startswith(LOG) else 1  # One was handed in and not stored any more.


async def look(
    recording: Recording, truth: set[Any], folder: Path, silent: int
) -> tuple[bool, list[str]]:
    """Start on a folder; whether it said that something was lost, and what is wrong."""
    notes: dict[int, bytes] = {}
    hurry()
    bench = Bench(recording.readings, lambda text: None, in_flight=8)
    bench.lend()
    store = NotingStore(folder / DB, notes.__setitem__, executor=InlineExecutor())
    runtime = Runtime([document()], folder, store=store, checkpoint_s=1e6, tags_max=TAGS_MAX)
    fold = recording.fold()
    wrong = []
    async with asyncio.timeout(30):
        await runtime.start()
    try:
        begun = bench.read
        runner = runtime.runners[NAME]
        found = runner.seq - len(notes)
        said = any(level == "error" for _, level, _, _ in runtime.lines.kept)
        if not said:
            whole = found in fold.states and fold.goes_on(found, notes)
            if not whole:
                wrong.append(f"record {found} was recovered, which nobody handed in")
            else:
                state = runner.graph.snapshot()
                wrong += power.differences(state, whole.states[runner.seq], fold.states[0])
            if begun != fold.readings.get(found):
                wrong.append(f"the position is {begun}, not {fold.readings.get(found)}")
            if found < max(fold.states) - silent:
                wrong.append(f"records behind {found} are lost without a word")
        elif begun > max(fold.readings.values()):
            wrong.append(f"the position is {begun}: readings are passed over")
        wrong += _odd_alarms(fold, await power.own_alarms(store))
        names = {tag.name.partition("#")[0] for tag in runtime.tags}
        if not said and not names <= set(TAGS):
            wrong.append(f"there are tags that nobody has: {sorted(names - set(TAGS))}")
        async with asyncio.timeout(30):
            await bench.finished()
            await runner.drained()
        # What waits on the disk is read, and looked at, when its turn comes.
        said = any(level == "error" for _, level, _, _ in runtime.lines.kept)
        if said:
            wrong += await _no_alarm(runtime, store)
        elif found in fold.states:
            wrong += _undelivered(recording, fold.goes_on(found, notes), bench)
        rows = [tuple(r) for sink, rows in bench.delivered for r in rows if sink == "raw"]
        if odd := [r for r in rows if r not in truth and not (said and "damaged/" in r[0])]:
            wrong.append(f"{len(odd)} rows are not true, such as {odd[0]}")
    finally:
        await kill(runtime)
    return said, wrong


async def _no_alarm(runtime: Runtime, store: NotingStore) -> Iterator[str]:
    """Damage that was said and is no alarm."""
    assert runtime.health is not None
    assert runtime._own is not None
    await runtime.health.look()
    await runtime._own.runner.drained()
    own = {event.alarm for event in await store.alarm_events()}
    about = ("state", f"flow/{NAME}", f"flow/{OWN}")
    raised = {f"{OWN}/health:gateway/{what}:HEALTH" for what in about}
    return iter(() if own & raised else ["it is said, and no alarm"])


def _undelivered(recording: Recording, whole: Fold, bench: Bench) -> Iterator[str]:
    """Rows that never reached a sink."""
    _, before = recording.before(len(recording.log.ops))
    got = {(s, tuple(r)) for s, rows in before + bench.delivered for r in rows}
    if missing := [row for row in whole.outputs if row not in got]:
        yield f"{len(missing)} rows never reached a sink, such as {missing[0]}"


def _odd_alarms(fold: Fold, events: list[Any]) -> Iterator[str]:
    """Alarm events in the store that the journal never gave."""
    due = {power._item(event) for event in fold.alarms}
    newest = max(event.ts for event in fold.alarms)
    odd = [e for e in events if power._item(e) not in due and e.ts <= newest]
    if odd:
        yield f"{len(odd)} alarm events are not true, such as {odd[0]}"


@pytest.mark.slow
def test_a_start_on_rotten_files(iolog: Path) -> None:
    folder = power.scratch()
    told = 0
    failed: list[str] = []
    try:
        both = [(r, files, true_rows(r.fold())) for r, files in lives(iolog, folder)]
        for number in range(MUTATIONS):
            recording, files, truth = both[number % 2]
            place = folder / "place"
            place.mkdir()
            chance = random.Random(SEED + number)
            if number % 4 < 2:
                damaged, what = mutate(files, chance)
            else:
                damaged, what = rot_in(files, place, chance)
            for name, content in damaged.items():
                (place / name).write_bytes(content)
            try:
                said, wrong = asyncio.run(
                    look(recording, truth, place, tail(what, recording.fold()))
                )
                told += said
                if what.startswith(ALWAYS_SAID) and not said:
                    wrong.append("it is not said")
            except Exception as error:
                wrong = [f"it does not start: {error!r}"]
            if wrong:
                failed.append(f"mutation {SEED + number}, {what}: {wrong[:2]}")
            shutil.rmtree(place)
    finally:
        shutil.rmtree(folder)
    figures.record("bit_rot", mutations=MUTATIONS, told=told, wrong=len(failed), seed=SEED)
    assert not failed, "\n".join(failed)


ALIEN = """
import asyncio, os, sys
from pathlib import Path
from gateway.engine.journal import opened
from gateway.engine.store import InlineExecutor, Store
import encodings.idna, stringprep

async def main():
    store = Store(Path(sys.argv[1]), InlineExecutor())
    store.told = lambda level, text: print(level, text, flush=True)
    await opened(store)
    await store.close()

os.setgid(65534) if os.geteuid() == 0 else None
os.setuid(65534) if os.geteuid() == 0 else None
asyncio.run(main())
"""


@pytest.mark.parametrize("what", ["file", "folder", "directory"])
def test_a_file_that_is_not_ours_is_waited_for(what: str) -> None:
    """Another's file, another's folder, a folder in place of the file: it says so and waits."""
    folder = power.scratch()
    try:
        folder.chmod(0o777)
        path = folder / DB
        if what == "directory":
            path.mkdir()
        elif what == "file":
            path.touch(mode=0o000)
        else:
            folder.chmod(0o555)
        command = [sys.executable, "-c", ALIEN, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                said = process.stdout.readline()
                assert said.startswith("error ")
                assert "cannot be opened" in said
                assert "tried every few seconds" in said
                assert process.poll() is None
                folder.chmod(0o777)
                path.rmdir() if what == "directory" else path.unlink(missing_ok=True)
                assert "info The state file is open." in process.stdout.read()
                assert process.wait(timeout=30) == 0
            finally:
                process.kill()
    finally:
        shutil.rmtree(folder)


def test_genba_run_ends_in_order_while_it_waits_for_its_disk(tmp_path: Path) -> None:
    (tmp_path / "genba.db").mkdir()
    flow = tmp_path / "one.flow.yaml"
    flow.write_text(
        "flow: one\nversion: 1\nnodes:\n  beat: {type: simulate.source, tag: beat}\n"
        "  log: {type: log.sink}\nwires: [beat -> log]\n"
    )
    command = [sys.executable, "-m", "gateway", "run", str(flow), "--state", str(tmp_path)]
    with subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            until = time.monotonic() + 30
            while "cannot be opened" not in process.stderr.readline():
                assert time.monotonic() < until
            process.terminate()
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()

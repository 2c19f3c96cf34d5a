"""Power cuts: record a gateway at work, cut the power anywhere, start again, and look.

One cut of a recording is repeated by

    python -m tests.faults.power RECORDING --cut N --seed N
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import copy
import json
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from gateway.data.alarm import AlarmEvent
from gateway.data.tag import TagTable
from gateway.engine.codec import unpack_inputs
from gateway.engine.graph import Graph
from gateway.engine.runtime import Runtime
from gateway.engine.sim_nodes import rows_of
from gateway.engine.store import InlineExecutor
from gateway.engine.wiring import DEPLOYED
from gateway.flow import registry
from gateway.flow.node import State
from tests.engine.gear import kill
from tests.faults.bench import (
    NAME,
    TAGS,
    TAGS_MAX,
    Bench,
    NotingStore,
    document,
    hurry,
    lines_of,
    reading_of,
)
from tests.faults.disk import Log, marks_in

FORMAT: Final = 1
KINDS: Final = {
    "write": 1,
    "sync": 2,
    "truncate": 4,
    "open": 8,
    "unlink": 16,
    "rename": 32,
    "read": 64,
}
_CONTROL = struct.Struct("<IiQQQQI28s")


def scratch() -> Path:
    """A folder in memory where there is one: a sync costs nothing there."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="genba-", dir=memory if memory.is_dir() else None))


class Control:
    """The switch of the faults, shared with the process that has `iolog` loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(4096))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 4096)

    def fail(
        self,
        kinds: str,
        error: int,
        *,
        nth: int = 1,
        count: int = 2**62,
        suffix: str = "",
        half: bool = False,
    ) -> None:
        """Let calls fail: `kinds` of KINDS with blanks between, `count` of them from the nth on."""
        mask = sum(KINDS[kind] for kind in kinds.split())
        whole = _CONTROL.pack(0, error, nth, count, 0, 0, half, suffix.encode())
        self._map[4 : len(whole)] = whole[4:]
        self._map[:4] = struct.pack("<I", mask)

    def heal(self) -> int:
        """No more faults; returns how many calls were made to fail."""
        self._map[:4] = bytes(4)
        return self.failed

    @property
    def failed(self) -> int:
        """How many calls were made to fail since `fail`."""
        return int(_CONTROL.unpack(self._map[: _CONTROL.size])[5])


@dataclass
class Watched:
    """A child process on a watched folder.

    Args:
        library: `iolog.so`.
        folder: Holds the state folder, the log and the switch of the faults.
        readings: How many readings its source has in all.
        seed: Of what it chooses by itself.
    """

    library: Path
    folder: Path
    readings: int
    seed: int
    mutant: str = ""
    stay: bool = False
    ballast: int = 0
    holds: str = ""
    process: subprocess.Popen[bytes] = field(init=False)
    control: Control = field(init=False)
    acknowledged: int = 0
    said: list[str] = field(default_factory=list)
    """What people were told, as far as `follow` has read."""
    is_up: bool = False
    _read_to: int = 0

    def __post_init__(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        self.control = Control(self.folder / "control")
        (self.folder / "log").touch()

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / "state"

    def start(self) -> None:
        """Start it; what it does is appended to the log."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("GENBA_")} | {
            "GENBA_LISTEN": "off",
            "LD_PRELOAD": str(self.library),
            "IOLOG_PREFIX": str(self.state),
            "IOLOG_LOG": str(self.folder / "log"),
            "IOLOG_CONTROL": str(self.control.path),
            "GENBA_MUTANT": self.mutant,
            "GENBA_BALLAST": str(self.ballast),
            "GENBA_HOLDS": self.holds,
        }
        what = [str(self.state), str(self.readings), str(self.seed), *["--stay"] * self.stay]
        command = [sys.executable, "-m", "tests.faults.child", *what]
        self.process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE)

    def kill(self) -> None:
        """kill -9."""
        if self.process.returncode is None:
            self.process.kill()
            self.process.communicate()

    def stop(self, timeout_s: float = 60) -> int:
        """Stop it in order; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 60) -> int:
        """Wait for its end; its last words are shown when it ended badly."""
        try:
            _, said = self.process.communicate(timeout=timeout_s)
        finally:
            self.process.kill()
        if self.process.returncode:
            print(said.decode(errors="replace")[-3000:])
        return self.process.returncode

    def follow(self) -> None:
        """Read on in the log while it runs: what is acknowledged and said by now."""
        with (self.folder / "log").open("rb") as file:
            file.seek(self._read_to)
            content = file.read()
        marks, size = marks_in(content)
        self._read_to += size
        for words in lines_of(marks):
            if words[0] == "a":
                self.acknowledged = int(words[1])
            elif words[0] == "say":
                self.said.append(" ".join(words[1:]))
            self.is_up = self.is_up or words[0] == "up"

    def until(self, check: Callable[[], bool], what: str, seconds: float = 60) -> float:
        """Wait until something holds; returns how long it took [s]."""
        began = time.monotonic()
        while True:
            assert self.process.poll() is None, f"it ended, waiting for {what}: {self.said[-3:]}"
            self.follow()
            if check():
                return time.monotonic() - began
            assert time.monotonic() - began < seconds, f"no {what} in {seconds} s: {self.said[-3:]}"
            time.sleep(0.02)

    def log(self, base: Mapping[str, bytes] | None = None) -> Log:
        """What it did so far."""
        return Log.read(self.folder / "log", self.state, base or {})

    def marks(self) -> list[list[str]]:
        """What it marked so far."""
        return marks_of(self.log())


def marks_of(log: Log, cut: int | None = None) -> list[list[str]]:
    """The marks before a cut."""
    return lines_of([op.data for op in log.ops[:cut] if op.kind == "mark"])


@dataclass
class Recording:
    """A life of the gateway as a log, and what earlier lives left.

    Args:
        log: The operations, and the files at first.
        readings: How many readings its source has.
        notes: Records that earlier lives had stored, by number.
        acknowledged: What an earlier life acknowledged.
        delivered: What sinks took in earlier lives.
    """

    log: Log
    readings: int
    notes: dict[int, bytes] = field(default_factory=dict)
    acknowledged: int = 0
    delivered: list[tuple[str, list[Any]]] = field(default_factory=list)
    _fold: Fold | None = None

    def all_notes(self) -> dict[int, bytes]:
        """Records of this life and those before, by number."""
        own = {int(w[1]): base64.b64decode(w[2]) for w in marks_of(self.log) if w[0] == "j"}
        first = min(own, default=1 << 62)
        return {n: block for n, block in self.notes.items() if n < first} | own

    def fold(self) -> Fold:
        """All records, run through a fresh graph."""
        if self._fold is None:
            notes = self.all_notes()
            self._fold = Fold(notes, Fold(notes, []).tags.dump())
        return self._fold

    def before(self, cut: int) -> tuple[int, list[tuple[str, list[Any]]]]:
        """The last acknowledgement before a cut, and all that sinks had taken."""
        marks = marks_of(self.log, cut)
        last = max((int(w[1]) for w in marks if w[0] == "a"), default=self.acknowledged)
        taken = [(w[1], json.loads(w[2])) for w in marks if w[0] == "w"]
        return last, self.delivered + taken

    def save(self, path: Path) -> None:
        """Keep it for being repeated; only files of our own are ever read back."""
        base = {name: base64.b64encode(v).decode() for name, v in self.log.base.items()}
        ops = [
            [op.kind, op.inode, op.at, base64.b64encode(op.data).decode(), op.names, op.ok]
            for op in self.log.ops
        ]
        notes = {str(n): base64.b64encode(v).decode() for n, v in self.notes.items()}
        whole = [FORMAT, base, ops, sorted(self.log.lost), self.readings, notes]
        path.write_text(json.dumps([*whole, self.acknowledged, self.delivered]))

    @classmethod
    def load(cls, path: Path) -> Recording:
        """What `save` wrote."""
        from tests.faults.disk import Op

        _, base, ops, lost, readings, notes, acknowledged, delivered = json.loads(path.read_text())
        log = Log({name: base64.b64decode(v) for name, v in base.items()})
        log.ops = [
            Op(kind, inode, at, base64.b64decode(data), tuple(names), ok)
            for kind, inode, at, data, names, ok in ops
        ]
        log.lost = set(lost)
        blocks = {int(n): base64.b64decode(v) for n, v in notes.items()}
        return cls(log, readings, blocks, acknowledged, [(s, r) for s, r in delivered])


class Fold:
    """The journal run once through a fresh graph: what the state must be after each record.

    Args:
        notes: The records by number.
        tags: All tags that will be needed, so that states of all moments are of one size.
    """

    def __init__(self, notes: Mapping[int, bytes], tags: Sequence[Any]) -> None:
        if "torture.feed" not in registry.LENT:
            Bench(0, lambda text: None).lend()
        self.tags = TagTable(TAGS_MAX)
        self.tags.load(tags)
        for name in TAGS:
            self.tags.code(name)
        self.graph = Graph(document(), self.tags)
        self.states: dict[int, dict[str, State]] = {0: copy.deepcopy(self.graph.snapshot())}
        self.nows: dict[int, int] = {0: 0}
        self.revision = 1
        self.revisions: dict[int, int] = {0: 1}
        self.readings: dict[int, int] = {0: 0}
        self.rows: dict[int, int] = {0: 0}
        """How many rows all sinks were given up to a record."""
        self.events: dict[int, int] = {0: 0}
        self.outputs: list[tuple[str, tuple[Any, ...]]] = []
        self.alarms: list[AlarmEvent] = []
        self.blocks = dict(notes)
        numbers = sorted(notes)
        assert numbers == list(range(1, len(numbers) + 1)), f"records are missing: {numbers}"
        for number in numbers:
            self._step(number, notes[number])

    def _step(self, number: int, block: bytes) -> None:
        inputs, now = unpack_inputs(block)
        if inputs and inputs[0][:2] == DEPLOYED:
            before, self.revision = self.graph, int(inputs[0][2][0].data["revision"])  # type: ignore[index, union-attr]  # an event
            self.graph = Graph(document(self.revision), self.tags)
            self.graph.adopt(before)
        result = self.graph.step(inputs, now)
        assert not result.faults, result.faults
        for node, _, message in result.outputs:
            self.outputs += [(node, tuple(row)) for row in rows_of(message, self.tags)]
        self.alarms += [event for _, events in result.alarms for event in events]
        newest = self.readings[number - 1]
        for node, port, message in inputs:
            if (node, port) == ("feed", "out"):
                newest = max(newest, reading_of(int(message.ts[-1])))  # type: ignore[union-attr]  # samples
        self.readings[number] = newest
        self.states[number] = copy.deepcopy(self.graph.snapshot())
        self.nows[number] = self.graph.now
        self.revisions[number] = self.revision
        self.rows[number] = len(self.outputs)
        self.events[number] = len(self.alarms)

    def goes_on(self, number: int, notes: Mapping[int, bytes]) -> Fold:
        """The fold up to a record, and then other records than it had."""
        other = Fold({}, self.tags.dump())
        other.revision = self.revisions[number]
        other.graph = Graph(document(other.revision), other.tags)
        # A copy: a graph works on the arrays that it was given.
        other.graph.restore(copy.deepcopy(self.states[number]))
        other.graph.now = self.nows[number]
        for name in ("states", "nows", "revisions", "readings", "rows", "events"):
            own = getattr(self, name)
            setattr(other, name, {n: own[n] for n in own if n <= number})
        other.outputs = self.outputs[: self.rows[number]]
        other.alarms = self.alarms[: self.events[number]]
        for one in sorted(n for n in notes if n > number):
            other._step(one, notes[one])
        return other


def differences(
    have: Mapping[str, State], want: Mapping[str, State], fresh: Mapping[str, State]
) -> Iterator[str]:
    """Where two states are not the same, bit for bit.

    One that knows fewer tags has shorter arrays; what it lacks must be as in a fresh state.
    """
    for node, arrays in want.items():
        for key, array in arrays.items():
            other = have[node][key]
            if array.shape != other.shape and array.ndim and array.shape == fresh[node][key].shape:
                tail = fresh[node][key][len(other) :]
                other = np.concatenate([other, tail])
            if (array.dtype, array.shape) != (other.dtype, other.shape):
                yield f"{node}.{key}: {other.dtype}{other.shape}, not {array.dtype}{array.shape}"
            elif array.tobytes() != np.ascontiguousarray(other).tobytes():
                yield f"{node}.{key}: differs"


async def look(recording: Recording, cut: int, seed: int, folder: Path) -> list[str]:
    """What does not hold after a power cut before operation `cut`; empty when all is well."""
    for name, content in recording.log.image(cut, random.Random(seed)).items():
        if "/" not in name:
            (folder / name).write_bytes(content)
    acknowledged, delivered = recording.before(cut)
    return await start_again(recording, acknowledged, delivered, folder)


async def start_again(
    recording: Recording, acknowledged: int, delivered: list[tuple[str, list[Any]]], folder: Path
) -> list[str]:
    """Start the gateway on a folder, let it finish, and say what does not hold."""
    notes: dict[int, bytes] = {}
    hurry()
    bench = Bench(recording.readings, lambda text: None, in_flight=8)
    bench.lend()
    store = NotingStore(folder / "genba.db", notes.__setitem__, executor=InlineExecutor())
    runtime = Runtime([document()], folder, store=store, checkpoint_s=1e6, tags_max=TAGS_MAX)
    await runtime.start()
    try:
        # Nothing has run since the start returned: this is the state as it was recovered.
        runner = runtime.runners[NAME]
        errors = [text for _, level, _, text in runtime.lines.kept if level == "error"]
        said = [f"it says: {text}" for text in errors if acknowledged]
        found = runner.seq - len(notes)
        fold = recording.fold()
        if found not in fold.states:
            return [*said, f"record {found} was recovered, which nobody handed in"]
        if bench.read < acknowledged:
            said.append(f"lost: {acknowledged} was acknowledged, {bench.read} is known")
        if bench.read != fold.readings[found]:
            said.append(f"the position is {bench.read}, the journal has {fold.readings[found]}")
        whole = fold.goes_on(found, notes)
        said += differences(runner.graph.snapshot(), whole.states[runner.seq], fold.states[0])
        known = set(whole.outputs)
        odd = [(s, r) for s, rows in delivered for r in rows if (s, tuple(r)) not in known]
        if odd:
            said.append(f"a sink took what the journal does not give, such as {odd[0]}")
        async with asyncio.timeout(30):
            await bench.finished()
            await runner.drained()
        whole = fold.goes_on(found, notes)
        async with runner.lock:
            said += await _at_the_end(runtime, store, whole)
        got = {(s, tuple(r)) for s, rows in delivered + bench.delivered for r in rows}
        missing = [row for row in whole.outputs if row not in got]
        if missing:
            said.append(f"{len(missing)} rows never reached a sink, such as {missing[0]}")
    finally:
        await kill(runtime)
    return said


def _item(event: AlarmEvent) -> tuple[Any, ...]:
    return (event.alarm, event.ts, event.change, event.occurrence, event.state, repr(event.value))


async def own_alarms(store: NotingStore) -> list[AlarmEvent]:
    """Stored alarm events of the flow; the gateway has alarms of its own."""
    return [e for e in await store.alarm_events() if e.alarm.startswith(f"{NAME}/")]


async def _at_the_end(runtime: Runtime, store: NotingStore, fold: Fold) -> Iterator[str]:
    state = runtime.runners[NAME].graph.snapshot()
    said = list(differences(state, fold.states[max(fold.states)], fold.states[0]))
    have = [_item(event) for event in await own_alarms(store)]
    want = [_item(event) for event in fold.alarms]
    if have != want:
        said.append(f"{len(have)} alarm events are stored, {len(want)} are due")
    for sink, box in runtime.runners[NAME].outboxes().items():
        due = sum(node == sink for node, _ in fold.outputs)
        if box.books.offered != due or box.books.unbalanced(box.rows) or box.books.dead:
            said.append(f"the books of {sink} say {box.books}, {due} rows are due")
        if lost := sum(box.books.dropped.values()):
            said.append(f"{sink} counts {lost} rows as dropped")
    (sound,) = store.connection.execute("PRAGMA integrity_check").fetchone()
    if sound != "ok":
        said.append(f"corrupt: {sound}")
    return iter(said)


def next_life(recording: Recording, cut: int, watched: Watched, seed: int) -> Recording:
    """Cut the power, start the gateway again and record it, on the same books."""
    files = recording.log.image(cut, random.Random(seed))
    for name, content in files.items():
        (watched.state / name).write_bytes(content)
    acknowledged, delivered = recording.before(cut)
    watched.start()
    assert watched.wait() == 0
    log = watched.log(files)
    return Recording(log, watched.readings, recording.all_notes(), acknowledged, delivered)


def check(recording: Recording, cut: int, seed: int) -> list[str]:
    """`look`, in a folder and a loop of its own."""
    folder = scratch()
    try:
        return asyncio.run(look(recording, cut, seed, folder))
    finally:
        shutil.rmtree(folder)


def main() -> int:
    """Repeat one cut."""
    parser = argparse.ArgumentParser()
    parser.add_argument("recording", type=Path)
    parser.add_argument("--cut", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()
    said = check(Recording.load(args.recording), args.cut, args.seed)
    print("\n".join(said) or "All is well.")
    return bool(said)


if __name__ == "__main__":
    sys.exit(main())

"""A gateway in a process of its own, on a disk that is watched and may fail.

Usage: python -m tests.faults.child FOLDER READINGS SEED [--stay]. With --stay it runs until told
to stop, 20 ms a reading. GENBA_BALLAST gives it a ballast file of so many bytes at most, and
GENBA_HOLDS names a sink that takes nothing. It marks what it did in FOLDER/child.marks: ``a N``
an acknowledgement, ``j N BLOCK`` a record handed to the store, ``w SINK ROWS`` what a sink took,
``say LEVEL TEXT`` what people were told, ``up`` and ``end``.

GENBA_MUTANT makes it wrong on purpose: NORMAL or OFF as SQLite's `synchronous`, `early` for a
source that is acknowledged before anything is stored, `trusting` for a start that takes the log
for written because it can be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from pathlib import Path

from gateway import Disconnected
from gateway.cli.run import run_loop
from gateway.engine import store_file
from gateway.engine.ballast import Ballast
from gateway.engine.executor import ThreadExecutor
from gateway.engine.runtime import Runtime
from gateway.engine.store import Retention
from gateway.engine.store_log import LogScan
from gateway.engine.store_room import RoomExecutor
from tests.faults.bench import NAME, TAGS_MAX, Bench, NotingStore, document, hurry, note_line


async def main(folder: Path, readings: int, seed: int) -> int:
    marks = os.open(folder / "child.marks", os.O_WRONLY | os.O_CREAT, 0o600)

    def mark(text: str) -> None:
        os.write(marks, text.encode() + b"\n")

    chance = random.Random(seed)
    mutant = os.environ.get("GENBA_MUTANT", "")
    hurry(
        COMMIT_INTERVAL_S=chance.choice((0.0, 0.002, 0.01)),
        FOLD_BYTES=chance.choice((20_000, 10**9)),
    )
    bench = Bench(readings, mark, in_flight=chance.randint(1, 6), is_early=mutant == "early")
    bench.pause_s = 0.02 if "--stay" in sys.argv else 0.0
    bench.take_s = chance.choice((0.0, 0.005, 0.03))
    bench.holds = os.environ.get("GENBA_HOLDS", "")
    bench.lend()
    ballast = int(os.environ.get("GENBA_BALLAST", "0"))
    reserve = Ballast(folder / "genba.db.ballast", ballast)
    room = RoomExecutor(ThreadExecutor(), reserve)
    if mutant == "trusting":
        store_file.renew = lambda path: None  # type: ignore[assignment]  # the mutant
        store_file.scan = LogScan  # type: ignore[assignment]  # the mutant
    store = NotingStore(
        folder / "genba.db",
        lambda seq, block: mark(note_line(seq, block)),
        executor=room if ballast else None,
        retention=chance.choice((Retention(), Retention(bytes_max=20_000))),
        synchronous=mutant if mutant.isupper() else "",
    )
    store.is_short = lambda: reserve.is_given_up
    room.told = lambda level, text: store.told(level, text)
    checkpoint_s = chance.choice((0.02, 0.05, 0.2))
    runtime = Runtime(
        [document()], folder, store=store, checkpoint_s=checkpoint_s, tags_max=TAGS_MAX
    )
    add = runtime.lines.add
    runtime.lines.add = lambda ts, level, where, text: (  # type: ignore[method-assign]  # to tell
        add(ts, level, where, text),
        mark(f"say {level} {where}: {text}"),
    )[0]
    deploy_at = [] if "--stay" in sys.argv else sorted(chance.choices(range(readings), k=2))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await runtime.start()
    mark("up")
    if "--stay" in sys.argv:
        await stop.wait()
    else:
        for reading in deploy_at:
            await bench.finished(reading)
            number = runtime.hosts[NAME].revision.number + 1
            while runtime.hosts[NAME].revision.number < number:
                with contextlib.suppress(Disconnected):  # The disk fails for a moment.
                    await runtime.deploy(document(number), "user:test")
        await bench.finished()
        await runtime.runners["torture"].drained()
    await runtime.stop()
    mark("end")
    return 0


if __name__ == "__main__":
    sys.exit(run_loop(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))

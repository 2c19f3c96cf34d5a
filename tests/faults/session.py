"""One continuing run of the kill tests: a broker, a publisher that never stops, and a gateway
that is killed again and again and must go on as if nothing had been.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from paho.mqtt import subscribe

from gateway.api.client import Client
from gateway.engine.store import Store
from gateway.errors import GatewayError
from tests.faults.counted import BASE_S, TOPICS, flow

RATE: Final = 4_500.0
MOST: Final = 6_000_000
POINT_S: Final = 60.0  # A crash point that is not reached within this time never will be.
FIRST_S: Final = 5.0
BROKER_OWN_MAX: Final = 150  # mosquitto has some fifty numbers to tell about itself.
BACKLOG_MAX, BACKLOG_MIN = 40_000, 5_000
CONF: Final = """user root
listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
persistence true
persistence_location {folder}/
autosave_interval 60
sys_interval 1
"""


def free_port() -> int:
    """A TCP port nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(found: Callable[[], Any], about: str, seconds: float = 60.0) -> Any:
    """Wait until it gives something true, which is returned."""
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline, f"Not within {seconds:.0f} s: {about}"
        time.sleep(0.005)
    return answer


@dataclass
class Kill:
    """One death.

    Args:
        kind: A crash point, or ``random``.
        wanted: What the life was told: when to die.
        was_reached: Whether it died as it should.
    """

    kind: str
    wanted: str
    was_reached: bool


@dataclass
class Session:
    """Everything that runs; a context, at the end of which nothing does.

    Args:
        folder: For all files.
        seed: Of every chance in it.
        mutant: The name of a gateway that is wrong on purpose; see `life.MUTANTS`.
        dedupe: Whether the flow drops what the broker sends again.
        sample_every: After so many kills the state file is copied, to be looked at later.
        patience_s: What has not come after so long without a message never will [s].
    """

    folder: Path
    seed: int
    mutant: str = ""
    dedupe: bool = True
    sample_every: int = 4
    patience_s: float = 15.0
    kills: list[Kill] = field(default_factory=list)
    samples: list[Path] = field(default_factory=list)
    published: dict[str, float] = field(default_factory=dict)
    redelivered: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.port = free_port()
        self.state = self.folder / "state"
        self.history = self.folder / "acknowledged.u32"
        self._running: list[subprocess.Popen[bytes]] = []
        self._pid = 0
        self._rested_s = 0.0

    # ------------------------------------------------------------------ life

    def __enter__(self) -> Session:
        self.state.mkdir(parents=True)
        (self.folder / "kills.flow.yaml").write_text(flow(dedupe=self.dedupe))
        asyncio.run(keep_journal(self.state / "genba.db"))
        try:
            self._start_broker()
            self._keeper = self._python("life", str(self.folder), f"mqtt://127.0.0.1:{self.port}")
            assert self._answer(60) == "ready"
            self._begin()
            wait_for(self._is_subscribed, "the gateway has subscribed")
            self._end("random", "at the start")
            self._publisher = self._python(
                *("publisher", str(self.port), str(self.history)),
                *("--rate", str(RATE), "--most", str(MOST)),
            )
            wait_for(lambda: self.acknowledged() > 4 * TOPICS, "messages wait")
            # It dies with the very first messages on the disk and none acknowledged: number 1
            # comes again, and must not be taken for a publisher that starts anew.
            self._begin("pre_ack:1")
            if code := self._answer(FIRST_S):
                self._note("pre_ack", "the first messages", code)
            else:  # A mutant that acknowledges elsewhere.
                self._end("random", "the first messages")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
        for process in reversed(self._running):
            process.kill()
            process.communicate()

    def _start_broker(self) -> None:
        folder = self.folder / "broker"
        folder.mkdir()
        conf = folder / "mosquitto.conf"
        conf.write_text(CONF.format(port=self.port, folder=folder))
        with (folder / "log").open("wb") as log:
            self._running.append(
                subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(conf)], stdout=log, stderr=log)
            )

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for(answers, f"mosquitto answers; {(folder / 'log').read_text()}")

    def _python(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", f"tests.faults.{module}", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            bufsize=0,
        )
        self._running.append(process)
        return process

    def _answer(self, seconds: float) -> str:
        """The next line of the keeper of lives; empty when none comes within that time."""
        stream = self._keeper.stdout
        assert stream is not None
        if not select.select([stream], [], [], seconds)[0]:
            return ""
        line = bytearray()
        while not line.endswith(b"\n"):
            byte = stream.read(1)
            assert byte, "the keeper of lives is gone"
            line += byte
        return line.decode().strip()

    def _begin(self, crash_at: str = "") -> None:
        (self.folder / "ready").unlink(missing_ok=True)
        (self.folder / "port").unlink(missing_ok=True)
        environment = self._life("warm") | {
            "GENBA_CRASH_AT": crash_at,
            "GENBA_CRASH_SEED": str(self.chance.randrange(2**31)),
        }
        order = {"environment": environment, "mutant": self.mutant}
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(json.dumps(order).encode() + b"\n")
        self._pid = int(self._answer(20))

    def _end(self, kind: str, wanted: str) -> None:
        """Kill the life that runs, or note how it has ended by itself."""
        if not self._is_over():
            os.kill(self._pid, signal.SIGKILL)
        self._note(kind, wanted, self._answer(20))

    def _is_over(self) -> bool:
        """Whether the life has ended, as nobody asked it to unless it is at a crash point."""
        stream = self._keeper.stdout
        assert stream is not None
        return bool(select.select([stream], [], [], 0)[0])

    def _note(self, kind: str, wanted: str, code: str) -> None:
        self._pid = 0
        assert code == str(-signal.SIGKILL), f"It ended by itself ({code}): {self._log()}"
        self.kills.append(Kill(kind, wanted, was_reached=True))
        if len(self.kills) % self.sample_every == 0:
            self._sample()

    def _sample(self) -> None:
        """A copy of the state file as the dead left it."""
        to = self.folder / "samples" / str(len(self.kills))
        to.mkdir(parents=True)
        for name in ("genba.db", "genba.db-wal"):
            if (self.state / name).exists():
                shutil.copy(self.state / name, to / name)
        self.samples.append(to / "genba.db")

    def _life(self, kind: str) -> dict[str, str]:
        return {"LIFE_SPAWNED": repr(time.monotonic()), "LIFE_KIND": kind}

    def _is_subscribed(self) -> bool:
        status = self._status()
        states = {row["node"]: row["state"] for row in status.get("nodes", ())}
        return states.get("numbers") in ("connected", "running")

    def _status(self) -> dict[str, Any]:
        try:
            number = int((self.folder / "port").read_text() or 0)
            return Client(f"http://127.0.0.1:{number}").status() if number else {}
        except (OSError, GatewayError):
            return {}

    # ------------------------------------------------------------------ kills

    def kill_at(self, point: str) -> bool:
        """A life that dies at a crash point, the n-th time or with some probability.

        Returns:
            False when it never came there and was killed otherwise.
        """
        wanted = f"{point}:{self.chance.choice(['1', '2', '3', '0.5', '0.3'])}"
        self._begin(wanted)
        code = self._answer(POINT_S)
        if code:
            self._note(point, wanted, code)
        else:
            self._end(point, wanted)
            self.kills[-1].was_reached = False
        self._breathe()
        return bool(code)

    def kill_at_random(self) -> None:
        """A life that is killed while it starts, or some moments after."""
        self._begin()
        if is_up := self.chance.random() < 0.7:
            wait_for(lambda: (self.folder / "ready").exists() or self._is_over(), "a start")
        wait_s = self.chance.uniform(0.02, 0.35)
        time.sleep(wait_s)
        self._end("random", f"{wait_s:.3f} s after its {'start' if is_up else 'birth'}")
        self._breathe()

    def kill_cold(self) -> None:
        """The same for a life that is the bare program, imports included."""
        process = self._start_cold()
        if self.chance.random() < 0.7:
            wait_for((self.folder / "ready").exists, "a start")
        time.sleep(self.chance.uniform(0.1, 0.6))
        process.kill()
        process.communicate()
        self._note("random", "cold", str(process.returncode))

    def _start_cold(self) -> subprocess.Popen[bytes]:
        (self.folder / "ready").unlink(missing_ok=True)
        (self.folder / "port").unlink(missing_ok=True)
        words = ["life", str(self.folder), f"mqtt://127.0.0.1:{self.port}", "--cold"]
        with (self.folder / "gateway.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"tests.faults.{words[0]}", *words[1:]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment() | {**self._life("cold"), "LIFE_MUTANT": self.mutant},
            )
        self._running.append(process)
        return process

    def _breathe(self) -> None:
        """When too much waits at the broker, a long life without new messages.

        Dying faster than one can work through what comes again is no proof of anything.
        """
        if self.acknowledged() - self.progress() < BACKLOG_MAX:
            return
        since = time.monotonic()
        self._publisher.send_signal(signal.SIGSTOP)
        try:
            self._begin()
            wait_for(
                lambda: self.acknowledged() - self.progress() < BACKLOG_MIN or self._is_over(),
                "the backlog shrinks",
                300,
            )
            self._end("random", "after the backlog")
        finally:
            self._publisher.send_signal(signal.SIGCONT)
            self._rested_s += time.monotonic() - since

    def acknowledged(self) -> int:
        """Messages that the broker has acknowledged so far."""
        return self.history.stat().st_size // 4 if self.history.exists() else 0

    def progress(self) -> int:
        """About how many of them are in the history."""
        return sum(
            (newest - BASE_S * 10**9) // 10**9
            for (newest,) in history_rows(
                self.state / "raw",
                "SELECT (SELECT max(ts) FROM sample s WHERE s.code=t.code) FROM tag t",
            )
            if newest is not None
        )

    # ------------------------------------------------------------------ the end

    def finish(self) -> None:
        """Stop publishing, let the gateway do all that waits, and stop it in order."""
        self._publisher.terminate()
        out, _ = self._publisher.communicate(timeout=60)
        assert self._publisher.returncode == 0, "the publisher failed"
        self.published = json.loads(out)
        self.published["s"] -= self._rested_s
        process = self._start_cold()
        is_idle = self._is_idle()
        wait_for(lambda: process.poll() is not None or is_idle(), "all is done", 900)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0, self._log()
        self.redelivered = self._broker_says("publish/messages/sent") - self.acknowledged()

    def _log(self) -> str:
        """The end of what the gateway has said."""
        return (self.folder / "gateway.log").read_text()[-3000:]

    def _broker_is_empty(self) -> bool:
        """Whether it holds no messages but those it has about itself."""
        return self._broker_says("store/messages/count") < BROKER_OWN_MAX

    def _broker_says(self, what: str) -> int:
        """A number the broker knows; it looks once a second."""
        time.sleep(1.5)
        topic = f"$SYS/broker/{what}"
        said = subscribe.simple(topic, hostname="127.0.0.1", port=self.port)  # type: ignore[no-untyped-call]  # paho's
        return int(said.payload)

    def _is_idle(self) -> Callable[[], bool]:
        """Whether everything has arrived, or nothing more comes."""
        last, since = -1, time.monotonic()

        def found() -> bool:
            nonlocal last, since
            time.sleep(0.2)
            done = self.progress()
            if done != last:
                last, since = done, time.monotonic()
            is_still = time.monotonic() - since > self.patience_s
            if done < self.acknowledged() and not (is_still and self._broker_is_empty()):
                return False  # Late is not lost: the broker has it still, and it may yet come.
            status = self._status()
            waiting = [row["queued"] for row in status.get("wires", ())]
            inboxes = status.get("flows") or status.get("inboxes") or {}
            waiting += [row["rows"] for row in inboxes.values()]
            return bool(waiting) and not any(waiting)

        return found


def environment() -> dict[str, str]:
    """The environment of what we start: nothing of the gateway's own, one thread for sums."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GENBA_")}
    kept["GENBA_LISTEN"] = "off"
    return kept | {"OPENBLAS_NUM_THREADS": "1"}


async def keep_journal(path: Path) -> None:
    """Make the state file, and have it keep journal records that a checkpoint contains.

    The state can then be computed afresh from the whole journal.
    """
    store = Store(path)
    await store.open()
    await store.close()
    db = sqlite3.connect(path)
    db.execute("CREATE TRIGGER keep BEFORE DELETE ON journal BEGIN SELECT RAISE(IGNORE); END")
    db.close()


def history_rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """What a query gives in the file of each day of `sqlite.sink`."""
    found: list[tuple[Any, ...]] = []
    for path in sorted(folder.glob("????-??-??.db")):
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
        try:
            found += db.execute(sql).fetchall()
        except sqlite3.OperationalError as error:
            assert "no such table" in str(error)  # It was killed while it made the file.
        finally:
            db.close()
    return found

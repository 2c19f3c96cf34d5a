"""One simulated day: the real runtime against the simulated world, through all its deaths.

`gateway.engine.sim` makes the world and asks what held.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.data.tasks import Tasks
from gateway.engine.bookkeeping import flow_books
from gateway.engine.crash import on_crash_point
from gateway.engine.runtime import Runtime
from gateway.engine.sim_check import problems
from gateway.engine.sim_loop import SimLoop
from gateway.engine.sim_world import CRASH, Device, Receiver, World
from gateway.engine.store_ledger import Ledger
from gateway.errors import Disconnected
from gateway.flow.document import Document

FLOW: Final = """
flow: sim
version: 1
nodes:
  press: {type: sim.source}
  raw: {type: sim.every}
  clean: {type: filter.deadband, band: 0.5}
  minute: {type: window.tumbling, size_s: 60, lateness_s: 5}
  stats: {type: feature.statistics}
  trend: {type: sim.every}
  high: {type: alarm.limit, hi: 80, on_delay_s: 20, deadband: 2}
  silent: {type: alarm.stale, after_s: 90}
  alarms: {type: sim.every}
  once: {type: filter.duplicate, older: true}
  valve: {type: sim.fresh}
  screen: {type: sim.latest}
  ask: {type: sim.worker}
  answers: {type: sim.every}
wires:
  - press -> raw
  - press -> clean -> minute -> stats -> trend
  - press -> high
  - press -> silent
  - high.alarms -> alarms.alarms
  - silent.alarms -> alarms.alarms
  - press -> once -> valve
  - press -> screen
  - clean -> ask -> answers
"""
EDITS: Final = (
    ("hi: 80", "hi: 82"),
    ("band: 0.5", "band: 0.75"),
    ("size_s: 60", "size_s: 45"),
    ("after_s: 90", "after_s: 120"),
    ("  - press -> once -> valve\n", ""),
    ("  - clean -> ask -> answers\n", "  - press -> ask -> answers\n"),
)
"""What an engineer changes while the plant runs, and changes back."""
SETTLE_S: Final = 180.0  # At the end all faults are over: everything has this long to arrive.
CHECKPOINT_S: Final = 300.0
BOOKS_S: Final = 7.13  # A time that falls into the middle of what goes on.


@dataclass
class Report:
    """How a simulated day went.

    Args:
        seed: What it was made from.
        hours: How long it was [h].
        digest: A hash of everything that every receiver got, and when.
        rows: Rows the devices sent.
        faults: How often each kind of fault happened.
        problems: What did not hold; empty when all is well.
    """

    seed: int
    hours: float
    digest: str = ""
    rows: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        faults = ", ".join(f"{n} {kind}" for kind, n in sorted(self.faults.items())) or "no faults"
        found = "\n".join(self.problems) or "all held"
        day = f"seed {self.seed}, {self.hours:g} h: {self.rows} rows, {faults}"
        return f"{day}; {self.digest}\n{found}"


class Day:
    """One simulation as it runs."""

    def __init__(
        self,
        loop: SimLoop,
        folder: Path,
        seed: int,
        hours: float,
        devices: dict[str, Device],
        receivers: dict[str, Receiver],
        *,
        edits: bool = False,
    ) -> None:
        self._edits = edits
        self.world = World(loop, devices, receivers)
        self.world.crash = self._crash
        self.ledger = Ledger(self.world)
        self.report = Report(seed, hours)
        self._folder = folder
        self._tasks = Tasks("world")
        self._died = asyncio.Event()
        self._ended = asyncio.Event()
        self._down_s = 0.0
        self._wanted: CRASH | None = None
        self._odd_books: list[str] = []

    async def run(self) -> Report:
        """Live through it; the gateway is started again as often as it dies."""
        world = self.world
        plays = [world.play_device(d) for d in world.devices.values()]
        plays += [world.play_receiver(r) for r in world.receivers.values()]
        playing = [self._tasks.start("play", play) for play in plays]
        operator = self._tasks.start("operator", self._operate())
        engineer = self._tasks.start("engineer", self._engineer())
        auditor = self._tasks.start("auditor", self._look_at_books())
        with self._crash_points():
            self._tasks.start("end", self._end(playing))
            while not self._ended.is_set():
                self.runtime = runtime = self._new_runtime()
                starting = Tasks("life").start("start", runtime.start())
                await self._first(starting, self._died)
                if not self._died.is_set() and (error := starting.exception()) is not None:
                    assert isinstance(error, Disconnected), error
                    self._die(5.0)  # The disk is full: systemd starts it again.
                await self._first(self._ended, self._died)
                if self._died.is_set():
                    await self._bury()
        operator.cancel()
        engineer.cancel()
        auditor.cancel()
        await runtime.stop()
        await self._tasks.stop()
        self.report.rows = sum(len(d.sent) for d in world.devices.values())
        self.report.faults = dict(world.befallen)
        self.report.digest = self._digest()
        self.report.problems = problems(world, self.ledger, runtime, self._document())
        self.report.problems += self._odd_books
        self.ledger.close_all()
        return self.report

    async def _first(self, *what: asyncio.Event | asyncio.Task[None]) -> None:
        """Wait for the first of these."""
        waits = [
            self._tasks.start("wait", item.wait()) if isinstance(item, asyncio.Event) else item
            for item in what
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)

    def _document(self) -> Document:
        return Document.parse(FLOW)

    def _new_runtime(self) -> Runtime:
        store = self.ledger.new_store(self._folder / "genba.db")
        return Runtime(
            [self._document()],
            self._folder,
            clock=self.world.clock,
            store=store,
            tags_max=64,
            checkpoint_s=CHECKPOINT_S,
        )

    async def _end(self, playing: Sequence[asyncio.Task[None]]) -> None:
        """When all scripts are over, and a while in which nothing more befalls anybody."""
        await asyncio.wait(playing)
        self._wanted = None
        while self._died.is_set():  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(1.0)
        await asyncio.sleep(self.world.trouble_s() + SETTLE_S)
        self._ended.set()

    async def _operate(self) -> None:
        """Somebody acknowledges all alarms now and then."""
        while True:
            await asyncio.sleep(1000.0)
            if not self._died.is_set() and self.runtime.runners:
                with suppress(Disconnected):  # A full disk: then it is not acknowledged.
                    await self.runtime.act("ack", {"alarm": "*", "actor": "user:sim"})

    async def _engineer(self) -> None:
        """Somebody deploys an edited flow now and then, which may meet any fault."""
        chance = random.Random(self.report.seed)
        text = FLOW
        while self._edits:
            await asyncio.sleep(chance.uniform(300.0, 2400.0))
            before, after = chance.choice(EDITS)
            text = text.replace(before, after) if before in text else FLOW
            if not self._died.is_set() and self.runtime.runners:
                # It dies with this life, as an engineer's request does.
                deploying = Tasks("life").start("deploy", self._deploy(self.runtime, text))
                await self._first(deploying, self._died)

    async def _deploy(self, runtime: Runtime, text: str) -> None:
        with suppress(Disconnected):  # A full disk: then the old revision runs on.
            await runtime.deploy(Document.parse(text), "user:sim")
            self.world.befallen["DEPLOY"] += 1

    async def _look_at_books(self) -> None:
        """They balance at every instant; the first time they do not is told."""
        while not self._odd_books:
            await asyncio.sleep(BOOKS_S)
            for runner in self.runtime.runners.values():
                books = flow_books(runner)
                if books["unbalanced"] and not self._died.is_set():
                    self._odd_books.append(f"After {self.world.loop.time():.2f} s: {books}")

    # ------------------------------------------------------------------ death

    def _crash(self, fault: CRASH) -> None:
        if fault.point:
            self._wanted = fault
        else:
            self._die(fault.s)

    def _die(self, down_s: float) -> None:
        """From here on nothing of this life reaches the disk, a device or a receiver."""
        if self._died.is_set():
            return
        self.world.life += 1
        self.ledger.kill()
        self._down_s = down_s
        self._died.set()

    @contextmanager
    def _crash_points(self) -> Iterator[None]:
        def come_by(point: str) -> None:
            if self._wanted is not None and self._wanted.point == point:
                wanted, self._wanted = self._wanted, None
                self._die(wanted.s)
                raise asyncio.CancelledError

        on_crash_point(come_by)
        try:
            yield
        finally:
            on_crash_point(None)

    async def _bury(self) -> None:
        """End all tasks of the dead, be down for a while, and get up."""
        own = {asyncio.current_task(), *self._tasks.running()}
        dead = [task for task in asyncio.all_tasks() if task not in own]
        for task in dead:
            task.cancel()
        await asyncio.gather(*dead, return_exceptions=True)
        await asyncio.sleep(self._down_s)
        self._died.clear()

    def _digest(self) -> str:
        digest = hashlib.blake2b(digest_size=8)
        for name, receiver in sorted(self.world.receivers.items()):
            digest.update(f"{name}{receiver.got}".encode())
        return digest.hexdigest()

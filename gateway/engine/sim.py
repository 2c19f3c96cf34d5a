"""Simulation: the whole engine through a day of faults, in seconds, from a seed.

The runtime, the store and its SQLite file are the real ones; time, devices and receivers are
simulated. Equal seeds give equal days to the byte, so what goes wrong once can be looked at
again: ``python -m gateway.engine.sim --seed 8123``. What must hold at the end stands in
`sim_check`. Source: deterministic simulation as TigerBeetle does it; swarm testing: Groce et
al., ISSTA 2012 (each seed leaves some kinds of fault out).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import logging
import math
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.engine.crash import POINTS, on_crash_point
from gateway.engine.runtime import Runtime
from gateway.engine.sim_check import Ledger, problems
from gateway.engine.sim_loop import SimLoop
from gateway.engine.sim_nodes import NODES
from gateway.engine.sim_world import (
    CLOCK_BACK,
    CLOCK_FORWARD,
    CRASH,
    DISCONNECT,
    DISK_FULL,
    REFUSE,
    Device,
    Fault,
    Receiver,
    World,
)
from gateway.engine.tasks import Tasks
from gateway.errors import Disconnected
from gateway.flow import registry
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
wires:
  - press -> raw
  - press -> clean -> minute -> stats -> trend
  - press -> high
  - press -> silent
  - high.alarms -> alarms.alarms
  - silent.alarms -> alarms.alarms
  - press -> once -> valve
  - press -> screen
"""
SETTLE_S: Final = 180.0  # At the end all faults are over: everything has this long to arrive.
EVERY_S: Final = 5.0
CHECKPOINT_S: Final = 300.0


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


def run(seed: int, hours: float = 24.0) -> Report:
    """Simulate some hours with the faults of a seed."""
    chance = random.Random(seed)
    steps = round(hours * 3600 / EVERY_S)
    kinds = [kind for kind in _KINDS if chance.random() < 0.6]
    device = Device(("press/oil", "press/ram"), EVERY_S, _day(chance, steps, kinds))
    receivers = {
        name: Receiver(_nights(chance, hours, name)) for name in ("raw", "trend", "alarms")
    }
    receivers |= {"valve": Receiver(_nights(chance, hours, "")), "screen": Receiver(())}
    return simulate(seed, hours, {"press": device}, receivers)


_KINDS: Final = ("disconnect", "crash", "point", "clock", "disk")


def _day(chance: random.Random, steps: int, kinds: Sequence[str]) -> list[float | Fault]:
    """Values of one device: a slow wave with steps in it, and faults of the kinds chosen."""
    script: list[float | Fault] = []
    level = 0.0
    for k in range(steps):
        if chance.random() < 0.01:
            level = chance.choice((0.0, 0.0, 25.0))
        script.append(55.0 + 10 * math.sin(k / 40) + level + round(chance.gauss(0, 0.5), 2))
        if kinds and k + 1 < steps and chance.random() < 0.004:
            script.append(_fault(chance, chance.choice(kinds)))
    return script


def _fault(chance: random.Random, kind: str) -> Fault:
    match kind:
        case "disconnect":
            return DISCONNECT(chance.choice((0.5, 8.0, 40.0, 400.0)))
        case "crash":
            return CRASH(chance.choice((1.0, 30.0, 600.0)))
        case "point":
            return CRASH(chance.choice((1.0, 200.0)), chance.choice(POINTS))
        case "clock":
            return chance.choice((CLOCK_BACK(3600.0), CLOCK_BACK(2.0), CLOCK_FORWARD(30.0)))
        case _:
            return DISK_FULL(chance.choice((1.0, 90.0)))


def _nights(chance: random.Random, hours: float, name: str) -> list[float | Fault]:
    """A receiver's faults: away now and then; those that store also refuse."""
    script: list[float | Fault] = []
    left_s = hours * 3600
    while (peace_s := chance.uniform(300, 4 * 3600)) < left_s:
        left_s -= peace_s
        choices: list[Fault] = [DISCONNECT(5.0), DISCONNECT(300.0)]
        script += [peace_s, chance.choice([*choices, REFUSE()] if name else choices)]
    return script


def simulate(
    seed: int, hours: float, devices: dict[str, Device], receivers: dict[str, Receiver]
) -> Report:
    """Simulate a world whose scripts are given; `FLOW` runs against it."""
    folder = Path(tempfile.mkdtemp(prefix="genba-sim-", dir=_quick_folder()))
    loop = SimLoop()
    logging.disable(logging.CRITICAL)
    registry.LENT.update(NODES)
    try:
        return loop.run_until_complete(_Day(loop, folder, seed, hours, devices, receivers).run())
    finally:
        registry.LENT.clear()
        logging.disable(logging.NOTSET)
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)


def _quick_folder() -> str | None:
    """A folder in memory where there is one: the simulated disk need not be slow."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of its own


class _Day:
    """One simulation as it runs."""

    def __init__(
        self,
        loop: SimLoop,
        folder: Path,
        seed: int,
        hours: float,
        devices: dict[str, Device],
        receivers: dict[str, Receiver],
    ) -> None:
        self.world = World(loop, devices, receivers)
        self.world.crash = self._crash
        self.ledger = Ledger(self.world)
        self.report = Report(seed, hours)
        self._folder = folder
        self._tasks = Tasks("world")
        self._died = asyncio.Event()
        self._down_s = 0.0
        self._wanted: CRASH | None = None

    async def run(self) -> Report:
        """Live through it; the gateway is started again as often as it dies."""
        world = self.world
        plays = [world.play_device(d) for d in world.devices.values()]
        plays += [world.play_receiver(r) for r in world.receivers.values()]
        playing = [self._tasks.start("play", play) for play in plays]
        operator = self._tasks.start("operator", self._operate())
        with self._crash_points():
            self._ended = asyncio.Event()
            self._tasks.start("end", self._end(playing))
            while True:
                self.runtime = runtime = self._new_runtime()
                await runtime.start()
                died = self._tasks.start("died", self._died.wait())
                ended = self._tasks.start("ended", self._ended.wait())
                await asyncio.wait([died, ended], return_when=asyncio.FIRST_COMPLETED)
                if not self._died.is_set():
                    break
                await self._bury()
        operator.cancel()
        await runtime.stop()
        await self._tasks.stop()
        self.report.rows = sum(len(d.sent) for d in world.devices.values())
        self.report.digest = self._digest()
        self.report.problems = problems(world, self.ledger, runtime, self._document())
        self.ledger.close_all()
        return self.report

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
        await asyncio.sleep(SETTLE_S + max(self.world.disk_full_until_s - self._now_s(), 0.0))
        self._ended.set()

    def _now_s(self) -> float:
        return self.world.loop.time()

    async def _operate(self) -> None:
        """Somebody acknowledges all alarms now and then."""
        while True:
            await asyncio.sleep(1000.0)
            if not self._died.is_set() and self.runtime.runners:
                with suppress(Disconnected):  # A full disk: then it is not acknowledged.
                    await self.runtime.act("ack", {"alarm": "*", "actor": "user:sim"})

    # ------------------------------------------------------------------ death

    def _crash(self, fault: CRASH) -> None:
        kind = f"CRASH at {fault.point}" if fault.point else "CRASH"
        self.report.faults[kind] = self.report.faults.get(kind, 0) + 1
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


def main() -> int:
    """Simulate one seed, or many, and say what did not hold."""
    parser = argparse.ArgumentParser(prog="gateway.engine.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--hours", type=float, default=24.0, help="how long a day is")
    args = parser.parse_args()
    failed = 0
    for seed in range(args.seed, args.seed + args.seeds):
        report = run(seed, args.hours)
        failed += bool(report.problems)
        sys.stdout.write(f"{report}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())

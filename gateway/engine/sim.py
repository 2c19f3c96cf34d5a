"""Simulation: the whole engine through a day of faults, in seconds, from a seed.

The runtime, the store and its SQLite file are the real ones; time, devices and receivers are
simulated. Equal seeds give equal days to the byte, so what goes wrong once can be looked at
again: ``python -m gateway.engine.sim --seed 8123``. What must hold at the end stands in
`sim_check`. Source: deterministic simulation as TigerBeetle does it; swarm testing: Groce et
al., ISSTA 2012 (each seed leaves some kinds of fault out).
"""

from __future__ import annotations

import argparse
import logging
import math
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.engine.crash import POINTS
from gateway.engine.sim_day import Day, Report
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
)
from gateway.flow import registry

EVERY_S: Final = 5.0


def run(seed: int, hours: float = 24.0) -> Report:
    """Simulate some hours with the faults of a seed."""
    chance = random.Random(seed)
    steps = round(hours * 3600 / EVERY_S)
    kinds = [kind for kind in _KINDS if chance.random() < 0.6]
    device = Device(("press/oil", "press/ram"), EVERY_S, _day(chance, steps, kinds))
    receivers = {
        name: Receiver(_nights(chance, hours, name))
        for name in ("raw", "trend", "alarms", "answers")
    }
    receivers |= {"valve": Receiver(_nights(chance, hours, "")), "screen": Receiver(())}
    receivers["ask"] = Receiver(_nights(chance, hours, ""))
    return simulate(seed, hours, {"press": device}, receivers, edits=True)


_KINDS: Final = ("disconnect", "dark", "crash", "point", "clock", "disk")


def _day(chance: random.Random, steps: int, kinds: Sequence[str]) -> list[float | Fault]:
    """Values of one device: a slow wave with steps in it, and faults of the kinds chosen."""
    script: list[float | Fault] = []
    later: dict[int, Fault] = {}
    level = 0.0
    for k in range(steps):
        if k in later:
            script.append(later[k])
        if chance.random() < 0.01:
            level = chance.choice((0.0, 0.0, 25.0))
        script.append(55.0 + 10 * math.sin(k / 40) + level + round(chance.gauss(0, 0.5), 2))
        if kinds and k + 1 < steps and chance.random() < 0.004:
            script.append(_fault(chance, kind := chance.choice(kinds)))
            if kind == "dark":  # It dies while the device is away and only timers run.
                later[k + chance.randrange(10, 70)] = CRASH(chance.choice((1.0, 100.0)))
    return script


def _fault(chance: random.Random, kind: str) -> Fault:
    match kind:
        case "disconnect":
            return DISCONNECT(chance.choice((0.5, 8.0, 40.0, 400.0)))
        case "dark":
            return DISCONNECT(400.0)
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
    seed: int,
    hours: float,
    devices: dict[str, Device],
    receivers: dict[str, Receiver],
    *,
    edits: bool = False,
) -> Report:
    """Simulate a world whose scripts are given; `FLOW` runs against it, edited now and then."""
    folder = Path(tempfile.mkdtemp(prefix="genba-sim-", dir=_quick_folder()))
    loop = SimLoop()
    logging.disable(logging.CRITICAL)
    registry.LENT.update(NODES)
    try:
        day = Day(loop, folder, seed, hours, devices, receivers, edits=edits)
        return loop.run_until_complete(day.run())
    finally:
        registry.LENT.clear()
        logging.disable(logging.NOTSET)
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)


def _quick_folder() -> str | None:
    """A folder in memory where there is one: the simulated disk need not be slow."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of its own


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

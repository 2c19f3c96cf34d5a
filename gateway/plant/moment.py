"""Which step of the plant it is now: the same in every process that was given the same t0."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.engine.clock import SystemClock
from gateway.plant.faults import Script
from gateway.plant.view import STEP_S, PlantView


class Moment:
    """The plant's time: second 0 was at `t0` (seconds since 1970 UTC), `speed` 2 is twice as fast.

    All processes ask the wall's clock, since that is the one clock they share.
    """

    def __init__(self, t0: float, speed: float = 1.0) -> None:
        self.t0 = t0
        self.speed = speed
        self._clock = SystemClock()

    def wall(self) -> float:
        """The time on the wall [s since 1970 UTC]."""
        return self._clock.now() * 1e-9

    def now(self) -> float:
        """Seconds of the plant since its start."""
        return (self.wall() - self.t0) * self.speed

    def step(self) -> int:
        """The latest step of the plant."""
        return math.floor(self.now() / STEP_S)

    def stamp(self, k: int) -> datetime:
        """When step k was, as a UTC time: the source timestamp of its samples."""
        return datetime.fromtimestamp(self.t0 + k * STEP_S / self.speed, UTC)

    def until(self, t: float) -> float:
        """Seconds on the wall until the plant's second t, never below 0."""
        return max(0.0, (t - self.now()) / self.speed)


@dataclass(frozen=True, slots=True)
class Setting:
    """What every process of one plant is told, so that all show the same moment."""

    dir: Path
    seed: int
    t0: float
    speed: float = 1.0
    faults: bool = True

    def view(self) -> PlantView:
        """The plant of this seed."""
        return PlantView(self.seed, Script(self.seed, None if self.faults else ()))

    def moment(self) -> Moment:
        """The plant's time."""
        return Moment(self.t0, self.speed)

    def arguments(self) -> list[str]:
        """This setting as command line arguments; `of` reads them back."""
        told = [f"--dir={self.dir}", f"--seed={self.seed}", f"--t0={self.t0!r}"]
        return [*told, f"--speed={self.speed}", *([] if self.faults else ["--no-faults"])]

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments that `of` reads."""
        parser.add_argument("--dir", type=Path, help="folder for ports, logs and the manifest")
        parser.add_argument("--seed", type=int, default=1, help="another seed, another plant")
        parser.add_argument("--t0", type=float, help="the plant's second 0, in s since 1970 UTC")
        parser.add_argument("--speed", type=float, default=1.0, help="2 is twice as fast")
        parser.add_argument("--no-faults", action="store_true", help="nothing ever breaks")

    @classmethod
    def of(cls, args: argparse.Namespace, dir: Path) -> Setting:
        """The setting that the arguments describe."""
        t0 = SystemClock().now() * 1e-9 if args.t0 is None else args.t0
        return cls(dir.resolve(), args.seed, t0, args.speed, not args.no_faults)

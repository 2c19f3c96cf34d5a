"""Virtual time: an event loop that never waits, and the clock that goes with it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from gateway.engine.clock import SystemClock

T = TypeVar("T")
START_NS: Final = 1_800_000_000 * 10**9
"""The simulated day begins here: 2027-01-15 08:00 UTC."""


class _Selector(selectors.BaseSelector):
    """A selector that has no files: waiting for one only moves the time on."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, 0, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("Deadlock: nothing is left to run and no timer is set.")
        self.now_s += max(timeout, 0.0)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class SimLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time: a day takes as long as its work, and no longer.

    What would run in a thread runs at once, so that the order is the same every time.
    """

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual.now_s

    def run_in_executor(  # type: ignore[override]  # at once: there are no threads here
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except (
            ArithmeticError,
            LookupError,
            OSError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            done.set_exception(error)
        return done


class SimClock(SystemClock):
    """The clock of a simulated machine; its wall clock can be set, like every other.

    Args:
        loop: Where the time comes from.
        world: What nodes of the simulation find the world by.
    """

    def __init__(self, loop: SimLoop, world: Any) -> None:
        self.world = world
        self._loop = loop
        self._offset_ns = 0
        super().__init__()

    def set_by(self, seconds: float) -> None:
        """Set the wall clock forward, or back where it is negative [s]."""
        self._offset_ns += round(seconds * 1e9)

    def true_ns(self) -> int:
        """The time outside of the machine [ns]."""
        return START_NS + self._steady()

    def _wall(self) -> int:
        return self.true_ns() + self._offset_ns

    def _steady(self) -> int:
        return round(self._loop.time() * 1e9)

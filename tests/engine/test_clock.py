"""The clock: it never goes back, and it does not stand still either."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.backoff import Backoff
from gateway.engine.clock import SystemClock

S = 10**9


class Machine(SystemClock):
    """A machine whose clocks are numbers."""

    def __init__(self, wall: int, steady: int) -> None:
        self.wall, self.steady = wall, steady
        super().__init__()

    def _wall(self) -> int:
        return self.wall

    def _steady(self) -> int:
        return self.steady

    def pass_(self, ns: int) -> None:
        self.wall += ns
        self.steady += ns


def test_it_is_the_wall_clock() -> None:
    clock = Machine(1000 * S, 5 * S)
    for _ in range(100):
        clock.pass_(S // 3)
        assert clock.now() == clock.wall
    assert clock.monotonic() == clock.steady / 1e9


def test_set_back_it_slows_down_until_time_has_caught_up() -> None:
    clock = Machine(10_000 * S, 0)
    before = clock.now()
    clock.wall -= 90 * S
    assert clock.now() == before
    clock.pass_(10 * S)
    assert clock.now() == before + 9 * S
    for _ in range(1000):
        clock.pass_(S)
        clock.now()
    assert clock.now() == clock.wall


def test_set_forward_it_follows() -> None:
    clock = Machine(10_000 * S, 0)
    clock.now()
    clock.wall += 3600 * S
    assert clock.now() == clock.wall


@given(st.lists(st.tuples(st.integers(0, 100 * S), st.integers(-(10**15), 10**15)), max_size=30))
def test_it_never_goes_back(moves: list[tuple[int, int]]) -> None:
    clock = Machine(10**18, 0)
    latest = clock.now()
    for passed, jump in moves:
        clock.pass_(passed)
        clock.wall += jump
        now = clock.now()
        assert now >= latest + passed * 9 // 10
        latest = now


def test_waits_double_are_spread_and_repeat() -> None:
    waits = [Backoff("a").next_s() for _ in range(3)]
    assert len(set(waits)) == 1
    backoff = Backoff("a")
    series = [backoff.next_s() for _ in range(12)]
    assert 0.4 <= series[0] <= 0.6
    assert 8 <= series[-1] <= 12
    assert backoff.next_s(60.0) == 60.0
    backoff.reset()
    assert backoff.next_s() == series[0]
    assert Backoff("b").next_s() != series[0]

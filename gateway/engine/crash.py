"""Named crash points: places where a test may have the process die, as in a power cut.

A random ``kill -9`` seldom hits the few microseconds that matter; a name does. With
``GENBA_CRASH_AT=post_commit:3`` the process kills itself the third time it comes by; with
``post_commit:0.01`` each time with that probability, by chances that ``GENBA_CRASH_SEED`` (a whole
number, 0 when absent) repeats. Whether the state that is left follows from the journal, tells
`gateway.engine.fold`.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Mapping
from typing import Final

POINTS: Final = (
    "pre_commit",  # input was taken, nothing of it is on the disk
    "post_commit",  # it is on the disk, its source does not know
    "pre_ack",  # the source is about to be told
    "post_ack",  # the source knows
    "post_spill",  # what waits for a sink was stored with it
    "mid_step",  # the graph has run, nothing was handed on
    "mid_snapshot",  # some chunks of a checkpoint are on the disk
    "pre_snapshot",  # a checkpoint was made, it is not on the disk
    "post_snapshot",  # it is on the disk
    "post_deploy",  # another revision of a flow is on the disk, the old one still runs
)


def _nothing(name: str) -> None:
    """What a crash point does outside of tests."""


def when(wanted: str, seed: int = 0) -> tuple[str, Callable[[], bool]]:
    """A point, and whether the process shall die this time it comes by.

    Args:
        wanted: ``point``, ``point:nth`` or ``point:probability``; a number with a dot is a
            probability.
        seed: Of the chances.

    >>> point, dies = when("post_commit:2")
    >>> point, [dies() for _ in range(4)]
    ('post_commit', [False, True, False, False])
    >>> _, dies = when("pre_ack:0.5", seed=7)
    >>> [dies() for _ in range(4)]
    [True, True, False, True]
    """
    point, _, number = wanted.partition(":")
    assert point in POINTS, f"GENBA_CRASH_AT names {point!r}; there is {', '.join(POINTS)}"
    if "." in number:
        chance, probability = random.Random(seed), float(number)
        assert 0 < probability <= 1, f"GENBA_CRASH_AT has the probability {number}"
        return point, lambda: chance.random() < probability
    left = int(number or 1)

    def dies() -> bool:
        nonlocal left
        left -= 1
        return left == 0

    return point, dies


def arm(environment: Mapping[str, str]) -> None:
    """Have a crash point kill the process, as ``GENBA_CRASH_AT`` in an environment says."""
    wanted = environment.get("GENBA_CRASH_AT", "")
    if not wanted:
        on_crash_point(None)
        return
    point, dies = when(wanted, int(environment.get("GENBA_CRASH_SEED", "0")))

    def crash(name: str) -> None:
        if name == point and dies():
            os.kill(os.getpid(), signal.SIGKILL)

    on_crash_point(crash)


_act: Callable[[str], None] = _nothing


def crash_point(name: str) -> None:
    """A place where a test may end everything; it costs a call."""
    _act(name)


def on_crash_point(act: Callable[[str], None] | None) -> None:
    """Have a function called at every crash point: for the simulation; None takes it away."""
    global _act
    _act = act or _nothing


arm(os.environ)

"""Named crash points: places where a test may have the process die, as in a power cut.

A random ``kill -9`` seldom hits the few microseconds that matter; a name does. With
``GENBA_CRASH_AT=post_commit:3`` the process kills itself the third time it comes by.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
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


def _armed(wanted: str) -> Callable[[str], None]:
    """Crash points of which one kills the process, as ``point[:nth]`` says."""
    point, _, nth = wanted.partition(":")
    assert point in POINTS, f"GENBA_CRASH_AT names {point!r}; there is {', '.join(POINTS)}"
    left = int(nth or 1)

    def crash(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return crash


_wanted = os.environ.get("GENBA_CRASH_AT", "")
_act: Callable[[str], None] = _armed(_wanted) if _wanted else _nothing


def crash_point(name: str) -> None:
    """A place where a test may end everything; it costs a call."""
    _act(name)


def on_crash_point(act: Callable[[str], None] | None) -> None:
    """Have a function called at every crash point: for the simulation; None takes it away."""
    global _act
    _act = act or _nothing

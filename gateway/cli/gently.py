"""Gently: how a command runs that the gateway itself has started for somebody at a screen."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from typing import Final

NICE: Final = 15


def take(parser: argparse.ArgumentParser) -> None:
    """Declare ``--gently``, which only the gateway gives; the help does not show it."""
    parser.add_argument("--gently", action="store_true", help=argparse.SUPPRESS)


def begin() -> None:
    """Give way to everything else, and end when the one that started us is gone.

    Whoever started us holds the other end of our input: it closes when that process ends, also
    when it was killed. A child that went on without it would serve nobody.
    """
    os.nice(NICE)
    threading.Thread(target=_until_alone, daemon=True).start()


def _until_alone() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(3)


__all__ = ["begin", "take"]

"""Arguments that say how much is kept for trends."""

from __future__ import annotations

import argparse
import re
from typing import Final

from gateway.engine.history_days import HistoryLimits

DAYS_MAX: Final = 3660
_UNITS: Final = {"MB": 10**6, "GB": 10**9}


def take_limits(parser: argparse.ArgumentParser) -> None:
    """Declare ``--history-days-max`` and ``--history-bytes-max``."""
    parser.add_argument(
        "--history-days-max",
        type=days,
        default=HistoryLimits().history_days_max,
        metavar="DAYS",
        help="how many days are kept for trends; 0 keeps none",
    )
    parser.add_argument(
        "--history-bytes-max",
        type=size,
        default=HistoryLimits().history_bytes_max,
        metavar="SIZE",
        help="how much room they may take, like 500MB or 8GB",
    )


def limits_of(args: argparse.Namespace) -> HistoryLimits:
    """What was given."""
    return HistoryLimits(args.history_days_max, args.history_bytes_max)


def days(text: str) -> int:
    """A number of days as an argument.

    >>> days("40")
    40
    """
    if not (text.isascii() and text.isdigit() and int(text) <= DAYS_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days; write 0 to {DAYS_MAX}")
    return int(text)


def size(text: str) -> int:
    """Bytes as an argument.

    >>> size("500MB"), size("8 GB"), size("8589934592")
    (500000000, 8000000000, 8589934592)
    """
    if re.fullmatch(r"[1-9][0-9]{5,14}", text):
        return int(text)
    found = re.fullmatch(r"([1-9][0-9]{0,5}) ?(MB|GB)", text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it like 500MB or 8GB")
    return int(found[1]) * _UNITS[found[2]]

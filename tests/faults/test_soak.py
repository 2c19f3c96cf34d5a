"""Soak: days of plant time in minutes; what must not grow does not.

Long form: ``make torture`` plays 72 hours; ``GENBA_SOAK_H=72 pytest tests/faults/test_soak.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.figures import record

pytestmark = pytest.mark.slow
HOURS = float(os.environ.get("GENBA_SOAK_H") or (72 if os.environ.get("GENBA_TORTURE") else 1))


def median_slope(x: Any, y: Any) -> float:
    """The median of the slopes between all pairs of points.

    The allocator takes memory in steps: one step early in the run is no growth, and a straight
    line through it would say so. A leak has a slope between most pairs.

    Source: P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", 1968.
    """
    first, second = np.triu_indices(len(x), 1)
    return float(np.median((y[second] - y[first]) / (x[second] - x[first])))


def test_a_step_is_no_slope_and_a_leak_is_one() -> None:
    hours = np.arange(24.0, 72.0)
    step = np.where(hours < 36, 200.0, 213.0)
    assert median_slope(hours, step) == 0.0
    assert median_slope(hours, step + 0.1 * hours) == pytest.approx(0.1)


def test_days_of_plant_time_leave_nothing_behind(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.faults.soak_run", str(tmp_path), str(HOURS)],
        capture_output=True,
        timeout=3600 * 4,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()[-3000:]
    seen = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(seen) >= 10, "it was too short to say anything"
    settled = seen[len(seen) // 3 :]
    hours = np.array([row["hours"] for row in settled])
    rss = np.array([row["rss"] for row in settled], float)
    slope = median_slope(hours, rss) * 24 / rss.mean()
    growth = rss[-len(rss) // 4 :].mean() / rss[: len(rss) // 4 + 1].mean() - 1
    record(
        "soak",
        hours=HOURS,
        rss_mb=round(rss.mean() / 1e6),
        **({"rss_slope_percent_a_day": round(100 * float(slope), 2)} if HOURS >= 48 else {}),
        revisions=settled[-1]["revision"],
        files=settled[-1]["files"],
        tasks=settled[-1]["tasks"],
    )
    assert all(row["unbalanced"] == 0 for row in seen)
    for what, room in (("files", 8), ("threads", 8), ("tasks", 10)):
        first = np.median([row[what] for row in settled[: len(settled) // 3]])
        last = np.median([row[what] for row in settled[-len(settled) // 3 :]])
        assert last <= first + room, f"{what} grow: {[row[what] for row in settled]}"
    assert max(row["state"] for row in settled) < 400e6, "the state file is bounded"
    # A short run cannot tell a slope of a day; what it can tell is that nothing runs away.
    # Its memory is that of the arrays that happened to be in flight, and it grows in steps.
    room = 0.1 if HOURS >= 12 else 0.3
    assert growth < room, f"memory grows: {[round(row['rss'] / 1e6) for row in settled]} MB"
    if HOURS >= 48:
        assert slope < 0.01, f"memory grows by {slope:.2%} a day"

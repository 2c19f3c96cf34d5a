"""What came out of a gateway that was killed, against what its publisher was acknowledged."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.counted import (
    BASE_S,
    TOPICS,
    Alarm,
    Expected,
    expected,
    tag,
    values,
)
from tests.faults.session import Session, history_rows


@dataclass
class Verdict:
    """Numbers that must be zero, and some that say how much was tested.

    Args:
        acknowledged: Messages the publisher was told are safe.
        lost: Those that never came out.
        strange: Rows that came out and are none of them, or have another value.
        windows: Windows that came out, each counted once.
        double: Windows with more samples than there were.
        wrong: Windows with fewer samples, or another sum.
        missing_windows: Windows that must have come out.
        two_answers: Windows that came out twice, with different results.
        late: Samples that came too late for their window.
        alarms: Alarm events that came out, each counted once.
        missing_alarms: Those that must have come out.
        spurious_alarms: Those that must not have.
        repeated: Lines that stand in a file twice, which is allowed: the same key, the same words.
    """

    acknowledged: int = 0
    lost: int = 0
    strange: int = 0
    windows: int = 0
    double: int = 0
    wrong: int = 0
    missing_windows: int = 0
    two_answers: int = 0
    late: int = 0
    alarms: int = 0
    missing_alarms: int = 0
    spurious_alarms: int = 0
    repeated: int = 0

    def faults(self) -> dict[str, int]:
        """What should be zero and is not."""
        fine = {"acknowledged", "windows", "alarms", "repeated"}
        return {k: v for k, v in asdict(self).items() if k not in fine and v}

    def __str__(self) -> str:
        return ", ".join(f"{one.name} {getattr(self, one.name)}" for one in fields(self))


def judge(session: Session) -> Verdict:
    """Compare everything."""
    found = Verdict()
    lengths = _acknowledged(session, found)
    _raw(session, lengths, found)
    wanted = expected(lengths)
    by_count = _windows(session.state / "by_count.jsonl", found)
    by_time = _windows(session.state / "by_time.jsonl", found)
    _compare(by_count, wanted.by_count, {}, found)
    _compare(by_time, wanted.by_time, wanted.may_close, found)
    found.late = len(lines(session.state / "late.jsonl"))
    _alarms(session, wanted, found)
    return found


def _acknowledged(session: Session, found: Verdict) -> list[int]:
    """How many messages of each topic were acknowledged; they are the first ones of it."""
    order = np.fromfile(session.history, "<u4")
    found.acknowledged = len(order)
    assert (np.sort(order) == np.arange(len(order))).all(), "the publisher's history has a hole"
    return [len(range(k, len(order), TOPICS)) for k in range(TOPICS)]


def _raw(session: Session, lengths: list[int], found: Verdict) -> None:
    rows = history_rows(
        session.state / "raw",
        "SELECT name, ts, value, quality FROM sample JOIN tag USING (code)",
    )
    by_tag: dict[str, list[tuple[int, float, int]]] = {tag(k): [] for k in range(TOPICS)}
    for name, ts, value, status in rows:
        by_tag.setdefault(name, []).append((ts, value, status))
    for k, n in enumerate(lengths):
        numbers = np.arange(1, n + 1, dtype=np.int64)
        right = dict(zip(numbers.tolist(), values(k, numbers).tolist(), strict=True))
        came = by_tag.pop(tag(k))
        good = {
            (ts // 10**9 - BASE_S)
            for ts, value, status in came
            if status == 0 and right.get(ts // 10**9 - BASE_S) == value and ts % 10**9 == 0
        }
        found.lost += n - len(good)
        found.strange += len(came) - len(good)
    found.strange += sum(map(len, by_tag.values()))


def lines(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a file; a kill may leave half a line, and the next life goes on."""
    found = []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            assert line == b"" or line.startswith(b"{"), line
    return found


def _windows(path: Path, found: Verdict) -> dict[tuple[str, int], dict[str, float]]:
    """(tag, end) → feature → value, as they were written first."""
    windows: dict[tuple[str, int], dict[str, float]] = {}
    for row in lines(path):
        name, _, feature = row["tag"].partition("#")
        window = windows.setdefault((name, row["ts"]), {})
        if feature in window:
            found.repeated += 1
            found.two_answers += window[feature] != row["value"]
        window.setdefault(feature, row["value"])
    found.windows += len(windows)
    return windows


def _compare(
    came: Mapping[tuple[str, int], Mapping[str, float]],
    must: Mapping[tuple[str, int], tuple[float, float]],
    may: Mapping[tuple[str, int], tuple[float, float]],
    found: Verdict,
) -> None:
    found.missing_windows += len(must.keys() - came.keys())
    for key, window in came.items():
        count, total = must.get(key) or may.get(key) or (0.0, 0.0)
        if window.get("count", 0.0) > count:
            found.double += 1
        elif window != {"count": count, "sum": total}:
            found.wrong += 1


def _alarms(session: Session, wanted: Expected, found: Verdict) -> None:
    came = Counter(
        Alarm(*(row[name] for name in ("tag", "condition", "change", "ts", "occurrence")))
        for row in lines(session.state / "alarms.jsonl")
    )
    found.alarms = len(came)
    found.repeated += came.total() - len(came)
    found.missing_alarms = len(wanted.alarms - came.keys())
    found.spurious_alarms = len(came.keys() - wanted.alarms - wanted.may_happen)

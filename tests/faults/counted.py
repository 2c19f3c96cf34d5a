"""What the publisher of the kill tests sends, and what must come out: known beforehand.

Message `i` (from 1) of topic `k` is one second of event time after the one before it. Its value is
a multiple of 1/8, so that sums are exact in any order; at known places it is far too high for
six seconds, or too low for one, which is where the alarms must be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

TOPICS: Final = 200
BASE_S: Final = 1_700_000_040  # A multiple of the windows below.
WINDOW_S: Final = 60
LATENESS_S: Final = 120
COUNT: Final = 50
HI: Final = 150.0
ON_DELAY_S: Final = 3
LO: Final = -10.0
PERIOD: Final = 400
PLATEAU: Final = (60, 66)
DIP: Final = 20

FLOW: Final = """flow: kills
version: 1

connections:
  broker: {{type: mqtt.connection, url: "${{mqtt_url}}", client_id: kills}}

nodes:
  numbers:
    type: mqtt.source
    connection: broker
    topics: ["test/{{name}}"]
    tag: "test/{{name}}"
    payload: json
    sequence: seq
    dedupe_by: {dedupe_by}
  fifty: {{type: window.count, size: 50}}
  minute: {{type: window.tumbling, size_s: 60, lateness_s: 120}}
  of_count: {{type: feature.statistics, features: [count, sum]}}
  of_time: {{type: feature.statistics, features: [count, sum]}}
  high: {{type: alarm.limit, hi: 150, on_delay_s: 3}}
  low: {{type: alarm.limit, lo: -10}}
  raw: {{type: sqlite.sink, folder: raw}}
  by_count: {{type: file.jsonl_sink, path: by_count.jsonl, sync: false, file_bytes_max: {big}}}
  by_time: {{type: file.jsonl_sink, path: by_time.jsonl, sync: false, file_bytes_max: {big}}}
  late: {{type: file.jsonl_sink, path: late.jsonl, sync: false}}
  alarms: {{type: file.jsonl_sink, path: alarms.jsonl, sync: false, file_bytes_max: {big}}}

wires:
  - numbers -> raw
  - numbers -> fifty -> of_count -> by_count
  - numbers -> minute -> of_time -> by_time
  - minute.late -> late
  - numbers -> high
  - high.alarms -> alarms.alarms
  - numbers -> low
  - low.alarms -> alarms.alarms
"""


def flow(*, dedupe: bool = True) -> str:
    """The flow under test; without `dedupe` it takes what comes twice for two."""
    return FLOW.format(dedupe_by="sequence" if dedupe else "none", big=10**9)


def place(j: int) -> tuple[int, int]:
    """(topic, number) of the j-th message of all, from 0."""
    return j % TOPICS, j // TOPICS + 1


def tag(k: int) -> str:
    """The tag of a topic, which is also the topic."""
    return f"test/{k:03}"


def ts_ns(i: int) -> int:
    """When message i of any topic was measured [ns]."""
    return (BASE_S + i) * 10**9


def values(k: int, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """The values of some messages of a topic, (n,)."""
    value = (numbers * 7_919 + k * 104_729) % 1_000 / 8
    phase = _phase(k, numbers)
    value[(phase >= PLATEAU[0]) & (phase < PLATEAU[1])] = 200 + k % 8
    value[phase == DIP] = -50 - k % 8
    return value


def _phase(k: int, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    # No topic begins on a plateau, and not all are on one at a time.
    return (numbers + k * 13 % 50) % PERIOD


@dataclass(frozen=True)
class Alarm:
    """What must be the same of an alarm event."""

    tag: str
    condition: str
    change: str
    ts: int
    occurrence: int


@dataclass
class Expected:
    """What must come out when every topic has so many messages, and what may.

    Args:
        windows: (tag, end [ns]) → (count, sum), for windows that must have closed.
        may_close: The same for those that may: the last ones close when their tag falls silent.
        alarms: Events that must have happened.
        may_happen: Those that may: a delay may have ended with a timer.
    """

    by_count: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)
    by_time: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)
    may_close: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)
    alarms: set[Alarm] = field(default_factory=set)
    may_happen: set[Alarm] = field(default_factory=set)


def expected(lengths: list[int]) -> Expected:
    """What must come out after `lengths[k]` messages of topic k."""
    found = Expected()
    for k, n in enumerate(lengths):
        numbers = np.arange(1, n + 1, dtype=np.int64)
        value = values(k, numbers)
        _windows(found, k, numbers, value)
        for alarm, needed in _alarms(k, numbers):
            (found.alarms if needed <= n else found.may_happen).add(alarm)
    return found


def _windows(
    found: Expected, k: int, numbers: NDArray[np.int64], value: NDArray[np.float64]
) -> None:
    n = len(numbers)
    for end in range(COUNT, n + 1, COUNT):
        part = value[end - COUNT : end]
        found.by_count[tag(k), ts_ns(end)] = (float(COUNT), float(part.sum()))
    for w in range(n // WINDOW_S + 1):
        part = value[(numbers // WINDOW_S) == w]
        end = (w + 1) * WINDOW_S
        if len(part):
            must = end + LATENESS_S < n
            where = found.by_time if must else found.may_close
            where[tag(k), ts_ns(end)] = (float(len(part)), float(part.sum()))


def _alarms(k: int, numbers: NDArray[np.int64]) -> Iterator[tuple[Alarm, int]]:
    """Alarm events of a topic, each with the number of the message that makes it certain."""
    phase = _phase(k, numbers)
    for n, i in enumerate(numbers[phase == PLATEAU[0]].tolist(), 1):
        raised, over = i + ON_DELAY_S, i + PLATEAU[1] - PLATEAU[0]
        yield Alarm(tag(k), "HI", "raised", ts_ns(raised), n), raised
        yield Alarm(tag(k), "HI", "returned", ts_ns(over), n), over
    for n, i in enumerate(numbers[phase == DIP].tolist(), 1):
        yield Alarm(tag(k), "LO", "raised", ts_ns(i), n), i
        yield Alarm(tag(k), "LO", "returned", ts_ns(i + 1), n), i + 1

"""The gateway is killed and stopped while messages come: it goes on as if nothing had been.

A publisher counts without a pause, with times of its own, so that every window, every alarm and
every row that must come out is known beforehand.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiomqtt
import orjson
import pytest

from gateway.data.tasks import Tasks
from gateway.engine.clock import SystemClock
from tests.plant.product import Product, broker, changes, free_port, until

pytestmark = [pytest.mark.plant, pytest.mark.slow]

TAG = "test/number"
WINDOW = 60  # Messages a window; a message is a second of its own time.
ROUND = 200  # The value climbs to this and begins anew.
HIGH = 150
FLOW = """flow: counted
version: 1

connections:
  broker: {type: mqtt.connection, url: "${mqtt_url}"}
  nowhere: {type: serial.connection, port: "${port}"}

nodes:
  numbers:
    type: mqtt.source
    connection: broker
    topics: ["test/{name}"]
    tag: "test/{name}"
    payload: json
    sequence: seq
    dedupe_by: sequence
  absent:
    type: serial.source
    connection: nowhere
    pattern: "(?P<weight>[0-9]+)"
    tags: {hall/weight: {field: weight}}
  clock: {type: simulate.source, tag: hall/clock, every_s: 0.1}
  window: {type: window.tumbling, tags: test/number, size_s: 60}
  level: {type: feature.statistics, features: [count, mean]}
  high: {type: alarm.limit, tags: test/number, hi: 150}
  history: {type: sqlite.sink, folder: history}
  windows: {type: file.jsonl_sink, path: windows.jsonl}

wires:
  - numbers -> window -> level -> windows
  - numbers -> high
  - numbers -> history
  - absent -> history
  - clock -> history
"""


class Counter:
    """Publishes 1, 2, 3, … at QoS 1 until it is stopped."""

    def __init__(self, port: int) -> None:
        self.base_ns = (SystemClock().now() // 10**9 // 60 * 60 - 36_000) * 10**9
        self.sent = 0
        self._port = port
        self._tasks = Tasks("counter")
        self._stop = False

    def ts(self, number: int) -> int:
        """When a number was measured, by its own clock [ns]."""
        return self.base_ns + number * 10**9

    def start(self) -> None:
        """Begin, or go on."""
        self._stop = False
        self._task = self._tasks.start("count", self._count())

    async def stop(self) -> None:
        """Stop; what was sent is with the broker."""
        self._stop = True
        await self._task

    async def _count(self) -> None:
        async with aiomqtt.Client("127.0.0.1", self._port, identifier="counter") as client:
            while not self._stop:
                number = self.sent + 1
                document = {
                    "value": number % ROUND,
                    "ts": self.ts(number) // 10**6,
                    "seq": number,
                }
                await client.publish(TAG, orjson.dumps(document), qos=1, timeout=60)
                self.sent = number
                await asyncio.sleep(0.01)


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Product, Counter]]:
    """A gateway with the flow above, not yet started, and a counter beside a real broker."""
    port = free_port()
    path = tmp_path / "counted.flow.yaml"
    path.write_text(FLOW, "utf-8")
    values = {"mqtt_url": f"mqtt://127.0.0.1:{port}", "port": str(tmp_path / "no-such-port")}
    (tmp_path / "broker").mkdir()
    async with broker(tmp_path / "broker", port):
        product = Product(tmp_path, [path], values)
        async with product:
            yield product, Counter(port)


def _numbers(product: Product, counter: Counter) -> list[int]:
    """The numbers in the history, by their times."""
    rows = product.history_rows("history", TAG)
    return [(ts - counter.base_ns) // 10**9 for ts, _ in rows]


def _raised(product: Product) -> list[tuple[int, int]]:
    """(ts, occurrence) of every annunciation that was stored, in order."""
    rows = product.stored("SELECT event FROM alarm_event WHERE alarm LIKE '%high%' ORDER BY id")
    events = [orjson.loads(text) for (text,) in rows]
    return [(event["ts"], event["occurrence"]) for event in events if event["change"] == "raised"]


async def _check(product: Product, counter: Counter) -> None:
    """All that was published came out, once, in the right windows and alarms."""
    await counter.stop()
    sent = counter.sent
    await until(lambda: _numbers(product, counter)[-1:] == [sent], f"{sent} is in the history")
    assert _numbers(product, counter) == list(range(1, sent + 1))

    expected = [n for n in range(1, sent + 1) if n % ROUND == HIGH + 1]
    await until(lambda: len(_raised(product)) >= len(expected), f"{len(expected)} annunciations")
    assert _raised(product) == [(counter.ts(n), i + 1) for i, n in enumerate(expected)]

    # The counter's base is a multiple of the window, so the first has one less: it begins at 1.
    whole = (sent // WINDOW) - 1

    def windows() -> dict[tuple[str, int], float]:
        found: dict[tuple[str, int], float] = {}
        for row in product.json_rows("windows.jsonl"):
            key = (row["tag"], row["ts"])
            assert found.setdefault(key, row["value"]) == row["value"], "a window has two answers"
        return found

    await until(lambda: len(windows()) >= 2 * whole, f"{whole} windows")
    counts = sorted((ts, value) for (tag, ts), value in windows().items() if tag.endswith("#count"))
    assert counts[0][1] == WINDOW - 1
    assert {value for _, value in counts[1 : whole + 1]} <= {float(WINDOW)}
    means = sorted((ts, value) for (tag, ts), value in windows().items() if tag.endswith("#mean"))
    for i, (_, mean) in enumerate(means[1:whole], 1):
        values = [n % ROUND for n in range(i * WINDOW, (i + 1) * WINDOW)]
        assert mean == pytest.approx(sum(values) / WINDOW)
    counts_now = await product.counts("numbers")
    assert counts_now.get("sequence_gaps", 0) == 0
    assert counts_now.get("gaps", 0) == 0


def _alarm_rows(alarms: dict[str, dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """What must be as it was: the state, the occurrence and the words of each alarm."""
    return {
        name: (row["state"], row["occurrence"], row["ts"], row["text"])
        for name, row in alarms.items()
        if "high" not in name  # It comes and goes with the count.
    }


async def _prepared(product: Product, counter: Counter) -> dict[str, tuple[Any, ...]]:
    """Run until there are windows and alarms; acknowledge one; gives the open alarms."""
    counter.start()
    comm = "counted/communication:nowhere:COMM"

    async def away() -> str:
        return next((name for name in await product.open_alarms() if "nowhere" in name), "")

    comm = await until(away, "the alarm of the absent device")
    product.client.act("ack", comm, "user:anna", occurrence=1)

    async def acked() -> bool:
        return (await product.open_alarms())[comm]["state"] == "ACKED"

    await until(acked, "it is acknowledged")
    await until(lambda: counter.sent > 3 * WINDOW, "some windows")
    await until(lambda: len(_raised(product)) >= 1, "an annunciation")
    return _alarm_rows(await product.open_alarms())


async def _started_again(
    product: Product, counter: Counter, before: dict[str, tuple[Any, ...]]
) -> None:
    """Messages come while it is down; then it starts, with the alarms as they were."""
    down_from = counter.sent
    await until(lambda: counter.sent > down_from + 20, "messages while it is down")
    await product.start()
    assert _alarm_rows(await product.open_alarms()) == before
    came_from = counter.sent
    await until(lambda: counter.sent > came_from + WINDOW, "messages while it runs")


async def test_kill_9_again_and_again(parts: tuple[Product, Counter]) -> None:
    product, counter = parts
    before = await _prepared(product, counter)
    for _ in range(3):
        await product.kill()
        await _started_again(product, counter, before)
    await _check(product, counter)
    assert changes(await product.history(), "COMM") == {"nowhere": ["raised", "acked"]}
    product.said()


async def test_stopped_as_systemd_does_it(parts: tuple[Product, Counter]) -> None:
    product, counter = parts
    before = await _prepared(product, counter)
    for _ in range(2):
        assert await product.terminate() == 0
        await _started_again(product, counter, before)
    await _check(product, counter)
    assert changes(await product.history(), "COMM") == {"nowhere": ["raised", "acked"]}
    assert await product.terminate() == 0
    product.said()


async def test_the_history_has_no_hole_beyond_the_time_it_was_down(
    parts: tuple[Product, Counter],
) -> None:
    product, _ = parts
    clock = SystemClock()

    def rows() -> list[tuple[int, float]]:
        return product.history_rows("history", "hall/clock")

    await until(lambda: len(rows()) > 20, "a history")
    last_seen = rows()[-1][0]
    await product.kill()
    await product.start()
    await until(lambda: rows()[-1][0] > last_seen + 10**9, "the history goes on")
    back = clock.now()
    times = [ts for ts, _ in rows()]
    holes = [(b - a, a) for a, b in pairwise(times)]
    widest, at = max(holes)
    assert at >= last_seen - 10**9, "what was seen in the history before the kill is still there"
    assert widest <= back - last_seen

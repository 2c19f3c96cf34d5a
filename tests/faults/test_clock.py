"""The wall clock is set, by an hour, a day, to 1970, to 2038, while the gateway runs or is off.

The gateway is the real `genba run`. Its wall clock is moved below it by `clockshift.c`; that of
the devices is right, and so is that of a second gateway, which nobody disturbs and which reads
the same messages. What is promised:

* Windows, alarms and their times by the devices' own timestamps: the same as the other's, once.
* What the gateway stamps itself: never back within one run. A clock set forward is followed at
  once, so such stamps carry its error; one set back is caught up with slowly.
* Journal records never go back in time within one run, and each step of the clock is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import mmap
import shutil
import struct
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import aiomqtt
import orjson
import pytest

from gateway.data.tasks import Tasks
from tests.faults.figures import record
from tests.plant.product import Product, broker, free_port, until

pytestmark = [pytest.mark.slow, pytest.mark.plant]

S: Final = 10**9
HOUR: Final = 3600 * S
DAY: Final = 86_400 * S
QUIET_S: Final = 12.0  # Longer than any window or delay of the flow.
FLOW: Final = """flow: clocked
version: 1
connections:
  broker: {type: mqtt.connection, url: "${mqtt_url}", client_id: "${name}"}
nodes:
  plant: {type: mqtt.source, connection: broker, topics: ["plant/{t}"], tag: "plant/{t}",
          payload: json}
  local: {type: mqtt.source, connection: broker, topics: ["local/{t}"], tag: "local/{t}"}
  second: {type: window.tumbling, size_s: 1, lateness_s: 6}
  five: {type: window.hopping, size_s: 5, hop_s: 2, lateness_s: 6}
  of_second: {type: feature.statistics, features: [count, sum]}
  of_five: {type: feature.statistics, features: [max]}
  high: {type: alarm.limit, hi: 50, on_delay_s: 2, off_delay_s: 1}
  silent: {type: alarm.stale, after_s: 6}
  windows: {type: file.jsonl_sink, path: windows.jsonl, sync: false}
  maxima: {type: file.jsonl_sink, path: maxima.jsonl, sync: false}
  alarms: {type: file.jsonl_sink, path: alarms.jsonl, sync: false}
  late: {type: file.jsonl_sink, path: late.jsonl, sync: false}
  stamped: {type: file.jsonl_sink, path: stamped.jsonl, sync: false}
wires:
  - plant -> second -> of_second -> windows
  - plant -> five -> of_five -> maxima
  - plant -> high
  - plant -> silent
  - high.alarms -> alarms.alarms
  - silent.alarms -> alarms.alarms
  - second.late -> late
  - local -> stamped
"""


class WallClock:
    """The wall clock of a gateway, as a file that `clockshift.c` reads."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)
        self.path = path
        self.off = 0

    def set_by(self, off: int) -> None:
        """Let it show the true time and so much more [ns]."""
        self.off = off
        self._map[:] = struct.pack("q", off)


class Plant:
    """Devices with right clocks: one waves, one is too hot now and then, one falls silent.

    And one without a clock, which the gateway stamps.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks = Tasks("devices")
        self.sent = 0

    async def __aenter__(self) -> Plant:
        self._task = self._tasks.start("send", self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.stop()

    async def _send(self) -> None:
        async with aiomqtt.Client("127.0.0.1", self._port, identifier="devices") as client:
            while True:
                n = self.sent
                ts = time.time_ns()
                values = {"wave": n % 17, "hot": 60 if n % 97 > 60 else 20}
                if n % 130 < 20:
                    values["shy"] = 60 if n % 260 < 20 else 10
                for name, value in values.items():
                    document = orjson.dumps({"value": value, "ts": ts})
                    await client.publish(f"plant/{name}", document, qos=1, timeout=60)
                await client.publish("local/plain", str(n), qos=1, timeout=60)
                self.sent += 1
                await asyncio.sleep(0.1)


@dataclass
class Shaken:
    """A gateway whose wall clock is moved, and the one beside it that nobody disturbs."""

    product: Product
    clock: WallClock
    calm: Product


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`clockshift.so`, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "a C compiler is needed: apt-get install gcc libc6-dev"
    made = tmp_path_factory.mktemp("clockshift") / "clockshift.so"
    source = Path(__file__).with_name("clockshift.c")
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", str(made), str(source), "-ldl"], check=True)
    return made


@contextlib.asynccontextmanager
async def shaken_ones(
    folder: Path, library: Path, names: Sequence[str]
) -> AsyncIterator[list[Shaken]]:
    """Gateways with moved clocks beside a calm one, a broker and the devices; all run."""
    port = free_port()
    flow = folder / "clocked.flow.yaml"
    flow.write_text(FLOW, "utf-8")

    def made(name: str, environment: Mapping[str, str]) -> Product:
        values = {"mqtt_url": f"mqtt://127.0.0.1:{port}", "name": name}
        return Product(folder / name, [flow], values, environment=environment)

    for name in ("broker", "calm", *names):
        (folder / name).mkdir()
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(broker(folder / "broker", port))
        calm = await stack.enter_async_context(made("calm", {}))
        found = []
        for name in names:
            clock = WallClock(folder / name / "offset")
            moved = {"LD_PRELOAD": str(library), "CLOCKSHIFT": str(clock.path)}
            product = await stack.enter_async_context(made(name, moved))
            found.append(Shaken(product, clock, calm))
        for product in (calm, *(one.product for one in found)):
            await until(lambda p=product: _reads(p), "the gateway reads")
        await stack.enter_async_context(Plant(port))
        yield found


async def _reads(product: Product) -> bool:
    states = [(await product.node(node))["state"] for node in ("plant", "local")]
    return all(state in ("connected", "running") for state in states)


# ---------------------------------------------------------------------- what came out


def windows(product: Product, path: str, since: int) -> Counter[tuple[str, int, float]]:
    """(tag and feature, end, value) of every window that ended after a moment, with its count."""
    rows = product.json_rows(path)
    return Counter((r["tag"], r["ts"], r["value"]) for r in rows if r["ts"] >= since)


def alarms(product: Product, since: int, upto: int) -> Counter[tuple[str, str, str, int]]:
    """(tag, condition, change, ts) of the alarm events of a time, each with its count."""
    return Counter(
        (r["tag"], r["condition"], r["change"], r["ts"])
        for r in product.json_rows("alarms.jsonl")
        if since <= r["ts"] < upto and r["actor"].startswith("node:")
    )


def compare(pair: Shaken, since: int, upto: int) -> dict[str, int]:
    """Assert that both gateways made the same of the devices' samples, once; how much it was."""
    found = {}
    for path in ("windows.jsonl", "maxima.jsonl"):
        parts = [windows(p, path, since) for p in (pair.calm, pair.product)]
        calm, shaken = (Counter({k: n for k, n in part.items() if k[1] < upto}) for part in parts)
        assert max(shaken.values()) == 1, f"twice: {shaken.most_common(3)}"
        assert shaken == calm, f"{path}: {_difference(calm, shaken)}"
        found[path.partition(".")[0]] = len(shaken)
    calm_alarms, shaken_alarms = (alarms(p, since, upto) for p in (pair.calm, pair.product))
    assert max(shaken_alarms.values()) == 1
    assert shaken_alarms == calm_alarms, _difference(calm_alarms, shaken_alarms)
    assert {condition for _, condition, _, _ in shaken_alarms} == {"HI", "STALE"}
    return found | {"alarms": len(shaken_alarms)}


def _difference(calm: Counter[Any], shaken: Counter[Any]) -> str:
    return (
        f"only undisturbed {sorted(calm - shaken)[:4]}, only disturbed {sorted(shaken - calm)[:4]}"
    )


def own_stamps(product: Product) -> list[int]:
    """Times that the gateway gave the samples of the device without a clock, as they came."""
    return [r["ts"] for r in product.json_rows("stamped.jsonl")]


async def settled(pair: Shaken, upto: int) -> None:
    """Wait until both gateways have closed every window that ends before a moment."""
    for product in (pair.calm, pair.product):
        await until(
            lambda p=product: any(r["ts"] >= upto for r in p.json_rows("maxima.jsonl")),
            "the last windows",
        )


async def notes(product: Product) -> list[str]:
    """What was said of the clock, one a step."""
    events = await product.history()
    return [e["text"] for e in events if e["tag"] == "gateway/clock" and e["change"] == "raised"]


def steps_told(product: Product) -> list[int]:
    """Sizes of the recorded steps of the clock [s]; sources that use it tell of their own holes."""
    rows = product.stored(
        "SELECT from_ts, to_ts FROM gap WHERE cause='clock_step' AND flow='gateway' ORDER BY id"
    )
    return [round((end - start) / S) for start, end in rows]


def _moments() -> Iterator[tuple[str, int]]:
    """Steps of the clock, each from what the one before it left: (name, offset [ns])."""
    now = time.time_ns()
    yield "an hour forward", HOUR
    yield "and back", 0
    yield "an hour back", -HOUR
    yield "and right again", 0
    yield "a day forward", DAY
    yield "a day back from there", 0
    yield "a day back", -DAY
    yield "to 1970", -now + S
    yield "right again", 0
    yield "to the leap day of 2028", 1_835_395_198 * S - now  # Two seconds before it begins.
    yield "to 2038", 2_147_483_645 * S - now  # Two seconds before 32 bits are full.
    yield "and right at last", 0


async def test_the_clock_is_set_while_it_runs(tmp_path: Path, library: Path) -> None:
    async with shaken_ones(tmp_path, library, ["shaken"]) as (pair,):
        await _shake(pair)


async def _shake(pair: Shaken) -> None:
    await asyncio.sleep(3.0)
    since = time.time_ns()
    sizes = []
    for number, (name, off) in enumerate(_moments(), 1):
        sizes.append(round(abs(off - pair.clock.off) / S))
        pair.clock.set_by(off)
        await until(lambda: _told(pair.product, number), f"the note of: {name}")  # noqa: B023
        await asyncio.sleep(3.0)
    upto = time.time_ns()
    await asyncio.sleep(QUIET_S)
    await settled(pair, upto)
    found = compare(pair, since, upto)
    stamps = own_stamps(pair.product)
    assert all(a <= b for a, b in pairwise(stamps)), "the gateway's own time went back"
    told = [size for size in steps_told(pair.product) if size > 1]
    # A step is measured from one look at the clocks to the next.
    assert [abs(a - b) <= 2 for a, b in zip(told, sizes, strict=True)] == [True] * len(sizes), told
    assert steps_told(pair.calm) == []
    assert pair.product.json_rows("late.jsonl") == []
    times = pair.product.stored("SELECT ts FROM journal WHERE flow='clocked' ORDER BY seq")
    assert all(a <= b for (a,), (b,) in pairwise(times)), "a record went back in time"
    pair.product.said()
    record("clock set while it runs", steps=len(sizes), **found, twice=0, different=0, late=0)


async def _told(product: Product, number: int) -> bool:
    return len(await notes(product)) >= number


CASES: Final = {
    "a day behind": (0, -DAY),
    "it was a day ahead": (DAY, 0),
    "back in 1970": (0, -(56 * 365 * DAY)),
    "it was in 2038": (12 * 365 * DAY, 0),
    "a day ahead": (0, DAY),
}
"""By how much the clock is wrong in the last run and in this [ns]."""


async def test_the_clock_is_another_after_a_start(tmp_path: Path, library: Path) -> None:
    """Timers go on: nothing waits for the clock to come back to where the last run was."""
    async with shaken_ones(tmp_path, library, list(CASES)) as all_of_them:
        for pair, (before, _) in zip(all_of_them, CASES.values(), strict=True):
            pair.clock.set_by(before)
        await asyncio.sleep(5.0)
        lasts = []
        for pair, (_, after) in zip(all_of_them, CASES.values(), strict=True):
            await pair.product.kill()
            ts = "SELECT max(ts) FROM journal WHERE flow='clocked'"
            lasts.append(pair.product.stored(ts)[0][0])
            pair.clock.set_by(after)
            await pair.product.start()
        await asyncio.sleep(QUIET_S)  # What began before the kill is over.
        since = time.time_ns()
        await asyncio.sleep(26.0)  # Two rounds of the device that falls silent.
        upto = time.time_ns()
        await asyncio.sleep(QUIET_S)
        for pair, name, last in zip(all_of_them, CASES, lasts, strict=True):
            await _check_start(pair, name, last, since, upto)


async def _check_start(pair: Shaken, name: str, last: int, since: int, upto: int) -> None:
    before, after = CASES[name]
    await settled(pair, upto)
    found = compare(pair, since, upto)
    now, true = (await pair.product.status())["now"], time.time_ns()
    is_left = before > 2 * DAY  # Time goes back, once, where the last run was years ahead.
    assert (now < last) is is_left
    assert abs(now - true - (after if is_left or after >= before else before)) < 600 * S
    if after < before:
        assert (await notes(pair.product))[-1].startswith("The clock of this machine was set back")
        assert steps_told(pair.product)[-1] >= (before - after) // S - 60
    pair.product.said()
    record(f"start with another clock, {name}", **found, twice=0, different=0)


def test_the_moved_clock_is_moved(library: Path, tmp_path: Path) -> None:
    """The other tests would prove nothing if it were not."""
    clock = WallClock(tmp_path / "offset")
    clock.set_by(-DAY)
    code = (
        "import time, datetime, json; t = datetime.datetime.now(datetime.timezone.utc)\n"
        "print(json.dumps([time.time_ns(), t.timestamp(), time.monotonic()]))"
    )
    found = []
    for moved in ({"LD_PRELOAD": str(library), "CLOCKSHIFT": str(clock.path)}, {}):
        command = ["python3", "-c", code]
        out = subprocess.run(command, env=moved, capture_output=True, check=True).stdout
        found.append(json.loads(out))
    (a_ns, a_s, a_steady), (b_ns, b_s, b_steady) = found
    assert round((b_ns - a_ns) / DAY) == 1
    assert round((b_s - a_s) / 86_400) == 1
    assert abs(b_steady - a_steady) < 3600

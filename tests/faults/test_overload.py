"""More comes than the gateway can take, or leaves slower than it comes: it stays bounded, says
so, and loses nothing that it has acknowledged.

The gateway is the real `genba run`, the broker a real mosquitto with QoS 1. Rated are 10,000 tags
at 1 Hz. Long form: ``make torture``, or GENBA_TORTURE=1.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiomqtt
import psutil
import pytest

from gateway.data.tasks import Tasks
from gateway.plant.broker import mosquitto
from tests.faults import flood
from tests.faults.figures import record
from tests.nodes.modbus_slaves import device, tcp_server
from tests.plant.product import Product, free_port, until

pytestmark = [pytest.mark.slow, pytest.mark.plant]

LONG: Final = os.environ.get("GENBA_TORTURE", "") not in ("", "0")
TEN_TIMES_S: Final = 600.0 if LONG else 12.0
SURGE_S: Final = 8.0
TOPICS: Final = 1_000_000 if LONG else 100_000
RSS_MAX: Final = 1000e6
"""Bytes. 2,000,000 rows in open windows are copied for each checkpoint: peaks of 850 MB, after
five minutes as after twenty; the short form ends before its first checkpoint, at 500 MB."""
INBOX_MAX: Final = 100_000 + 20_000
"""Rows: the limit, and an entry that may go in when there is nearly no room."""
S: Final = 10**9

FLOOD: Final = """flow: flood
version: 1
connections:
  broker: {type: mqtt.connection, url: "${mqtt_url}", client_id: flood-gateway}
nodes:
  plant:
    type: mqtt.source
    connection: broker
    topics: ["dev/{d}"]
    tag: "dev/{d}"
    payload: json
    fields: "*"
    sequence: n
    publisher: "{d}"
    dedupe_by: sequence
  ten: {type: window.tumbling, size_s: 10, lateness_s: 10, rows_max: 10000000}
  stats: {type: feature.statistics, features: [count, mean]}
  sigma: {type: detect.sigma, output: score}
  robust: {type: detect.robust_z, output: score, window_s: 10}
  high: {type: alarm.limit, tags: "dev/+/heat", hi: 80}
  windows: {type: sqlite.sink, folder: windows}
  alarms: {type: file.jsonl_sink, path: alarms.jsonl, sync: false}
  late: {type: file.jsonl_sink, path: late.jsonl, sync: false}
wires:
  - plant -> ten -> stats -> windows
  - plant -> sigma
  - plant -> robust
  - plant -> high
  - high.alarms -> alarms.alarms
  - ten.late -> late
"""
GUARD: Final = """flow: guard
version: 1
connections:
  broker: {type: mqtt.connection, url: "${mqtt_url}", client_id: guard-gateway}
nodes:
  guarded: {type: mqtt.source, connection: broker, topics: ["guard/{t}"], tag: "guard/{t}"}
  high: {type: alarm.limit, hi: 80}
wires:
  - guarded -> high
"""
CONF: Final = """listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
max_inflight_messages 2000
log_type error
"""


@dataclass
class Scene:
    """A gateway, its broker, and what was seen of it while a test ran."""

    product: Product
    port: int
    folder: Path
    rss: list[int] = field(default_factory=list)
    inbox: list[int] = field(default_factory=list)
    answers_s: list[float] = field(default_factory=list)
    held_at_broker: int = 0

    @property
    def report(self) -> Path:
        """What the flood has sent."""
        return self.folder / "report.json"

    def sent(self) -> dict[str, Any]:
        """How much was sent and acknowledged by the broker."""
        found: dict[str, Any] = json.loads(self.report.read_text()) if self.report.exists() else {}
        return found

    async def get(self, path: str) -> str:
        """What the gateway answers."""

        def work() -> str:
            with urllib.request.urlopen(self.product.client.url + path, timeout=60) as answer:
                return str(answer.read().decode())

        return await asyncio.to_thread(work)

    async def look(self, flow: str) -> dict[str, Any]:
        """The status, and a note of what must stay bounded."""
        began = time.monotonic()
        assert await self.get("/healthz") == "ok\n"
        self.answers_s.append(time.monotonic() - began)
        status = await self.product.status()
        self.rss.append(psutil.Process(self.product.pid).memory_info().rss)
        self.inbox.append(status["flows"][flow]["rows"])
        return status

    def assert_bounded(self) -> None:
        """Memory and inbox stayed within their limits."""
        assert max(self.rss) < RSS_MAX, f"memory: {max(self.rss) / 1e6:.0f} MB"
        assert max(self.inbox) <= INBOX_MAX


@contextlib.asynccontextmanager
async def process(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that ends with the test."""
    made = await asyncio.create_subprocess_exec(*words)
    try:
        yield made
    finally:
        if made.returncode is None:
            made.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(20):
                    await made.wait()
            except TimeoutError:
                made.kill()
                await made.wait()


@contextlib.asynccontextmanager
async def scene(
    folder: Path, flows: Sequence[str], options: Sequence[str] = (), **values: str
) -> AsyncIterator[Scene]:
    """A broker that throws nothing away, and a gateway that reads from it."""
    program = mosquitto()
    assert program is not None, "mosquitto is needed: apt-get install mosquitto"
    port = free_port()
    conf = folder / "mosquitto.conf"
    conf.write_text(CONF.format(port=port) + ("user root\n" if os.geteuid() == 0 else ""))
    paths = []
    for text in flows:
        paths.append(folder / f"{text.split()[1]}.flow.yaml")
        paths[-1].write_text(text, "utf-8")
    async with process(program, "-c", str(conf)):
        await until(lambda: _answers(port), "the broker")
        known = {"mqtt_url": f"mqtt://127.0.0.1:{port}", **values}
        async with Product(folder, paths, known, options=options) as product:
            yield Scene(product, port, folder)
            product.said()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def flooding(made: Scene, kind: str, *words: str) -> Any:
    """The flood as a process."""
    command = (sys.executable, "-m", "tests.faults.flood", kind, str(made.port), str(made.report))
    return process(*command, *words)


async def reads(product: Product, node: str) -> bool:
    """Whether a source has its session."""
    return (await product.node(node))["state"] in ("connected", "running")


# ---------------------------------------------------------------------- ten times the load


async def test_ten_times_the_rated_load_and_then_all_there_is(tmp_path: Path) -> None:
    options = ("--tags-max", "60000")
    async with scene(tmp_path, [FLOOD, GUARD], options) as made:
        product = made.product
        await until(lambda: reads(product, "plant"), "the flow reads")
        words = ("--rate", "1000", "--surge", "2500", "--after", str(TEN_TIMES_S))
        async with flooding(made, "fields", *words) as sender:
            kept_up = await _rows_after(made, TEN_TIMES_S)
            told_s, guard_s = await asyncio.gather(_overload_told(made), _guarded(made))
            lines = (await made.get("/metrics")).splitlines()
            (waiting,) = [x for x in lines if x.startswith('genba_inbox_rows{flow="flood"}')]
            assert float(waiting.split()[-1]) > 0, "the metric shows it"
            await _watch(made, SURGE_S - told_s)
            sender.send_signal(signal.SIGTERM)
            await until(lambda: sender.returncode is not None, "the flood ends")
        sent = made.sent()
        assert sent["acknowledged"] == sent["sent"]
        assert made.held_at_broker > 2_000, "the broker holds what we do not acknowledge"
        drained_s = await _drained(made, sent["sent"] * flood.FIELDS)
        made.assert_bounded()
        found = await _nothing_lost(made, sent)
        record(
            "overload",
            ten_times_samples_s=round(kept_up),
            samples=sent["sent"] * flood.FIELDS,
            rss_mb=round(max(made.rss) / 1e6),
            inbox_rows_max=max(made.inbox),
            healthz_worst_ms=round(max(made.answers_s) * 1e3),
            alarm_told_after_s=round(told_s, 1),
            alarm_beside_it_latency_s=round(guard_s, 2),
            drained_after_s=round(drained_s, 1),
            **found,
        )


async def _watch(made: Scene, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = await made.look("flood")
        come = next(n for n in status["nodes"] if n["node"] == "plant")["counts"]["rows_in"]
        waits = made.sent().get("acknowledged", 0) - come // flood.FIELDS
        made.held_at_broker = max(made.held_at_broker, waits)
        await asyncio.sleep(0.3)


async def _rows_after(made: Scene, seconds: float) -> float:
    """Samples a second that the gateway took in so long."""
    await until(lambda: made.sent(), "the flood begins")
    began = time.monotonic()
    before = (await made.product.counts("plant")).get("rows_in", 0)
    await _watch(made, seconds)
    after = (await made.product.counts("plant"))["rows_in"]
    return float(after - before) / (time.monotonic() - began)


async def _overload_told(made: Scene) -> float:
    """How long until the overload was an alarm [s]."""
    began = time.monotonic()
    name = "gateway/health:gateway/overload/flood:HEALTH"
    while name not in (await made.product.open_alarms()):
        await _watch(made, 0.1)
        assert time.monotonic() - began < 60, "the overload is told nowhere"
    return time.monotonic() - began


async def _guarded(made: Scene) -> float:
    """How long an alarm of another flow takes meanwhile, from the device to the list [s]."""
    name = "guard/high:guard/heat:HI"
    await asyncio.sleep(3.0)
    async with aiomqtt.Client("127.0.0.1", made.port, identifier="guarded") as client:
        began = time.monotonic()
        await client.publish("guard/heat", "90", qos=1)
        await until(lambda: _is_open(made.product, name), "the alarm of the other flow")
    return time.monotonic() - began


async def _is_open(product: Product, name: str) -> bool:
    return name in await product.open_alarms()


async def _drained(made: Scene, rows: int) -> float:
    """Wait until all was worked on and the alarm has returned; how long it took [s]."""
    began = time.monotonic()

    async def is_done() -> bool:
        status = await made.look("flood")
        nodes = {n["node"]: n["counts"] for n in status["nodes"] if n["flow"] == "flood"}
        queued = sum(wire["queued"] for wire in status["wires"])
        return nodes["plant"]["rows_in"] >= rows and not made.inbox[-1] and not queued

    await until(is_done, "the backlog is worked off", seconds=3600 if LONG else 400)
    took = time.monotonic() - began
    name = "gateway/health:gateway/overload/flood:HEALTH"

    async def is_over() -> bool:
        return (await made.product.open_alarms())[name]["state"] == "RTNUN"

    await until(is_over, "the alarm returns")
    return took


async def _nothing_lost(made: Scene, sent: dict[str, Any]) -> dict[str, int]:
    """Every window has every sample once, and every alarm its own time."""
    counts = await made.product.counts("plant")
    assert counts.get("sequence_gaps", 0) == counts.get("sequence_restarts", 0) == 0, counts
    devices = [len(range(k, sent["sent"], flood.DEVICES)) for k in range(flood.DEVICES)]
    wanted = sum(devices) * (flood.FIELDS)
    await until(lambda: _counted(made) >= wanted, "the last windows close", seconds=120)
    assert _counted(made) == wanted, "a sample is in two windows, or in none"
    base = sent["base_ms"]
    for k in (0, flood.HOT, flood.DEVICES - 1):
        _means(made, k, devices[k], base)
    rows = made.product.json_rows("alarms.jsonl")
    came = [(r["tag"], r["change"], r["ts"] // 10**6) for r in rows if r["condition"] == "HI"]
    numbers = range(1, devices[flood.HOT])
    turns = [n for n in numbers if flood.is_hot(n) != flood.is_hot(n - 1)]
    changes = [("raised" if flood.is_hot(n) else "returned", n) for n in turns]
    tag = f"dev/{flood.HOT:03}/heat"
    assert came == [(tag, change, base + n * flood.EVERY_MS) for change, n in changes]
    assert made.product.json_rows("late.jsonl") == []
    return {"lost": 0, "double": 0, "alarms": len(came)}


def _history(made: Scene, sql: str) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for path in sorted((made.product.state / "windows").glob("????-??-??.db")):
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            found += db.execute(sql).fetchall()
    return found


def _counted(made: Scene) -> int:
    sql = "SELECT sum(value) FROM sample JOIN tag USING (code) WHERE name LIKE '%#count'"
    return sum(int(row[0] or 0) for row in _history(made, sql))


def _means(made: Scene, k: int, sent: int, base_ms: int) -> None:
    """The number that a device counts with is in each window what it must be."""
    parts: dict[int, list[int]] = {}
    for n in range(sent):
        end = ((base_ms + n * flood.EVERY_MS) // 10_000 + 1) * 10_000
        parts.setdefault(end, []).append(n)
    sql = (
        "SELECT ts / 1000000, value FROM sample JOIN tag USING (code)"
        f" WHERE name = 'dev/{k:03}/n#mean' ORDER BY ts"
    )
    assert _history(made, sql) == [(end, sum(ns) / len(ns)) for end, ns in sorted(parts.items())]


# ---------------------------------------------------------------------- receivers

FANOUT: Final = """flow: fanout
version: 1
connections:
  broker: {type: mqtt.connection, url: "${mqtt_url}", client_id: fanout-gateway}
  slow_line: {type: mqtt.connection, url: "mqtt://127.0.0.1:${slow_port}", client_id: slow}
  dead_line: {type: mqtt.connection, url: "mqtt://127.0.0.1:${dead_port}", client_id: dead}
nodes:
  plant: {type: mqtt.source, connection: broker, topics: ["dev/{d}"], tag: "dev/{d}",
          payload: json, fields: "*"}
  fast: {type: sqlite.sink, folder: windows}
  slow: {type: mqtt.sink, connection: slow_line, topic: "slow/{tag}"}
  dead: {type: mqtt.sink, connection: dead_line, topic: "dead/{tag}",
         outbox: {bytes_max: 100000}}
wires:
  - plant -> fast
  - plant -> slow
  - plant -> dead
"""
ALONE: Final = FANOUT.replace("  - plant -> slow\n  - plant -> dead\n", "").replace(
    FANOUT[FANOUT.index("  slow: {") : FANOUT.index("wires:")], ""
)


@contextlib.asynccontextmanager
async def thin_line(port: int, bytes_s: int) -> AsyncIterator[int]:
    """A line to a broker that carries so little; gives its port."""
    tasks = Tasks("line")

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pace: int) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            while data := await reader.read(max(pace // 10, 64)):
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(len(data) / pace)

    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        tasks.start("there", carry(reader, far_writer, bytes_s))
        tasks.start("back", carry(far_reader, writer, 1_000_000))

    server = await asyncio.start_server(joined, "127.0.0.1", 0, limit=4096)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await tasks.stop()


@dataclass
class Outcome:
    """What became of the rows of one run at the rated load."""

    samples: int
    delivered: int
    queued: int
    rss: int
    cpu_s: float
    took_s: float


async def _rated(folder: Path, flow: str, seconds: float) -> Outcome:
    folder.mkdir()
    dead_port = str(free_port())
    async with contextlib.AsyncExitStack() as stack:
        far = await stack.enter_async_context(_plain_broker(folder))
        thin = await stack.enter_async_context(thin_line(far, 3_000))
        made = await stack.enter_async_context(
            scene(
                folder,
                [flow],
                ("--tags-max", "14000"),
                slow_port=str(thin),
                dead_port=dead_port,
            )
        )
        await until(lambda: reads(made.product, "plant"), "the flow reads")
        async with flooding(made, "fields", "--rate", "100") as sender:
            await until(lambda: made.sent(), "the flood begins")
            queued = await _look_for(made, seconds)
            sender.send_signal(signal.SIGTERM)
            await until(lambda: sender.returncode is not None, "the flood ends")
        samples = made.sent()["sent"] * flood.FIELDS
        began = time.monotonic()

        async def fast_is_done() -> bool:
            await made.look("fanout")
            return (await made.product.counts("fast")).get("rows_out", 0) >= samples

        await until(fast_is_done, "the fast sink has all")
        took_s = time.monotonic() - began
        times = psutil.Process(made.product.pid).cpu_times()
        delivered = (await made.product.counts("fast"))["rows_out"]
        if flow == FANOUT:
            await _slow_and_dead(made, samples)
        made.assert_bounded()
        rows = _history(made, "SELECT count(*) FROM sample")
        assert sum(n for (n,) in rows) == samples
        return Outcome(samples, delivered, queued, max(made.rss), times.user + times.system, took_s)


@contextlib.asynccontextmanager
async def _plain_broker(folder: Path) -> AsyncIterator[int]:
    port = free_port()
    conf = folder / "far.conf"
    conf.write_text(CONF.format(port=port) + ("user root\n" if os.geteuid() == 0 else ""))
    async with process(str(mosquitto()), "-c", str(conf)):
        await until(lambda: _answers(port), "the far broker")
        yield port


async def _look_for(made: Scene, seconds: float) -> int:
    """How many rows waited for the fast sink, in the middle of all looks."""
    end, found = time.monotonic() + seconds, []
    while time.monotonic() < end:
        status = await made.look("fanout")
        wires = {wire["to"]: wire["queued"] for wire in status["wires"]}
        found.append(wires["fast.in"])
        await asyncio.sleep(0.3)
    return sorted(found)[len(found) // 2]


async def _slow_and_dead(made: Scene, samples: int) -> None:
    """The slow one has some, the dead one none; both are accounted for, and told."""
    status = await made.product.status()
    wires = {wire["to"]: wire for wire in status["wires"]}
    slow, dead = wires["slow.in"], wires["dead.in"]
    counts = await made.product.counts("slow")
    assert slow["rows"] == samples == counts.get("rows_out", 0) + slow["queued"]
    assert 0 < counts.get("rows_out", 0) < samples * 0.2
    assert dead["rows"] == samples == dead["dropped"] + dead["queued"]
    assert dead["dropped"] == (await made.product.counts("dead"))["dropped_full"] > 0
    alarms = await made.product.open_alarms()
    assert "gateway/health:gateway/outbox/fanout/dead:HEALTH" in alarms
    said = await made.product.lines()
    assert len([line for line in said if "fanout/dead: The outbox is full" in line]) == 1


async def test_a_slow_and_a_dead_sink_cost_the_fast_one_nothing(tmp_path: Path) -> None:
    seconds = 60.0 if LONG else 12.0
    alone = await _rated(tmp_path / "alone", ALONE, seconds)
    beside = await _rated(tmp_path / "beside", FANOUT, seconds)
    for one in (alone, beside):
        assert one.delivered == one.samples
        assert one.queued < one.samples / 10, "the fast sink falls behind"
    record(
        "slow and dead sink",
        samples=beside.samples,
        fast_queued_rows_alone=alone.queued,
        fast_queued_rows_beside=beside.queued,
        fast_last_row_s_alone=round(alone.took_s, 2),
        fast_last_row_s_beside=round(beside.took_s, 2),
        rss_mb=round(beside.rss / 1e6),
        lost=0,
    )


# ---------------------------------------------------------------------- polls

HELD: Final = """flow: held
version: 1
connections:
  broker: {type: mqtt.connection, url: "${mqtt_url}", client_id: held}
  plc: {type: modbus.connection, address: "${modbus}"}
nodes:
  polled: {type: modbus.source, connection: plc, scan_s: 0.1, tags: {%s}}
  tick: {type: simulate.source, tag: tick, every_s: 0.05}
  last: {type: window.count, size: 100}
  erp: {type: mqtt.sink, connection: broker, topic: "erp/{tag}", qos: 1,
        outbox: {bytes_max: 10000, when_full: block}}
wires:
  - polled -> last
  - tick -> erp
"""


async def test_polls_are_stretched_while_the_flow_is_held_back(tmp_path: Path) -> None:
    """The flow waits for a sink that may lose nothing; what was not polled is a gap."""
    registers = 2_000
    tags = ", ".join(f"p/{i}: holding:{i}" for i in range(registers))
    plc = device(1, {"holding": list(range(registers))})
    async with tcp_server(plc) as modbus_port:
        made_with = {"modbus": f"tcp://127.0.0.1:{modbus_port}"}
        async with scene(tmp_path, [HELD % tags], **made_with) as made:
            product = made.product
            broker_pid = _listener(made.port)
            await until(lambda: _rows_out(product, "erp"), "rows go out")
            os.kill(broker_pid, signal.SIGSTOP)  # It takes nothing, and does not say so.
            try:
                await until(lambda: _is_held(product), "the flow is held back")
                await until(lambda: _is_still(made), "the polls are held back too")
                await asyncio.sleep(5.0)
                assert await _is_still(made)
            finally:
                os.kill(broker_pid, signal.SIGCONT)
            await until(lambda: _gap_of(product, "polled"), "the hole is a gap")
            await until(lambda: _goes_on(product), "rows go out again")
            await until(lambda: _is_empty(made), "what waited is worked off")
            history = await product.history()
            assert [e for e in history if e["condition"] == "COMM"] == []
            made.assert_bounded()
            start, end = _gap_of(product, "polled")[0]
            record("polls held back", gap_s=round((end - start) / S, 1), false_alarms=0)


def _listener(port: int) -> int:
    """The process that listens on a port; one that this test has started."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if any(c.laddr.port == port for c in child.net_connections() if c.status == "LISTEN"):
                return child.pid
    raise AssertionError(f"nobody listens on {port}")


async def _rows_out(product: Product, node: str) -> int:
    return (await product.counts(node)).get("rows_out", 0)


async def _is_held(product: Product) -> bool:
    return any("the flow waits" in line for line in await product.lines())


async def _is_still(made: Scene) -> bool:
    """Whether the inbox is full and nothing more is polled."""
    before = (await made.look("held"), await made.product.counts("polled"))[1]["rows_in"]
    await asyncio.sleep(1.0)
    after = (await made.product.counts("polled"))["rows_in"]
    return before == after and made.inbox[-1] > 90_000


def _gap_of(product: Product, source: str) -> list[tuple[int, int]]:
    rows = product.stored(f"SELECT from_ts, to_ts FROM gap WHERE source='{source}' ORDER BY id")
    return [(a, b) for a, b in rows if b - a > S]


async def _is_empty(made: Scene) -> bool:
    await made.look("held")
    return made.inbox[-1] < 10_000


async def _goes_on(product: Product) -> bool:
    before = await _rows_out(product, "erp")
    await asyncio.sleep(1.0)
    return await _rows_out(product, "erp") > before


# ---------------------------------------------------------------------- topics

MADE_UP: Final = """flow: madeup
version: 1
connections:
  broker: {type: mqtt.connection, url: "${mqtt_url}", client_id: madeup}
nodes:
  everything: {type: mqtt.source, connection: broker, topics: ["#"], tag: "{topic}",
               payload: json}
  ten: {type: window.count, tags: "known/+", size: 30}
  stats: {type: feature.statistics, features: [mean]}
  out: {type: file.jsonl_sink, path: out.jsonl, sync: false, file_bytes_max: 1000000000}
wires:
  - everything -> ten -> stats -> out
"""


async def test_a_flood_of_topics_fills_the_table_and_nothing_else(tmp_path: Path) -> None:
    async with scene(tmp_path, [MADE_UP], ("--tags-max", "2000")) as made:
        product = made.product
        await until(lambda: reads(product, "everything"), "the flow reads")
        # The table is full after some 1,800 messages; the first window closes after 2,900.
        words = ("--rate", "10000")
        async with flooding(made, "topics", *words, "--count", str(TOPICS * 10 // 9)) as sender:
            await until(lambda: sender.returncode is not None or made.sent(), "it begins")
            while sender.returncode is None:
                await made.look("madeup")
                await asyncio.sleep(0.3)
        sent = made.sent()["sent"]
        known = len(range(0, sent, 10))
        await until(lambda: _passed(product, sent), "all messages were read", seconds=300)
        made.assert_bounded()
        status = await product.status()
        assert status["tags"] == 2000 * 8 // 10 + flood.KNOWN, "the rest is for derived tags"
        counts = await product.counts("everything")
        # What came before the table was full has its tags; the rest is counted, each message.
        assert counts["without_tag"] + counts["rows_in"] == sent
        assert counts["rows_in"] > known
        await until(lambda: _is_open(product, "gateway/health:gateway/tags:HEALTH"), "the alarm")
        alarm = (await product.open_alarms())["gateway/health:gateway/tags:HEALTH"]
        assert "--tags-max" in alarm["text"]
        said = [line for line in product.said().splitlines() if "table of tags is full" in line]
        assert 1 <= len(said) <= 2, "once by the gateway and once as an alarm"
        each = [len(range(i, known, flood.KNOWN)) // 30 for i in range(flood.KNOWN)]
        await until(lambda: len(product.json_rows("out.jsonl")) >= sum(each), "all windows")
        found = Counter(r["tag"] for r in product.json_rows("out.jsonl"))
        assert found.keys() == {f"known/{i}#mean" for i in range(flood.KNOWN)}
        assert [found[f"known/{i}#mean"] for i in range(flood.KNOWN)] == each
        record(
            "topics",
            topics=sent - known,
            tags_max=2000,
            passed_over=counts["without_tag"],
            rss_mb=round(max(made.rss) / 1e6),
            healthz_worst_ms=round(max(made.answers_s) * 1e3),
        )


async def _passed(product: Product, sent: int) -> bool:
    counts = await product.counts("everything")
    return counts.get("without_tag", 0) + counts.get("rows_in", 0) >= sent

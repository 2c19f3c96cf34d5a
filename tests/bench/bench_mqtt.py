"""MQTT end to end: mosquitto → window of 100 over 1,000 topics → mean, sd, min, max → mosquitto.

Run it: ``.venv/bin/python -m tests.bench.bench_mqtt``. Publisher, subject and observer are
processes of their own; the subject is a plain aiomqtt loop or a gateway with a flow. CPU is
that of the subject from its first message to its last; latency runs from the publisher's
sending of a window's last message to the observer's receiving of its mean.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np
import orjson
import psutil
import uvloop

from gateway.engine.runtime import Runtime
from gateway.flow.document import Document
from nodes.mqtt._codec import Codec3, Hello
from nodes.mqtt._dial import Address, Trust
from nodes.mqtt._intake import Intake
from nodes.mqtt._session import Session
from nodes.mqtt._settings import Settings
from nodes.mqtt._wire import Outgoing

TOPICS = 1_000
IDLE_S = 2.0
FLOW = """flow: bench
version: 1
durability: {durability}
connections:
  broker:
    type: mqtt.connection
    url: "mqtt://127.0.0.1:{port}"
    client_id: bench-{run}
    session_expiry_s: 1
nodes:
  read:
    type: mqtt.source
    connection: broker
    topics: ["in/{{tag}}"]
    tag: "{{tag}}"
    payload: json
    qos: {qos}
  window: {{type: window.count, size: 100}}
  level: {{type: feature.statistics, features: [mean, sd, min, max]}}
  send:
    type: mqtt.sink
    connection: broker
    topic: "out/{{base}}/{{feature}}"
    qos: {qos}
    ts_style: ns
wires:
  - read -> window -> level -> send
"""


def publish(port: int, qos: int, n: int, rate: float) -> None:
    """Send n messages in blocks, as fast as `rate` and the broker's answers allow."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(Codec3().connect(Hello("publisher", clean_start=True, keepalive_s=0)))
    assert sock.recv(4)[3] == 0
    topics = [f"in/t{i}" for i in range(TOPICS)]
    sent = acked = 0
    began = time.perf_counter()
    block = 50
    while sent < n:
        ahead_s = sent / rate - (time.perf_counter() - began)
        if ahead_s > 0:
            time.sleep(ahead_s)
        ts = time.time_ns()
        packets = []
        for i in range(sent, sent + block):
            body = b'{"value": %.2f, "ts": %d}' % (20 + i % 97 / 10, ts)
            packets.append(
                Outgoing(topics[i % TOPICS], body, qos).packet(i % 60_000 + 1, has_properties=False)
            )
        sock.sendall(b"".join(packets))
        sent += block
        while qos and (sent - acked > 2_000 or select.select([sock], [], [], 0)[0]):
            acked += len(sock.recv(65_536)) / 4  # type: ignore[assignment]  # PUBACKs are 4 bytes
    while qos and acked < n:
        acked += len(sock.recv(65_536)) / 4  # type: ignore[assignment]  # as above
    print(json.dumps({"sent": sent, "wall_s": time.perf_counter() - began}))
    sock.sendall(Codec3().disconnect(False))


async def observe(port: int) -> None:
    """Note when the mean of each window arrives, until nothing comes for a while."""
    lags: list[float] = []
    hello = Hello("observer", clean_start=True, keepalive_s=0)
    address = Address("127.0.0.1", port, tls=False)
    session = await Session.open(
        Settings(address, Trust(), hello, "5", 1 << 20, time.time_ns, lambda topic, n: None)
    )
    intake = Intake("observer", ["out/+/mean"], lambda topic: True, qos=0)
    await session.subscribe(intake)
    print("ready", flush=True)
    timeout_s = 60.0
    while True:
        try:
            parts = await asyncio.wait_for(intake.take(10_000), timeout_s)
        except TimeoutError:
            break
        timeout_s = IDLE_S
        for part in parts:
            sent = [orjson.loads(payload)["ts"] for payload in part.payloads]
            lags += [(part.arrival - ts) / 1e6 for ts in sent]
    p50, p99 = np.percentile(lags, [50, 99]) if lags else (float("nan"), float("nan"))
    print(json.dumps({"windows": len(lags), "p50_ms": p50, "p99_ms": p99}))
    await session.close()


async def plain(port: int, qos: int) -> Callable[[], int]:
    """The baseline: a loop over aiomqtt with a list a topic."""
    counted = 0

    async def loop() -> None:
        nonlocal counted
        client = aiomqtt.Client(
            "127.0.0.1", port, identifier="plain", protocol=aiomqtt.ProtocolVersion.V5
        )
        waiting: dict[str, list[float]] = {}
        async with client:
            await client.subscribe("in/+", qos=qos)
            print("ready", flush=True)
            async for message in client.messages:
                counted += 1
                topic = message.topic.value
                document = orjson.loads(message.payload)
                values = waiting.setdefault(topic, [])
                values.append(document["value"])
                if len(values) < 100:
                    continue
                a = np.array(values)
                values.clear()
                result = {
                    "value": a.mean(),
                    "sd": a.std(ddof=1),
                    "min": a.min(),
                    "max": a.max(),
                    "ts": document["ts"],
                }
                body = orjson.dumps(result, option=orjson.OPT_SERIALIZE_NUMPY)
                await client.publish(f"out/{topic[3:]}/mean", body, qos=qos)

    _KEPT.append(asyncio.create_task(loop()))
    return lambda: counted


async def genba(port: int, qos: int, durability: str) -> Callable[[], int]:
    """The gateway with a flow."""
    folder = Path(tempfile.mkdtemp())
    text = FLOW.format(port=port, qos=qos, durability=durability, run=os.getpid())
    runtime = Runtime([Document.parse(text, "bench.flow.yaml")], folder)
    await runtime.start()
    _KEPT.append(runtime)
    read = next(status for status in runtime.statuses if status.node == "read")
    while read.state not in ("connected", "running"):
        await asyncio.sleep(0.05)
        assert read.state != "misconfigured", read.text
    await asyncio.sleep(0.3)
    print("ready", flush=True)
    return lambda: int(read.counts["rows_in"])


_KEPT: list[Any] = []


async def subject(make: Awaitable[Callable[[], int]], n: int) -> None:
    """Run the subject until all came or nothing comes any more, then print its figures."""
    count = await make
    while not count():
        await asyncio.sleep(0.01)
    first, began, cpu = count(), time.perf_counter(), time.process_time()
    last, moved = first, began
    wall, used = 0.0, 0.0
    while time.perf_counter() - moved < IDLE_S:
        await asyncio.sleep(0.05)
        if count() != last:
            last, moved = count(), time.perf_counter()
            wall, used = moved - began, time.process_time() - cpu
    rss = psutil.Process().memory_info().rss
    figures = {"n": last - first, "wall_s": wall, "cpu_s": used, "rss_mb": rss / 1e6, "all": last}
    print(json.dumps(figures), flush=True)


def measure(port: int, who: str, qos: int, n: int, rate: float) -> dict[str, Any]:
    """One run: observer and subject first, then the publisher."""
    observer = _start("observe", port)
    assert observer.stdout is not None
    observer.stdout.readline()
    tested = _start(who, port, qos, n)
    assert tested.stdout is not None
    assert tested.stdout.readline().strip() == b"ready"
    publisher = _start("publish", port, qos, n, rate)
    out, _ = publisher.communicate()
    figures: dict[str, Any] = json.loads(tested.stdout.readline())
    tested.terminate()
    tested.wait()
    figures |= json.loads(observer.stdout.readline())
    observer.wait()
    return figures | {"sent": json.loads(out)["sent"], "per_cpu_s": figures["n"] / figures["cpu_s"]}


def _start(*words: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.bench.bench_mqtt", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def start_broker(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A mosquitto with limits that lose nothing at QoS 1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    conf = folder / "mosquitto.conf"
    conf.write_text(
        f"user root\nlistener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\n"
        "max_queued_messages 1000000\nmax_inflight_messages 2000\n"
    )
    process = subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(conf)])
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, port
        time.sleep(0.05)
    raise RuntimeError("mosquitto does not start")


CASES = [
    # name, subject, QoS, messages, offered a second
    ("aiomqtt loop, QoS 0", "plain", 0, 100_000, 4_000),
    ("genba, QoS 0, no journal", "genba-memory", 0, 100_000, 4_000),
    ("genba, QoS 0, journal", "genba-journal", 0, 100_000, 4_000),
    ("aiomqtt loop, QoS 0, flat out", "plain", 0, 200_000, 1e9),
    ("genba, QoS 0, no journal, flat out", "genba-memory", 0, 1_000_000, 1e9),
    ("genba, QoS 0, journal, flat out", "genba-journal", 0, 1_000_000, 1e9),
    ("aiomqtt loop, QoS 1", "plain", 1, 100_000, 4_000),
    ("genba, QoS 1, manual ack, journal", "genba-journal", 1, 100_000, 4_000),
    ("aiomqtt loop, QoS 1, flat out", "plain", 1, 100_000, 1e9),
    ("genba, QoS 1, manual ack, journal, flat out", "genba-journal", 1, 400_000, 1e9),
]


def main(share: float = 1.0) -> None:
    """Print the table; ratios are to the aiomqtt loop above of the same QoS and offer."""
    base = 0.0
    with tempfile.TemporaryDirectory() as name:
        broker, port = start_broker(Path(name))
        try:
            for title, who, qos, n, rate in CASES:
                n = int(n * share) // 50 * 50
                f = measure(port, who, qos, n, rate)
                base = f["per_cpu_s"] if who == "plain" else base
                print(
                    f"{title:44} {f['n'] / f['wall_s']:9,.0f} msg/s",
                    f"{f['per_cpu_s']:9,.0f} msg/CPU s ({f['per_cpu_s'] / base:4.1f}×)",
                    f"p50 {f['p50_ms']:7.1f} p99 {f['p99_ms']:7.1f} ms",
                    f"RSS {f['rss_mb']:4.0f} MB, {f['all']:,} of {f['sent']:,} received",
                    flush=True,
                )
        finally:
            broker.terminate()
            broker.wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["publish", port, qos, n, rate]:
            publish(int(port), int(qos), int(n), float(rate))
        case ["observe", port]:
            asyncio.run(observe(int(port)))
        case ["plain", port, qos, n]:
            asyncio.run(subject(plain(int(port), int(qos)), int(n)))
        case [name, port, qos, n]:
            kept = name.partition("-")[2]
            uvloop.run(subject(genba(int(port), int(qos), kept), int(n)))
        case [share]:
            main(float(share))
        case _:
            main()

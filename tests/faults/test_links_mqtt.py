"""MQTT over bad links and from bad brokers, through the real runtime and a real mosquitto."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import pytest

from gateway.engine.backoff import Backoff
from tests.faults.proxy import Proxy
from tests.faults.scene import TORTURE, Scene, Watch, attempts, record, scene
from tests.nodes.mqtt.conftest import Broker

pytestmark = [pytest.mark.plant, pytest.mark.slow]
KEEPALIVE_S = 10 if TORTURE else 2

FLOW = """
flow: links
version: 1
connections:
  broker: {type: mqtt.connection, url: "mqtt://127.0.0.1:${port}", client_id: links,
           keepalive_s: ${keepalive}}
nodes:
  src: {type: mqtt.source, connection: broker, topics: ["p/{tag}"], tag: "{tag}", payload: json,
        sequence: n, dedupe_by: sequence, qos: ${qos}}
  out: {type: script.sink}
  wave: {type: simulate.source, tag: wave, every_s: 0.1}
wires: [src -> out, src.status -> out.events, wave -> out]
"""


def values(port: int, qos: int = 1) -> dict[str, int]:
    return {"port": port, "keepalive": KEEPALIVE_S, "qos": qos}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    made = Broker(folder)
    made.start()
    yield made
    made.stop()


class Counter:
    """Publishes numbers that count up, and knows which of them the broker has taken."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.n = 0

    async def begin(self, found: Scene, qos: int = 1) -> None:
        """Wait until the source listens, and send the first number."""
        await found.until(lambda: found.node("src").state == "connected", "it listens")
        await self.send(qos=qos)
        await arrived(found, 1)

    async def send(self, count: int = 1, qos: int = 1, every_s: float = 0.0) -> None:
        async with aiomqtt.Client("127.0.0.1", self.broker.port) as client:
            for _ in range(count):
                self.n += 1
                body = json.dumps({"value": self.n, "n": self.n})
                await client.publish("p/a", body, qos=qos)
                await asyncio.sleep(every_s)


async def arrived(found: Scene, n: int) -> None:
    await found.until(lambda: n in found.good("a"), f"number {n}")


async def test_a_half_open_link_is_found_and_healed(broker: Broker, tmp_path: Path) -> None:
    async with (
        Proxy(broker.port) as proxy,
        scene(FLOW, tmp_path / "state", values(proxy.port)) as found,
    ):
        counter = Counter(broker)
        await counter.begin(found)
        await counter.send(2)
        await arrived(found, 3)
        proxy.half_open()
        began, watch = time.monotonic(), Watch()
        await found.lost()
        found_s = watch.s
        await counter.send(20)
        await asyncio.sleep(20 if TORTURE else 4)
        tried = attempts(proxy.attempts, began)
        proxy.heal()
        watch = Watch()
        await arrived(found, 23)
        record("mqtt half open", found_s=found_s, keepalive_s=KEEPALIVE_S, back_s=watch.s, **tried)
        assert found_s < 60, "a dead link is found"
        assert tried["per_s"] < 1, "and tried with patience"
        assert found.good("a") == list(range(1, 24)), "QoS 1: the broker kept them"
        assert [q >> 30 for _, _, _, q in found.rows("a")].count(2) == 1
        assert found.events("source/gap") == [], "nothing is missing"
        assert len(found.events("source/lost")) == 1
        found.faultless()


async def test_a_dead_broker_is_tried_with_patience(tmp_path: Path) -> None:
    """Refused at once, again and again: never a busy loop, and never a pause beyond the cap."""
    backoff = Backoff("links/broker")
    waits = [backoff.next_s() for _ in range(50)]
    assert max(waits) <= 30
    assert sum(waits) / len(waits) > 1
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(folder)
    async with (
        Proxy(broker.port) as proxy,
        scene(FLOW, tmp_path / "state", values(proxy.port)) as found,
    ):
        began = time.monotonic()
        await asyncio.sleep(60 if TORTURE else 8)
        tried = attempts(proxy.attempts, began)
        record("mqtt refused", **tried)
        assert tried["attempts"] >= 1
        assert tried["per_s"] < 1
        broker.start()
        watch = Watch()
        try:
            await found.until(lambda: found.node("broker").state == "connected", "it connects")
            record("mqtt broker comes late", back_s=watch.s)
            await Counter(broker).begin(found)
        finally:
            broker.stop()
        assert len(found.good("wave")) > 3, "the others did not wait for it"
        found.faultless()


async def test_a_slow_link_that_resets_loses_and_doubles_nothing(
    broker: Broker, tmp_path: Path
) -> None:
    async with (
        Proxy(broker.port) as proxy,
        scene(FLOW, tmp_path / "state", values(proxy.port)) as found,
    ):
        counter = Counter(broker)
        await counter.begin(found)
        proxy.up.delay_s = proxy.down.delay_s = 0.02
        proxy.down.bytes_per_s = 20_000.0
        rounds = 20 if TORTURE else 4
        watch = Watch()
        for k in range(rounds):
            await counter.send(100, every_s=0.001)
            if k % 2:
                proxy.reset()
            else:
                proxy.drop_after(1_500)
        proxy.heal()
        await arrived(found, counter.n)
        record("mqtt slow and resetting", resets=rounds, messages=counter.n, took_s=watch.s)
        assert found.good("a") == list(range(1, counter.n + 1))
        assert found.gaps("session_lost") == []
        assert found.gaps("sequence") == []
        found.faultless()


async def test_corrupt_bytes_crash_nothing(broker: Broker, tmp_path: Path) -> None:
    """MQTT has no check value of its own: TCP's guards it, or TLS. What can be known is known.

    A packet that cannot be is refused and the session begun anew; one whose payload alone was
    changed looks like any other. So nothing is asserted of values, but everything of our code.
    """
    async with (
        Proxy(broker.port) as proxy,
        scene(FLOW, tmp_path / "state", values(proxy.port)) as found,
    ):
        counter = Counter(broker)
        await counter.begin(found)
        proxy.up.corrupt = proxy.down.corrupt = 0.05
        before = len(found.good("wave"))
        for _ in range(10 if TORTURE else 3):
            await counter.send(50, every_s=0.005)
            await asyncio.sleep(1)
        spoilt = proxy.down.spoilt + proxy.up.spoilt
        proxy.heal()
        proxy.reset()
        counter.n += 100_000  # So far ahead that no changed number can have been taken for it.
        await counter.send(1)
        await arrived(found, counter.n)
        record("mqtt corrupt", bytes_spoilt=spoilt, sessions=len(proxy.attempts))
        assert spoilt > 0
        assert len(found.good("wave")) > before + 10, "the others did not notice"
        found.faultless()


async def test_a_broker_that_is_killed_keeps_its_session(broker: Broker, tmp_path: Path) -> None:
    async with scene(FLOW, tmp_path / "state", values(broker.port)) as found:
        counter = Counter(broker)
        await counter.begin(found)
        await counter.send(4)
        await arrived(found, 5)
        await asyncio.sleep(0.5)
        broker.stop(kill=True)
        await found.lost()
        broker.start()
        watch = Watch()
        await counter.send(5)
        await arrived(found, 10)
        record("mqtt broker killed", back_s=watch.s)
        assert found.good("a") == list(range(1, 11))
        assert found.events("source/gap") == [], "the session was there: nothing is missing"


async def test_a_broker_whose_store_was_wiped_is_a_gap(broker: Broker, tmp_path: Path) -> None:
    async with scene(FLOW, tmp_path / "state", values(broker.port)) as found:
        counter = Counter(broker)
        await counter.begin(found)
        await counter.send(4)
        await arrived(found, 5)
        broker.stop(kill=True)
        await found.lost()
        for path in broker.folder.glob("mosquitto.db*"):
            path.unlink()
        broker.start()
        await found.until(lambda: found.gaps("session_lost"), "the gap is told")
        await counter.send(1)
        await arrived(found, 6)
        (gap,) = found.gaps("session_lost")
        assert (gap["source"], gap["device"]) == ("src", "broker")
        rows = {ts: value for _, ts, value, q in found.rows("a") if q == 0}
        last = max(ts for ts, value in rows.items() if value == 5)
        first = min(ts for ts, value in rows.items() if value == 6)
        assert last == gap["from"] < gap["to"] <= first
        bad = [ts for _, ts, _, q in found.rows("a") if q >> 30 == 2]
        assert len(bad) == 2
        assert all(last < ts < first for ts in bad)


async def test_quality_of_service_0_of_a_publisher_is_a_gap_of_ours(
    broker: Broker, tmp_path: Path
) -> None:
    """We subscribe with 1; what is sent with 0 is kept by nobody while the line is down."""
    async with (
        Proxy(broker.port) as proxy,
        scene(FLOW, tmp_path / "state", values(proxy.port)) as found,
    ):
        counter = Counter(broker)
        await counter.begin(found, qos=0)
        await counter.send(1, qos=0)
        await arrived(found, 2)
        proxy.cut()
        await found.lost()
        await counter.send(3, qos=0)
        proxy.heal()
        await found.until(lambda: found.gaps("qos_0"), "the gap is told")
        await counter.send(1, qos=0)
        await arrived(found, 6)
        assert found.good("a") == [1, 2, 6]
        assert [gap["missing"] for gap in found.gaps("sequence")] == [3]


async def test_another_client_with_our_name_is_named(broker: Broker, tmp_path: Path) -> None:
    async with (
        Proxy(broker.port) as proxy,
        scene(FLOW, tmp_path / "state", values(proxy.port)) as found,
    ):
        counter = Counter(broker)
        await counter.begin(found)
        began = time.monotonic()
        for _ in range(6 if TORTURE else 3):
            async with aiomqtt.Client(
                "127.0.0.1", broker.port, identifier="links", clean_session=False
            ):
                await asyncio.sleep(2)
        tried = attempts(proxy.attempts, began)
        record("mqtt duplicate client id", **tried)
        assert "another client call itself 'links'?" in found.said()
        assert tried["per_s"] < 2, "two that take it from each other do not spin"
        await counter.send(1)
        await arrived(found, 2)
        found.faultless()


async def test_what_the_broker_withholds_is_a_hole_in_the_count(tmp_path: Path) -> None:
    """A right that was taken away is told to nobody (mosquitto); the numbers tell it."""
    folder = tmp_path / "broker"
    folder.mkdir()
    rules = folder / "acl"
    rules.write_text("topic readwrite p/#\n")
    broker = Broker(folder, f"acl_file {rules}")
    broker.start()
    try:
        async with scene(FLOW, tmp_path / "state", values(broker.port)) as found:
            counter = Counter(broker)
            await counter.begin(found)
            for text, n in (("topic write p/#\n", 3), ("topic readwrite p/#\n", 1)):
                rules.write_text(text)
                assert broker._process is not None
                broker._process.send_signal(signal.SIGHUP)
                await asyncio.sleep(0.5)
                await counter.send(n)
            await arrived(found, 5)
            assert found.good("a") == [1, 5]
            (gap,) = found.gaps("sequence")
            assert (gap["missing"], gap["tags"]) == (3, ["a"])
            assert [q >> 30 for _, _, _, q in found.rows("a")] == [0, 2, 2, 0]
            found.faultless()
    finally:
        broker.stop()

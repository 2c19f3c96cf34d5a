"""The gateway as an edge node, heard over a real broker and read by another library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiomqtt
import pytest

from gateway import Batch, Tag, quality
from nodes.mqtt.sparkplug_sink import SparkplugSink
from nodes.system.source import SystemSource
from tests.nodes.mqtt import spb_reference as spb

INT64, DOUBLE, BOOLEAN, STRING = 4, 10, 11, 12
FIGURES = {
    "ready": 1.0,
    "alarms/open": 2.0,
    "flow/press/rows": 10.0,
    "connection/press.plc/connected": 1.0,
}
EDGE = {
    "connection": "broker",
    "group": "plant",
    "edge": "gw1",
    "devices": ["gateway/flow/{device}/#", "gateway/connection/{device}/#"],
    "with_software": True,
    "properties": {"Site": "Kyoto 2"},
}


class Ear:
    """Hears everything of the group, in order."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.heard: list[tuple[str, Any]] = []

    async def until(self, kind: str, n: int = 1) -> Any:
        """The n-th message of a kind."""
        async with asyncio.timeout(20):
            while len(self.of(kind)) < n:
                message = await anext(aiter(self.client.messages))
                payload = spb.read(bytes(message.payload))  # type: ignore[arg-type]  # bytes
                self.heard.append((str(message.topic), payload))
        return self.of(kind)[n - 1]

    def of(self, kind: str) -> list[Any]:
        return [payload for topic, payload in self.heard if topic.split("/")[2] == kind]


@pytest.fixture
async def ear(broker: Any) -> AsyncIterator[Ear]:
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.subscribe("spBv1.0/plant/#", qos=1)
        yield Ear(client)


async def _edge(bed: Any, broker: Any) -> SparkplugSink:
    await bed.connection(broker.url).open()
    sink = SparkplugSink(SparkplugSink.Config.model_validate(EDGE), bed.context("edge"))
    await sink.connect()
    return sink


def _source(bed: Any, figures: Callable[[], dict[str, float]]) -> SystemSource:
    ctx = bed.context("own")
    ctx.figures = figures
    return SystemSource(SystemSource.Config.model_validate({"every_s": 0.01}), ctx)


def metrics(payload: Any) -> dict[str, Any]:
    return {metric.name: metric for metric in payload.metrics}


async def test_a_gateway_is_born_lives_and_dies(bed: Any, broker: Any, ear: Ear) -> None:
    figures = dict(FIGURES)
    source = _source(bed, lambda: figures)
    await source.connect()
    sink = await _edge(bed, broker)
    birth = metrics(await ear.until("NBIRTH"))
    assert spb.value(birth["Properties/Software"]) == "Genba"
    assert spb.value(birth["Properties/Site"]) == "Kyoto 2"
    assert birth["Properties/Version"].datatype == STRING
    assert (birth["bdSeq"].datatype, spb.value(birth["bdSeq"])) == (INT64, 0)
    assert birth["Node Control/Rebirth"].datatype == BOOLEAN
    assert spb.value(birth["Node Control/Rebirth"]) is False

    async def told() -> None:
        reading = await source.read()
        await sink.write(reading.outputs["out"], "in")

    await told()
    await ear.until("NDATA")
    await ear.until("DDATA", 2)
    born = [topic for topic, _ in ear.heard if "/DBIRTH/" in topic]
    assert sorted(born) == [
        "spBv1.0/plant/DBIRTH/gw1/press",
        "spBv1.0/plant/DBIRTH/gw1/press.plc",
    ]
    seqs = [payload.seq for topic, payload in ear.heard if "NDEATH" not in topic]
    last = max(i for i, (topic, _) in enumerate(ear.heard) if "NBIRTH" in topic)
    after = seqs[last:]
    assert after == list(range(len(after))), "from 0, one by one, over the node and its devices"
    birth = metrics([payload for topic, payload in ear.heard if "NBIRTH" in topic][-1])
    alias = birth["gateway/alarms/open"].alias
    (data,) = [m for m in ear.of("NDATA")[-1].metrics if m.alias == alias]
    assert (spb.value(data), data.name, data.is_historical) == (2.0, "", False)

    del figures["flow/press/rows"], figures["connection/press.plc/connected"]
    await told()
    await ear.until("DDEATH", 2)
    figures |= FIGURES
    await told()
    await ear.until("DBIRTH", 4)
    sink._session.drop("cable")  # type: ignore[union-attr]  # it stands; the broker tells the will
    death = metrics(await ear.until("NDEATH"))
    assert (list(death), spb.value(death["bdSeq"])) == (["bdSeq"], 0)
    assert not (await ear.until("NDEATH")).HasField("seq")
    await sink.close()
    await sink.connect()
    births = len(ear.of("NBIRTH"))
    again = metrics(await ear.until("NBIRTH", births + 1))
    assert spb.value(again["bdSeq"]) == 1
    assert spb.value(again["gateway/ready"]) == 1.0, "with the last value"
    await sink.close()


async def test_rebirth_history_and_the_end_of_the_sequence(bed: Any, broker: Any, ear: Ear) -> None:
    sink = await _edge(bed, broker)
    await ear.until("NBIRTH")
    tag = bed.tags.add(Tag("gateway/uptime", unit="s"))
    now = sink.ctx.clock.now()
    await sink.write(Batch.of([(tag, now, 1.0, 0), (tag, now - 3600 * 10**9, 0.5, 0)]), "in")
    await ear.until("NDATA")
    assert [m.is_historical for m in ear.of("NDATA")[0].metrics] == [False, True]
    birth = metrics(ear.of("NBIRTH")[-1])
    keys = list(birth["gateway/uptime"].properties.keys)
    assert spb.value(birth["gateway/uptime"].properties.values[keys.index("engUnit")]) == "s"
    for n in range(300):
        await sink.write(Batch.of([(tag, now + n, float(n), 0)]), "in")
    await ear.until("NDATA", 301)
    seqs = [payload.seq for payload in ear.of("NDATA")]
    assert seqs == [(1 + n) % 256 for n in range(301)]
    order = spb.PAYLOAD()
    order.timestamp = 1
    order.metrics.add(name="Node Control/Rebirth", datatype=BOOLEAN, boolean_value=True)
    births = len(ear.of("NBIRTH"))
    await ear.client.publish("spBv1.0/plant/NCMD/gw1", order.SerializeToString(), qos=0)
    reborn = await ear.until("NBIRTH", births + 1)
    assert reborn.seq == 0
    assert spb.value(metrics(reborn)["gateway/uptime"]) == 299.0
    bad = Batch.of([(tag, now + 10**6, float("nan"), quality.BAD)])
    await sink.write(bad, "in")
    last = (await ear.until("NDATA", 302)).metrics[0]
    assert last.is_null
    assert last.datatype in (0, DOUBLE)
    await sink.close()

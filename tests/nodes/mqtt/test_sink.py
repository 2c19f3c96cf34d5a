"""The sink against a real broker, read by another library."""

from __future__ import annotations

import asyncio
from typing import Any

import aiomqtt
import numpy as np
import orjson
import pytest
from pydantic import ValidationError

from gateway import AlarmEvent, AlarmState, Batch, Disconnected, Event, Rejected, Tag, quality


async def _heard(broker: Any, n: int, topic: str = "#") -> Any:
    """Messages another client receives, as a task that ends after n of them."""
    ready = asyncio.Event()

    async def listen() -> list[aiomqtt.Message]:
        found: list[aiomqtt.Message] = []
        client = aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5)
        async with asyncio.timeout(10), client:
            await client.subscribe(topic, qos=1)
            ready.set()
            if n:
                async for message in client.messages:
                    found.append(message)
                    if len(found) >= n:
                        break
        return found

    task = asyncio.create_task(listen())
    await ready.wait()
    return task


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("qos", [0, 1])
async def test_samples_as_json(bed: Any, broker: Any, version: str, qos: int) -> None:
    await bed.connection(broker.url, version=version).open()
    sink = bed.sink(qos=qos, ts_style="iso")
    await sink.connect()
    heard = await _heard(broker, 3)
    oil = bed.tags.add(Tag("press1/oil", unit="Cel"))
    mean = bed.tags.derive(oil, "mean")
    ts = 1_795_204_364_500_000_000
    rows = [(oil, ts, 20.5, 0), (mean, ts, float("nan"), quality.BAD), (oil, ts, -0.0, 0)]
    await sink.write(Batch.of(rows), "in")
    messages = await heard
    assert [str(m.topic) for m in messages] == [
        "genba/press1/oil",
        "genba/press1/oil/mean",
        "genba/press1/oil",
    ]
    stamp = "2026-11-20T19:52:44.500000000Z"
    assert orjson.loads(messages[0].payload) == {
        "value": 20.5,
        "ts": stamp,
        "quality": "Good",
        "unit": "Cel",
    }
    assert orjson.loads(messages[1].payload)["value"] is None
    keys = [dict(getattr(m.properties, "UserProperty", [])).get("ikey") for m in messages]
    if version == "5" and qos == 1:
        assert all(keys)
        assert keys[0] != keys[1]
        again = await _heard(broker, 3)
        await sink.write(Batch.of(rows), "in")
        second = [dict(m.properties.UserProperty)["ikey"] for m in await again]
        assert second == keys
    else:
        assert keys == [None] * 3


async def test_plain_template_alarm_and_event(bed: Any, broker: Any) -> None:
    await bed.connection(broker.url).open()
    code = bed.tags.add(Tag("a", unit="bar"))
    plain = bed.sink("plain", topic="plain/{tag}", payload="plain")
    shaped = bed.sink(
        "shaped", topic="s/{tag}", payload="template", template='{"v":{value},"t":{ts}}'
    )
    heard = await _heard(broker, 4)
    for sink in (plain, shaped):
        await sink.connect()
        await sink.write(Batch.of([(code, 5_000_000, 1.5, 0)]), "in")
    alarm = AlarmEvent("f/n:a:HI", "a", 7, "raised", AlarmState.UNACK, condition="HI", value=3.0)
    await plain.write((alarm,), "alarms")
    await plain.write((Event(8, "log/line", {"text": "Grüß"}, "e1"),), "events")
    messages = {str(m.topic): m.payload for m in await heard}
    assert messages["plain/a"] == b"1.5"
    assert messages["s/a"] == b'{"v":1.5,"t":5}'
    told = orjson.loads(messages["genba/alarms/a/HI"])
    assert (told["change"], told["state"], told["limit"]) == ("raised", "UNACK", None)
    assert orjson.loads(messages["genba/events/log/line"])["data"] == {"text": "Grüß"}


async def test_more_than_the_window_at_once(bed: Any, make_broker: Any, collect: Any) -> None:
    broker = make_broker("max_inflight_messages 300")  # mosquitto tells us this limit
    await bed.connection(broker.url).open()
    await bed.connection(broker.url, "other", client_id="other").open()
    source = bed.source(connection="other", topics=["o/{x}"], tag="{x}")
    await source.connect()
    sink = bed.sink(topic="o/{tag}", payload="plain")
    await sink.connect()
    n = 2_000
    batch = Batch.columns(np.full(n, bed.tags.code("a")), np.zeros(n, np.int64), np.arange(n) * 1.0)
    writing = asyncio.create_task(sink.write(batch, "in"))
    seen = collect(source)
    await seen.read(n, commit=True)
    await writing
    assert seen.table()["a"] == [float(i) for i in range(n)]
    assert bed.connections["other"].session.owed == 0


async def test_a_broker_that_goes_while_writing(bed: Any, broker: Any) -> None:
    await bed.connection(broker.url).open()
    sink = bed.sink()
    await sink.connect()
    broker.stop(kill=True)
    with pytest.raises(Disconnected):
        for _ in range(100):
            await sink.write(Batch.of([(bed.tags.code("a"), 1, 1.0, 0)]), "in")
    with pytest.raises(Disconnected):
        await sink.connect()


async def test_what_the_broker_refuses_is_rejected(bed: Any, make_broker: Any) -> None:
    broker = make_broker("max_packet_size 2000", start=False)
    acl = broker.folder / "acl"
    acl.write_text("topic readwrite ok/#\ntopic read #\n")
    broker.extra += f"\nacl_file {acl}"
    broker.start()
    await bed.connection(broker.url).open()
    code = bed.tags.code("a")
    rows = Batch.of([(code, 1, 1.0, 0)])
    refused = bed.sink("refused", topic="secret/{tag}")
    await refused.connect()
    with pytest.raises(Rejected, match="secret/a: not authorized"):
        await refused.write(rows, "in")
    large = bed.sink("large", topic="ok/{tag}", payload="template", template="x" * 3000)
    await large.connect()
    with pytest.raises(Rejected, match=r"too large.*takes 2000"):
        await large.write(rows, "in")
    fine = bed.sink("fine", topic="ok/{tag}")
    await fine.connect()
    await fine.write(rows, "in")
    assert fine.ctx.counts["published"] == 1


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"topic": "a/{nothing}"}, "knows no"),
        ({"topic": "a/#"}, "one publishes to one topic"),
        ({"payload": "template"}, "go together"),
        ({"template": "x"}, "go together"),
    ],
)
def test_sinks_that_cannot_work_are_refused(bed: Any, config: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        bed.sink(**config)

"""The source against a real broker: payloads, tags, times and what is malformed."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import orjson
import pytest
from pydantic import ValidationError

from gateway import Batch, quality


async def _open(bed: Any, broker: Any, version: str = "5", **config: Any) -> Any:
    connection = bed.connection(broker.url, version=version, **config)
    await connection.open()
    return connection


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("qos", [0, 1])
async def test_numbers_become_rows(
    bed: Any, broker: Any, collect: Any, send: Any, version: str, qos: int
) -> None:
    await _open(bed, broker, version)
    source = bed.source(topics=["plant/{line}/{measure}"], tag="{line}/{measure}", qos=qos)
    await source.connect()
    await send(broker, [(f"plant/l{i % 3}/oil", str(20 + i)) for i in range(30)], qos)
    seen = collect(source)
    await seen.read(30, commit=True)  # a 3.1.1 broker stops at 20 that are open
    assert seen.table() == {
        f"l{k}/oil": [20.0 + i for i in range(30) if i % 3 == k] for k in range(3)
    }
    assert (np.diff(seen.batch.ts) > 0).all()
    assert seen.batch.good.all()


async def test_json_with_time_quality_and_unit(
    bed: Any, broker: Any, collect: Any, send: Any
) -> None:
    await _open(bed, broker)
    source = bed.source(topics=["p/#"], payload="json")
    await source.connect()
    documents = [
        {"value": 20.5, "ts": 1_795_204_364_500, "unit": "Cel"},
        {"value": True, "ts": "2026-11-20T19:52:44.500Z", "quality": "Bad_SensorFailure"},
        {"value": None, "ts": 1_795_204_364.5, "quality": False},
        {"value": "7.25", "ts": "2026-11-20T20:52:44.5+01:00", "quality": 0x40000000},
        {"value": 1, "ts": "yesterday"},
    ]
    await send(broker, [("p/oil", orjson.dumps(d)) for d in documents])
    seen = collect(source)
    await seen.read(5, status=1)
    batch = seen.batch
    assert batch.ts[:4].tolist() == [1_795_204_364_500_000_000] * 4
    np.testing.assert_array_equal(batch.value, [20.5, 1, np.nan, 7.25, 1])
    assert batch.quality.tolist() == [
        0,
        quality.BAD_SENSOR_FAILURE,
        quality.BAD,
        quality.UNCERTAIN,
        quality.UNCERTAIN,
    ]
    assert bed.tags[0].unit == "Cel"
    assert seen.events["status"][0].data["kind"] == "bad_time"


async def test_several_values_a_message(bed: Any, broker: Any, collect: Any, send: Any) -> None:
    await _open(bed, broker)
    named = bed.source(
        "named",
        topics=["a/{unit}"],
        tag="{unit}",
        payload="json",
        fields={"oil.temp": "temp", "list[1]": "second", "absent": "none"},
    )
    every = bed.source("every", topics=["b/{unit}"], tag="{unit}", payload="json", fields="*")
    await named.connect()
    await every.connect()
    document = {"oil": {"temp": 50, "on": True}, "list": [1, 2], "ts": 1_795_204_364_500, "n": "x"}
    await send(broker, [("a/p1", orjson.dumps(document)), ("b/p2", orjson.dumps(document))])
    one, two = collect(named), collect(every)
    await one.read(2)
    await two.read(2)
    assert one.table() == {"p1/temp": [50], "p1/second": [2]}
    assert two.table() == {"p2/oil/temp": [50], "p2/oil/on": [1]}
    assert set(two.batch.ts.tolist()) == {1_795_204_364_500_000_000}


async def test_raw_messages_become_events(bed: Any, broker: Any, collect: Any, send: Any) -> None:
    await _open(bed, broker)
    source = bed.source(topics=["log/#"], payload="raw")
    await source.connect()
    await send(broker, [("log/a", "Hello"), ("log/b", b"\xff\xfe")])
    seen = collect(source)
    await seen.read(events=2, status=1)
    assert [e.data for e in seen.events["events"]] == [
        {"topic": "log/a", "text": "Hello"},
        {"topic": "log/b", "hex": "fffe"},
    ]


BAD_PAYLOADS = {
    "no JSON": b"{not json",
    "deep": b"[" * 100_000,
    "deep object": b'{"value":' * 2000 + b"1" + b"}" * 2000,
    "not utf-8": b'{"value": "\xff"}',
    "nan literal": b'{"value": NaN}',
    "no value": b'{"valu": 1}',
    "a text": b'{"value": "warm"}',
    "a list": b'{"value": [1]}',
    "empty": b"",
    "just a string": b'"abc"',
}


@pytest.mark.parametrize("name", BAD_PAYLOADS)
async def test_malformed_payload_is_told_and_blocks_nothing(
    bed: Any, broker: Any, collect: Any, send: Any, settle: Any, name: str
) -> None:
    connection = await _open(bed, broker)
    source = bed.source(topics=["p/{tag}"], tag="{tag}", payload="json")
    await source.connect()
    payload = BAD_PAYLOADS[name]
    await send(broker, [("p/oil", b'{"value": 1}'), ("p/oil", payload), ("p/oil", b'{"value": 2}')])
    seen = collect(source)
    await seen.read(3, status=1)
    np.testing.assert_array_equal(seen.batch.value, [1, np.nan, 2])
    assert seen.batch.quality.tolist() == [0, quality.BAD_DECODING, 0]
    (event,) = seen.events["status"]
    assert event.topic == "payload/refused"
    assert event.data["topic"] == "p/oil"
    assert event.data["payload"] == payload[:4096].decode("utf-8", "replace")
    assert source.ctx.counts["undecodable"] == 1
    assert connection.session.owed == 3
    await seen.commit()
    assert connection.session.owed == 0


async def test_nan_is_bad_and_not_dropped(bed: Any, broker: Any, collect: Any, send: Any) -> None:
    await _open(bed, broker)
    source = bed.source(topics=["p/+"], payload="number")
    await source.connect()
    await send(broker, [("p/a", "nan"), ("p/a", "inf"), ("p/a", "1_0"), ("p/a", "true")])
    seen = collect(source)
    await seen.read(4)
    assert seen.batch.good.tolist() == [False, False, False, True]
    assert source.ctx.counts["not_good"] == 3


async def test_a_huge_message_is_refused_and_the_rest_goes_on(
    bed: Any, broker: Any, collect: Any, send: Any
) -> None:
    await _open(bed, broker, message_bytes_max=100_000)
    source = bed.source(topics=["p/+"], payload="json")
    await source.connect()
    huge = b'{"value": "' + b"x" * 50_000_000 + b'"}'
    await send(broker, [("p/a", '{"value": 1}'), ("p/a", huge), ("p/a", '{"value": 2}')])
    seen = collect(source)
    await seen.read(3, status=1)
    np.testing.assert_array_equal(seen.batch.value, [1, np.nan, 2])
    event, gap = seen.events["status"]
    assert (gap.data["cause"], gap.data["missing"], gap.data["tags"]) == ("limit", 1, [])
    assert event.data["kind"] == "too_large"
    assert event.data["size_bytes"] == len(huge)
    assert len(event.data["payload"]) == 4096
    await seen.commit()
    assert bed.connections["broker"].session.owed == 0


async def test_events_about_bad_payloads_are_few(
    bed: Any, broker: Any, collect: Any, send: Any
) -> None:
    await _open(bed, broker)
    source = bed.source(topics=["p/+"], payload="json")
    await source.connect()
    await send(broker, [("p/a", "x")] * 500, qos=0)
    seen = collect(source)
    await seen.read(500)
    assert source.ctx.counts["undecodable"] == 500
    assert len(seen.events["status"]) == 1


async def test_a_full_tag_table_is_told(bed: Any, broker: Any, collect: Any, send: Any) -> None:
    await _open(bed, broker)
    source = bed.source(topics=["p/+"])
    await source.connect()
    await send(broker, [(f"p/{i}", "1") for i in range(1100)], qos=0)
    seen = collect(source)
    await seen.read(1000, status=1)
    assert seen.events["status"][0].data["kind"] == "tags_full"
    assert "tags_max" in seen.events["status"][0].data["reason"]


async def test_a_topic_that_fits_no_template_is_told(
    bed: Any, broker: Any, collect: Any, send: Any
) -> None:
    await _open(bed, broker)
    source = bed.source(topics=["p/{x}"], tag="{x}")
    other = bed.source("other", topics=["q/#"])
    await source.connect()
    await other.connect()
    await send(broker, [("q", "1"), ("p/a", "2")])
    one, two = collect(source), collect(other)
    await one.read(1)
    await two.read(1)
    assert one.table() == {"a": [2]}
    assert two.table() == {"q": [1]}


async def test_overlapping_filters_are_refused(bed: Any, broker: Any) -> None:
    await _open(bed, broker)
    one = bed.source("one", topics=["p/#"])
    two = bed.source("two", topics=["p/{a}/{b}"])
    await one.connect()
    with pytest.raises(Exception, match="overlap"):
        await two.connect()


async def test_a_retained_value_without_time_is_uncertain(
    bed: Any, broker: Any, collect: Any
) -> None:
    await _open(bed, broker)
    sink = bed.sink(topic="p/{tag}", payload="plain", retain=True)
    await sink.connect()
    await sink.write(Batch.of([(bed.tags.code("a"), 1, 5.0, 0)]), "in")
    source = bed.source(topics=["p/{tag}"], tag="{tag}")
    await source.connect()
    seen = collect(source)
    await seen.read(1)
    assert seen.batch.quality.tolist() == [quality.UNCERTAIN_LAST_USABLE]


async def test_sequence_holes_are_told_and_copies_dropped(
    bed: Any, broker: Any, collect: Any, send: Any
) -> None:
    await _open(bed, broker)
    config = {
        "topics": ["p/{who}/{tag}"],
        "tag": "{who}/{tag}",
        "payload": "json",
        "sequence": "n",
        "publisher": "{who}",
        "dedupe_by": "sequence",
    }
    source = bed.source(**config)
    await source.connect()
    numbers = [5, 6, 6, 9, 7, 10]
    await send(broker, [("p/x/a", orjson.dumps({"value": n, "n": n})) for n in numbers])
    seen = collect(source)
    await seen.read(4, status=1)
    assert seen.table() == {"x/a": [5, 6, 9, 10]}
    gap = seen.events["status"][0]
    assert (gap.topic, gap.data["missing"], gap.data["publisher"]) == ("source/gap", 2, "x")
    assert gap.data["tags"] == ["x/a"]
    position = orjson.loads(orjson.dumps(seen.readings[-1].position))
    await seen.commit()
    await source.close()
    await bed.connections["broker"].close()
    await bed.connections["broker"].open()
    again = bed.source(position=position, **config)
    await again.connect()
    await send(broker, [("p/x/a", orjson.dumps({"value": n, "n": n})) for n in (9, 10, 11)])
    seen = collect(again)
    await seen.read(1)
    assert seen.table() == {"x/a": [11]}


async def test_many_messages_arrive_in_order_with_back_pressure(
    bed: Any, broker: Any, collect: Any, send: Any, settle: Any
) -> None:
    connection = await _open(bed, broker)
    source = bed.source(topics=["p/+"], qos=0)
    await source.connect()
    other = bed.connection(broker.url, "other", client_id="other")
    await other.open()
    sink = bed.sink(connection="other", topic="p/a", payload="plain", qos=0)
    await sink.connect()
    n, cut = 60_000, 2_000
    code = bed.tags.code("x")
    for start in range(0, n, cut):
        values = np.arange(start, start + cut, dtype=np.float64)
        batch = Batch.columns(np.full(cut, code), np.zeros(cut, np.int64), values)
        await sink.write(batch, "in")
        await asyncio.sleep(0)
    await settle(lambda: connection.session._throttle.is_full)  # nobody reads: it stops
    seen = collect(source)
    await seen.read(20_000)
    assert connection.session._throttle._rows <= 20_000 + 30_000
    values = seen.batch.value
    assert (np.diff(values) > 0).all()


def test_configs_that_cannot_work_are_refused(bed: Any) -> None:
    for config, text in [
        ({"topics": ["a+/b"]}, "whole level"),
        ({"topics": ["a/{x}"], "tag": "{y}"}, "captures no"),
        ({"topics": ["a"], "dedupe_by": "sequence"}, "needs `sequence`"),
        ({"topics": ["a"], "payload": "raw", "fields": "*"}, "paths in JSON"),
        ({"topics": ["a"], "payload": "sparkplug", "tag": "{line}"}, "know no"),
        ({"topics": ["a"], "publisher": "{who}"}, "captures no"),
        ({"topics": ["a"], "nonsense": 1}, "Extra inputs"),
    ]:
        with pytest.raises(ValidationError, match=text):
            bed.source(**config)


async def test_a_source_that_leaves_the_flow_holds_up_no_other(
    bed: Any, broker: Any, collect: Any, send: Any, settle: Any
) -> None:
    connection = bed.connection(broker.url)
    await connection.open()
    gone = bed.source("gone", topics=["a/{x}"], tag="{x}")
    stays = bed.source("stays", topics=["b/{x}"], tag="{x}")
    await gone.connect()
    await stays.connect()
    await send(broker, [(f"a/x{i}", "1") for i in range(20)])
    await settle(lambda: connection.session.owed == 20)
    await gone.close()
    await gone.leave()
    assert connection.session.owed == 0, "what nobody wants is acknowledged"
    await send(broker, [("a/late", "1"), ("b/y", "2")])
    seen = collect(stays)
    await seen.read(1, commit=True)
    assert seen.table() == {"y": [2.0]}
    assert connection.session.owed == 0
    await bed.source("other", topics=["a/{x}"]).connect()  # The filter is free for another.

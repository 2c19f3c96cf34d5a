"""Sparkplug B: the codec, the listening side and our own edge node, over a real broker."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Batch, Tag, TagTable, quality
from nodes.mqtt._sparkplug import DataType, Metric, Payload, decode, encode
from nodes.mqtt._spb_edge import EdgeNode
from nodes.mqtt._wire import Outgoing
from nodes.mqtt.sparkplug_sink import SparkplugSink

INT, BOOL, DOUBLE = DataType.INT32, DataType.BOOLEAN, DataType.DOUBLE
HOST = {"topics": ["spBv1.0/plant/#"], "payload": "sparkplug"}


def test_bytes_are_those_of_the_field_numbers() -> None:
    """Written by hand from the .proto of Sparkplug 3.0.0: field << 3 | wire type."""
    raw = bytes.fromhex(
        "08 05"  # timestamp 5
        "12 0f"  # a metric of 15 bytes
        "0a 01 61"  # name a
        "10 07"  # alias 7
        "18 06"  # timestamp 6
        "20 03"  # datatype Int32
        "28 01"  # historical
        "50 f9ff03"  # int_value 65529
        "18 00"  # seq 0
    )
    payload = decode(raw)
    assert payload.ts_ms == 5
    assert payload.seq == 0
    (metric,) = payload.metrics
    assert (metric.name, metric.alias, metric.ts_ms, metric.datatype) == ("a", 7, 6, INT)
    assert metric.is_historical
    assert metric.value == 65529
    assert encode(payload) == raw


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        (DataType.INT8, -7),
        (DataType.INT16, -30_000),
        (DataType.INT32, -(2**31)),
        (DataType.INT64, -(2**63)),
        (DataType.UINT8, 255),
        (DataType.UINT32, 2**32 - 1),
        (DataType.UINT64, 2**64 - 1),
        (DataType.FLOAT, 1.5),
        (DataType.DOUBLE, 1e300),
        (DataType.BOOLEAN, True),
        (DataType.STRING, "Öl"),
        (DataType.BYTES, b"\x00\xff"),
        (DataType.DATETIME, 1_795_204_364_500),
    ],
)
def test_values_come_back(datatype: DataType, value: Any) -> None:
    sent = Payload(
        5,
        (Metric("m", 3, 4, datatype, value, properties={"engUnit": "Cel", "Quality": 192}),),
        255,
    )
    assert decode(encode(sent)) == sent


def test_eight_and_sixteen_bits_travel_as_32() -> None:
    """Int8 -7 is 4294967289 in int_value for one library and 249 for another."""
    for travelling in (4_294_967_289, 249):
        assert Metric(value=travelling).typed(DataType.INT8).value == -7


@given(st.binary(max_size=200))
def test_junk_is_refused_or_read_but_never_fails(data: bytes) -> None:
    try:
        payload = decode(data)
    except ValueError:
        return
    assert isinstance(payload.metrics, tuple)


async def _host(bed: Any, broker: Any, **config: Any) -> Any:
    await bed.connection(broker.url).open()
    source = bed.source(**{**HOST, **config})
    await source.connect()
    return source


def _birth(bd_seq: int = 0, ts: int = 1000) -> bytes:
    metrics = (
        Metric("bdSeq", datatype=DataType.INT64, value=bd_seq),
        Metric("Node Control/Rebirth", datatype=BOOL, value=False),
        Metric("oil/temp", 1, ts, DOUBLE, 50.5, properties={"engUnit": "Cel", "engHigh": 90.0}),
        Metric("count", 2, ts, INT, -7),
        Metric("name", 3, ts, DataType.STRING, "press"),
    )
    return encode(Payload(ts, metrics, 0))


def _data(seq: int, *metrics: Metric) -> bytes:
    return encode(Payload(2000, metrics, seq))


async def test_births_name_the_aliases_and_deaths_end_them(
    bed: Any, broker: Any, collect: Any, send: Any
) -> None:
    source = await _host(bed, broker)
    seen = collect(source)
    device = encode(Payload(1000, (Metric("run", 9, 1000, BOOL, True),), 1))
    await send(
        broker,
        [
            ("spBv1.0/plant/NBIRTH/e1", _birth(4)),
            ("spBv1.0/plant/DBIRTH/e1/d1", device),
            ("spBv1.0/plant/NDATA/e1", _data(2, Metric(alias=2, value=2**32 - 9))),
            (
                "spBv1.0/plant/NDATA/e1",
                _data(3, Metric("oil/temp", ts_ms=1500, value=51.0, is_historical=True)),
            ),
            ("spBv1.0/plant/DDATA/e1/d1", _data(4, Metric(alias=9, value=False))),
            ("spBv1.0/plant/NDATA/e1", _data(5, Metric(alias=1, is_null=True))),
        ],
    )
    await seen.read(7, status=1)
    assert seen.table()["plant/e1/count"] == [-7, -9]
    assert seen.table()["plant/e1/d1/run"] == [1, 0]
    oil = seen.batch.where(seen.batch.tag == bed.tags.code("plant/e1/oil/temp"))
    np.testing.assert_array_equal(oil.value, [50.5, 51, np.nan])
    assert oil.ts.tolist() == [1000 * 10**6, 1500 * 10**6, 2000 * 10**6]
    tag = bed.tags[bed.tags.code("plant/e1/oil/temp")]
    assert (tag.unit, tag.high) == ("Cel", 90)
    assert source.ctx.counts["historical"] == 1
    assert "rebirths_asked" not in source.ctx.counts

    old = encode(Payload(metrics=(Metric("bdSeq", datatype=DataType.INT64, value=3),)))
    now = encode(Payload(metrics=(Metric("bdSeq", datatype=DataType.INT64, value=4),)))
    await send(broker, [("spBv1.0/plant/DDEATH/e1/d1", _data(6))])
    await seen.read(8)
    assert seen.batch.quality[-1] == quality.BAD_NO_COMMUNICATION
    await send(broker, [("spBv1.0/plant/NDEATH/e1", old), ("spBv1.0/plant/NDEATH/e1", now)])
    await seen.read(11)
    assert seen.rows == 11
    assert (seen.batch.quality[-3:] == quality.BAD_NO_COMMUNICATION).all()
    assert source.ctx.counts["old_deaths"] == 1


async def test_a_hole_in_the_sequence_asks_for_a_rebirth_once(
    bed: Any, broker: Any, collect: Any, send: Any
) -> None:
    source = await _host(bed, broker)
    other = bed.connection(broker.url, "other", client_id="other")
    await other.open()
    orders = bed.source(
        "orders", connection="other", topics=["spBv1.0/plant/NCMD/+"], payload="raw"
    )
    await orders.connect()
    seen = collect(source)
    await send(
        broker,
        [("spBv1.0/plant/NBIRTH/e1", _birth())]
        + [("spBv1.0/plant/NDATA/e1", _data(n, Metric(alias=2, value=1))) for n in (1, 3, 5)],
    )
    await seen.read(5, status=3)
    assert source.ctx.counts["sequence_gaps"] == 2
    assert source.ctx.counts["rebirths_asked"] == 1
    gaps = [e.data for e in seen.events["status"] if e.topic == "source/gap"]
    assert [gap["text"] for gap in gaps] == [
        "Number 3 came where 2 was due.",
        "Number 5 came where 4 was due.",
    ]
    assert {gap["device"] for gap in gaps} == {"plant/e1"}
    assert all(len(gap["tags"]) == 2 for gap in gaps)
    heard = collect(orders)
    await heard.read(events=1)
    data = heard.events["events"][0].data
    body = bytes.fromhex(data["hex"]) if "hex" in data else data["text"].encode()
    order = decode(body).find("Node Control/Rebirth")
    assert order is not None
    assert order.value is True


async def test_data_before_a_birth_and_junk(bed: Any, broker: Any, collect: Any, send: Any) -> None:
    source = await _host(bed, broker)
    seen = collect(source)
    await send(
        broker,
        [
            ("spBv1.0/plant/NDATA/e9", _data(1, Metric(alias=2, value=1))),
            ("spBv1.0/plant/NBIRTH/e1", b"\xff\xff\xff"),
            ("spBv1.0/plant/DDATA/e1", b""),
            ("spBv1.0/plant/NCMD/e1", b"ours"),
            ("spBv1.0/plant/NBIRTH/e1", _birth()),
        ],
    )
    await seen.read(2, status=3, commit=True)
    assert source.ctx.counts["rebirths_asked"] == 1
    assert source.ctx.counts["undecodable"] == 2
    assert seen.rows == 2
    assert bed.connections["broker"].session.owed == 0


def _edge(bed: Any, **config: Any) -> SparkplugSink:
    known = SparkplugSink.Config.model_validate(
        {"connection": "broker", "group": "plant", "edge": "genba", **config}
    )
    return SparkplugSink(known, bed.context("edge"))


@pytest.mark.parametrize("device", ["", "press1"])
async def test_our_edge_node_is_understood_by_our_host(
    bed: Any, broker: Any, collect: Any, settle: Any, device: str
) -> None:
    source = await _host(bed, broker, tag="host/{device}/{metric}")
    seen = collect(source)
    sink = _edge(bed, device=device)
    oil = bed.tags.add(Tag("oil", unit="bar"))
    water = bed.tags.add(Tag("water"))
    await sink.connect()
    now = sink.ctx.clock.now()
    ts = now // 10**6 * 10**6
    await sink.write(Batch.of([(oil, ts, 1.5, 0)]), "in")
    await sink.write(
        Batch.of([(oil, ts - 3600 * 10**9, 1.0, 0), (water, ts, float("nan"), quality.BAD)]), "in"
    )
    name = f"host/{device}/oil" if device else "host/oil"
    await settle_rows(seen, bed, name, 4)
    rows = seen.batch.where(seen.batch.tag == bed.tags.code(name))
    assert [v for v in rows.value.tolist() if v == v][-1] == 1.0
    assert ts - 3600 * 10**9 in rows.ts.tolist()
    assert source.ctx.counts["historical"] == 1
    assert bed.tags[bed.tags.code(name)].unit == "bar"
    assert "sequence_gaps" not in source.ctx.counts

    assert sink._session is not None
    host_session = bed.connections["broker"].session
    order = encode(Payload(1, (Metric("Node Control/Rebirth", datatype=BOOL, value=True),)))
    await host_session.publish([Outgoing("spBv1.0/plant/NCMD/genba", order)])
    await settle(lambda: sink.ctx.counts.get("rebirths") == 1)

    before = len(seen.events["status"])
    sink._session.drop("cable")  # the broker publishes the will
    await seen.read(status=before + 1)
    async with asyncio.timeout(5):
        while not any(e.topic == "sparkplug/death" for e in seen.events["status"]):
            seen.take(await source.read())
    assert seen.batch.quality[-1] == quality.BAD_NO_COMMUNICATION
    await sink.close()
    await sink.connect()
    await sink.write(Batch.of([(oil, ts, 2.5, 0)]), "in")
    await sink.close()


async def settle_rows(seen: Any, bed: Any, name: str, n: int) -> None:
    """Read until a tag has so many rows."""
    async with asyncio.timeout(10):
        while name not in bed.tags or (seen.batch.tag == bed.tags.code(name)).sum() < n:
            seen.take(await seen.source.read())


# What pysparkplug 0.6.1 sent over a broker, recorded.
PY_NBIRTH = bytes.fromhex(
    "08abffb9d59f34121c0a086f696c2f74656d7018a8ffb9d59f34200a69000000000040494012130a05736d616c6c"
    "18a8ffb9d59f34200150f90112130a04776f726418a8ffb9d59f34200250d4fd0312140a036e656718a8ffb9d59f"
    "34200350f7ffffff0f12190a0362696718a8ffb9d59f342004588080808080e0ffffff0112100a0372756e18a8ff"
    "b9d59f34200b700112110a016618a8ffb9d59f342009650000c03f120f0a017318a8ffb9d59f34200c7a01781212"
    "0a05626453657118a8ffb9d59f34200458001800"
)
PY_NDEATH = bytes.fromhex("08fd8ebad59f3412120a05626453657118abffb9d59f3420045801")


async def test_another_library_is_understood(
    bed: Any, broker: Any, collect: Any, send: Any
) -> None:
    """Its graceful death carries the bdSeq of the next birth, and counts all the same."""
    source = await _host(bed, broker)
    seen = collect(source)
    await send(broker, [("spBv1.0/plant/NBIRTH/py", PY_NBIRTH)])
    await seen.read(7)
    assert seen.table() == {
        "plant/py/oil/temp": [50.5],
        "plant/py/small": [-7],
        "plant/py/word": [-300],
        "plant/py/neg": [-9],
        "plant/py/big": [-(2.0**40)],
        "plant/py/run": [1],
        "plant/py/f": [1.5],
    }
    await send(broker, [("spBv1.0/plant/NDEATH/py", PY_NDEATH)])
    await seen.read(14)
    assert (seen.batch.quality[7:] == quality.BAD_NO_COMMUNICATION).all()


def test_a_row_behind_a_newer_one_is_historical_and_not_what_a_birth_says() -> None:
    tags = TagTable(4)
    oil = tags.code("oil")
    node = EdgeNode("plant", "genba")
    node.meet([oil], tags)
    now, second = 1_000 * 10**9, 10**9
    rows = [(oil, now - s * second, float(s), 0) for s in (3, 9, 2, 8, 1)]
    (message,) = node.data(Batch.of(rows), tags, now, now - 60 * second)
    metrics = decode(message.payload).metrics
    assert [metric.is_historical for metric in metrics] == [False, True, False, True, False]
    assert [metric.value for metric in metrics] == [3.0, 9.0, 2.0, 8.0, 1.0]
    (birth,) = node.births(tags, now)
    assert decode(birth.payload).find("oil").value == 1.0  # type: ignore[union-attr]  # it is there

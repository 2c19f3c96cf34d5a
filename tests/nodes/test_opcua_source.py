"""opcua.source against a real server: values, quality, times, units, holes."""

from __future__ import annotations

import asyncio
import math
import signal
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from asyncua import ua
from asyncua.server.internal_session import InternalSession

from gateway import ConfigError, Disconnected, quality
from tests.nodes import opcua_plc as plc_help
from tests.nodes.opcua_plc import SECOND, START, Gateway, ns, running

pytestmark = pytest.mark.plant
D = ua.VariantType.Double


async def test_values_quality_times_and_units(tmp_path: Path) -> None:
    async with running() as plc, Gateway(tmp_path, url=plc.url) as gw:
        await plc.write("Temp", 21.5, D, START)
        await plc.write("Count", -3, ua.VariantType.Int32, START)
        source = gw.source(
            tags={
                "temp": plc.id("Temp"),
                "count": f"/Objects/{plc.index}:Plant/{plc.index}:Press1/{plc.index}:Count",
                "run": "nsu=urn:test:press;s=Run",
                "name": plc.id("Name"),
                "big": plc.id("Big"),
                "array": plc.id("Array"),
            }
        )
        await source.connect()
        await gw.read(source, lambda: len(gw.rows) >= 4 and len(gw.events["events"]) >= 2)
        assert ("temp", ns(START), 21.5, 0) in gw.rows
        assert ("count", ns(START), -3.0, 0) in gw.rows
        assert gw.values("run") == [1.0]
        assert gw.values("big") == [float(2**60 + 1)]
        assert gw.ctx.counts["inexact_integers"] == 1
        told = {event.data["tag"]: event.data["value"] for event in gw.events["events"]}
        assert told == {"name": "press", "array": [1.0, 2.0, 3.0]}
        temp = gw.ctx.tags[gw.ctx.tags.code("temp")]
        assert (temp.unit, temp.low, temp.high) == ("Cel", -10.0, 120.0)
        assert gw.ctx.tags[gw.ctx.tags.code("run")].kind == "state"

        later = START + timedelta(seconds=1)
        await plc.write("Temp", None, ua.VariantType.Null, later, quality.BAD_SENSOR_FAILURE)
        await gw.read(source, lambda: len(gw.values("temp")) == 2)
        name, ts, value, status = gw.rows[-1]
        assert (name, ts, status) == ("temp", ns(later), quality.BAD_SENSOR_FAILURE)
        assert math.isnan(value)
        odd = 0x40955000  # A code of no name keeps all its bits.
        await plc.write("Temp", 1.0, D, later, odd)
        await gw.read(source, lambda: len(gw.values("temp")) == 3)
        assert gw.rows[-1] == ("temp", ns(later), 1.0, odd)
        assert gw.gaps() == []
        await source.close()


async def test_arrays_as_tags(tmp_path: Path) -> None:
    async with running() as plc, Gateway(tmp_path, url=plc.url) as gw:
        source = gw.source(tags={"a": plc.id("Array")}, array_items_max=2)
        await source.connect()
        await gw.read(source, lambda: len(gw.rows) >= 2)
        assert [(name, value) for name, _, value, _ in gw.rows] == [("a[0]", 1.0), ("a[1]", 2.0)]
        await source.close()


async def test_a_bad_node_stops_no_other(tmp_path: Path) -> None:
    async with running() as plc, Gateway(tmp_path, url=plc.url) as gw:
        source = gw.source(
            tags={
                "temp": plc.id("Temp"),
                "gone": plc.id("Nowhere"),
                "lost": "/Objects/2:Plant/2:Nowhere",
                "odd": "nsu=urn:no:such;s=Temp",
            }
        )
        for _ in range(2):
            await source.connect()
            seen = len(gw.values("temp"))
            await gw.read(source, lambda seen=seen: len(gw.values("temp")) > seen)
            await source.close()
        refused = [e.data["tag"] for e in gw.events["status"] if e.topic == "node/refused"]
        assert sorted(refused) == ["gone", "lost", "odd"], "each is told once, not at each connect"
        bad = {name: status for name, _, _, status in gw.rows if name != "temp"}
        assert set(bad.values()) == {quality.BAD_CONFIGURATION}
        assert set(bad) == {"gone", "lost", "odd"}


async def test_browse_takes_all_below(tmp_path: Path) -> None:
    async with running(extra=30) as plc, Gateway(tmp_path, url=plc.url) as gw:
        source = gw.source(
            browse={"root": plc.id("Plant"), "filter": "Many/#", "template": "site/{path}"}
        )
        await source.connect()
        await gw.read(source, lambda: len(gw.rows) >= 30)
        assert {name for name, *_ in gw.rows} == {f"site/many/v{i}" for i in range(30)}
        assert source.tag_names()[0].startswith("site/many/")
        await source.close()
        with pytest.raises(ConfigError, match="is not there"):
            await gw.source(browse={"root": "/Objects/2:Nothing"}).connect()


async def test_the_servers_deadband(tmp_path: Path) -> None:
    async with running() as plc, Gateway(tmp_path, url=plc.url) as gw:
        source = gw.source(
            tags={"temp": plc.id("Temp"), "name": plc.id("Name")},
            deadband={"kind": "absolute", "value": 1.0},
        )
        await source.connect()
        await gw.read(source, lambda: len(gw.rows) >= 1)
        for value in (20.5, 20.9, 25.0):
            await plc.write("Temp", value, D, START)
        await gw.read(source, lambda: 25.0 in gw.values("temp"))
        assert gw.values("temp") == [20.0, 25.0]
        await source.close()


async def test_a_burst_of_2000_items_is_whole(tmp_path: Path) -> None:
    n, rounds = 2000, 5
    async with running(extra=n) as plc, Gateway(tmp_path, url=plc.url) as gw:
        source = gw.source(tags={f"v{i}": plc.id(f"v{i}") for i in range(n)})
        await source.connect()
        await gw.read(source, lambda: len(gw.rows) >= n)
        for k in range(1, rounds + 1):
            stamp = START + timedelta(seconds=k)
            for i in range(n):
                await plc.write(f"v{i}", float(k * n + i), D, stamp)
        await gw.read(source, lambda: len(gw.rows) >= n * (rounds + 1))
        got = [(name, value) for name, _, value, _ in gw.rows[n:]]
        want = [(f"v{i}", float(k * n + i)) for k in range(1, rounds + 1) for i in range(n)]
        assert sorted(got) == sorted(want)
        assert gw.gaps() == []
        await source.close()


async def test_a_full_queue_is_counted_and_a_gap(tmp_path: Path) -> None:
    async with running() as plc, Gateway(tmp_path, url=plc.url) as gw:
        source = gw.source(tags={"temp": plc.id("Temp")}, queue_rows_max=3)
        await source.connect()
        await gw.read(source, lambda: len(gw.rows) >= 1)
        for i in range(10):
            await plc.write("Temp", 100.0 + i, D, START + timedelta(seconds=i))
            await asyncio.sleep(0.12)  # A publish of its own for each.
        seen = len(gw.rows)
        await gw.read(source, lambda: len(gw.rows) > seen)
        await plc.write("Temp", 200.0, D, START + timedelta(seconds=20))
        await gw.read(source, lambda: 200.0 in gw.values("temp"))
        lost = 10 - len([v for v in gw.values("temp") if 100.0 <= v < 200.0])
        assert lost > 0
        assert gw.ctx.counts["rows_dropped"] == lost
        assert [gap.data["missing"] for gap in gw.gaps()] == [lost]
        assert gw.gaps()[0].data["from"] < gw.gaps()[0].data["to"]
        await source.close()


@pytest.mark.parametrize("page_rows", [10_000, 300])
async def test_history_fills_a_hole(tmp_path: Path, page_rows: int) -> None:
    async with running() as plc:
        plc.server.iserver.history_manager.storage.max_history_data_response_size = page_rows
        await plc.server.historize_node_data_change(plc.nodes["Temp"], timedelta(days=9999))
        await plc.write("Temp", 1.0, D, START)
        gw = Gateway(tmp_path, url=plc.url)
        source = gw.source(tags={"temp": plc.id("Temp"), "count": plc.id("Count")})
        await gw.again(source)
        await gw.read(source, lambda: len(gw.values("temp")) == 1)
        await source.close()
        await gw.connection.close()
        for i in range(2, 2503):  # More than two pages.
            await plc.write("Temp", float(i), D, START + timedelta(seconds=i))

        # A new process: all it has is the stored position.
        position = gw.ctx.position
        gw = Gateway(tmp_path, url=plc.url)
        gw.ctx.position = position
        source = gw.source(tags={"temp": plc.id("Temp"), "count": plc.id("Count")})
        await gw.again(source)
        await gw.read(source, lambda: len(gw.values("temp")) >= 2501)
        assert gw.values("temp") == [float(i) for i in range(2, 2503)]
        stamps = [ts for name, ts, *_ in gw.rows if name == "temp"]
        assert stamps == [ns(START) + i * SECOND for i in range(2, 2503)]
        [gap] = gw.gaps()
        assert gap.data["filled_rows"] == 2500
        assert gap.data["filled_tags"] == 1
        assert gap.data["from"] < gap.data["to"]
        assert gap.data["cause"] == "gateway_away"
        assert gap.data["tags"] == ["count"], "the other was filled from the history"
        await source.close()
        await gw.connection.close()


async def test_history_is_bounded(tmp_path: Path) -> None:
    async with running() as plc:
        await plc.server.historize_node_data_change(plc.nodes["Temp"], timedelta(days=9999))
        gw = Gateway(tmp_path, url=plc.url)
        source = gw.source(tags={"temp": plc.id("Temp")}, history_rows_max=50)
        await gw.again(source)
        await plc.write("Temp", 1.0, D, START)
        await gw.read(source, lambda: 1.0 in gw.values("temp"))
        gw.rows.clear()
        await source.close()
        await gw.connection.close()
        base = plc_help.datetime.now(plc_help.UTC)
        for i in range(200):
            await plc.write("Temp", float(i), D, base + timedelta(seconds=i))
        await gw.again(source)
        await gw.read(source, lambda: 199.0 in gw.values("temp"))
        assert gw.values("temp") == [*map(float, range(50)), 199.0]
        assert gw.gaps()[0].data["cut_at"] == 50
        await source.close()
        await gw.connection.close()


async def test_server_absent_at_start(tmp_path: Path) -> None:
    port = plc_help.free_port()
    gw = Gateway(tmp_path, url=f"opc.tcp://127.0.0.1:{port}/plc")
    with pytest.raises(Disconnected, match=f"Nothing listens at 127.0.0.1:{port}"):
        await gw.open()
    async with running(port) as plc:
        source = gw.source(tags={"temp": plc.id("Temp")})
        await gw.again(source)
        await gw.read(source, lambda: len(gw.rows) >= 1)
        assert gw.gaps() == []
        await source.close()
        await gw.connection.close()
    await gw.ctx.tasks.stop()


async def test_server_killed_and_restarted(tmp_path: Path) -> None:
    port = plc_help.free_port()
    process = await plc_help.start_process(port)
    try:
        gw = Gateway(tmp_path, url=f"opc.tcp://127.0.0.1:{port}/plc")
        source = gw.source(tags={"temp": "ns=2;s=Temp"}, queue_size=100)
        await gw.again(source)
        await gw.read(source, lambda: len(gw.rows) >= 20)
        process.kill()
        error = await gw.until_lost(source)
        assert str(port) in str(error)
        last = max(ts for _, ts, *_ in gw.rows)
        await plc_help.stop_process(process)
        process = await plc_help.start_process(port, "--first", "1000000")
        await gw.again(source)
        await gw.read(source, lambda: max(gw.values("temp")) > 1_000_020)
        [gap] = gw.gaps()
        new = [ts for _, ts, value, _ in gw.rows if value >= 1_000_000]
        assert abs(gap.data["from"] - last) < SECOND // 2
        assert last < gap.data["to"]
        assert gap.data["to"] >= min(new)
        got = [value for value in gw.values("temp") if value < 1_000_000]
        assert np.all(np.diff(got) == 1), "nothing is missing outside the gap"
        await source.close()
        await gw.connection.close()
        await gw.ctx.tasks.stop()
    finally:
        await plc_help.stop_process(process)


async def test_a_frozen_server_is_found(tmp_path: Path) -> None:
    port = plc_help.free_port()
    process = await plc_help.start_process(port)
    try:
        url = f"opc.tcp://127.0.0.1:{port}/plc"
        gw = Gateway(tmp_path, url=url, keepalive_s=0.5, timeout_s=1.0)
        source = gw.source(tags={"temp": "ns=2;s=Temp"}, queue_size=100)
        await gw.again(source)
        await gw.read(source, lambda: len(gw.rows) >= 3)
        lost = gw.ctx.start("lost", gw.connection.lost())
        process.send_signal(signal.SIGSTOP)
        error = await gw.until_lost(source)
        assert "No answer from" in str(error)
        assert "No answer from" in await asyncio.wait_for(lost, 30)
        process.send_signal(signal.SIGCONT)
        seen = len(gw.rows)
        await gw.again(source)
        await gw.read(source, lambda: len(gw.rows) > seen + 3)
        assert len(gw.gaps()) == 1
        await source.close()
        await gw.connection.close()
        await gw.ctx.tasks.stop()
    finally:
        await plc_help.stop_process(process)


async def test_no_session_is_left_behind(tmp_path: Path) -> None:
    async with running() as plc:
        before = InternalSession._current_connections
        gw = Gateway(tmp_path, url=plc.url)
        source = gw.source(tags={"temp": plc.id("Temp")})
        for _ in range(15):
            await gw.again(source)
            seen = len(gw.rows)
            await gw.read(source, lambda seen=seen: len(gw.rows) > seen)
            assert InternalSession._current_connections == before + 1
            await source.close()
            await gw.connection.close()
        assert InternalSession._current_connections == before
        assert len(gw.gaps()) == 14
        assert len(asyncio.all_tasks()) < 20
        await gw.ctx.tasks.stop()

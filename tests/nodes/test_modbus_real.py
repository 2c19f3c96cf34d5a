"""Modbus against pymodbus' own servers: every type, order and address form, TCP and RTU."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pymodbus.simulator import SimDevice

from gateway import Batch, Disconnected, Rejected, quality
from nodes.modbus._registers import ORDERS, TYPES
from tests.nodes.modbus_slaves import (
    cable,
    connection_of,
    device,
    opened,
    rtu_server,
    sink_of,
    source_of,
    tcp_server,
    values,
)

_VALUES = {
    "int16": -12345, "uint16": 54321, "int32": -123456789, "uint32": 3234567890,
    "int64": -(2**52) - 1, "uint64": 2**53 - 1, "float32": -1234.5, "float64": 3.141592653589793,
}  # fmt: skip
pytestmark = pytest.mark.plant


def table() -> tuple[dict[str, list[int]], dict[str, Any], dict[str, float]]:
    """Register tables that hold every type in every order, the tags, and what they mean."""
    import struct

    codes = dict(zip(TYPES, "hHiIqQfd", strict=True))
    words: list[int] = []
    tags: dict[str, Any] = {}
    wanted: dict[str, float] = {}
    for kind in TYPES:
        for order in ORDERS:
            raw = struct.pack(">" + codes[kind], _VALUES[kind])
            parts = [raw[i : i + 2] for i in range(0, len(raw), 2)]
            if order in ("CDAB", "DCBA"):
                parts.reverse()
            if order in ("BADC", "DCBA"):
                parts = [part[::-1] for part in parts]
            at = len(words)
            words += [int.from_bytes(part, "big") for part in parts]
            for form, address in (
                ("name", f"holding:{at}"),
                ("five", 40001 + at),
                ("six", f"{400001 + at}"),
                ("input", f"{30001 + at}"),
            ):
                name = f"{kind}/{order}/{form}"
                tags[name] = {"address": address, "type": kind, "order": order}
                wanted[name] = _VALUES[kind]
    bits = [1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0, 0, 1]
    for i, bit in enumerate(bits):
        tags[f"coil/{i}"], tags[f"discrete/{i}"] = f"coil:{i}", 10001 + i
        tags[f"bit/{i}"] = f"holding:{len(words)}.{i}"
        wanted |= {f"coil/{i}": bit, f"discrete/{i}": 1 - bit, f"bit/{i}": bit}
    word = sum(bit << i for i, bit in enumerate(bits))
    text = [int.from_bytes(b, "big") for b in (b"PU", b"MP", b" 7", b"\0\0")]
    tags["name"] = f"holding:{len(words) + 1} string(8)"
    tags["scaled"] = {"address": f"holding:{len(words)}", "scale": 0.5, "offset": -3}
    wanted["scaled"] = word * 0.5 - 3
    words += [word, *text]
    tables = {
        "coil": bits, "discrete": [1 - b for b in bits], "holding": words, "input": list(words),
    }  # fmt: skip
    return tables, tags, wanted


@contextlib.asynccontextmanager
async def served(kind: str, *devices: SimDevice) -> AsyncIterator[str]:
    if kind == "tcp":
        async with tcp_server(*devices) as port:
            yield f"tcp://127.0.0.1:{port}"
        return
    async with cable() as (near, far), rtu_server(far, *devices):
        yield f"rtu:{near}"


@pytest.mark.parametrize("kind", ["tcp", "rtu"])
async def test_every_type_order_and_address_form(kind: str, tmp_path: Path) -> None:
    tables, tags, wanted = table()
    async with (
        served(kind, device(1, tables)) as address,
        opened(address, baud=115200) as bus,
    ):
        source = source_of(bus, tags)
        await source.connect()
        reading = await source.read()
    found = values(source, reading.outputs)
    assert found == {name: (float(value), quality.GOOD) for name, value in wanted.items()}
    assert "status" not in reading.outputs
    assert [(e.topic, e.data["text"]) for e in reading.outputs["texts"]] == [("name", "PUMP 7")]
    assert sorted(source.tag_names()) == sorted(wanted)


@pytest.mark.parametrize("kind", ["tcp", "rtu"])
async def test_writes_by_every_function_are_read_back(kind: str, tmp_path: Path) -> None:
    tables = {"coil": [0] * 16, "holding": [0] * 40}
    tags = {
        "coil": "coil:3", "word": {"address": "holding:0", "min": -5, "max": 500, "scale": 0.1},
        "float": "holding:2 float32 CDAB", "long": "40011 int64 DCBA", "bit": "holding:20.7",
    }  # fmt: skip
    sent = {"coil": 1.0, "word": 12.3, "float": -7.25, "long": -(2.0**40), "bit": 1.0}
    reads = {name: t["address"] if isinstance(t, dict) else t for name, t in tags.items()}
    functions: list[int] = []

    async def note(function: int, *_: object) -> None:
        functions.append(function)

    async with (
        served(kind, device(1, tables, note)) as address,
        opened(address, baud=115200) as bus,
    ):
        for how in (
            {"verify": True},
            {"write_with": "multiple", "verify": True, "bits_with": "modify"},
            {"write_with": "read_back"},
        ):
            sink = sink_of(bus, tags, **how)
            await sink.connect()
            for values_ in (sent, dict.fromkeys(sent, 0.0)):
                now = sink.ctx.clock.now()
                rows = [
                    (sink.ctx.tags.code(n), now + i, v, 0)
                    for n in sent
                    for i, v in enumerate((1.0 - values_["coil"], values_[n]))
                ]
                await sink.write(Batch.of(rows), "in")
                source = source_of(bus, reads)
                await source.connect()
                got = values(source, (await source.read()).outputs)
                expected = {n: (v, 0) for n, v in values_.items()}
                expected["word"] = (round(values_["word"] * 10), 0)
                assert got == expected, how
            assert sink.ctx.counts == {"written": 10}
    assert {5, 6, 15, 16, 22, 23} <= set(functions)


async def test_what_must_not_be_written_is_not() -> None:
    async with (
        tcp_server(device(1, {"holding": [7] * 10})) as port,
        opened(f"tcp://127.0.0.1:{port}") as bus,
    ):
        tags = {
            "a": {"address": "holding:0", "type": "int16", "min": 0, "max": 80},
            "b": "holding:1 int16", "c": "holding:2.1", "missing": "holding:99",
        }  # fmt: skip
        sink = sink_of(bus, tags, max_age_s=5)
        await sink.connect()
        now = sink.ctx.clock.now()
        rows = [
            ("a", now, 81.0, 0), ("b", now, 40000.0, 0), ("c", now, 2.0, 0),
            ("missing", now, 1.0, 0),
        ]  # fmt: skip
        batch = Batch.of((sink.ctx.tags.code(n), ts, v, q) for n, ts, v, q in rows)
        with pytest.raises(Rejected) as refusal:
            await sink.write(batch, "in")
        text = str(refusal.value)
        assert "a = 81 is outside its limits 0 to 80" in text
        assert "b = 40000: 40000.0 is outside the range of int16" in text
        assert "c = 2: a bit is 0 or 1" in text
        assert "missing = 1: exception 2" in text
        quiet = [
            ("a", now, float("nan"), 0), ("a", now - 6_000_000_000, 5.0, 0),
            ("b", now, 5.0, quality.BAD), ("other", now, 1.0, 0),
        ]  # fmt: skip
        await sink.write(Batch.of((sink.ctx.tags.code(n), ts, v, q) for n, ts, v, q in quiet), "in")
        assert sink.ctx.counts == {
            "dropped_limit": 1, "dropped_bad": 2, "dropped_stale": 1, "unmapped": 1,
        }  # fmt: skip
        source = source_of(bus, {"a": "holding:0", "b": "holding:1", "c": "holding:2"})
        await source.connect()
        got = values(source, (await source.read()).outputs)
        assert got == {"a": (7, 0), "b": (7, 0), "c": (7, 0)}


async def test_an_illegal_address_costs_only_its_tag() -> None:
    """The block is split until the bad one stands alone, and the plan is remembered."""
    async with (
        tcp_server(device(1, {"holding": list(range(20))})) as port,
        opened(f"tcp://127.0.0.1:{port}") as bus,
    ):
        tags = {f"r{i}": f"holding:{i}" for i in [*range(0, 20, 2), 21]}
        source = source_of(bus, tags, scan_s=0.02)
        await source.connect()
        for _ in range(3):
            reading = await source.read()
            got = values(source, reading.outputs)
            bad = got.pop("r21")
            assert bad[1] == quality.BAD_CONFIGURATION
            assert got == {f"r{i}": (i, 0) for i in range(0, 20, 2)}
        asked = [poll.block.words for poll in source._polls[0]]
        assert "holding 21" in asked
    said = [text for level, text in source.ctx.said if level == "warning"]
    assert len(said) == 1
    assert "r21" in said[0]
    assert "exception 2" in said[0]


async def test_units_of_one_bus_and_their_scan_classes() -> None:
    units = [device(u, {"holding": [u * 100 + i for i in range(5)]}) for u in (1, 2, 7)]
    async with tcp_server(*units) as port, opened(f"tcp://127.0.0.1:{port}") as bus:
        tags = {
            "one": "holding:1", "two": "2!40003",
            "seven": {"address": "7!holding:4", "scan_s": 0.3},
        }  # fmt: skip
        source = source_of(bus, tags, scan_s=0.1)
        await source.connect()
        counts = {"one": 0, "two": 0, "seven": 0}
        for _ in range(8):
            for name, (value, status) in values(source, (await source.read()).outputs).items():
                counts[name] += 1
                assert (value, status) == ({"one": 101, "two": 202, "seven": 704}[name], 0)
    assert counts["one"] == counts["two"]
    assert counts["one"] > counts["seven"] >= 1


async def test_absent_at_start_killed_and_back() -> None:
    """Server absent, then there, killed, and back: Disconnected each time, and a GAP."""
    async with tcp_server(device(1, {"holding": [5]})) as port:
        pass
    bus = connection_of(f"tcp://127.0.0.1:{port}")
    source = source_of(bus, {"a": "holding:0"}, scan_s=0.05)
    with pytest.raises(Disconnected, match=r"refuses the connection\. Is its Modbus server on"):
        await bus.open()
    await bus.close()
    with pytest.raises(Disconnected, match="not connected"):
        await source.connect()
    await source.close()

    async with tcp_server(device(1, {"holding": [5]}), port=port):
        await bus.open()
        await source.connect()
        assert values(source, (await source.read()).outputs) == {"a": (5, 0)}
        last = (await source.read()).position["ts"]
        lost = asyncio.get_running_loop().create_task(bus.lost())
    assert "closed the connection" in await lost
    with pytest.raises(Disconnected):
        for _ in range(3):
            await source.read()
    await source.close()
    await bus.close()
    await asyncio.sleep(0.2)

    async with tcp_server(device(1, {"holding": [6]}), port=port):
        await bus.open()
        await source.connect()
        reading = await source.read()
        assert values(source, reading.outputs) == {"a": (6, 0)}
        gaps = [event.data for event in reading.outputs["status"] if event.topic == "source/gap"]
        assert len(gaps) == 1
        assert gaps[0]["from"] == last
        assert gaps[0]["to"] - last > 200_000_000
        assert gaps[0]["cause"] == "disconnected"
        assert "connected" in gaps[0]["text"] or "gone" in gaps[0]["text"]
        await bus.close()


async def test_a_restart_of_the_gateway_is_a_gap() -> None:
    async with (
        tcp_server(device(1, {"holding": [5]})) as port,
        opened(f"tcp://127.0.0.1:{port}") as bus,
    ):
        source = source_of(bus, {"a": "holding:0"})
        before = source.ctx.clock.now() - 60_000_000_000
        source.ctx.position = {"ts": before}
        await source.connect()
        (event,) = (await source.read()).outputs["status"]
        assert event.topic == "source/gap"
        assert event.data["from"] == before
        assert event.data["cause"] == "gateway_away"


async def test_writes_never_fall_between_a_poll_and_its_reply(tmp_path: Path) -> None:
    """Soak: polls and writes of four nodes on one line; every value stays right."""
    tables = {"holding": list(range(100, 140)), "coil": [0] * 16}
    async with (
        served("rtu", device(1, tables)) as address,
        opened(address, baud=115200) as bus,
    ):
        sources = [
            source_of(bus, {f"r{i}": f"holding:{i}" for i in range(k, k + 9)}, scan_s=0.01)
            for k in (0, 10)
        ]
        sinks = [sink_of(bus, {"w": f"holding:{k}"}, verify=True) for k in (30, 31)]
        writing = True

        async def poll(source: Any) -> int:
            await source.connect()
            n = 0
            while writing:
                for name, got in values(source, (await source.read()).outputs).items():
                    assert got == (100 + int(name[1:]), 0)
                n += 1
            return n

        async def write(sink: Any) -> None:
            await sink.connect()
            for k in range(40):
                row = (sink.ctx.tags.code("w"), sink.ctx.clock.now(), float(k), 0)
                await sink.write(Batch.of([row]), "in")
                await asyncio.sleep(0.003)

        polls = [asyncio.get_running_loop().create_task(poll(s)) for s in sources]
        await asyncio.gather(*(write(sink) for sink in sinks))
        writing = False
        assert all(n > 3 for n in await asyncio.gather(*polls))
        assert bus.ctx.counts == {}

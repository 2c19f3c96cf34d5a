"""Modbus over bad links, through the real runtime; hostile replies are in tests/nodes."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from pathlib import Path
from typing import Any

import pytest

from nodes.modbus._frame import crc16, mbap, rtu
from tests.faults.proxy import Proxy
from tests.faults.scene import TORTURE, Scene, Watch, attempts, record, scene
from tests.nodes.modbus_slaves import TcpSlave, read_reply, rtu_request_size

pytestmark = [pytest.mark.plant, pytest.mark.slow]
UNITS = 32
N = 20

FLOW = """
flow: links
version: 1
connections:
  bus: {type: modbus.connection, address: "$scheme://127.0.0.1:$port", timeout_s: $timeout,
        quiet_s: 0.05, breaker_s: $breaker, breaker_failures: $failures}
nodes:
  src: {type: modbus.source, connection: bus, scan_s: $scan, tags: {$tags}}
  win: {type: window.tumbling, size_s: 1, lateness_s: 0.5, tags: r0}
  stat: {type: feature.statistics, features: [mean, percent_good]}
  out: {type: script.sink}
  wave: {type: simulate.source, tag: wave, every_s: 0.1}
wires: [src -> out, src.status -> out.events, wave -> out, src -> win -> stat, stat -> out]
"""
REGISTERS = ", ".join(f'r{i}: "holding:{i}"' for i in range(N))


def values(port: int, scheme: str = "tcp", **more: Any) -> dict[str, Any]:
    quick = {"timeout": 1.0 if TORTURE else 0.2, "breaker": 30 if TORTURE else 2, "scan": 0.1}
    rest = {"tags": REGISTERS, "failures": 3}
    return {"port": port, "scheme": scheme, **rest, **quick, **more}


def honest(tid: int, unit: int, pdu: bytes) -> list[tuple[float, bytes]]:
    """Each register holds a function of its address, so a wrong value shows."""
    return [(0, mbap(tid, unit, read_reply(pdu, lambda at: 1000 + 7 * at)))]


def honest_rtu(tid: int, unit: int, pdu: bytes) -> list[tuple[float, bytes]]:
    return [(0, rtu(unit, read_reply(pdu, lambda at: 1000 + 7 * at)))]


class CarefulSlave(TcpSlave):
    """An RTU slave that checks what it is asked, as the standard wants: what does not fit it
    is passed over in silence."""

    async def _request(self, reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
        frame = b""
        while True:
            try:
                async with asyncio.timeout(0.03 if frame else None):
                    frame += await reader.readexactly(1)
            except TimeoutError:
                frame = b""  # A pause ends a frame, also a broken one.
                continue
            fits = len(frame) >= 8 and len(frame) == rtu_request_size(frame)
            if fits and crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little"):
                return 0, frame[0], frame[1:-2]


def wrong(found: Scene) -> list[Any]:
    """Rows of quality Good whose value is not that of the register."""
    rows = [row for row in found.rows() if row[0].startswith("r") and "#" not in row[0]]
    return [r for r in rows if r[3] == 0 and r[2] != 1000 + 7 * int(r[0][1:])]


async def test_a_half_open_link_is_found_and_healed(tmp_path: Path) -> None:
    async with (
        TcpSlave(honest) as slave,
        Proxy(slave.port) as proxy,
        scene(FLOW, tmp_path, values(proxy.port)) as found,
    ):
        await found.flowing("r0", 10)
        proxy.half_open()
        began, watch = time.monotonic(), Watch()
        await found.lost()
        found_s = watch.s
        await asyncio.sleep(30 if TORTURE else 3)
        tried = attempts(proxy.attempts, began)
        proxy.heal()
        watch = Watch()
        await found.flowing("r0", 1)
        record("modbus half open", found_s=found_s, back_s=watch.s, **tried)
        assert found_s < 60
        assert tried["per_s"] < 1
        await found.until(lambda: found.gaps("device_silent"), "the gap is told")
        good = sorted(ts for _, ts, _, q in found.rows("r0") if q == 0)
        begin, end = max(itertools.pairwise(good), key=lambda pair: pair[1] - pair[0])
        over = [g for g in found.events("source/gap") if g["from"] <= begin and end <= g["to"]]
        assert over, "all of it is told, not a part"
        assert all(gap["missing"] >= 10 and gap["device"] == "bus" for gap in over)
        marks = [ts for _, ts, _, q in found.rows("r0") if q >> 30 == 2]
        assert any(begin < ts < end for ts in marks)
        assert wrong(found) == []
        found.faultless()


async def test_a_link_that_resets_breaks_off_and_is_slow(tmp_path: Path) -> None:
    async with (
        TcpSlave(honest) as slave,
        Proxy(slave.port) as proxy,
        scene(FLOW, tmp_path, values(proxy.port)) as found,
    ):
        await found.flowing("r0", 5)
        proxy.up.delay_s = 0.02
        proxy.down.bytes_per_s = 2_000.0
        began = time.monotonic()
        for k in range(20 if TORTURE else 6):
            if k % 2:
                proxy.reset()
            else:
                proxy.drop_after(30)  # In the middle of a reply.
            await asyncio.sleep(1)
        tried = attempts(proxy.attempts, began)
        proxy.heal()
        watch = Watch()
        await found.flowing("r0", 10)
        record("modbus resets", back_s=watch.s, **tried)
        assert tried["per_s"] < 2
        assert wrong(found) == []
        assert found.gaps("disconnected")
        found.faultless()


async def test_corrupt_rtu_is_never_a_wrong_value(tmp_path: Path) -> None:
    """5 % of all bytes are changed, in both ways: the check value finds them."""
    # Far apart, so that each is asked for by itself.
    tags = ", ".join(f'r{at}: "holding:{at}"' for at in range(0, 400, 40))
    some = {"tags": tags, "failures": 100, "timeout": 0.05}
    async with (
        CarefulSlave(honest_rtu, "rtu") as slave,
        Proxy(slave.port) as proxy,
        scene(FLOW, tmp_path, values(proxy.port, "rtu+tcp", **some)) as found,
    ):
        await found.flowing("r0", 3)
        proxy.up.corrupt = proxy.down.corrupt = 0.05
        await asyncio.sleep(60 if TORTURE else 8)
        spoilt = proxy.up.spoilt + proxy.down.spoilt
        proxy.heal()
        await found.flowing("r0", 10)
        rows = [row for row in found.rows() if row[0].startswith("r") and "#" not in row[0]]
        bad = sum(q >> 30 == 2 for _, _, _, q in rows)
        record("modbus rtu corrupt", bytes_spoilt=spoilt, rows=len(rows), bad=bad, wrong=0)
        assert spoilt > 10
        assert wrong(found) == []
        assert bad > 0, "what was spoilt is Bad, and not left out"
        assert found.events("source/gap"), "and a gap is told"
        assert len(found.good("wave")) > 20
        found.faultless()


async def test_corrupt_headers_of_tcp_are_never_a_wrong_value(tmp_path: Path) -> None:
    """Transaction, protocol, length, unit, function and count are all known beforehand."""
    async with (
        TcpSlave(honest) as slave,
        Proxy(slave.port) as proxy,
        scene(FLOW, tmp_path, values(proxy.port, failures=100)) as found,
    ):
        await found.flowing("r0", 3)
        chance = random.Random(5)
        spoilt = 0

        def spoil(data: bytes) -> bytes:
            nonlocal spoilt
            head = bytearray(data[:9])
            for i in range(len(head)):
                if chance.random() < 0.05:
                    head[i] ^= chance.randrange(1, 256)
                    spoilt += 1
            return bytes(head) + data[9:]

        proxy.down.spoil = spoil
        await asyncio.sleep(60 if TORTURE else 8)
        proxy.heal()
        proxy.reset()
        await found.flowing("r0", 10)
        record("modbus tcp corrupt headers", bytes_spoilt=spoilt, wrong=len(wrong(found)))
        assert spoilt > 0
        assert wrong(found) == []
        found.faultless()


async def test_corrupt_data_of_tcp_crashes_nothing(tmp_path: Path) -> None:
    """Modbus TCP has no check value: that of TCP and of the wire guard the data, and no one else.

    So a changed register cannot be known here, and no promise is made of it; how many there
    were is a figure. What is promised: nothing fails, the others go on, and it heals.
    """
    async with (
        TcpSlave(honest) as slave,
        Proxy(slave.port) as proxy,
        scene(FLOW, tmp_path, values(proxy.port)) as found,
    ):
        await found.flowing("r0", 3)
        before = len(found.good("wave"))
        proxy.up.corrupt = proxy.down.corrupt = 0.05
        await asyncio.sleep(60 if TORTURE else 6)
        proxy.heal()
        proxy.reset()
        await found.flowing("r0", 10)
        record("modbus tcp corrupt data", bytes_spoilt=proxy.down.spoilt, wrong=len(wrong(found)))
        assert proxy.down.spoilt > 0
        assert len(found.good("wave")) > before + 20
        found.faultless()


async def test_a_poll_that_was_missed_makes_its_window_uncertain(tmp_path: Path) -> None:
    """Late, then in time again: gap event, percent good below 100, feature uncertain."""
    late_s = 0.0

    def slow(tid: int, unit: int, pdu: bytes) -> list[tuple[float, bytes]]:
        return [(late_s, honest(tid, unit, pdu)[0][1])]

    scan = {"timeout": 3.0, "scan": 0.2, "tags": 'r0: "holding:0"'}
    async with (
        TcpSlave(slow) as slave,
        scene(FLOW, tmp_path, values(slave.port, **scan)) as found,
    ):
        await found.flowing("r0", 15)
        late_s = 1.0
        await asyncio.sleep(0.3)
        late_s = 0.0
        await found.until(
            lambda: [g for g in found.gaps("poll_missed") if g["missing"] >= 3], "the gap"
        )
        gap = next(g for g in found.gaps("poll_missed") if g["missing"] >= 3)
        assert "raise scan_s" in gap["text"]
        over = [
            at
            for at in range(gap["from"] // 10**9 * 10**9, gap["to"] + 10**9, 10**9)
            if at + 10**9 > gap["from"] and at < gap["to"]
        ]
        # A window is told at its end.
        await found.until(
            lambda: any(ts > over[-1] + 10**9 for _, ts, _, _ in found.rows("r0#mean")), "windows"
        )
        share = {ts: v for _, ts, v, _ in found.rows("r0#percent_good")}
        mean = {ts: q >> 30 for _, ts, _, q in found.rows("r0#mean")}
        partly = [ts for ts in share if share[ts] < 100]
        assert {at + 10**9 for at in over} & set(partly), "the window over the hole knows"
        assert all(mean[ts] == 1 for ts in partly), "and is Uncertain"
        told = [(g["from"], g["to"]) for g in found.gaps("poll_missed")]
        for ts in partly:
            assert any(a < ts and b > ts - 10**9 for a, b in told), "only where a gap was told"
        found.faultless()


async def test_one_dead_unit_of_32_costs_the_others_next_to_nothing(tmp_path: Path) -> None:
    """R17: less than 5 % of the time of the bus, and never a poll of theirs as Bad."""
    dead = 0

    def answer(tid: int, unit: int, pdu: bytes) -> list[tuple[float, bytes]]:
        return [] if unit == dead else honest(tid, unit, pdu)

    tags = ", ".join(f'r{i}: "{i + 1}!holding:{i}"' for i in range(UNITS))
    timing = values(0, tags=tags, scan=0.25)
    async with TcpSlave(answer) as slave:
        timing["port"] = slave.port
        async with scene(FLOW, tmp_path, timing) as found:
            await found.flowing("r31", 8)
            dead = 17
            await found.until(lambda: found.events("unit/lost"), "the dead unit is found")
            first = len(slave.requests)
            watch = Watch()
            await asyncio.sleep(120 if TORTURE else 12)
            seconds, requests = watch.s, slave.requests[first:]
            asked = sum(unit == dead for unit, _ in requests)
            cost = asked * timing["timeout"] / seconds
            others = sum(unit != dead for unit, _ in requests) / (UNITS - 1)
            share = others / (seconds / timing["scan"])
            record("modbus 1 dead of 32", bus_share=round(cost, 4), poll_rate=round(share, 3))
            # A try or two lie at the edges of the time that was measured.
            assert asked <= seconds / max(timing["breaker"], timing["timeout"] / 0.04) + 2
            assert timing["timeout"] / max(timing["breaker"], timing["timeout"] / 0.04) <= 0.05
            assert share > 0.5
            (lost,) = found.events("unit/lost")
            assert lost["unit"] == dead
            others_bad = [r for r in found.rows() if r[3] >> 30 == 2 and r[0] != "r16"]
            tolerated = {g["to"] for g in found.gaps("poll_missed")}
            assert len(others_bad) <= 2 * (UNITS - 1) * len(tolerated)
            dead = 0
            await found.until(lambda: found.events("unit/back"), "it is back")
            await found.until(lambda: found.gaps("device_silent"), "its gap is told")
            gap = found.gaps("device_silent")[-1]
            assert (gap["unit"], gap["tags"]) == (17, ["r16"])
            assert wrong(found) == []
            found.faultless()

"""Modbus slaves that misbehave: never a wrong value with quality Good, and the others go on."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway import Batch, ConfigError, Disconnected, Rejected, quality
from nodes.modbus import _pdu
from nodes.modbus._frame import mbap, rtu
from nodes.modbus._pdu import BadReply, DeviceError, NoReply, Refused, UnitAway
from tests.nodes.modbus_slaves import (
    RtuSlave,
    TcpSlave,
    connection_of,
    honest_rtu,
    honest_tcp,
    opened,
    read_reply,
    sink_of,
    source_of,
    values,
)

Sends = list[tuple[float, bytes]]


def tcp(change: Callable[[int, int, bytes], Sends]) -> Callable[[int, int, bytes], Sends]:
    """An answer that is hostile to address 66 and honest to all others."""

    def answer(tid: int, unit: int, pdu: bytes) -> Sends:
        if pdu[1:3] == struct.pack(">H", 66):
            return change(tid, unit, read_reply(pdu))
        return honest_tcp(tid, unit, pdu)

    return answer


HOSTILE: dict[str, Callable[[int, int, bytes], Sends]] = {
    "silent": lambda t, u, p: [],
    "wrong tid": lambda t, u, p: [(0, mbap(t + 1, u, p))],
    "tid zero": lambda t, u, p: [(0, mbap(0, u, p))],
    "wrong unit": lambda t, u, p: [(0, mbap(t, u + 1, p))],
    "too few registers": lambda t, u, p: [(0, mbap(t, u, p[:1] + bytes([2]) + p[2:4]))],
    "too many registers": lambda t, u, p: [(0, mbap(t, u, p[:1] + bytes([10]) + bytes(10)))],
    "no registers": lambda t, u, p: [(0, mbap(t, u, p[:1] + b"\0"))],
    "count lies": lambda t, u, p: [(0, mbap(t, u, p[:1] + bytes([40]) + p[2:]))],
    "other function": lambda t, u, p: [(0, mbap(t, u, b"\x04" + p[1:]))],
    "garbage": lambda t, u, p: [(0, b"\xde\xad\xbe\xef" * 5)],
    "huge length": lambda t, u, p: [(0, struct.pack(">HHHB", t, 0, 0xFFFF, u) + bytes(300))],
    "zero length": lambda t, u, p: [(0, struct.pack(">HHHB", t, 0, 0, u))],
    "close": lambda t, u, p: [(0, b"CLOSE")],
    "close in the middle": lambda t, u, p: [(0, mbap(t, u, p)[:9]), (0, b"CLOSE")],
    "half": lambda t, u, p: [(0, mbap(t, u, p)[:9])],
    **{
        f"exception {code}": lambda t, u, p, code=code: [(0, mbap(t, u, bytes((0x83, code))))]  # type: ignore[misc]  # bound now
        for code in (1, 2, 3, 4, 5, 6, 8, 10, 11, 99)
    },
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_tcp_slave_never_makes_a_value(name: str) -> None:
    """It fails, in words; and the next honest reply, in a new session if need be, is right."""
    async with TcpSlave(tcp(HOSTILE[name])) as slave:
        bus = connection_of(f"tcp://127.0.0.1:{slave.port}", timeout_s=0.15)
        await bus.open()
        for _ in range(2):
            with pytest.raises((DeviceError, Disconnected)) as failure:
                await bus.bus.ask(1, _pdu.read("holding", 66, 2))
            assert str(failure.value)
            for at in (0, 7):
                try:
                    data = await bus.bus.ask(1, _pdu.read("holding", at, 2))
                except Disconnected:
                    assert "gone" in await bus.lost()
                    await bus.close()
                    await bus.open()
                except NoReply:  # the half frame swallows what follows
                    assert name == "half"
                else:
                    assert data == struct.pack(">HH", at, at + 1)
        await bus.close()


async def test_the_failures_have_their_own_words_and_qualities() -> None:
    """What a person reads, and what the tags become."""
    wanted = {
        "silent": (NoReply, quality.BAD_NO_COMMUNICATION, "did not answer within 0.15 s"),
        "wrong unit": (BadReply, quality.BAD_NO_COMMUNICATION, "unit 2 answered instead of 1"),
        "too few registers": (BadReply, quality.BAD_NO_COMMUNICATION, "has 4 bytes and should"),
        "exception 2": (Refused, quality.BAD_CONFIGURATION, "illegal data address"),
        "exception 4": (Refused, quality.BAD_DEVICE_FAILURE, "device failure"),
        "exception 6": (Refused, quality.BAD_NO_COMMUNICATION, "busy"),
        "exception 11": (Refused, quality.BAD_NO_COMMUNICATION, "the unit is off or absent"),
    }
    for name, (kind, status, words) in wanted.items():
        async with (
            TcpSlave(tcp(HOSTILE[name])) as slave,
            opened(f"tcp://127.0.0.1:{slave.port}", timeout_s=0.15) as bus,
        ):
            with pytest.raises(kind, match=words) as failure:
                await bus.bus.ask(1, _pdu.read("holding", 66, 2))
            assert failure.value.quality == status


async def test_transaction_zero_is_taken_where_a_person_allows_it() -> None:
    def zero(tid: int, unit: int, pdu: bytes) -> Sends:
        return [(0, mbap(0, unit, read_reply(pdu)))]

    async with TcpSlave(zero) as slave:
        address = f"tcp://127.0.0.1:{slave.port}"
        async with opened(address, accept_tid_zero=True) as bus:
            assert await bus.bus.ask(1, _pdu.read("holding", 9, 1)) == b"\0\x09"


async def test_byte_by_byte_and_two_in_one() -> None:
    def dribble(tid: int, unit: int, pdu: bytes) -> Sends:
        return [(0.002, bytes((byte,))) for byte in mbap(tid, unit, read_reply(pdu))]

    def doubled(tid: int, unit: int, pdu: bytes) -> Sends:
        late = mbap(tid - 1, unit, read_reply(pdu, lambda at: 999))
        return [(0, late + mbap(tid, unit, read_reply(pdu)) + late)]

    for answer in (dribble, doubled):
        async with TcpSlave(answer) as slave, opened(f"tcp://127.0.0.1:{slave.port}") as bus:
            for at in (3, 4, 5):
                got = await bus.bus.ask(1, _pdu.read("holding", at, 2))
                assert got == struct.pack(">HH", at, at + 1)


@pytest.mark.parametrize("kind", ["tcp", "tid zero", "rtu", "rtu+tcp"])
async def test_a_late_reply_never_becomes_the_next_value(kind: str) -> None:
    """150 reads, 20 % of the replies late by up to 6 quiet times: not one is wrong."""
    chance = random.Random(7)

    def answer(tid: int, unit: int, pdu: bytes) -> Sends:
        late = chance.uniform(0.05, 0.12) if chance.random() < 0.2 else 0.0
        reply = read_reply(pdu)
        if kind == "tcp":
            return [(late, mbap(tid, unit, reply))]
        return [(late, mbap(0, unit, reply) if kind == "tid zero" else rtu(unit, reply))]

    config: dict[str, Any] = {"timeout_s": 0.04, "quiet_s": 0.02, "breaker_failures": 100}
    if kind == "rtu":
        async with RtuSlave(answer) as rtu_slave, opened(f"rtu:{rtu_slave.path}", **config) as bus:
            good, failed = await _read_150(bus)
        assert rtu_slave.overlaps == 0
    else:
        framing = "rtu" if kind == "rtu+tcp" else "tcp"
        async with TcpSlave(answer, framing, in_order=kind != "tcp") as slave:
            scheme = "rtu+tcp" if kind == "rtu+tcp" else "tcp"
            config["accept_tid_zero"] = kind == "tid zero"
            bus = connection_of(f"{scheme}://127.0.0.1:{slave.port}", **config)
            await bus.open()
            good, failed = await _read_150(bus)
            await bus.close()
    assert good + failed == 150
    assert failed >= 10
    assert good >= 80


async def _read_150(bus: Any) -> tuple[int, int]:
    good = failed = 0
    for i in range(150):
        at, count = 10 * i, 1 if i % 3 == 0 else 2
        try:
            data = await bus.bus.ask(1, _pdu.read("holding", at, count))
        except Disconnected:
            failed += 1
            await bus.close()
            await bus.open()
        except DeviceError:
            failed += 1
        else:
            good += 1
            assert data == struct.pack(f">{count}H", *range(at, at + count))
    return good, failed


RTU_HOSTILE: dict[str, Callable[[bytes], Sends]] = {
    "silent": lambda f: [],
    "bad check value": lambda f: [(0, f[:-1] + bytes((f[-1] ^ 1,)))],
    "a bit flipped": lambda f: [(0, f[:4] + bytes((f[4] ^ 8,)) + f[5:])],
    "wrong unit": lambda f: [(0, rtu(9, f[1:-2]))],
    "other function": lambda f: [(0, rtu(f[0], b"\x04" + f[2:-2]))],
    "too few registers": lambda f: [(0, rtu(f[0], b"\x03\x02\x00\x05"))],
    "too many registers": lambda f: [(0, rtu(f[0], b"\x03\x08" + bytes(8)))],
    "half": lambda f: [(0, f[:4])],
    "noise": lambda f: [(0, bytes(range(256)) * 2)],
    "exception": lambda f: [(0, rtu(f[0], b"\x83\x04"))],
}


@pytest.mark.parametrize("name", RTU_HOSTILE)
async def test_a_hostile_rtu_slave_never_makes_a_value(name: str) -> None:
    def answer(tid: int, unit: int, pdu: bytes) -> Sends:
        frame = rtu(unit, read_reply(pdu))
        hostile = pdu[1:3] == struct.pack(">H", 66)
        return RTU_HOSTILE[name](frame) if hostile else [(0, frame)]

    async with (
        RtuSlave(answer) as slave,
        opened(f"rtu:{slave.path}", timeout_s=0.05, quiet_s=0.02) as bus,
    ):
        for _ in range(2):
            with pytest.raises(DeviceError):
                await bus.bus.ask(1, _pdu.read("holding", 66, 2))
            for at in (0, 7):
                data = await bus.bus.ask(1, _pdu.read("holding", at, 2))
                assert data == struct.pack(">HH", at, at + 1)


async def test_noise_before_and_a_dribble_do_not_hurt_rtu() -> None:
    def answer(tid: int, unit: int, pdu: bytes) -> Sends:
        noise = b"\x00\xff" + bytes((unit, 3, 4)) + b"\x81"
        return [(0.001, bytes((b,))) for b in noise + rtu(unit, read_reply(pdu))]

    async with RtuSlave(answer) as slave, opened(f"rtu:{slave.path}", baud=115200) as bus:
        for at in (1, 2, 3):
            got = await bus.bus.ask(1, _pdu.read("holding", at, 2))
            assert got == struct.pack(">HH", at, at + 1)


async def test_one_dead_unit_of_eight_hardly_slows_the_others() -> None:
    """Polls of the seven, with and without a dead eighth, over the same number of rounds."""

    def answer(tid: int, unit: int, pdu: bytes) -> Sends:
        return [] if unit == 8 else honest_rtu(tid, unit, pdu)

    async with RtuSlave(answer) as slave:
        config = {"timeout_s": 0.05, "quiet_s": 0.01, "breaker_s": 2.0, "baud": 115200}
        async with opened(f"rtu:{slave.path}", **config) as bus:
            tags = {f"u{u}": f"{u}!holding:0" for u in range(1, 9)}
            source = source_of(bus, tags, scan_s=0.02)
            await source.connect()
            events = []
            good = 0
            for _ in range(60):
                outputs = (await source.read()).outputs
                found = values(source, outputs)
                assert found.pop("u8")[1] == quality.BAD_NO_COMMUNICATION
                good += sum(status == quality.GOOD for _, status in found.values())
                events += outputs.get("status", ())
            asked = [unit for unit, _ in slave.requests]
            assert good == 60 * 7
            assert asked.count(8) <= 3 + 2  # the breaker's three, and its rare tries
            assert [e.data["unit"] for e in events if e.topic == "unit/lost"] == [8]
            assert bus.bus.breaker.is_away(8)
            with pytest.raises(UnitAway):
                await bus.bus.ask(8, _pdu.read("holding", 0, 1))
    warnings = [text for level, text in source.ctx.said if level == "warning"]
    assert len(warnings) == 1
    assert "unit 8 does not answer. Is it switched on" in warnings[0]


async def test_a_unit_that_comes_back_is_told_with_its_gap() -> None:
    dead = True

    def answer(tid: int, unit: int, pdu: bytes) -> Sends:
        return [] if dead and unit == 2 else honest_tcp(tid, unit, pdu)

    async with TcpSlave(answer) as slave:
        config = {"timeout_s": 0.02, "breaker_s": 0.5, "breaker_failures": 2}
        async with opened(f"tcp://127.0.0.1:{slave.port}", **config) as bus:
            source = source_of(bus, {"a": "1!holding:4", "b": "2!holding:5"}, scan_s=0.05)
            await source.connect()
            dead = False
            assert values(source, (await source.read()).outputs)["b"] == (5, 0)
            dead = True
            for _ in range(4):
                assert values(source, (await source.read()).outputs)["b"][1] >> 30 == 2
            dead = False
            topics: list[str] = []
            status = quality.BAD
            while status != quality.GOOD:
                outputs = (await source.read()).outputs
                assert values(source, outputs)["a"] == (4, 0)
                status = values(source, outputs)["b"][1]
                topics += [event.topic for event in outputs.get("status", ())]
            assert topics == ["source/gap", "unit/back"]


async def test_a_silent_block_is_left_alone_while_its_unit_goes_on() -> None:
    """Some devices do not answer at all to what they do not have."""

    def answer(tid: int, unit: int, pdu: bytes) -> Sends:
        return [] if pdu[0] == 4 else honest_tcp(tid, unit, pdu)

    async with (
        TcpSlave(answer) as slave,
        opened(f"tcp://127.0.0.1:{slave.port}", timeout_s=0.02) as bus,
    ):
        source = source_of(bus, {"a": "holding:4", "b": "input:5"}, scan_s=0.03)
        await source.connect()
        for _ in range(8):
            found = values(source, (await source.read()).outputs)
            assert found["a"] == (4, 0)
            assert found["b"][1] == quality.BAD_NO_COMMUNICATION
        assert sum(pdu[0] == 4 for _, pdu in slave.requests) == 3


async def test_a_session_without_a_byte_back_is_given_up() -> None:
    async with (
        TcpSlave(lambda t, u, p: []) as slave,
        opened(f"tcp://127.0.0.1:{slave.port}", timeout_s=0.02) as bus,
    ):
        for _ in range(3):
            with pytest.raises(NoReply):
                await bus.bus.ask(1, _pdu.read("holding", 0, 1))
        assert "3 requests in a row had no reply" in await bus.lost()


async def test_a_scan_that_is_too_short_is_a_gap_with_advice() -> None:
    def slow(tid: int, unit: int, pdu: bytes) -> Sends:
        return [(0.1, mbap(tid, unit, read_reply(pdu)))]

    async with TcpSlave(slow) as slave, opened(f"tcp://127.0.0.1:{slave.port}") as bus:
        source = source_of(bus, {"a": "holding:4"}, scan_s=0.02)
        await source.connect()
        gaps = []
        for _ in range(3):
            gaps += (await source.read()).outputs.get("status", ())
        assert [event.data["cause"] for event in gaps] == ["poll_missed"] * len(gaps)
        assert "raise scan_s" in gaps[0].data["text"]
        assert gaps[0].data["missing"] >= 3


async def test_writes_overtake_polls_that_wait() -> None:
    order: list[int] = []

    def answer(tid: int, unit: int, pdu: bytes) -> Sends:
        order.append(pdu[0])
        reply = read_reply(pdu) if pdu[0] == 3 else pdu
        return [(0.01, mbap(tid, unit, reply))]

    async with TcpSlave(answer) as slave, opened(f"tcp://127.0.0.1:{slave.port}") as bus:
        sink = sink_of(bus, {"w": "holding:3"})
        await sink.connect()
        row = (sink.ctx.tags.code("w"), sink.ctx.clock.now(), 5.0, 0)
        polls = [bus.bus.ask(1, _pdu.read("holding", i, 1)) for i in range(4)]
        await asyncio.gather(*polls, sink.write(Batch.of([row]), "in"))
    assert order == [3, 6, 3, 3, 3]


async def test_a_poll_that_is_cancelled_leaves_no_late_reply() -> None:
    """A flow that is stopped in the middle of a request does not spoil those that go on."""

    def answer(tid: int, unit: int, pdu: bytes) -> Sends:
        return [(0.03, rtu(unit, read_reply(pdu)))]

    async with (
        RtuSlave(answer) as slave,
        opened(f"rtu:{slave.path}", quiet_s=0.01, timeout_s=0.2) as bus,
    ):
        for at in range(0, 50, 5):
            asking = asyncio.get_running_loop().create_task(
                bus.bus.ask(1, _pdu.read("holding", at, 2))
            )
            await asyncio.sleep(0.015)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            got = await bus.bus.ask(1, _pdu.read("holding", at + 1, 2))
            assert got == struct.pack(">HH", at + 1, at + 2)


async def test_a_write_without_a_reply_is_said_and_never_repeated() -> None:
    async with TcpSlave(lambda t, u, p: []) as slave:
        async with opened(f"tcp://127.0.0.1:{slave.port}", timeout_s=0.03) as bus:
            sink = sink_of(bus, {"w": "holding:3"})
            await sink.connect()
            row = (sink.ctx.tags.code("w"), sink.ctx.clock.now(), 5.0, 0)
            with pytest.raises(Rejected, match="may or may not be written; it is not repeated"):
                await sink.write(Batch.of([row]), "in")
        assert len(slave.requests) == 1


async def test_a_wrong_read_back_is_refused() -> None:
    def stubborn(tid: int, unit: int, pdu: bytes) -> Sends:
        return [(0, mbap(tid, unit, read_reply(pdu) if pdu[0] == 3 else pdu[:5]))]

    async with TcpSlave(stubborn) as slave, opened(f"tcp://127.0.0.1:{slave.port}") as bus:
        sink = sink_of(bus, {"w": "holding:3 uint32"}, verify=True)
        await sink.connect()
        row = (sink.ctx.tags.code("w"), sink.ctx.clock.now(), 5.0, 0)
        with pytest.raises(Rejected, match="holds 00030004, not 00000005"):
            await sink.write(Batch.of([row]), "in")


async def test_a_device_that_takes_one_master_at_a_time() -> None:
    """With close_after_idle_s the session ends by itself and comes back with the next poll."""
    async with TcpSlave(honest_tcp) as slave:
        address = f"tcp://127.0.0.1:{slave.port}"
        async with opened(address, close_after_idle_s=0.02) as bus:
            source = source_of(bus, {"a": "holding:4"}, scan_s=0.1)
            await source.connect()
            for _ in range(3):
                assert values(source, (await source.read()).outputs) == {"a": (4, 0)}
    assert slave.sessions == 3


async def test_the_port_is_pulled_and_is_not_there(tmp_path: Path) -> None:
    async with RtuSlave(honest_rtu) as slave:
        link = tmp_path / "ttyUSB0"
        link.symlink_to(slave.path)
        bus = connection_of(f"rtu:{link}", timeout_s=0.1)
        await bus.open()
        source = source_of(bus, {"a": "holding:4"}, scan_s=0.02)
        await source.connect()
        assert values(source, (await source.read()).outputs) == {"a": (4, 0)}
        slave.unplug()
        with pytest.raises(Disconnected, match=r"gone|not connected"):
            for _ in range(3):
                await source.read()
        assert "was pulled out or its other end closed" in await bus.lost()
        await bus.close()
    link.unlink()
    with pytest.raises(Disconnected, match=r"There is no port .*Is it plugged in"):
        await bus.open()
    async with RtuSlave(honest_rtu) as slave:
        link.symlink_to(slave.path)
        await bus.open()
        await source.connect()
        assert values(source, (await source.read()).outputs) == {"a": (4, 0)}
        other = connection_of(f"rtu:{link}")
        with pytest.raises(Disconnected, match="in use by another program"):
            await other.open()
        await bus.close()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tcp://nowhere.invalid:502", r"not known|cannot be reached"),
        ("rtu:/etc/hostname", "cannot be opened"),
    ],
)
async def test_a_wrong_address_is_told_in_words(address: str, words: str) -> None:
    bus = connection_of(address)
    with pytest.raises((Disconnected, ConfigError), match=words):
        await bus.open()
    await bus.close()


@pytest.mark.parametrize("address", ["10.0.0.5", "tcp://", "tcp://a:99999", "udp://a:1", "rtu:"])
def test_an_impossible_address_is_refused_by_lint(address: str) -> None:
    with pytest.raises(ValidationError, match="no Modbus address"):
        connection_of(address)


async def test_a_broadcast_is_refused() -> None:
    async with RtuSlave(honest_rtu) as slave, opened(f"rtu:{slave.path}") as bus:
        with pytest.raises(ConfigError, match="broadcast"):
            await sink_of(bus, {"w": "holding:3"}, unit=0).connect()

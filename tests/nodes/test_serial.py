"""Serial devices on pty pairs: framing, noise, unplugging, questions and answers."""

from __future__ import annotations

import asyncio
import contextlib
import doctest
import importlib
import os
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway import Batch, ConfigError, Disconnected, Rejected, quality
from gateway.engine.clock import SystemClock
from gateway.flow.harness import BenchContext, make
from nodes.serial._fields import FieldRule
from nodes.serial._framing import Delimited, FixedLength, Framer, Idle, Pattern
from nodes.serial._port import Stream
from nodes.serial.connection import SerialConnection
from nodes.serial.sink import SerialSink
from nodes.serial.source import SerialSource


@pytest.mark.parametrize("name", ["_framing", "_fields", "_port"])
def test_doctests(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"nodes.serial.{name}")).failed == 0


@dataclass
class LiveContext(BenchContext):
    clock: Any = field(default_factory=SystemClock)
    connections: dict[str, Any] = field(default_factory=dict)

    def connection(self, kind: type[Any], name: str) -> Any:
        assert isinstance(self.connections[name], kind)
        return self.connections[name]


class Device:
    """The far end of a pty: what a device would send and hear."""

    def __init__(self) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self.heard = b""

    def say(self, data: bytes) -> None:
        os.write(self.master, data)

    def answer(self, reply: Callable[[bytes], bytes]) -> None:
        """Answer every line that comes."""

        def on_data() -> None:
            data = os.read(self.master, 4096)
            self.heard += data
            os.write(self.master, reply(data))

        asyncio.get_running_loop().add_reader(self.master, on_data)

    def unplug(self) -> None:
        if self.master >= 0:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(self.master)
            os.close(self.master)
            os.close(self._slave)
            self.master = -1


@pytest.fixture
def device() -> Iterator[Device]:
    made = Device()
    yield made
    made.unplug()


WEIGHT = {"tags": {"scale/weight": {"field": "1", "unit": "kg"}}}


@contextlib.asynccontextmanager
async def reading(port: str, config: dict[str, Any]) -> Any:
    """A source that listens, connected as the engine does it."""
    line = make(SerialConnection, {"port": port}, LiveContext(node_id="line"))
    source = make(
        SerialSource,
        {"connection": "line", "idle_s": 0.02, **config},
        LiveContext(node_id="scale", connections={"line": line}),
    )
    await line.open()
    await source.connect()
    await asyncio.sleep(0.03)  # so that the first line is seen from its begin
    try:
        yield source
    finally:
        await source.close()
        await line.close()


def found(source: Any, outputs: Any) -> list[tuple[str, float, int]]:
    if "out" not in outputs:
        return []
    return [(source.ctx.tags.name(c), v, q) for c, _, v, q in outputs["out"].rows()]


async def collect(source: Any, rows: int) -> tuple[list[tuple[str, float, int]], list[Any]]:
    """Read until so many rows came; also the events."""
    got: list[tuple[str, float, int]] = []
    events: list[Any] = []
    while len(got) < rows:
        outputs = (await source.read()).outputs
        got += found(source, outputs)
        events += outputs.get("status", ())
    return got, events


async def test_lines_in_pieces_and_in_one_breath(device: Device) -> None:
    async with reading(device.path, {**WEIGHT, "delimiter": "\r\n"}) as source:
        for piece in (b"1", b"2.5k", b"g\r", b"\n13 kg\r\n", b"14\r\n15\r\n16"):
            device.say(piece)
            await asyncio.sleep(0.005)
        got, events = await collect(source, 4)
        assert [value for _, value, _ in got] == [12.5, 13.0, 14.0, 15.0]
        assert events == []
        device.say(b".5\r\n")
        assert (await collect(source, 1))[0] == [("scale/weight", 16.5, 0)]


async def test_two_lines_in_one_breath_have_two_times(device: Device) -> None:
    async with reading(device.path, WEIGHT) as source:
        device.say(b"1\n2\n3\n")
        batch = (await source.read()).outputs["out"]
        assert len(set(batch.ts.tolist())) == 3
        assert abs(int(batch.ts[0]) - source.ctx.clock.now()) < 5_000_000_000


async def test_a_line_caught_in_the_middle_is_passed_over(device: Device) -> None:
    """ "12.5" whose begin was not heard would be a good 2.5."""
    line = make(SerialConnection, {"port": device.path}, LiveContext())
    source = make(
        SerialSource,
        {"connection": "line", **WEIGHT, "idle_s": 5},
        LiveContext(connections={"line": line}),
    )
    await line.open()
    await source.connect()
    device.say(b"2.5\n13.0\n")
    got, _ = await collect(source, 1)
    assert got == [("scale/weight", 13.0, 0)]
    assert source.ctx.counts == {"partial": 1}
    await line.close()


async def test_named_groups_words_and_units(device: Device) -> None:
    config = {
        "pattern": r"(?P<state>ST|US),GS,(?P<weight>[-+ ]*[\d,.]+ *\w+)",
        "decimal": ",",
        "tags": {
            "w": {"field": "weight", "unit": "kg", "units": {"kg": 1, "g": 0.001}},
            "stable": {"field": "state", "words": {"ST": 1, "US": 0}},
        },
    }
    async with reading(device.path, config) as source:
        device.say(b"ST,GS,+  12,50kg\nUS,GS,- 300 g\nST,GS,1 lb\n")
        got, _ = await collect(source, 6)
        assert got[:4] == [("w", 12.5, 0), ("stable", 1, 0), ("w", -0.3, 0), ("stable", 0, 0)]
        assert got[4][2] == quality.BAD_DECODING
        assert got[5] == ("stable", 1, 0)


async def test_noise_wrong_bytes_and_oversize_are_told_once_and_lose_nothing(
    device: Device,
) -> None:
    async with reading(device.path, {**WEIGHT, "frame_bytes_max": 32}) as source:
        device.say(b"1\nhello\x00there\n")
        await asyncio.sleep(0.02)
        device.say(b"\xff\xfe7\n" + b"x" * 500)
        await asyncio.sleep(0.02)
        device.say(b"y" * 500 + b"\n\x81\n2 kg\n")
        got, events = await collect(source, 3)
        assert [(value, status) for _, value, status in got] == [
            (1.0, 0),
            (pytest.approx(float("nan"), nan_ok=True), quality.BAD_DECODING),
            (2.0, 0),
        ]
        counts = source.ctx.counts
        assert counts["refused"] == 3
        assert counts["dropped_bytes"] == 1000
        assert [event.topic for event in events] == ["payload/refused", "source/gap"]
        assert events[1].data["cause"] == "not_understood"
        assert "has no number where one should be: 'hello" in events[0].data["text"]
        assert [level for level, _ in source.ctx.said] == ["warning"]
        device.say(b"\xff\xfe7\n8\n")
        _, events = await collect(source, 1)
        assert "is not ascii: '\\\\xff\\\\xfe7'" in events[0].data["text"]


@pytest.mark.parametrize(
    ("config", "sent", "wanted"),
    [
        ({"frame": "length", "length": 5, "start": "$"}, b"xx$0012$0034..$0056", [12, 34, 56]),
        ({"frame": "regex", "frame_pattern": r"W\d+;?", "start": "W"}, b"..W12;..W13 W14",
         [12, 13, 14]),
        ({"frame": "delimiter", "delimiter": "\x03", "start": "\x02"},
         b"99\x02noise\x021\x03\x022\x03", [1, 2]),
    ],
)  # fmt: skip
async def test_other_framings(
    device: Device, config: dict[str, Any], sent: bytes, wanted: list[float]
) -> None:
    pattern = {"pattern": r"(?P<n>\d+)", "tags": {"n": "n"}}
    async with reading(device.path, {**pattern, **config}) as source:
        for i in range(0, len(sent), 4):
            device.say(sent[i : i + 4])
            await asyncio.sleep(0.001)
        got, _ = await collect(source, len(wanted))
        assert [value for _, value, _ in got] == wanted


async def test_a_pause_ends_a_message(device: Device) -> None:
    async with reading(device.path, {**WEIGHT, "frame": "idle"}) as source:
        for sent, wanted in ((b"12.5", 12.5), (b"13 kg", 13.0)):
            device.say(sent)
            assert (await collect(source, 1))[0] == [("scale/weight", wanted, 0)]


async def test_unplugged_and_plugged_in_again(tmp_path: Path) -> None:
    """A USB adapter that goes and comes back under the same name: one GAP, no restart."""
    link = tmp_path / "ttyUSB0"
    first = Device()
    link.symlink_to(first.path)
    line = make(SerialConnection, {"port": str(link)}, LiveContext())
    ctx = LiveContext(node_id="scale", connections={"line": line})
    source = make(SerialSource, {"connection": "line", "idle_s": 0.01, **WEIGHT}, ctx)
    await line.open()
    await source.connect()
    await asyncio.sleep(0.02)
    first.say(b"1\n")
    last = (await source.read()).position["ts"]
    first.say(b"2\n")
    await asyncio.sleep(0.02)
    first.unplug()
    why = await line.lost()
    assert "was pulled out or its other end closed" in why
    assert found(source, (await source.read()).outputs) == [("scale/weight", 2.0, 0)]
    with pytest.raises(Disconnected, match="is gone"):
        await source.read()
    await source.close()
    await line.close()
    link.unlink()
    with pytest.raises(Disconnected, match=r"There is no port .*Is it plugged in"):
        await line.open()
    with pytest.raises(Disconnected, match="is not open"):
        await source.connect()
    await source.close()

    second = Device()
    link.symlink_to(second.path)
    await line.open()
    await source.connect()
    await asyncio.sleep(0.02)
    second.say(b"3\n")
    got, events = await collect(source, 1)
    assert got == [("scale/weight", 3.0, 0)]
    assert [event.topic for event in events] == ["source/gap"]
    assert events[0].data["from"] > last
    assert events[0].data["cause"] == "disconnected"
    other = make(SerialConnection, {"port": str(link)}, LiveContext())
    with pytest.raises(Disconnected, match="in use by another program"):
        await other.open()
    await line.close()
    second.unplug()


async def test_a_silent_device_is_bad_once_and_its_return_a_gap(device: Device) -> None:
    async with reading(device.path, {**WEIGHT, "silent_s": 0.05}) as source:
        device.say(b"1\n")
        got, _ = await collect(source, 1)
        assert got[0][1:] == (1.0, 0)
        got, events = await collect(source, 1)
        assert got[0][2] == quality.BAD_NO_COMMUNICATION
        assert [event.topic for event in events] == ["device/lost"]
        assert "Is it switched on" in events[0].data["text"]
        device.say(b"2\n")
        got, events = await collect(source, 1)
        assert got[0][1:] == (2.0, 0)
        assert [event.topic for event in events] == ["source/gap", "device/back"]


async def test_a_device_that_is_asked(device: Device) -> None:
    answers = iter([b"10 kg\r\n", b"", b"", b"11 kg\r\n"])
    async with reading(
        device.path, {**WEIGHT, "ask": "W\r\n", "scan_s": 0.1, "timeout_s": 0.04}
    ) as source:
        device.answer(lambda data: next(answers, b"12 kg\r\n"))
        got, events = await collect(source, 4)
    assert [status for _, _, status in got] == [0, *[quality.BAD_NO_COMMUNICATION] * 2, 0]
    assert (got[0][1], got[3][1]) == (10.0, 11.0)
    assert [event.topic for event in events] == ["device/lost", "source/gap", "device/back"]
    assert "No answer on" in events[0].data["text"]
    assert device.heard.startswith(b"W\r\nW\r\nW\r\nW\r\n")


async def test_a_busy_flow_loses_the_oldest_with_a_gap_and_no_wrong_value(
    device: Device,
) -> None:
    line = make(SerialConnection, {"port": device.path, "stream_bytes_max": 64}, LiveContext())
    source = make(
        SerialSource,
        {"connection": "line", "idle_s": 0.01, **WEIGHT},
        LiveContext(connections={"line": line}),
    )
    await line.open()
    await source.connect()
    await asyncio.sleep(0.02)
    for k in range(100):
        device.say(f"1000{k:02}.25\n".encode())
        await asyncio.sleep(0.001)
    outputs = (await source.read()).outputs
    assert all(100000.25 <= value <= 100099.25 for _, value, _ in found(source, outputs))
    assert [event.topic for event in outputs["status"]] == ["source/gap"]
    assert source.ctx.counts["dropped_bytes"] > 500
    await line.close()


def sink_on(line: Any, **config: Any) -> Any:
    ctx = LiveContext(node_id="out", connections={"line": line})
    tags = {"sp": {"line": "SP {value:.1f}\r\n", "min": 0, "max": 250}}
    return make(SerialSink, {"connection": "line", "tags": tags, **config}, ctx)


async def test_lines_are_sent_and_their_answer_is_checked(device: Device) -> None:
    line = make(SerialConnection, {"port": device.path}, LiveContext())
    await line.open()
    sink = sink_on(line, answer="OK", timeout_s=0.1)
    await sink.connect()
    replies = iter([b"OK\r\n", b"ERR 7\r\n"])
    device.answer(lambda data: next(replies, b""))
    now = sink.ctx.clock.now()
    code = sink.ctx.tags.code("sp")
    rows = [(code, now, 10.0, 0), (code, now + 1, 21.55, 0), (code, now, float("nan"), 0)]
    await sink.write(Batch.of(rows), "in")
    assert device.heard == b"SP 21.6\r\n"
    for value, words in ((30.0, "'ERR 7"), (31.0, "the answer was ''"), (251.0, "its limits")):
        with pytest.raises(Rejected, match=words):
            await sink.write(Batch.of([(code, sink.ctx.clock.now(), value, 0)]), "in")
    old = sink.ctx.clock.now() - 60_000_000_000
    await sink.write(Batch.of([(code, old, 5.0, 0)]), "in")
    assert device.heard == b"SP 21.6\r\nSP 30.0\r\nSP 31.0\r\n"
    assert sink.ctx.counts == {
        "written": 1, "dropped_bad": 1, "dropped_stale": 1, "dropped_limit": 1,
    }  # fmt: skip
    await line.close()
    with pytest.raises(Disconnected):
        await sink.write(Batch.of([(code, sink.ctx.clock.now(), 5.0, 0)]), "in")


async def test_a_line_never_falls_between_a_question_and_its_answer(device: Device) -> None:
    """Everything that comes is a whole line, and each answer belongs to its question."""
    line = make(SerialConnection, {"port": device.path}, LiveContext())
    await line.open()
    ctx = LiveContext(connections={"line": line})
    asked = {"connection": "line", "ask": "W\r\n", "scan_s": 0.005, **WEIGHT}
    source = make(SerialSource, asked, ctx)
    sink = sink_on(line, answer="OK")
    heard: list[bytes] = []

    def reply(data: bytes) -> bytes:
        heard.append(data)
        return b"10 kg\r\n" if data == b"W\r\n" else b"OK\r\n"

    device.answer(reply)
    await source.connect()
    await sink.connect()

    async def write() -> None:
        for k in range(20):
            code, now = sink.ctx.tags.code("sp"), sink.ctx.clock.now()
            await sink.write(Batch.of([(code, now, float(k), 0)]), "in")
            await asyncio.sleep(0.002)

    got, _ = (await asyncio.gather(collect(source, 20), write()))[0]
    assert got == [("scale/weight", 10.0, 0)] * len(got)
    assert set(heard) == {b"W\r\n", *(f"SP {k}.0\r\n".encode() for k in range(20))}
    await line.close()


async def test_a_serial_server_over_tcp() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(b"7.5 kg\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with reading(f"tcp://127.0.0.1:{port}", WEIGHT) as source:
        assert (await collect(source, 1))[0] == [("scale/weight", 7.5, 0)]
    server.close()
    line = make(SerialConnection, {"port": f"tcp://127.0.0.1:{port}"}, LiveContext())
    with pytest.raises(Disconnected, match=r"refuses the connection\. Is its serial server on"):
        await line.open()


async def test_what_is_no_port_is_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    line = make(SerialConnection, {"port": str(path)}, LiveContext())
    with pytest.raises((Disconnected, ConfigError), match="cannot be opened"):
        await line.open()


def test_permission_denied_names_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run as root, so only the words can be looked at."""
    from nodes._line import why_not_open

    assert "group dialout" in why_not_open("/dev/ttyS0", PermissionError(13, "Permission denied"))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"tags": {"a": "weight"}}, "field is a column from 1"),
        ({"tags": {"a": "x"}, "pattern": "(?P<w>.)"}, "no group 'x', but w"),
        ({"tags": {"a": "1"}, "pattern": "("}, "no regular expression"),
        ({"tags": {"a": "1"}, "frame": "length"}, "needs a length"),
        ({"tags": {"a": "1"}, "frame": "regex"}, "needs a frame_pattern"),
        ({"tags": {"a": "1"}, "encoding": "klingon"}, "no encoding"),
    ],
)
def test_a_wrong_config_is_refused_with_words(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        make(SerialSource, {"connection": "line", **config}, LiveContext())


def test_a_template_takes_only_its_three_names() -> None:
    with pytest.raises(ValidationError, match=r"only {value}, {tag} and {unit}"):
        make(SerialSink, {"connection": "l", "tags": {"a": "{value.__class__}"}}, LiveContext())


FRAMERS: dict[str, Callable[[], Framer]] = {
    "delimited": lambda: Delimited(b"\r\n", 12),
    "length": lambda: FixedLength(5, b"$"),
    "pattern": lambda: Pattern(rb"W[0-9]{1,6}", 24),
    "idle": lambda: Idle(12),
}


@pytest.mark.parametrize("name", FRAMERS)
@given(
    parts=st.lists(
        st.sampled_from([b"ab", b"\r", b"\n", b"\r\n", b"$", b"W", b"12", b"x" * 9, b"", b"\xff"]),
        max_size=30,
    )
)
def test_framing_is_the_same_however_it_is_cut_and_keeps_little(
    name: str, parts: list[bytes]
) -> None:
    """Byte by byte and in pieces the frames are those of the whole, and memory is bounded."""
    pieces, bytewise = FRAMERS[name](), FRAMERS[name]()
    data = b"".join(parts)
    one = [frame for part in parts for frame in pieces.feed(part)] + pieces.flush()
    two = [f for i in range(len(data)) for f in bytewise.feed(data[i : i + 1])] + bytewise.flush()
    assert one == two
    assert pieces.dropped == bytewise.dropped
    assert sum(map(len, one)) + pieces.dropped <= len(data)
    for _ in range(50):
        pieces.feed(b"z" * 100)
    assert len(pieces._rest) <= 24  # type: ignore[attr-defined]  # every framer has one


@given(st.text(max_size=40))
def test_any_text_is_a_number_or_bad(text: str) -> None:
    value, status = FieldRule("a", unit="kg").value(text)
    assert (value == value and status == 0) or status == quality.BAD_DECODING


async def test_a_stream_is_bounded() -> None:
    stream = Stream(10)
    for k in range(5):
        stream.put(k, b"abcd")
    assert stream.dropped == 12
    assert [ts for ts, _ in await stream.take()] == [3, 4]
    assert await stream.take(0.001) == []

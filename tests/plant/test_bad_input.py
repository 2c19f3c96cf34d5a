"""What is wrong from outside: each thing is told and counted, and stops nothing else."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import aiomqtt
import orjson
import pytest

from gateway.engine.clock import SystemClock
from gateway.plant.plant import Plant
from tests.plant.product import Product, broker, can_mount, changes, free_port, until, variables

pytestmark = [pytest.mark.plant, pytest.mark.slow]

WAVE = """flow: wave
version: 1
nodes:
  wave: {type: simulate.source, tag: hall/wave, every_s: 0.1}
  high: {type: alarm.limit, tags: hall/wave, hi: -1}
  history: {type: sqlite.sink, folder: history}
wires:
  - wave -> history
  - wave -> high
"""
NUMBERS = """flow: numbers
version: 1

connections:
  broker: {type: mqtt.connection, url: "${mqtt_url}"}

nodes:
  numbers:
    type: mqtt.source
    connection: broker
    topics: ["test/{name}"]
    tag: "test/{name}"
  high: {type: alarm.limit, tags: test/good, hi: 0}
  history: {type: sqlite.sink, folder: history}

wires:
  - numbers -> high
  - numbers -> history
"""


def _flow(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.flow.yaml"
    path.write_text(text, "utf-8")
    return path


async def _waves(product: Product) -> bool:
    """Whether the simulated signal still comes, goes through and is kept."""
    before = len(product.history_rows("history", "hall/wave"))
    await asyncio.sleep(0.5)
    return len(product.history_rows("history", "hall/wave")) > before


def _good(product: Product, tag: str) -> list[float]:
    """The values of a tag in the history, less those that are Bad."""
    rows = product.history_rows("history", tag)
    return [value for _, value in rows if value is not None]


# ---------------------------------------------------------------------- flows and addresses


async def test_a_wrong_flow_does_not_keep_others_from_running(tmp_path: Path) -> None:
    flows = [
        _flow(tmp_path, "a", "flow: a\n\tversion: 1\n"),
        _flow(tmp_path, "b", WAVE.replace("flow: wave", "flow: b").replace("hi: -1", "hi: up")),
        _flow(tmp_path, "c", WAVE),
        _flow(tmp_path, "d", WAVE.replace("wave -> high", "wave -> hihg")),
    ]
    async with Product(tmp_path, flows) as product:
        await until(lambda: _waves(product), "the good flow runs")
        lines = "\n".join(await product.lines())
        assert "a.flow.yaml:2" in lines
        assert "b.flow.yaml:5: error: high.hi" in lines
        assert "d.flow.yaml:9: error:" in lines
        assert {row["flow"] for row in (await product.status())["nodes"]} == {"wave", "gateway"}
        assert await product.terminate() == 0
    assert "a.flow.yaml:2" in product.said()


async def test_wrong_addresses_are_told_once_and_stop_nothing(tmp_path: Path) -> None:
    closed = free_port()
    text = f"""flow: away
version: 1
connections:
  plc: {{type: opcua.connection, url: "opc.tcp://127.0.0.1:{closed}"}}
  nowhere: {{type: opcua.connection, url: "opc.tcp://no-such-host.invalid:4840"}}
  bus: {{type: modbus.connection, address: "tcp://127.0.0.1:{closed}"}}
  line: {{type: modbus.connection, address: "rtu:{tmp_path}/no-such-port"}}
  broker: {{type: mqtt.connection, url: "mqtt://127.0.0.1:{closed}"}}
  scale: {{type: serial.connection, port: "{tmp_path}/no-such-port"}}
nodes:
  a: {{type: opcua.source, connection: plc, tags: {{hall/a: ns=2;s=A}}}}
  b: {{type: opcua.source, connection: nowhere, tags: {{hall/b: ns=2;s=A}}}}
  c: {{type: modbus.source, connection: bus, unit: 1, tags: {{hall/c: "input:0 uint16"}}}}
  d: {{type: modbus.source, connection: line, unit: 1, tags: {{hall/d: "input:0 uint16"}}}}
  e: {{type: mqtt.source, connection: broker, topics: [hall/e]}}
  f:
    type: serial.source
    connection: scale
    pattern: "(?P<weight>[0-9]+)"
    tags: {{hall/f: {{field: weight}}}}
  log: {{type: sqlite.sink, folder: history/away}}
wires:
  - a -> log
  - b -> log
  - c -> log
  - d -> log
  - e -> log
  - f -> log
"""
    flows = [_flow(tmp_path, "away", text), _flow(tmp_path, "wave", WAVE)]
    devices = {"plc", "nowhere", "bus", "line", "broker", "scale"}
    async with Product(tmp_path, flows) as product:
        await until(lambda: _waves(product), "the other flow runs")

        async def alarmed() -> bool:
            return changes(await product.history(), "COMM").keys() >= devices

        await until(alarmed, f"an alarm for each of {devices}")
        found = changes(await product.history(), "COMM")
        assert found == {device: ["raised"] for device in devices}
        for node, address in (("a", str(closed)), ("b", "no-such-host.invalid"), ("d", "no-such")):
            row = await product.node(node)
            assert row["state"] in ("disconnected", "misconfigured")
            assert address in row["text"]
        lines = await product.lines()
        places = [line.partition(":")[0] for line in lines if line.startswith("away/")]
        assert set(places) >= {f"away/{device}" for device in devices}
        assert len(places) == len(set(places)), lines
        assert await _waves(product)
        assert await product.terminate() == 0
    product.said()


async def test_an_unknown_certificate_is_refused_until_its_file_is_moved(tmp_path: Path) -> None:
    async with Plant(tmp_path / "plant", with_faults=False) as plant:
        text = f"""flow: secured
version: 1
connections:
  plc:
    type: opcua.connection
    url: "{variables(plant.manifest())["opcua_url"]}"
    security: Basic256Sha256_SignAndEncrypt
nodes:
  press: {{type: opcua.source, connection: plc, tags: {{hall/oil: ns=2;s=Press1.Oil.Temperature}}}}
  history: {{type: sqlite.sink, folder: history}}
wires:
  - press -> history
"""
        flows = [_flow(tmp_path, "secured", text), _flow(tmp_path, "wave", WAVE)]
        async with Product(tmp_path, flows) as product:

            async def refused() -> str:
                row = await product.node("press")
                return row["text"] if row["state"] == "misconfigured" else ""

            said = await until(refused, "it refuses the certificate")
            kept = list((product.state / "pki/rejected").iterdir())
            assert len(kept) == 1
            assert f"move {kept[0]} to {product.state / 'pki/trusted'}" in said
            assert not _good(product, "hall/oil")
            assert await _waves(product)

            shutil.move(kept[0], product.state / "pki/trusted")
            await until(lambda: _good(product, "hall/oil"), "it is trusted now")
            assert await product.terminate() == 0
    product.said()


# ---------------------------------------------------------------------- payloads


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """A real broker."""
    number = free_port()
    (tmp_path / "broker").mkdir()
    async with broker(tmp_path / "broker", number):
        yield number


def _ms(number: int, base_ns: int) -> int:
    return base_ns // 10**6 + number


async def _publish(
    port: int, numbers: Iterable[int], base_ns: int, bad: list[bytes] | None = None
) -> None:
    """Good messages 1 ms apart in their own time, each followed by a bad one."""
    async with aiomqtt.Client("127.0.0.1", port, identifier="tester") as client:
        for i, number in enumerate(numbers):
            good = orjson.dumps({"value": number, "ts": _ms(number, base_ns)})
            await client.publish("test/good", good, qos=1, timeout=120)
            if bad:
                payload = bad[i % len(bad)]
                await client.publish(f"test/bad{i % len(bad)}", payload, qos=1, timeout=120)


BAD = [
    b"",
    b"nan",
    b'{"value": NaN}',
    b'{"value": 1e999}',
    b'{"value": "Infinity"}',
    b'{"value": null}',
    b'{"value": {"value": {}}}',
    b"\xff\xfe\x00\xc3\x28",
    b'{"value": "\xff\xfe"}',
    b'{"value": 1',
    b"[" * 200_000,
    b'{"value":' * 100_000,
    b'{"value": [1, 2, 3]}',
    b'{"value": true, "ts": "yesterday"}',
    b'{"value": 1, "ts": 1e300}',
    b'{"value": 1, "ts": -9223372036854775808}',
    b"\x00" * 1000,
    b"9" * 100_000,
    b'{"value": ' + b"9" * 5_000 + b"}",
    "１２".encode(),
    b" " * 100_000,
    b'{"value": 1, "quality": "splendid"}',
]


async def test_malformed_payloads_are_counted_and_cost_no_good_one(
    tmp_path: Path, port: int
) -> None:
    base_ns = SystemClock().now() - 3600 * 10**9
    values = {"mqtt_url": f"mqtt://127.0.0.1:{port}"}
    flows = [_flow(tmp_path, "numbers", NUMBERS), _flow(tmp_path, "wave", WAVE)]
    many = range(3 * len(BAD))
    async with Product(tmp_path, flows, values) as product:

        async def ready() -> bool:
            return (await product.node("broker"))["state"] == "connected" and (
                await product.node("numbers")
            )["state"] != "starting"

        await until(ready, "the broker")
        await _publish(port, many, base_ns, BAD)
        large = b'{"value": 1, "pad": "' + b"x" * 50_000_000 + b'"}'
        await _publish(port, range(len(many), len(many) + 2), base_ns, [large])
        last = _ms(len(many) + 1, base_ns) * 10**6

        def good() -> list[float]:
            return [value for _, value in product.history_rows("history", "test/good")]

        await until(lambda: good()[-1:] == [len(many) + 1], "the last good message")
        rows = product.history_rows("history", "test/good")
        assert [value for _, value in rows] == list(range(len(many) + 2))
        assert rows[-1][0] == last

        counts = await product.counts("numbers")
        assert counts["too_large"] == 2, counts
        assert counts["undecodable"] > len(BAD), counts
        assert "faults" not in counts
        lines = [line for line in await product.lines() if line.startswith("numbers/")]
        assert len(lines) < 30, "bad payloads do not flood what people read"
        tags = {row["tag"]: row for row in product.client.tags()}
        assert tags["test/bad7"]["quality"] == "Bad_DecodingError", "no UTF-8"
        assert tags["test/bad7"]["value"] is None
        alarms = await product.open_alarms()
        assert [row["tag"] for row in alarms.values() if row["tag"] != "hall/wave"] == ["test/good"]
        assert await _waves(product)
        for tag in await product.rows():
            for _, value in product.history_rows("history", tag):
                assert value is None or abs(value) < float("inf")
        assert await product.terminate() == 0
    product.said()


# ---------------------------------------------------------------------- the disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MB."""
    if not can_mount():
        pytest.skip("Mounting a small disk needs root on Linux.")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("This machine does not allow mounts.")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


REFUSED = "Nothing is acknowledged until it can be stored."


def _fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


async def _refused(
    product: Product, ballast: Path, port: int, start: int, base_ns: int, times: int, *tags: str
) -> int:
    """Publish while the disk is kept full, until it says that nothing can be stored.

    The gateway gives up a reserve of its own first, and room that its files have already is
    used again after a checkpoint, so the disk is filled and messages are sent as long as it takes.

    Args:
        start: The number of the first message.
        times: How often it has said so then.
        tags: Alarms that must be open as well.

    Returns:
        The number after the last message.
    """
    number = start

    async def refused() -> bool:
        nonlocal number
        _fill(ballast)
        if product.said().count(REFUSED) >= times:
            if not tags:
                return True
            if set(tags) <= {row["tag"] for row in (await product.open_alarms()).values()}:
                return True
        await _publish(port, [number], base_ns)
        number += 1
        return False

    await until(refused, "it says so")
    await _publish(port, range(number, number + 20), base_ns)
    return number + 20


async def test_a_full_disk(tmp_path: Path, port: int, small_disk: Path) -> None:
    base_ns = SystemClock().now() - 3600 * 10**9
    values = {"mqtt_url": f"mqtt://127.0.0.1:{port}"}
    flows = [_flow(tmp_path, "numbers", NUMBERS)]
    ballast = small_disk / "ballast"
    async with Product(tmp_path, flows, values, state=small_disk / "state") as product:

        async def subscribed() -> bool:
            return (await product.node("broker"))["state"] == "connected"

        await until(subscribed, "the broker")
        await _publish(port, range(50), base_ns)
        await until(lambda: _good(product, "test/good") == list(range(50)), "the first messages")

        stored = await _refused(product, ballast, port, 50, base_ns, 1)
        seen = await product.open_alarms()
        mine = [row["tag"] for row in seen.values() if not row["tag"].startswith("gateway/")]
        assert mine == ["test/good"]
        assert _good(product, "test/good")[:50] == list(range(50))
        await product.kill()  # What was not stored was not acknowledged, so it comes again.

        ballast.unlink()
        await product.start()
        await until(lambda: _good(product, "test/good") == list(range(stored)), "all messages")

        alarms = ("test/good", "gateway/disk")
        stored = await _refused(product, ballast, port, stored, base_ns, 2, *alarms)
        told = [line for line in await product.lines() if line.startswith("store:")]
        assert sum("Is the disk full or read-only?" in line for line in told) == 1
        ballast.unlink()
        await until(lambda: _good(product, "test/good") == list(range(stored)), "it goes on")
        told = [line for line in await product.lines() if line.startswith("store:")]
        assert "store: The state file can be written again." in told
        assert await product.terminate() == 0
    product.said()


async def test_it_stops_in_order_while_the_disk_is_full(
    tmp_path: Path, port: int, small_disk: Path
) -> None:
    base_ns = SystemClock().now() - 3600 * 10**9
    values = {"mqtt_url": f"mqtt://127.0.0.1:{port}"}
    flows = [_flow(tmp_path, "numbers", NUMBERS)]
    ballast = small_disk / "ballast"
    async with Product(tmp_path, flows, values, state=small_disk / "state") as product:
        await _publish(port, range(1), base_ns)
        await until(lambda: (small_disk / "state/genba.db").exists(), "a state file")

        async def subscribed() -> bool:
            return (await product.counts("numbers")).get("rows_in", 0) >= 0 and (
                await product.node("broker")
            )["state"] == "connected"

        await until(subscribed, "the broker")
        stored = await _refused(product, ballast, port, 1, base_ns, 1)
        assert await product.terminate() == 0
        ballast.unlink()
        await product.start()
        await until(
            lambda: _good(product, "test/good")[1 - stored :] == list(range(1, stored)), "all of it"
        )
    product.said()


async def test_a_state_folder_that_cannot_be_made_ends_with_a_sentence(
    tmp_path: Path, small_disk: Path
) -> None:
    flow = _flow(tmp_path, "wave", WAVE)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    state = small_disk / "other"
    code, error = await _run_in_vain(flow, state)
    assert code == 1
    assert error.splitlines()[-1].startswith("genba: ")
    assert str(state) in error
    assert "ead-only" in error or "readonly" in error


async def test_a_read_only_state_folder_is_waited_for(tmp_path: Path, small_disk: Path) -> None:
    flow = _flow(tmp_path, "wave", WAVE)
    (small_disk / "state").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    product = Product(tmp_path, [flow], state=small_disk / "state")
    await product.start(answers=False)
    try:
        await until(lambda: "No flow runs until it can be opened" in product.said(), "a word")
        assert "ead-only" in product.said() or "readonly" in product.said()
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        await until(lambda: "The API is at" in product.said(), "it runs by itself")
        assert await product.terminate() == 0
    finally:
        await product.__aexit__()


async def _run_in_vain(flow: Path, state: Path) -> tuple[int | None, str]:
    """Exit code and errors of a gateway that cannot start."""
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "run", str(flow), "--port", "0"),
        *("--state", str(state)),
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await done.communicate()
    assert b"Traceback" not in error, error.decode()
    return done.returncode, error.decode()


async def test_a_damaged_state_file_is_put_aside(tmp_path: Path) -> None:
    flows = [_flow(tmp_path, "wave", WAVE)]
    async with Product(tmp_path, flows) as product:
        await until(lambda: _waves(product), "it runs")
        assert await product.terminate() == 0
        file = product.state / "genba.db"
        damaged = b"This is no database. " * 1000
        file.write_bytes(damaged)
        await product.start()
        await until(lambda: _waves(product), "it runs again")
        aside = list(product.state.glob("genba.db.damaged-*"))
        assert [path.read_bytes() for path in aside] == [damaged]
        assert any(aside[0].name in line for line in await product.lines())

        # Cut in the middle, as by a dying disk.
        await product.kill()
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2] + b"\xa5" * 4096)
        await product.start()
        await until(lambda: _waves(product), "it runs once more")
        assert await product.terminate() == 0
    product.said()


async def test_a_second_gateway_on_one_state_ends_with_a_sentence(tmp_path: Path) -> None:
    flows = [_flow(tmp_path, "wave", WAVE)]
    async with Product(tmp_path, flows) as product:
        await until(lambda: _waves(product), "the first runs")
        code, error = await _run_in_vain(flows[0], product.state)
        assert code == 1
        assert error.startswith("genba: ")
        assert "Another gateway uses" in error
        assert await _waves(product), "the first goes on"
        assert await product.terminate() == 0
    product.said()

"""Every server of the plant read by an ordinary client of its protocol."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import serial
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from gateway.plant import child
from gateway.plant.signals import SIGNALS

pytestmark = pytest.mark.plant


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A plant without faults in a process of its own; the fixture is its manifest."""
    folder: Path = tmp_path_factory.mktemp("plant")
    command = [sys.executable, "-m", "gateway.plant", f"--dir={folder}", "--no-faults"]
    process = subprocess.Popen(
        command, env=child.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        said = b"".join(iter(process.stdout.readline, b"Ctrl-C ends it.\n"))
        assert b"opc.tcp://" in said
        yield json.loads((folder / "manifest.json").read_text())
    finally:
        process.terminate()
        assert process.wait(20) == 0
        process.stdout.close()


def _tags(plant: dict[str, Any], protocol: str) -> list[dict[str, Any]]:
    return [tag for tag in plant["tags"] if tag["protocol"] == protocol]


def _is_normal(tag: dict[str, Any], value: float) -> bool:
    low, high = tag["normal"]
    return bool(low <= value <= high)


def test_the_manifest_holds_every_tag(plant: dict[str, Any]) -> None:
    assert [tag["name"] for tag in plant["tags"]] == list(SIGNALS)
    devices = {"opcua", "modbus", "rtu", "broker", "sensors", "scale1", "scale2"}
    assert set(plant["devices"]) == devices
    assert {tag["device"] for tag in plant["tags"]} == devices - {"broker"}
    for tag in plant["tags"]:
        assert re.fullmatch(r"plant/[a-z0-9]+/[a-z0-9_]+/[a-z0-9_]+", tag["name"])


async def test_opcua_values_units_ranges_and_times(plant: dict[str, Any]) -> None:
    tags = _tags(plant, "opcua")
    assert len(tags) == 40
    async with Client(plant["devices"]["opcua"]["endpoint"]) as client:
        index = await client.get_namespace_index(plant["devices"]["opcua"]["namespace"])
        assert index == plant["devices"]["opcua"]["namespace_index"]
        for tag in tags:
            node = client.get_node(tag["address"]["node"])
            sample = await node.read_data_value()
            assert sample.StatusCode.is_good()
            assert _is_normal(tag, sample.Value.Value), tag["name"]
            assert sample.Value.VariantType.name == tag["address"]["type"]
            unit = await (await node.get_child(f"{index}:EngineeringUnits")).read_value()
            limits = await (await node.get_child(f"{index}:EURange")).read_value()
            assert unit.DisplayName.Text == tag["unit"]
            assert (limits.Low, limits.High) == (tag["low"], tag["high"])
            path = [f"{index}:{part}" for part in tag["address"]["path"]]
            assert await client.nodes.objects.get_child(path) == node
            age = datetime.now(UTC) - sample.SourceTimestamp.replace(tzinfo=UTC)
            assert timedelta(0) <= age < timedelta(minutes=5)


async def test_opcua_setpoint_method_and_history(plant: dict[str, Any]) -> None:
    async with Client(plant["devices"]["opcua"]["endpoint"]) as client:
        setpoint = client.get_node("ns=2;s=Press2.Ram.ForceSetpoint")
        await setpoint.write_value(1200.0)
        force = client.get_node("ns=2;s=Press2.Ram.Force")
        seen = []
        for _ in range(40):
            seen.append(await force.read_value())
            await asyncio.sleep(0.2)
        assert 1150.0 < max(seen) < 1290.0
        with pytest.raises(ua.UaStatusCodeError):
            await force.write_value(1.0)
        counter = client.get_node("ns=2;s=Press2.Counter")
        pieces = client.get_node("ns=2;s=Press2.Counter.Pieces")
        assert await pieces.read_value() > 10_000
        await counter.call_method("2:ResetCounter")
        await asyncio.sleep(0.5)
        assert await pieces.read_value() < 10
        pressure = client.get_node("ns=2;s=Press1.Hydraulics.Pressure")
        now = datetime.now(UTC)
        rows = await pressure.read_raw_history(now - timedelta(seconds=4), now)
        assert len(rows) > 10
        await setpoint.write_value(1600.0)


async def test_opcua_signed_and_encrypted(plant: dict[str, Any], tmp_path: Path) -> None:
    from asyncua.crypto.cert_gen import setup_self_signed_certificate
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key, cert, uri = tmp_path / "key.pem", tmp_path / "cert.der", "urn:genba:test"
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
    await setup_self_signed_certificate(key, cert, uri, "localhost", uses, {"commonName": "t"})
    client = Client(plant["devices"]["opcua"]["endpoint"])
    client.application_uri = uri
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        cert,
        key,
        server_certificate=plant["devices"]["opcua"]["certificate"],
    )
    async with client:
        assert await client.get_node("ns=2;s=Press1.Bearing.Vibration").read_value() > 1.0


_STRUCT = {"int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "float32": "f", "float64": "d"}


def _value(registers: list[int], at: dict[str, Any]) -> float:
    """Decoding of the test's own: what struct reads from bytes that were put in order by hand."""
    data = b"".join(word.to_bytes(2, "big") for word in registers)
    if at["order"] in ("BADC", "DCBA"):
        data = b"".join(data[i + 1 : i + 2] + data[i : i + 1] for i in range(0, len(data), 2))
    if at["order"] in ("CDAB", "DCBA"):
        data = b"".join(data[i : i + 2] for i in range(len(data) - 2, -1, -2))
    return float(struct.unpack(">" + _STRUCT[at["type"]], data)[0]) * at["scale"]


async def _poll(client: Any, at: dict[str, Any]) -> float:
    where = {"count": at["count"], "device_id": at["unit"]}
    if at["table"] == "coil":
        return float((await client.read_coils(at["offset"], **where)).bits[0])
    if at["table"] == "discrete":
        return float((await client.read_discrete_inputs(at["offset"], **where)).bits[0])
    if at["table"] == "input":
        return _value((await client.read_input_registers(at["offset"], **where)).registers, at)
    return _value((await client.read_holding_registers(at["offset"], **where)).registers, at)


async def test_modbus_tcp_in_every_type_and_order(plant: dict[str, Any]) -> None:
    device = plant["devices"]["modbus"]
    tags = _tags(plant, "modbus_tcp")
    kinds = {(t["address"]["type"], t["address"]["order"]) for t in tags}
    wide = ("int32", "uint32", "float32", "float64")
    assert kinds >= {(kind, o) for kind in wide for o in ("ABCD", "BADC", "CDAB", "DCBA")}
    assert {t["address"]["table"] for t in tags} == {"coil", "discrete", "input", "holding"}
    client = AsyncModbusTcpClient(device["host"], port=device["port"], retries=0)
    assert await client.connect()
    try:
        for tag in tags:
            assert _is_normal(tag, await _poll(client, tag["address"])), tag["name"]
        block = await client.read_input_registers(0, count=8, device_id=10)
        powers = [
            _value(block.registers[2 * i : 2 * i + 2], {"type": "float32", "order": o, "scale": 1})
            for i, o in enumerate(("ABCD", "BADC", "CDAB", "DCBA"))
        ]
        assert len(set(powers)) == 1
        gap = await client.read_input_registers(100, count=1, device_id=10)
        assert gap.isError()
        assert gap.exception_code == 2
        assert (await client.read_input_registers(0, count=1, device_id=99)).isError()
    finally:
        client.close()


async def test_modbus_writes_move_the_plant(plant: dict[str, Any]) -> None:
    device = plant["devices"]["modbus"]
    client = AsyncModbusTcpClient(device["host"], port=device["port"], retries=0)
    assert await client.connect()
    flow = next(t for t in plant["tags"] if t["name"] == "plant/press2/water/flow")
    try:
        assert not (await client.write_register(10, 800, device_id=2)).isError()
        assert (await client.read_holding_registers(10, count=1, device_id=2)).registers == [800]
        assert await _poll(client, flow["address"]) == pytest.approx(60.0, abs=2.0)
        assert (await client.write_register(2, 1, device_id=2)).isError()
        assert not (await client.write_coil(1, True, device_id=2)).isError()
        assert (await client.read_coils(0, count=2, device_id=2)).bits[:2] == [True, True]
        assert (await client.write_coil(0, False, device_id=2)).isError()
        assert not (await client.write_registers(10, [600], device_id=2)).isError()
        assert await _poll(client, flow["address"]) == pytest.approx(45.0, abs=2.0)
    finally:
        client.close()


async def test_modbus_rtu_over_the_pty(plant: dict[str, Any]) -> None:
    device = plant["devices"]["rtu"]
    client = AsyncModbusSerialClient(
        device["port"], baudrate=device["baudrate"], retries=0, timeout=1
    )
    assert await client.connect()
    try:
        tags = _tags(plant, "modbus_rtu")
        assert {t["address"]["order"] for t in tags} >= {"ABCD", "CDAB", "DCBA"}
        for tag in tags:
            assert _is_normal(tag, await _poll(client, tag["address"])), tag["name"]
    finally:
        client.close()


async def test_mqtt_json_and_plain(plant: dict[str, Any]) -> None:
    broker = plant["devices"]["broker"]
    tags = {t["address"]["topic"]: t for t in _tags(plant, "mqtt")}
    seen: dict[str, list[bytes]] = {topic: [] for topic in tags}
    async with aiomqtt.Client(broker["host"], broker["port"]) as client, asyncio.timeout(20):
        await client.subscribe("plant/#", qos=1)
        async for message in client.messages:
            topic = str(message.topic)
            if topic == plant["devices"]["sensors"]["status_topic"]:
                assert message.payload == b"online"
                continue
            assert isinstance(message.payload, bytes)
            seen[topic].append(message.payload)
            if all(len(payloads) > 2 for payloads in seen.values()):
                break
    for topic, payloads in seen.items():
        tag = tags[topic]
        if tag["address"]["format"] == "plain":
            assert all(_is_normal(tag, float(payload)) for payload in payloads)
            continue
        rows = [json.loads(payload) for payload in payloads]
        numbers = [row["seq"] for row in rows]
        assert numbers == list(range(numbers[0], numbers[0] + len(rows)))
        for row in rows:
            assert set(row) == {"value", "ts", "unit", "quality", "seq"}
            assert _is_normal(tag, row["value"])
            assert (row["unit"], row["quality"]) == (tag["unit"], "good")
            assert datetime.fromisoformat(row["ts"]).tzinfo is not None


@pytest.mark.parametrize("name", ["scale1", "scale2"])
def test_the_scale_sends_lines(plant: dict[str, Any], name: str) -> None:
    device = plant["devices"][name]
    tag = next(t for t in plant["tags"] if t["device"] == name)
    with serial.Serial(device["port"], device["baudrate"], timeout=5) as port:
        port.read_until(b"\r\n")
        lines = [port.read_until(b"\r\n").decode("ascii") for _ in range(30)]
    assert all(line.endswith(device["delimiter"]) for line in lines)
    found = [re.match(device["pattern"], line.strip()) for line in lines]
    weights = [float(m["value"].replace(" ", "")) for m in found if m]
    assert len(weights) >= 15
    assert all(_is_normal(tag, weight) for weight in weights)
    assert all(line.startswith("US,GS,") for line, m in zip(lines, found, strict=True) if not m)

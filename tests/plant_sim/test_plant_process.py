"""The plant's processes: power cycles, people who kill things, and no orphan ever."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiomqtt
import orjson
import psutil
import pytest
from asyncua import Client
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from gateway.errors import ConfigError
from gateway.plant import broker, child
from gateway.plant.faults import Script, schedule
from gateway.plant.moment import Setting
from gateway.plant.plant import DEVICES, Plant, PlantEvent
from gateway.plant.sensors import payload
from gateway.plant.signals import SIGNALS, Node, Topic
from gateway.plant.view import PlantView

pytestmark = pytest.mark.plant


async def _until(condition: object, seconds: float = 30.0) -> None:
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


def _children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


async def _answers(port: str) -> bool:
    client = AsyncModbusSerialClient(port, baudrate=19200, retries=0, timeout=2)
    try:
        assert await client.connect()
        return not (await client.read_input_registers(0, count=1, device_id=2)).isError()
    finally:
        client.close()


async def _water_flow(port: int) -> bool:
    client = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, timeout=1)
    try:
        if not await client.connect():
            return False
        return not (await client.read_input_registers(0, count=2, device_id=1)).isError()
    finally:
        client.close()


async def test_power_cycle_and_a_kill_by_hand_come_back_on_the_same_port(tmp_path: Path) -> None:
    told: list[PlantEvent] = []
    others = _children(os.getpid())
    async with Plant(tmp_path, with_faults=False, secure=False, on_event=told.append) as plant:
        assert all(plant.pid(name) for name in DEVICES)
        port = plant.ports["modbus"]
        assert await _water_flow(port)
        await plant.switch_off("modbus")
        assert plant.pid("modbus") is None
        assert not await _water_flow(port)
        plant.switch_on("modbus")
        await _until(lambda: child.ready_file(plant.dir, "modbus").exists())
        assert await _water_flow(port)
        assert [event.kind for event in told] == ["off", "on"]

        for name in ("opcua", "broker", "cables"):
            before = {device: plant.pid(device) for device in DEVICES}
            pid = before[name]
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await _until(lambda was=pid, n=name: plant.pid(n) not in (None, was))
            await _until(lambda n=name: child.ready_file(plant.dir, n).exists())
            if name == "opcua":
                async with Client(plant.manifest()["devices"]["opcua"]["endpoint"]) as client:
                    assert await client.get_node("ns=2;s=Press1.Bearing.Vibration").read_value()
            if name == "cables":  # The devices on its lines move to the new ones.
                for device in ("rtu", "scale1", "scale2"):
                    was = before[device]
                    await _until(lambda d=device, w=was: plant.pid(d) not in (None, w))
                    await _until(lambda d=device: child.ready_file(plant.dir, d).exists())
                assert await _answers(plant.manifest()["devices"]["rtu"]["port"])
    assert not set(_children(os.getpid())) - set(others)
    assert {event.device for event in told if event.kind == "died"} >= {"opcua", "broker", "cables"}


async def test_the_script_switches_a_device_off_and_on(tmp_path: Path) -> None:
    """At twenty times the speed the first power cut comes after six seconds."""
    told: list[PlantEvent] = []
    async with Plant(tmp_path, speed=20.0, secure=False, on_event=told.append) as plant:
        expected = plant.schedule(120.0)
        await _until(lambda: any(e.kind == "on" for e in told))
        cut = next(f for f in expected if f.kind == "power_off")
        assert [e.fault for e in told if e.kind == "fault_begins"] == expected
        assert {e.device for e in told if e.kind in ("off", "on")} == {cut.device}
        for event in told:
            if event.kind == "fault_begins" and event.fault is not None:
                assert event.at_s >= event.fault.start_s


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_the_plant(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "gateway.plant", f"--dir={tmp_path}"]
    with subprocess.Popen(
        command, env=child.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert b"Ctrl-C ends it.\n" in iter(process.stdout.readline, b"")
        started = _children(process.pid)
        assert len(started) == len(DEVICES)
        process.send_signal(number)
        process.wait(20)
    deadline = time.monotonic() + 10
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in started):
        assert time.monotonic() < deadline, f"still there: {started}"
        time.sleep(0.05)


def test_without_a_broker_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(broker.importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(ConfigError, match="sudo apt-get install mosquitto"):
        broker.software()


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = child.command("modbus", [f"--dir={tmp_path}", f"--port={port}"])
        done = subprocess.run(
            command,
            env=child.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
        )
    assert done.returncode != 0
    assert str(port).encode() in done.stderr


async def test_sensors_say_that_they_go_offline_however_they_go(tmp_path: Path) -> None:
    async with Plant(tmp_path, with_faults=False, secure=False) as plant:
        seen: list[bytes] = []
        async with aiomqtt.Client("127.0.0.1", plant.ports["broker"]) as client:
            await client.subscribe("plant/sensors/status", qos=1)

            async def until(state: bytes) -> None:
                async with asyncio.timeout(20):
                    async for message in client.messages:
                        assert isinstance(message.payload, bytes)
                        seen.append(message.payload)
                        if message.payload == state:
                            return

            await until(b"online")
            await plant.switch_off("sensors")
            await until(b"offline")
            plant.switch_on("sensors")
            await until(b"online")
            pid = plant.pid("sensors")
            assert pid is not None
            os.kill(pid, signal.SIGTERM)
            await until(b"offline")
            await until(b"online")
        assert seen == [b"online", b"offline", b"online", b"offline", b"online"]


async def test_an_unplugged_sensor_is_bad_on_opcua_and_mqtt(tmp_path: Path) -> None:
    """The OPC UA server is started in mid-run, three seconds before the sensor is unplugged."""
    fault = next(f for f in schedule(1, 120.0) if f.kind == "unplugged")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    setting = Setting(tmp_path, 1, time.time() - fault.start_s + 3.0)
    command = child.command("opcua", [*setting.arguments(), f"--port={port}"])
    assert fault.tag is not None
    node = SIGNALS[fault.tag].address
    assert isinstance(node, Node)
    with subprocess.Popen(command, env=child.environment()) as process:
        try:
            await _until(lambda: child.ready_file(tmp_path, "opcua").exists())
            async with Client(f"opc.tcp://127.0.0.1:{port}/genba/plant") as client:
                variable = client.get_node(f"ns=2;s={node.identifier}")
                async with asyncio.timeout(20):
                    while (s := await variable.read_data_value(False)).StatusCode.is_good():
                        await asyncio.sleep(0.1)
            assert s.StatusCode.name == "BadSensorFailure"
            assert s.Value.Value is None
            assert s.SourceTimestamp.timestamp() >= setting.t0 + fault.start_s - 0.11
        finally:
            process.terminate()
    sensor = SIGNALS["plant/press1/guide/temperature"]
    assert isinstance(sensor.address, Topic)
    gone = dataclasses.replace(fault, tag=sensor.name)
    view = PlantView(1, Script(1, (gone,)))
    data = payload(view, setting.moment(), sensor, sensor.address, round(gone.start_s * 10) + 1)
    row = orjson.loads(data)
    assert (row["value"], row["quality"]) == (None, "bad")

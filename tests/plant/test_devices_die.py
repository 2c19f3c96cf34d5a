"""Devices are killed, switched off and absent while the product runs: it needs no human."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from gateway.plant.plant import Plant
from gateway.plant.signals import SIGNALS
from tests.plant.product import Product, changes, free_port, shipped, until, variables

pytestmark = [pytest.mark.plant, pytest.mark.slow]

TAGS = len(SIGNALS)
# The alarm of each device when it is switched off; a unit on a serial line is a device.
ALARMS = {
    "opcua": {"opcua_plc"},
    "modbus": {"modbus_hall_bus"},
    "rtu": {"rtu_line:1", "rtu_line:2"},
    "sensors": {"sensors"},
    "scale1": {"scale1"},
}


async def _all_away(product: Product, wanted: set[str]) -> bool:
    found = changes(await product.history(), "COMM")
    return wanted <= {tag for tag, what in found.items() if what[-1] == "raised"}


async def _all_back(product: Product) -> bool:
    found = changes(await product.history(), "COMM")
    return all(what[-1] in ("returned", "cleared") for what in found.values())


async def test_each_device_dies_and_comes_back(tmp_path: Path) -> None:
    """Off for longer than the delay: one alarm each, which returns, and nothing else."""
    async with Plant(tmp_path / "plant", with_faults=False, secure=False) as plant:
        values = variables(plant.manifest())
        async with Product(tmp_path, shipped(), values) as product:
            await product.all_flow(TAGS)
            assert await product.history() == []

            # All at once: none hides the other.
            for device in ALARMS:
                await plant.switch_off(device)
            wanted = set().union(*ALARMS.values())
            await until(lambda: _all_away(product, wanted), f"alarms of {wanted}")
            for device in ALARMS:
                plant.switch_on(device)
            await until(lambda: _all_back(product), "every alarm returns")
            await product.all_flow(TAGS)
            found = changes(await product.history(), "COMM")
            assert found == {tag: ["raised", "returned"] for tag in wanted}

            # The broker, and the cables of everything serial.
            for device in ("broker", "cables"):
                await plant.switch_off(device)
            more = {"broker", "rtu_line", "scale1", "scale2"}
            await until(lambda: _all_away(product, more), f"alarms of {more}")
            for device in ("broker", "cables"):
                plant.switch_on(device)
            await until(lambda: _all_back(product), "every alarm returns")
            await product.all_flow(TAGS)

            history = await product.history()
            found = changes(history, "COMM")
            assert found.pop("scale1") == ["raised", "returned"] * 2
            assert found == {tag: ["raised", "returned"] for tag in (wanted | more) - {"scale1"}}
            assert [row["text"] for row in history if row["condition"] != "COMM"] == []
            assert "faults" not in str(await product.status())
            assert await product.terminate() == 0
            product.said()


async def test_a_device_that_is_back_at_once_is_no_matter(tmp_path: Path) -> None:
    """Each device is killed by hand and starts again by itself, as after a watchdog's reset."""
    async with Plant(tmp_path / "plant", with_faults=False, secure=False) as plant:
        values = variables(plant.manifest())
        async with Product(tmp_path, shipped(), values) as product:
            await product.all_flow(TAGS)
            for device in ("opcua", "modbus", "rtu", "broker", "sensors", "scale1", "scale2"):
                pid = plant.pid(device)
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                await until(lambda d=device: plant.pid(d), f"{device} starts again")
            await product.all_flow(TAGS)
            await until(lambda: _all_back(product), "no alarm is left")
            history = await product.history()
            assert [row["text"] for row in history if row["condition"] != "COMM"] == []


async def test_the_gateway_is_there_before_the_plant(tmp_path: Path) -> None:
    """Nothing answers at the start: one alarm a device; the rest of the gateway runs."""
    ports = {device: free_port() for device in ("opcua", "modbus", "broker")}
    plant = Plant(tmp_path / "plant", with_faults=False, secure=False, ports=ports)
    own = tmp_path / "hall.flow.yaml"
    own.write_text(
        "flow: hall\nversion: 1\nnodes:\n"
        "  wave: {type: simulate.source, tag: hall/wave, every_s: 0.1}\n"
        "  history: {type: sqlite.sink, folder: history/hall}\n"
        "wires:\n  - wave -> history\n"
    )
    wanted = {"opcua_plc", "modbus_hall_bus", "rtu_line", "broker", "scale1", "scale2"}
    async with Product(tmp_path, [*shipped(), own], variables(plant.manifest())) as product:
        await until(lambda: _all_away(product, wanted), f"alarms of {wanted}")
        assert (await product.counts("wave"))["rows_in"] > 0
        assert product.history_rows("history/hall", "hall/wave")
        before = await product.history()
        assert changes(before, "COMM") == {tag: ["raised"] for tag in wanted}
        for row in before:
            assert row["text"].startswith(f"{row['tag']} has been away for")
        async with plant:
            await until(lambda: _all_back(product), "every alarm returns")
            await product.all_flow(TAGS + 1)
            history = await product.history()
            assert changes(history, "COMM") == {tag: ["raised", "returned"] for tag in wanted}
            assert [row["text"] for row in history if row["condition"] != "COMM"] == []
            assert await product.terminate() == 0
    product.said()

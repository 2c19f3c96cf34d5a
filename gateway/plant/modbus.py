"""The Modbus devices: a TCP server (the press controllers and the hall's meter), an RTU slave.

Registers are computed when they are read: a poll shows the plant at that moment, and a server
nobody polls costs nothing. Gaps between the registers stay illegal addresses, as in life.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway.errors import ConfigError
from gateway.plant import child, registers, signals
from gateway.plant.cables import device_end, identity
from gateway.plant.endpoints import RTU_BAUDRATE
from gateway.plant.moment import Setting
from gateway.plant.signals import Register, Signal

_TABLES = ("coil", "discrete", "holding", "input")
# Source: Modbus Application Protocol 1.1b3, §6: which table a function code works on.
_TABLE_OF = {1: "coil", 5: "coil", 15: "coil", 2: "discrete", 4: "input"}


class Unit:
    """One Modbus unit: its signals, and its registers as pymodbus wants them."""

    def __init__(self, number: int, found: list[tuple[Signal, Register]], setting: Setting) -> None:
        self._number = number
        self._found = found
        self._view = setting.view()
        self._moment = setting.moment()

    def device(self) -> SimDevice:
        """The registers, with a hook that fills them before each answer."""
        coils, discretes, holdings, inputs = (self._block(table) for table in _TABLES)
        blocks = (coils, discretes, holdings, inputs)
        return SimDevice(self._number, simdata=blocks, action=self._before)

    def _block(self, table: str) -> list[SimData]:
        entries: list[SimData] = []
        bits = table in ("coil", "discrete")
        for signal, at in self._found:
            if at.table != table:
                continue
            first: list[Any] = [False] if bits else self._encoded(signal, at, 0)
            kind = DataType.BITS if bits else DataType.REGISTERS
            locked = not signal.writable and not bits
            entries.append(SimData(at.offset, values=first, datatype=kind, readonly=locked))
        if entries:
            return entries
        kind = DataType.BITS if bits else DataType.REGISTERS
        return [SimData(0, values=[False] if bits else [0], datatype=kind, readonly=not bits)]

    def _encoded(self, signal: Signal, at: Register, k: int) -> list[int]:
        value = self._view.read(signal, k).value
        return registers.encode(value, at.type, at.order, at.scale)

    async def _before(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        block: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Bring the registers of one table to this moment; keep what was written to them."""
        table = _TABLE_OF.get(function, "holding")
        if table == "coil" and values is not None and not self._may_write(address, len(values)):
            return ExcCodes.ILLEGAL_ADDRESS
        if values is not None:
            self._take(table, address, values)
        k = self._moment.step()
        for signal, at in self._found:
            if at.table == table and not signal.writable:
                self._show(signal, at, k, block, start)
        return None

    def _may_write(self, address: int, count: int) -> bool:
        wanted = set(range(address, address + count))
        return wanted <= {
            at.offset for signal, at in self._found if at.table == "coil" and signal.writable
        }

    def _take(self, table: str, address: int, values: list[int] | list[bool]) -> None:
        """A setpoint that was written: the physics follows it from now on."""
        for signal, at in self._found:
            first = at.offset - address
            last = first + signals.width(at.type)
            if not signal.writable or at.table != table or first < 0 or last > len(values):
                continue
            there = [int(value) for value in values[first:last]]
            wanted = (
                float(there[0])
                if at.type == "bool"
                else registers.decode(there, at.type, at.order, at.scale)
            )
            self._view.controls[f"{signal.line}/{signal.measure}"] = wanted
            self._view.changed()

    def _show(self, signal: Signal, at: Register, k: int, block: list[int], start: int) -> None:
        if at.type != "bool":
            offset = at.offset - start
            block[offset : offset + signals.width(at.type)] = self._encoded(signal, at, k)
            return
        # pymodbus keeps sixteen bits in a register and counts a bit table's start in registers.
        word, bit = divmod(at.offset - 16 * start, 16)
        on = self._view.read(signal, k).value >= 0.5
        block[word] = block[word] | 1 << bit if on else block[word] & ~(1 << bit)


async def _nobody(*_: object) -> ExcCodes | None:
    raise NoSuchIdException("no such unit")


def _devices(device: str, setting: Setting) -> list[SimDevice]:
    """The units of one device, and a unit 0 that stands for all that are absent."""
    units: dict[int, list[tuple[Signal, Register]]] = {}
    for signal in signals.of_device(device):
        if isinstance(signal.address, Register):
            units.setdefault(signal.address.unit, []).append((signal, signal.address))
    absent = SimData(0, count=65536, datatype=DataType.REGISTERS)
    return [
        SimDevice(0, simdata=[absent], action=_nobody),
        *(Unit(number, found, setting).device() for number, found in sorted(units.items())),
    ]


async def serve_tcp(setting: Setting, port: int) -> None:
    """Serve Modbus TCP on the loopback until cancelled. An absent unit gets exception 11."""
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    server = ModbusTcpServer(_devices("modbus", setting), address=("127.0.0.1", port))
    try:
        await server.serve_forever(background=True)
    except RuntimeError as error:
        text = f"Modbus cannot listen on 127.0.0.1:{port}."
        raise ConfigError(text, hint="Is the port taken? Choose another.") from error
    child.say_ready(setting.dir, "modbus")
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus left it bare


async def serve_rtu(setting: Setting) -> int:
    """Answer on the serial line until cancelled. An absent unit stays silent, as on a real bus.

    When the line's pty is replaced (its process was killed) this process ends and is started
    again on the new one.
    """
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    port = device_end(setting.dir, "RTU")
    server = ModbusSerialServer(
        _devices("rtu", setting), port=str(port), baudrate=RTU_BAUDRATE, ignore_missing_devices=True
    )
    there = identity(port)
    await server.serve_forever(background=True)
    child.say_ready(setting.dir, "rtu")
    try:
        while identity(port) == there:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.5)
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus left it bare
    return 3

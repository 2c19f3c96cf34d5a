"""Every sensor of the plant as data: what it measures, its range, its noise and its address.

`normal` is the envelope a healthy plant stays in; limits drawn around it never trip by chance.
Units are UCUM codes (Source: https://ucum.org/ucum).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.plant import rows
from gateway.plant.physics import LINES
from gateway.plant.rows import Table

SITE = "plant"
HALL = "hall"
Protocol = Literal["opcua", "modbus_tcp", "modbus_rtu", "mqtt", "serial"]
Kind = Literal["measurement", "counter", "setpoint", "state"]


@dataclass(frozen=True, slots=True)
class Register:
    """A place in a Modbus unit: offset from zero, and how the number is written there."""

    unit: int
    table: Table
    offset: int
    type: str = "bool"
    order: str = "ABCD"
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Topic:
    """An MQTT topic; its payload is JSON with a time and a sequence, or a plain number."""

    topic: str
    format: Literal["json", "plain"]


@dataclass(frozen=True, slots=True)
class Node:
    """An OPC UA variable: its string identifier and data type."""

    identifier: str
    type: Literal["Double", "UInt32", "Int32"] = "Double"


@dataclass(frozen=True, slots=True)
class Signal:
    """One tag. `noise` is the standard deviation of the sensor's noise, in its unit."""

    name: str
    line: str
    measure: str
    unit: str
    low: float
    high: float
    noise: float
    normal: tuple[float, float]
    protocol: Protocol
    device: str
    address: Register | Topic | Node | None
    about: str
    kind: Kind = "measurement"
    writable: bool = False


ORDERS = ("ABCD", "BADC", "CDAB", "DCBA")
_WIDTH = {"bool": 1, "int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "float32": 2, "float64": 4}


def width(kind: str) -> int:
    """Registers (or bits) a Modbus type takes."""
    return _WIDTH[kind]


def camel(measure: str) -> str:
    """`bearing/oil_level` as OPC UA writes it: `Bearing.OilLevel`."""
    return ".".join(
        "".join(word.capitalize() for word in part.split("_")) for part in measure.split("/")
    )


def _signal(
    line: str,
    row: rows.Row,
    protocol: Protocol,
    device: str,
    address: Register | Topic | Node | None,
    kind: Kind = "measurement",
    writable: bool = False,
) -> Signal:
    measure, unit, low, high, sd, normal, about = row
    name = f"{SITE}/{line}/{measure}"
    where = (line, measure, unit, float(low), float(high), float(sd), normal)
    return Signal(name, *where, protocol, device, address, about, kind, writable)


def _opcua(line: str) -> list[Signal]:
    def node(measure: str, type: Literal["Double", "UInt32", "Int32"] = "Double") -> Node:
        return Node(f"{camel(line)}.{camel(measure)}", type)

    found = [_signal(line, row, "opcua", "opcua", node(row[0])) for row in rows.OPCUA]
    wide = (0.0, 4_294_967_295.0)
    pieces: rows.Row = ("counter/pieces", "1", *wide, 0, wide, "Pieces made")
    state: rows.Row = (
        "cycle/state",
        "1",
        0,
        4,
        0,
        (0, 4),
        "0 down, 1 press, 2 hold, 3 up, 4 change of piece",
    )
    energy: rows.Row = ("energy/total", "kW.h", 0, 1e7, 0, (0, 1e7), "Energy used by the press")
    force: rows.Row = ("ram/force_setpoint", "kN", 0, 2000, 0, (0, 2000), "Wanted force of the ram")
    return [
        *found,
        _signal(line, pieces, "opcua", "opcua", node(pieces[0], "UInt32"), "counter"),
        _signal(line, state, "opcua", "opcua", node(state[0], "Int32"), "state"),
        _signal(line, energy, "opcua", "opcua", node(energy[0]), "counter"),
        _signal(line, force, "opcua", "opcua", node(force[0]), "setpoint", writable=True),
    ]


def _modbus(line: str, unit: int) -> list[Signal]:
    def at(table: Table, offset: int, type: str = "bool", scale: float = 1.0) -> Register:
        return Register(unit, table, offset, type, "ABCD", scale)

    def bit(measure: str, about: str) -> rows.Row:
        return (measure, "1", 0, 1, 0, (0, 1), about)

    tcp = [_signal(line, row, "modbus_tcp", "modbus", Register(unit, *at)) for row, at in rows.TCP]
    rtu = [_signal(line, row, "modbus_rtu", "rtu", Register(unit, *at)) for row, at in rows.RTU]
    energy: rows.Row = ("drive/energy", "W.h", 0, 4e9, 0, (0, 4e9), "Energy used by the press")
    valve: rows.Row = ("water/valve_setpoint", "%", 0, 100, 0, (0, 100), "Wanted water valve")

    def state(measure: str, about: str, table: Table, offset: int, protocol: Protocol) -> Signal:
        device = "modbus" if protocol == "modbus_tcp" else "rtu"
        return _signal(line, bit(measure, about), protocol, device, at(table, offset), "state")

    return [
        *tcp,
        _signal(line, energy, "modbus_tcp", "modbus", at("holding", 0, "uint32"), "counter"),
        _signal(
            line,
            valve,
            "modbus_tcp",
            "modbus",
            at("holding", 10, "uint16", 0.1),
            "setpoint",
            writable=True,
        ),
        state("door/closed", "Safety door is closed", "discrete", 0, "modbus_tcp"),
        state("guard/locked", "Guard is locked", "discrete", 1, "modbus_tcp"),
        state("pump/running", "Water pump runs", "coil", 0, "modbus_tcp"),
        _signal(
            line,
            bit("stack/red", "Red lamp of the stack light"),
            "modbus_tcp",
            "modbus",
            at("coil", 1),
            "setpoint",
            writable=True,
        ),
        *rtu,
        state("fan/running", "Fan of the oil cooler runs", "coil", 0, "modbus_rtu"),
        state("filter/clogged", "Air filter is clogged", "discrete", 0, "modbus_rtu"),
    ]


def _mqtt_and_serial(line: str) -> list[Signal]:
    scale: rows.Row = ("scale/weight", "kg", 0, 30, 0.012, (12.25, 12.43), "Piece on the scale")
    return [
        *(
            _signal(line, row, "mqtt", "sensors", Topic(f"{SITE}/{line}/{row[0]}", form))
            for row, form in rows.MQTT
        ),
        _signal(line, scale, "serial", f"scale{line[-1]}", None),
    ]


def _hall() -> list[Signal]:
    """The meter of the hall shows four quantities in each of the four byte orders."""
    found: list[Signal] = []
    for block, (measure, unit, low, high, sd, normal, form, scale, about) in enumerate(rows.HALL):
        kind: Kind = "counter" if measure == "energy" else "measurement"
        for i, order in enumerate(ORDERS):
            row: rows.Row = (f"meter/{measure}_{order.lower()}", unit, low, high, sd, normal, about)
            address = Register(10, "input", 20 * block + i * width(form), form, order, scale)
            found.append(_signal(HALL, row, "modbus_tcp", "modbus", address, kind))
    volt: rows.Row = ("meter/voltage", "V", 0, 500, 0.4, (398, 404), "Voltage between two phases")
    factor: rows.Row = ("meter/power_factor", "1", -1, 1, 0.004, (0.88, 0.94), "Power factor")
    u16, i16 = (Register(10, "input", 80, "uint16", "ABCD", 0.1), "int16")
    return [
        *found,
        _signal(HALL, volt, "modbus_tcp", "modbus", u16),
        _signal(
            HALL, factor, "modbus_tcp", "modbus", Register(10, "input", 81, i16, "ABCD", 0.001)
        ),
    ]


def _all() -> dict[str, Signal]:
    found = [
        signal
        for number, line in enumerate(LINES, start=1)
        for signal in (*_opcua(line), *_modbus(line, number), *_mqtt_and_serial(line))
    ]
    return {signal.name: signal for signal in (*found, *_hall())}


SIGNALS = _all()


def of_device(device: str) -> tuple[Signal, ...]:
    """The signals one device serves."""
    return tuple(signal for signal in SIGNALS.values() if signal.device == device)

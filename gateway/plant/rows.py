"""The sensors of one press line and of the hall's meter, as tables.

A row is: measure, unit (UCUM), low and high end of the range, standard deviation of the noise,
the normal range, and what it is. A Modbus row adds table, offset, type, order and scale.
"""

from __future__ import annotations

from typing import Literal

Table = Literal["coil", "discrete", "input", "holding"]
Row = tuple[str, str, float, float, float, tuple[float, float], str]

OPCUA: tuple[Row, ...] = (
    ("hydraulics/pressure", "bar", 0, 315, 0.8, (84, 224), "Oil pressure at the press cylinder"),
    ("hydraulics/flow", "L/min", 0, 300, 0.8, (8, 225), "Oil flow of the main pump"),
    ("hydraulics/case_drain", "L/min", 0, 40, 0.06, (2.6, 4.3), "Oil lost inside the pump"),
    ("hydraulics/filter_dp", "bar", 0, 6, 0.02, (0.6, 1.6), "Pressure lost in the return filter"),
    ("oil/temperature", "Cel", 0, 120, 0.08, (48, 53), "Oil in the tank"),
    ("oil/level", "%", 0, 100, 0.06, (76, 79), "Oil level of the tank"),
    ("ram/position", "mm", 0, 450, 0.05, (5, 405), "Ram above the bottom of its stroke"),
    ("ram/speed", "mm/s", -800, 800, 1.0, (-480, 540), "Speed of the ram, up is positive"),
    ("ram/force", "kN", -50, 2500, 4.0, (-20, 1720), "Force of the ram"),
    ("motor/current", "A", 0, 160, 0.4, (29, 82), "Current of the pump motor"),
    ("motor/speed", "/min", 0, 1800, 1.0, (1460, 1490), "Speed of the pump motor"),
    ("motor/power", "kW", 0, 110, 0.2, (17, 49), "Active power of the pump motor"),
    ("motor/temperature", "Cel", 0, 180, 0.1, (63, 69), "Winding of the pump motor"),
    ("bearing/vibration", "mm/s", 0, 25, 0.08, (1.5, 2.8), "Main bearing, RMS speed"),
    ("bearing/temperature", "Cel", 0, 150, 0.1, (45, 49), "Main bearing"),
    ("cycle/time", "s", 0, 60, 0.004, (5.9, 6.1), "Time of the last whole stroke"),
)
ModbusRow = tuple[Row, tuple[Table, int, str, str, float]]
TCP: tuple[ModbusRow, ...] = (
    (
        ("water/flow", "L/min", 0, 120, 0.3, (42, 48), "Cooling water"),
        ("input", 0, "float32", "ABCD", 1.0),
    ),
    (
        ("water/inlet_temperature", "Cel", 0, 100, 0.05, (17, 19), "Cooling water in"),
        ("input", 2, "int16", "ABCD", 0.01),
    ),
    (
        ("water/outlet_temperature", "Cel", 0, 100, 0.05, (23, 26), "Cooling water out"),
        ("input", 3, "int16", "ABCD", 0.01),
    ),
    (
        ("air/pressure", "bar", 0, 12, 0.012, (6.0, 6.4), "Compressed air"),
        ("input", 4, "uint16", "ABCD", 0.001),
    ),
    (
        ("air/flow", "L/min", 0, 600, 1.0, (112, 150), "Compressed air used"),
        ("input", 5, "float32", "CDAB", 1.0),
    ),
    (
        ("lube/pressure", "bar", 0, 10, 0.02, (3.3, 3.8), "Lubricant at the distributor"),
        ("input", 7, "float32", "BADC", 1.0),
    ),
    (
        ("lube/temperature", "Cel", 0, 120, 0.08, (39, 43), "Lubricant in its tank"),
        ("input", 9, "float32", "DCBA", 1.0),
    ),
    (
        ("coolant/conductivity", "uS/cm", 0, 5000, 2.0, (1430, 1470), "Coolant"),
        ("input", 12, "int32", "CDAB", 0.1),
    ),
    (
        ("drive/torque", "N.m", 0, 800, 1.0, (110, 330), "Shaft of the pump motor"),
        ("holding", 2, "float64", "ABCD", 1.0),
    ),
)
RTU: tuple[ModbusRow, ...] = (
    (
        ("gearbox/temperature", "Cel", 0, 150, 0.08, (56, 60), "Gearbox oil"),
        ("input", 0, "int16", "ABCD", 0.01),
    ),
    (
        ("gearbox/vibration", "mm/s", 0, 25, 0.08, (1.8, 3.0), "Gearbox, RMS speed"),
        ("input", 1, "float32", "DCBA", 1.0),
    ),
    (
        ("gearbox/oil_pressure", "bar", 0, 10, 0.015, (2.3, 2.6), "Gearbox oil"),
        ("input", 3, "uint16", "ABCD", 0.001),
    ),
    (
        ("die/temperature", "Cel", 0, 400, 0.3, (160, 170), "Lower die"),
        ("input", 4, "float32", "CDAB", 1.0),
    ),
    (
        ("fan/speed", "/min", 0, 3000, 4.0, (1370, 1445), "Fan of the oil cooler"),
        ("input", 6, "uint16", "ABCD", 1.0),
    ),
    (
        ("fan/current", "A", 0, 10, 0.02, (2.4, 2.9), "Fan of the oil cooler"),
        ("holding", 0, "float32", "ABCD", 1.0),
    ),
)
MQTT: tuple[tuple[Row, Literal["json", "plain"]], ...] = (
    (("guide/vibration", "mm/s", 0, 25, 0.06, (0.8, 1.9), "Ram guide, RMS speed"), "json"),
    (("guide/temperature", "Cel", 0, 150, 0.1, (37, 41), "Ram guide"), "json"),
    (("conveyor/current", "A", 0, 20, 0.04, (3.0, 3.8), "Outfeed conveyor"), "json"),
    (("ambient/temperature", "Cel", -20, 60, 0.1, (20.5, 23.5), "Air beside the press"), "json"),
    (("ambient/humidity", "%", 0, 100, 0.2, (43, 49), "Air beside the press"), "json"),
    (("conveyor/speed", "m/min", 0, 40, 0.05, (11.7, 12.3), "Outfeed conveyor"), "plain"),
    (("vacuum/pressure", "mbar", 0, 1100, 1.5, (303, 328), "Suction of the gripper"), "plain"),
    (("ambient/noise_level", "dB", 0, 140, 0.3, (80, 88), "Sound level at the press"), "plain"),
)
HALL: tuple[tuple[str, str, float, float, float, tuple[float, float], str, float, str], ...] = (
    ("power", "kW", 0, 400, 0.2, (84, 88), "float32", 1.0, "Active power of the hall"),
    (
        "reactive_power",
        "VA",
        -200_000,
        200_000,
        30.0,
        (-12_800, -12_200),
        "int32",
        1.0,
        "Reactive power of the hall, negative is capacitive",
    ),
    ("energy", "W.h", 0, 4_294_967_295, 0.0, (0, 4_294_967_295), "uint32", 1.0, "Energy used"),
    ("frequency", "Hz", 45, 55, 0.002, (49.9, 50.1), "float64", 1.0, "Frequency of the mains"),
)

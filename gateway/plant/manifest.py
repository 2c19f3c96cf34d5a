"""The manifest: where every tag of the plant is found, for flows, the demonstration and tests."""

from __future__ import annotations

import os
from typing import Any

from gateway.plant import broker, signals
from gateway.plant.cables import gateway_end
from gateway.plant.endpoints import (
    OPCUA_HISTORY,
    OPCUA_INDEX,
    OPCUA_NAMESPACE,
    OPCUA_PATH,
    RTU_BAUDRATE,
    SCALE_BAUDRATE,
    SCALE_PATTERN,
    STATUS_TOPIC,
    units,
)
from gateway.plant.moment import Setting
from gateway.plant.physics import LINES
from gateway.plant.signals import SIGNALS, Node, Register, Signal, Topic

FORMAT = 1


def manifest(setting: Setting, ports: dict[str, int], secure: bool) -> dict[str, Any]:
    """Everything a client needs; `ports` are those of opcua, modbus and broker."""
    return {
        "format": FORMAT,
        "site": signals.SITE,
        "seed": setting.seed,
        "t0": setting.t0,
        "speed": setting.speed,
        "faults": setting.faults,
        "pid": os.getpid(),
        "devices": _devices(setting, ports, secure),
        "tags": [_tag(setting, signal) for signal in SIGNALS.values()],
    }


def _devices(setting: Setting, ports: dict[str, int], secure: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "opcua": {
            "protocol": "opcua",
            "endpoint": f"opc.tcp://127.0.0.1:{ports['opcua']}{OPCUA_PATH}",
            "namespace": OPCUA_NAMESPACE,
            "namespace_index": OPCUA_INDEX,
            "security": ["None", *(["Basic256Sha256"] if secure else [])],
            "certificate": str(setting.dir / "pki/server_cert.der") if secure else None,
            "methods": [
                {
                    "object": f"ns=2;s={signals.camel(line)}.Counter",
                    "method": f"ns=2;s={signals.camel(line)}.Counter.ResetCounter",
                }
                for line in LINES
            ],
            "history": [f"{signals.SITE}/{n}/{m}" for n in LINES for m in OPCUA_HISTORY],
        },
        "modbus": {
            "protocol": "modbus_tcp",
            "host": "127.0.0.1",
            "port": ports["modbus"],
            "units": units("modbus"),
        },
        "rtu": {
            "protocol": "modbus_rtu",
            "port": str(gateway_end(setting.dir, "RTU")),
            "units": units("rtu"),
            **_serial_line(RTU_BAUDRATE),
        },
        "broker": {
            "protocol": "mqtt",
            "host": "127.0.0.1",
            "port": ports["broker"],
            "software": broker.software(),
            "versions": broker.versions(),
        },
        "sensors": {
            "protocol": "mqtt",
            "status_topic": STATUS_TOPIC,
            "topics": [f"{signals.SITE}/{line}/#" for line in LINES],
        },
    }
    for number in (1, 2):
        found[f"scale{number}"] = {
            "protocol": "serial",
            "port": str(gateway_end(setting.dir, f"SCALE{number}")),
            "delimiter": "\r\n",
            "pattern": SCALE_PATTERN,
            **_serial_line(SCALE_BAUDRATE),
        }
    return found


def _serial_line(baudrate: int) -> dict[str, Any]:
    return {"baudrate": baudrate, "bytesize": 8, "parity": "N", "stopbits": 1}


def _tag(setting: Setting, signal: Signal) -> dict[str, Any]:
    return {
        "name": signal.name,
        "line": signal.line,
        "unit": signal.unit,
        "low": signal.low,
        "high": signal.high,
        "normal": list(signal.normal),
        "noise": signal.noise,
        "kind": signal.kind,
        "writable": signal.writable,
        "protocol": signal.protocol,
        "device": signal.device,
        "address": _address(setting, signal),
        "about": signal.about,
    }


def _address(setting: Setting, signal: Signal) -> dict[str, Any]:
    at = signal.address
    if isinstance(at, Node):
        return {
            "node": f"ns={OPCUA_INDEX};s={at.identifier}",
            "path": ["Plant", *at.identifier.split(".")],
            "type": at.type,
        }
    if isinstance(at, Register):
        return {
            "unit": at.unit,
            "table": at.table,
            "offset": at.offset,
            "count": signals.width(at.type),
            "type": at.type,
            "order": at.order,
            "scale": at.scale,
            "reference": _REFERENCE[at.table] + at.offset + 1,
        }
    if isinstance(at, Topic):
        found: dict[str, Any] = {"topic": at.topic, "format": at.format}
        if at.format == "json":
            found |= {"value": "value", "time": "ts", "quality": "quality", "sequence": "seq"}
        return found
    port = gateway_end(setting.dir, signal.device.upper())
    return {"port": str(port), "pattern": SCALE_PATTERN, "group": "value"}


# The six-digit names of registers. Source: the Modicon convention, "400001" is holding 0.
_REFERENCE = {"coil": 0, "discrete": 100_000, "input": 300_000, "holding": 400_000}

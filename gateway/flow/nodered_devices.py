"""Nodes of Node-RED that talk to devices: MQTT, and the usual ones for Modbus and OPC UA."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.flow.nodered_export import Export, Item, Left, Made, number_of, text_of

Result = Made | Left
_READS: Final = {
    "Coil": "coil",
    "Input": "discrete",
    "HoldingRegister": "holding",
    "InputRegister": "input",
}
_WRITES: Final = {"Coil": "coil", "HoldingRegister": "holding"}
_REGISTERS_MAX: Final = 1_000
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_POLICIES: Final = ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
_MODES: Final = {"SIGN": "Sign", "SIGNANDENCRYPT": "SignAndEncrypt"}
_NODE: Final = re.compile(r"(?:ns=\d{1,5};)?[isgb]=\S.*\Z")
_WRITE: Final = (
    "It writes to a machine: say `allow_write: true` in the flow when that is meant, and give "
    "each tag its limits."
)


def tag_of(text: str) -> str:
    """A text as the name of a tag; empty where nothing remains."""
    return re.sub(r"[\s+\x00]+", "_", text).strip("_/")[:255]


# ---------------------------------------------------------------------- MQTT


def _broker(export: Export, id: str) -> str:
    item = export.by_id.get(id, {})
    host = text_of(item, "broker") or "127.0.0.1"
    is_tls = bool(item.get("usetls"))
    scheme, _, rest = host.rpartition("://")
    is_tls = is_tls or scheme in ("mqtts", "ssl", "tls")
    name, _, port = rest.partition(":")
    port = port or text_of(item, "port") or ("8883" if is_tls else "1883")
    url = f"{'mqtts' if is_tls else 'mqtt'}://{name}:{port}"
    return export.connection(id, "mqtt.connection", {"url": url})


def _mqtt_in(export: Export, item: Item) -> Result:
    topic = text_of(item, "topic")
    if not topic:
        return Left("Its topic comes with a message; mqtt.source has fixed topics with + and #.")
    config: dict[str, Any] = {"connection": _broker(export, text_of(item, "broker"))}
    config["topics"] = [topic]
    if (qos := number_of(item, "qos")) in (0, 1, 2):
        config["qos"] = int(qos or 0)
    is_json = text_of(item, "datatype") == "json" or any(
        one["type"] == "json" for one in export.after(item)
    )
    if is_json:
        text = "Takes the field `value` of the JSON; name another in `value` or `fields`."
        return Made("mqtt.source", {**config, "payload": "json"}, "changed", text, takes=False)
    text = "Takes numbers, or `value` of a JSON; the tag is the topic."
    return Made("mqtt.source", config, "carried", text, takes=False)


def _mqtt_out(export: Export, item: Item) -> Result:
    config: dict[str, Any] = {"connection": _broker(export, text_of(item, "broker"))}
    topic = text_of(item, "topic")
    config["topic"] = topic or "{tag}"
    if (qos := number_of(item, "qos")) in (0, 1):
        config["qos"] = int(qos or 0)
    if item.get("retain") in (True, "true"):
        config["retain"] = True
    text = "Sends JSON with value, time and quality; `payload: plain` sends the number alone."
    if not topic:
        text = f"The topic is the tag. {text}"
    return Made("mqtt.sink", config, "changed", text)


# ---------------------------------------------------------------------- Modbus


def _bus(export: Export, id: str) -> str:
    item = export.by_id.get(id, {})
    config: dict[str, Any]
    if text_of(item, "clienttype") in ("simpleser", "simpleserial", "serial"):
        config = {"address": f"rtu:{text_of(item, 'serialPort') or '/dev/ttyUSB0'}"}
        if baud := number_of(item, "serialBaudrate"):
            config["baud"] = int(baud)
        if (parity := text_of(item, "serialParity")) in ("none", "even", "odd"):
            config["parity"] = parity
        if (stops := number_of(item, "serialStopbits")) in (1, 2):
            config["stop_bits"] = int(stops or 1)
    else:
        host = text_of(item, "tcpHost") or "127.0.0.1"
        framing = "rtu+tcp" if text_of(item, "tcpType") == "TCP-RTU-BUFFERED" else "tcp"
        config = {"address": f"{framing}://{host}:{text_of(item, 'tcpPort') or '502'}"}
    return export.connection(id, "modbus.connection", config)


def _unit(export: Export, item: Item) -> int:
    server = export.by_id.get(text_of(item, "server"), {})
    unit = number_of(item, "unitid")
    unit = number_of(server, "unit_id") if unit is None else unit
    return int(unit) if unit is not None and 0 <= unit <= 255 else 1


def _modbus_read(export: Export, item: Item) -> Result:
    space = _READS.get(text_of(item, "dataType"))
    first, count = number_of(item, "adr"), number_of(item, "quantity") or 1
    if space is None or first is None or not 1 <= count <= _REGISTERS_MAX or first < 0:
        return Left("Its registers cannot be read from the export; add a modbus.source.")
    stem = tag_of(text_of(item, "topic")) or tag_of(text_of(item, "name")) or "modbus"
    begin, size = int(first), int(count)
    tags = {
        (f"{stem}/{at}" if size > 1 else stem): f"{space}:{at}" for at in range(begin, begin + size)
    }
    config: dict[str, Any] = {"connection": _bus(export, text_of(item, "server"))}
    config |= {"unit": _unit(export, item), "tags": tags}
    rate = number_of(item, "rate")
    if rate and rate > 0:
        config["scan_s"] = round(rate * _SECONDS.get(text_of(item, "rateUnit") or "s", 1.0), 6)
    text = (
        "Each register is a tag of its own, unsigned with 16 bits. Say which are one value: "
        "`holding:0 float32 CDAB`; browse the connection to see them in each order."
    )
    return Made("modbus.source", config, "changed", text, takes=False)


def _modbus_write(export: Export, item: Item) -> Result:
    space, at = _WRITES.get(text_of(item, "dataType")), number_of(item, "adr")
    if space is None or at is None or at < 0 or (number_of(item, "quantity") or 1) != 1:
        return Left(f"It writes several registers at once; modbus.sink writes tag by tag. {_WRITE}")
    tag = tag_of(text_of(item, "name")) or "setpoint"
    config = {
        "connection": _bus(export, text_of(item, "server")),
        "unit": _unit(export, item),
        "tags": {tag: {"address": f"{space}:{int(at)}"}},
    }
    text = f"Writes the tag {tag}: name the one that comes. {_WRITE}"
    return Made("modbus.sink", config, "changed", text)


# ---------------------------------------------------------------------- OPC UA


def _server(export: Export, id: str) -> str:
    item = export.by_id.get(id, {})
    config: dict[str, Any] = {"url": text_of(item, "endpoint") or "opc.tcp://127.0.0.1:4840"}
    policy, mode = text_of(item, "secpol"), _MODES.get(text_of(item, "secmode").upper())
    if policy in _POLICIES and mode is not None:
        config["security"] = f"{policy}_{mode}"
    return export.connection(id, "opcua.connection", config)


def _opcua_item(export: Export, item: Item) -> Result:
    if not _NODE.match(text_of(item, "item")):
        return Left("It names no node, such as ns=2;s=Press1.")
    return Made("", text="Is a tag of the source or sink it leads to.", takes=False)


def _opcua_client(export: Export, item: Item) -> Result:
    action = text_of(item, "action")
    tags: dict[str, str] = {}
    for one in export.before(item):
        address = text_of(one, "item")
        if one["type"] == "OpcUa-Item" and _NODE.match(address):
            name = tag_of(text_of(one, "name"))
            tags[name or tag_of(address.rpartition("=")[2].replace(".", "/"))] = address
    if action not in ("read", "subscribe", "monitor", "write"):
        return Left(f"The action {action!r} has no node. opcua.method calls, opcua.browse looks.")
    if not tags:
        return Left("No OpcUa-Item is wired to it, so it is not known which nodes it is about.")
    config: dict[str, Any] = {"connection": _server(export, text_of(item, "endpoint"))}
    config["tags"] = tags
    if action == "write":
        text = f"Writes {', '.join(tags)}: name the tags that come. {_WRITE}"
        return Made("opcua.sink", config, "changed", text)
    interval = number_of(item, "time")
    if action != "read" and interval and interval > 0:
        every_s = interval * _SECONDS.get(text_of(item, "timeUnit") or "s", 1.0)
        config |= {"sampling_s": round(every_s, 6), "publishing_s": round(every_s, 6)}
    text = "Subscribes to its nodes; each is a tag."
    return Made("opcua.source", config, "changed", text, takes=False)


DEVICES: Final[Mapping[str, Callable[[Export, Item], Result]]] = {
    "mqtt in": _mqtt_in,
    "mqtt out": _mqtt_out,
    "modbus-read": _modbus_read,
    "modbus-write": _modbus_write,
    "OpcUa-Item": _opcua_item,
    "OpcUa-Client": _opcua_client,
}

__all__ = ["DEVICES", "tag_of"]

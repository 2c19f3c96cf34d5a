"""The OPC UA server of both presses: 40 variables with units, ranges, source times and quality.

Node identifiers are strings (`ns=2;s=Press1.Bearing.Vibration`) and never change. Three
variables of each line keep their last ten minutes in memory for HistoryRead.
"""

from __future__ import annotations

import asyncio
import logging
import math
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import cast

from asyncua import ua
from asyncua.common.methods import uamethod
from asyncua.common.node import Node as UaNode
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.plant import child
from gateway.plant.endpoints import (
    OPCUA_HISTORY,
    OPCUA_INDEX,
    OPCUA_NAMESPACE,
    OPCUA_PATH,
)
from gateway.plant.moment import Setting
from gateway.plant.physics import LINES
from gateway.plant.signals import SIGNALS, SITE, Node, Signal, camel, of_device
from gateway.plant.view import STEP_S

EVERY_STEPS = 2
_HISTORY_ROWS = 3000  # Ten minutes at five a second.
# UNECE Recommendation 20 codes of our UCUM units. Source: OPC 10000-8, §5.6.3 and Annex.
_UNECE = {
    "bar": "BAR",
    "L/min": "L2",
    "Cel": "CEL",
    "%": "P1",
    "mm": "MMT",
    "mm/s": "C16",
    "kN": "B47",
    "A": "AMP",
    "/min": "C94",
    "kW": "KWT",
    "s": "SEC",
    "kW.h": "KWH",
    "1": "C62",
}
_TYPES = {
    "Double": ua.VariantType.Double,
    "UInt32": ua.VariantType.UInt32,
    "Int32": ua.VariantType.Int32,
}


@cache
def node_id(identifier: str) -> ua.NodeId:
    """The identifier of a node of the plant."""
    return ua.NodeId.from_string(f"ns={OPCUA_INDEX};s={identifier}")


def unit_of(signal: Signal) -> ua.EUInformation:
    """The unit as OPC UA writes it: the code's letters are the bytes of a number."""
    text = ua.LocalizedText(signal.unit)
    return ua.EUInformation(
        NamespaceUri="http://www.opcfoundation.org/UA/units/un/cefact",
        UnitId=int.from_bytes(_UNECE[signal.unit].encode("ascii"), "big"),
        DisplayName=text,
        Description=text,
    )


class OpcUaPlant:
    """The server and its variables, kept at the plant's moment."""

    def __init__(self, setting: Setting, port: int, pki: Path | None) -> None:
        self._setting = setting
        self._port = port
        self._pki = pki
        self._view = setting.view()
        self._moment = setting.moment()
        self._server = Server()
        self._signals = [(s, s.address) for s in of_device("opcua") if isinstance(s.address, Node)]

    async def serve(self) -> None:
        """Serve until cancelled."""
        for name in ("asyncua", "asyncua.server", "asyncua.crypto"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        await self._build()
        async with self._server:
            await self._keep_history()
            child.say_ready(self._setting.dir, "opcua")
            k = self._moment.step()
            while True:
                k = max(k + EVERY_STEPS, self._moment.step())
                await asyncio.sleep(self._moment.until(k * STEP_S))
                await self._show(k)

    async def _build(self) -> None:
        server = self._server
        await server.init()
        await server.set_application_uri("urn:genba:plant:server")
        server.set_server_name("Genba plant")
        server.set_endpoint(f"opc.tcp://127.0.0.1:{self._port}{OPCUA_PATH}")
        await self._secure()
        index = await server.register_namespace(OPCUA_NAMESPACE)
        assert index == OPCUA_INDEX, f"the plant's namespace is {index}"
        root = await server.nodes.objects.add_object(node_id("Plant"), f"{index}:Plant")
        folders: dict[str, UaNode] = {}
        k = self._moment.step()
        for signal, node in self._signals:
            folder = await _folder(root, folders, signal)
            await self._variable(folder, signal, node, k)
        for line in LINES:
            await self._method(folders[f"{camel(line)}.Counter"], line)

    async def _secure(self) -> None:
        policies = [ua.SecurityPolicyType.NoSecurity]
        if self._pki is not None:
            self._pki.mkdir(parents=True, exist_ok=True)
            key, certificate = self._pki / "server_key.pem", self._pki / "server_cert.der"
            uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            name = {"organizationName": "Genba", "commonName": "Genba plant"}
            uri = self._server.get_application_uri()
            await setup_self_signed_certificate(key, certificate, uri, "localhost", uses, name)
            await self._server.load_certificate(certificate)
            await self._server.load_private_key(key)
            policies.append(ua.SecurityPolicyType.Basic256Sha256_Sign)
            policies.append(ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt)
        self._server.set_security_policy(policies)

    async def _variable(self, folder: UaNode, signal: Signal, node: Node, k: int) -> None:
        name = f"{OPCUA_INDEX}:{camel(signal.measure.split('/')[1])}"
        variable = await folder.add_variable(node_id(node.identifier), name, 0, _TYPES[node.type])
        await self._server.write_attribute_value(variable.nodeid, self._sample(signal, node, k))
        await variable.add_property(OPCUA_INDEX, "EngineeringUnits", unit_of(signal))
        limits = ua.Range(Low=signal.low, High=signal.high)
        await variable.add_property(OPCUA_INDEX, "EURange", limits)
        about = ua.DataValue(ua.Variant(ua.LocalizedText(signal.about)))
        await variable.write_attribute(AttributeIds.Description, about)
        if signal.writable:
            await variable.set_writable()

    async def _method(self, folder: UaNode, line: str) -> None:
        key = f"{line}/counter/offset"
        pieces = SIGNALS[f"{SITE}/{line}/counter/pieces"]

        @uamethod
        async def reset(_parent: object) -> None:
            now = self._view.read(pieces, self._moment.step()).value
            self._view.controls[key] = self._view.controls.get(key, 0.0) + now
            self._view.changed()

        identifier = node_id(f"{camel(line)}.Counter.ResetCounter")
        await folder.add_method(identifier, f"{OPCUA_INDEX}:ResetCounter", reset, [], [])

    async def _keep_history(self) -> None:
        for line in LINES:
            for measure in OPCUA_HISTORY:
                node = self._server.get_node(node_id(f"{camel(line)}.{camel(measure)}"))
                await self._server.historize_node_data_change(
                    node, timedelta(hours=1), _HISTORY_ROWS
                )

    async def _show(self, k: int) -> None:
        """Bring all variables to step k; setpoints are taken, not written."""
        for signal, node in self._signals:
            if signal.writable:
                self._take(signal, node)
        for signal, node in self._signals:
            if not signal.writable:
                value = self._sample(signal, node, k)
                await self._server.write_attribute_value(node_id(node.identifier), value)

    def _take(self, signal: Signal, node: Node) -> None:
        value = self._server.read_attribute_value(node_id(node.identifier)).Value
        key = f"{signal.line}/{signal.measure}"
        if value is None or value.Value == self._view.controls[key]:
            return
        wanted = float(value.Value)
        if math.isfinite(wanted):
            self._view.controls[key] = min(max(wanted, signal.low), signal.high)
            self._view.changed()

    def _sample(self, signal: Signal, node: Node, k: int) -> ua.DataValue:
        reading = self._view.read(signal, k)
        stamp = cast(ua.DateTime, self._moment.stamp(k))
        if not reading.good:
            status = ua.StatusCode(ua.UInt32(StatusCodes.BadSensorFailure))
            return ua.DataValue(
                ua.Variant(None), status, SourceTimestamp=stamp, ServerTimestamp=stamp
            )
        value = reading.value if node.type == "Double" else int(reading.value)
        return ua.DataValue(
            ua.Variant(value, _TYPES[node.type]), SourceTimestamp=stamp, ServerTimestamp=stamp
        )


async def _folder(root: UaNode, folders: dict[str, UaNode], signal: Signal) -> UaNode:
    """The object of a signal, e.g. Plant/Press1/Bearing; made when it is first asked for."""
    parent, path = root, ""
    for part in (camel(signal.line), camel(signal.measure.split("/")[0])):
        path = f"{path}.{part}" if path else part
        if path not in folders:
            identifier = node_id(path)
            folders[path] = await parent.add_object(identifier, f"{OPCUA_INDEX}:{part}")
        parent = folders[path]
    return parent


async def serve(setting: Setting, port: int, pki: Path | None) -> None:
    """Serve OPC UA on the loopback until cancelled."""
    await OpcUaPlant(setting, port, pki).serve()

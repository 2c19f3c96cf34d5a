"""A real OPC UA server for tests, in this process or in one of its own, and a small engine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.common.methods import uamethod
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.history_sql import HistorySQLite
from asyncua.server.user_managers import UserManager
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway import Batch, ConfigError, Disconnected, Event, Reading, TagTable
from gateway.data.tasks import Tasks
from gateway.engine.clock import SystemClock
from gateway.flow.harness import BenchContext
from nodes.opcua.connection import OpcuaConnection
from nodes.opcua.source import OpcuaSource

logging.getLogger("asyncua").setLevel(logging.CRITICAL)
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SECOND = 1_000_000_000


def ns(stamp: datetime) -> int:
    return round((stamp - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Users(UserManager):
    """One user, `op` with `secret`; or whoever shows the one certificate."""

    def __init__(self, certificate: bytes | None = None) -> None:
        self.certificate = certificate

    def get_user(
        self,
        iserver: Any,
        username: str | None = None,
        password: str | None = None,
        certificate: Any = None,
    ) -> User | None:
        if self.certificate is not None and certificate != self.certificate:
            return None
        if username is None:
            return User(role=UserRole.User, name="anonymous")
        if (username, password) == ("op", "secret"):
            return User(role=UserRole.User, name="op")
        return None


@dataclass
class Plc:
    server: Server
    port: int
    index: int
    nodes: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/plc"

    def id(self, name: str) -> str:
        return f"ns={self.index};s={name}"

    async def write(
        self, name: str, value: Any, kind: ua.VariantType, ts: datetime, status: int = 0
    ) -> None:
        code = ua.StatusCode(ua.UInt32(status))
        data = ua.DataValue(ua.Variant(value, kind), code, SourceTimestamp=ts, ServerTimestamp=ts)
        await self.server.write_attribute_value(self.nodes[name].nodeid, data)


_VARIABLES = {
    "Temp": (20.0, ua.VariantType.Double),
    "Count": (7, ua.VariantType.Int32),
    "Run": (True, ua.VariantType.Boolean),
    "Name": ("press", ua.VariantType.String),
    "Big": (2**60 + 1, ua.VariantType.Int64),
    "Array": ([1.0, 2.0, 3.0], ua.VariantType.Double),
    "SetDouble": (0.0, ua.VariantType.Double),
    "SetFloat": (0.0, ua.VariantType.Float),
    "SetInt16": (0, ua.VariantType.Int16),
    "SetByte": (0, ua.VariantType.Byte),
    "SetUInt64": (0, ua.VariantType.UInt64),
    "SetBool": (False, ua.VariantType.Boolean),
    "SetString": ("", ua.VariantType.String),
}


async def build(
    port: int,
    *,
    pki: Path | None = None,
    users: UserManager | None = None,
    extra: int = 0,
    history: Path | None = None,
) -> Plc:
    """A server with one press, not started yet."""
    server = Server(user_manager=users)
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plc")
    await server.set_application_uri("urn:test:plc")
    policies = [ua.SecurityPolicyType.NoSecurity]
    if pki is not None:
        await certify(server, pki)
        policies += [
            getattr(ua.SecurityPolicyType, f"{policy}_{mode}")
            for policy in ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
            for mode in ("Sign", "SignAndEncrypt")
        ]
    server.set_security_policy(policies)
    if history is not None:
        server.iserver.history_manager.set_storage(HistorySQLite(history))
        await server.iserver.history_manager.init()
    plc = Plc(server, port, await server.register_namespace("urn:test:press"))
    plant = await server.nodes.objects.add_object(ua.NodeId("Plant", plc.index), "2:Plant")
    press = await plant.add_object(ua.NodeId("Press1", plc.index), "2:Press1")
    for name, (value, kind) in _VARIABLES.items():
        node = await press.add_variable(ua.NodeId(name, plc.index), f"2:{name}", value, kind)
        if name.startswith("Set"):
            await node.set_writable()
        plc.nodes[name] = node
    temp = plc.nodes["Temp"]
    unit = ua.EUInformation(
        NamespaceUri="http://www.opcfoundation.org/UA/units/un/cefact",
        UnitId=int.from_bytes(b"CEL", "big"),
        DisplayName=ua.LocalizedText("degC"),
    )
    await temp.add_property(0, "EngineeringUnits", unit)
    await temp.add_property(0, "EURange", ua.Range(Low=-10.0, High=120.0))
    many = await plant.add_object(ua.NodeId("Many", plc.index), "2:Many")
    for i in range(extra):
        name = f"v{i}"
        plc.nodes[name] = await many.add_variable(ua.NodeId(name, plc.index), f"2:{name}", 0.0)
    await _methods(plc, press)
    return plc


async def _methods(plc: Plc, press: Any) -> None:
    @uamethod
    async def add(_parent: Any, a: float, b: int) -> float:
        return a + b

    inputs = [ua.Argument(), ua.Argument()]
    for argument, name, kind in zip(
        inputs, ("a", "b"), (ua.ObjectIds.Double, ua.ObjectIds.Int16), strict=True
    ):
        argument.Name, argument.DataType, argument.ValueRank = name, ua.NodeId(kind), -1
    await press.add_method(
        ua.NodeId("Add", plc.index), "2:Add", add, inputs, [ua.VariantType.Double]
    )


async def certify(server: Server, pki: Path) -> None:
    """A certificate for the server; another folder gives another one."""
    pki.mkdir(parents=True, exist_ok=True)
    key, certificate = pki / "key.pem", pki / "cert.der"
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    await setup_self_signed_certificate(
        key, certificate, "urn:test:plc", "localhost", uses, {"commonName": "plc"}
    )
    await server.load_certificate(certificate)
    await server.load_private_key(key)


@contextlib.asynccontextmanager
async def running(port: int | None = None, **options: Any) -> AsyncIterator[Plc]:
    """A server in this process, its clock quiet."""
    plc = await build(port or free_port(), **options)
    async with plc.server:
        yield plc


async def start_process(port: int, *options: str) -> asyncio.subprocess.Process:
    """A server in a process of its own, which counts `Temp` up twenty times a second."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.nodes.opcua_plc",
        str(port),
        *options,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert (await asyncio.wait_for(process.stdout.readline(), 60)).strip() == b"ready"
    return process


async def stop_process(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGCONT)
        process.kill()
    await process.communicate()


@dataclass
class Context(BenchContext):
    """A context with the real time, whose connections and tasks the test holds."""

    clock: Any = field(default_factory=SystemClock)
    tags: TagTable = field(default_factory=lambda: TagTable(12_000))
    connections: dict[str, Any] = field(default_factory=dict)
    tasks: Tasks = field(default_factory=lambda: Tasks("test"))

    def connection(self, kind: type[Any], name: str) -> Any:
        found = self.connections.get(name)
        if not isinstance(found, kind):
            raise ConfigError(f"There is no connection {name!r} here.")
        return found

    def start(self, name: str, work: Any) -> Any:
        return self.tasks.start(name, work)

    def told(self) -> str:
        return "\n".join(text for _, text in self.said)


class Gateway:
    """Plays the engine for one connection and what uses it."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.ctx = Context(data_dir=folder, secrets={"pw": "secret", "wrong": "nonsense"})
        fast = {"timeout_s": 5.0, "keepalive_s": 1.0}
        self.connection = OpcuaConnection(
            OpcuaConnection.Config.model_validate({**fast, **config}), self.ctx
        )
        self.ctx.connections["plc"] = self.connection
        self.rows: list[tuple[str, int, float, int]] = []
        self.events: dict[str, list[Event]] = {"status": [], "events": []}
        self.readings: list[Reading] = []

    async def __aenter__(self) -> Gateway:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()
        await self.ctx.tasks.stop()

    async def open(self) -> None:
        """Open the connection, closing it again when that fails, as the engine does."""
        try:
            await self.connection.open()
        except BaseException:
            await self.connection.close()
            raise

    def node(self, cls: type[Any], **config: Any) -> Any:
        return cls(cls.Config.model_validate({"connection": "plc", **config}), self.ctx)

    def source(self, **config: Any) -> OpcuaSource:
        fast = {"sampling_s": 0.05, "publishing_s": 0.05}
        found: OpcuaSource = self.node(OpcuaSource, **{**fast, **config})
        return found

    async def read(self, source: OpcuaSource, enough: Callable[[], bool]) -> None:
        """Read until the test has seen enough; what is read is kept."""
        async with asyncio.timeout(60):
            while not enough():
                self.keep(await source.read())

    def keep(self, reading: Reading) -> None:
        self.readings.append(reading)
        for port, message in reading.outputs.items():
            if isinstance(message, Batch):
                names = self.ctx.tags.names()
                self.rows += [(names[t], ts, v, q) for t, ts, v, q in message.rows()]
            else:
                self.events[port] += message
        if reading.position is not None:
            self.ctx.position = reading.position

    async def until_lost(self, source: OpcuaSource) -> Disconnected:
        """Read until the source says that it is gone, then close it and the connection."""
        try:
            async with asyncio.timeout(60):
                while True:
                    self.keep(await source.read())
        except Disconnected as error:
            await source.close()
            await self.connection.close()
            return error

    async def again(self, source: OpcuaSource) -> None:
        """Open and connect until both succeed."""
        async with asyncio.timeout(60):
            while True:
                try:
                    await self.open()
                    await source.connect()
                    return
                except Disconnected:
                    await source.close()
                    await self.connection.close()
                    await asyncio.sleep(0.1)

    def values(self, tag: str) -> list[float]:
        return [value for name, _, value, _ in self.rows if name == tag]

    def gaps(self) -> list[Event]:
        return [event for event in self.events["status"] if event.topic == "source/gap"]


async def _serve(port: int, history: Path | None, first: int, many: int) -> None:
    async with running(port, history=history, extra=many) as plc:
        if history is not None:
            await plc.server.historize_node_data_change(plc.nodes["Temp"], timedelta(hours=1))
        n = first
        await plc.write("Temp", float(n), ua.VariantType.Double, datetime.now(UTC))
        print("ready", flush=True)
        if many:
            await _write_many(plc, many)
        while True:
            n += 1
            await plc.write("Temp", float(n), ua.VariantType.Double, datetime.now(UTC))
            await asyncio.sleep(0.05)


async def _write_many(plc: Plc, many: int) -> None:
    """All of them once a second."""
    loop = asyncio.get_running_loop()
    begin, k = loop.time(), 0
    while True:
        k += 1
        stamp = datetime.now(UTC)
        for i in range(many):
            await plc.write(f"v{i}", float(k), ua.VariantType.Double, stamp)
            if i % 500 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(max(0.0, begin + k - loop.time()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--history", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--many", type=int, default=0)
    options = parser.parse_args()
    asyncio.run(_serve(options.port, options.history, options.first, options.many))

"""Connections over HTTP against real servers: how they are, trials, browsing, certificates."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from serial.tools.list_ports_common import ListPortInfo

from gateway import Config, Connection, Found, Step
from gateway.engine import trial
from gateway.engine.store_records import audit_rows
from gateway.flow import registry
from gateway.flow.document import Document
from nodes.modbus import _scan_registers
from nodes.mqtt import _listen
from nodes.mqtt._codec import Hello
from nodes.mqtt._wire import Outgoing
from tests.api.desk import Desk, closed, opened
from tests.api.serving import served
from tests.engine.gear import until
from tests.nodes.modbus_slaves import TcpSlave, device, read_reply, tcp_server
from tests.nodes.mqtt.conftest import Broker, make_broker  # noqa: F401 - a fixture
from tests.nodes.opcua_plc import Plc, Users, free_port, running

pytestmark = pytest.mark.plant
IDLE = """flow: idle
version: 1
nodes:
  src: {type: simulate.source, tag: A, every_s: 0.1}
  quiet: {type: filter.deadband, band: 1}
wires:
- src -> quiet
"""
SECURE = {"security": "Basic256Sha256_SignAndEncrypt"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = await opened(Document.parse(IDLE), tmp_path)
    yield desk
    await closed(desk)


async def steps(desk: Desk, type_name: str, **config: Any) -> dict[str, tuple[str, str]]:
    """(state, text) by the name of the step."""
    answer = await desk.post("/api/connections/test", type=type_name, config=config)
    assert answer["ok"] == all(row["state"] != "failed" for row in answer["steps"])
    return {row["name"]: (row["state"], row["text"]) for row in answer["steps"]}


async def browsed(desk: Desk, path: str = "", **more: Any) -> list[dict[str, Any]]:
    answer = await desk.post("/api/connections/browse", path=path, **more)
    assert answer["is_whole"], answer["text"]
    return list(answer["found"])


# ---------------------------------------------------------------------- any connection


class Plain(Config):
    url: str = "thing://127.0.0.1:1"


class Stranger(Connection[Plain]):
    """A connection that says nothing of itself."""

    Config = Plain

    async def open(self) -> None:
        if self.config.url.endswith("broken"):
            raise ZeroDivisionError("of a stranger")

    async def lost(self) -> str:
        return ""

    async def close(self) -> None: ...


class Chatty(Stranger):
    """One that never ends."""

    browses = "Anything."
    ended = 0

    async def check(self) -> AsyncIterator[Step]:
        yield Step("login", "In.")
        await asyncio.sleep(60)

    async def browse(self, path: str) -> AsyncIterator[Found]:
        try:
            for number in range(10_000):
                yield Found(str(number), "topic")
                if path == "slow":
                    await asyncio.sleep(60)
        finally:
            type(self).ended += 1


@pytest.fixture
def strangers() -> AsyncIterator[None]:
    registry.LENT.update({"my.stranger": Stranger, "my.chatty": Chatty})
    Chatty.ended = 0
    yield
    registry.LENT.clear()


async def test_a_connection_of_a_stranger_can_be_tried_out(
    desk: Desk, strangers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await steps(desk, "my.stranger")
    assert list(found) == ["tcp"]
    state, text = found["tcp"]
    assert state == "failed"
    assert text == "127.0.0.1:1 refuses the connection. Is its server on, and the port right?"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = await steps(desk, "my.stranger", url=f"thing://localhost:{port}")
        assert found["name"] == ("ok", "localhost is 127.0.0.1.")
        assert found["session"] == ("ok", "It can be opened.")
    found = await steps(desk, "my.stranger", url="thing://no.such.host.invalid:1")
    assert found["name"][0] == "failed"
    assert found["name"][1].startswith("The name 'no.such.host.invalid' is not known: ")
    found = await steps(desk, "my.stranger", url="broken")
    assert "ZeroDivisionError: of a stranger" in found["session"][1]
    text = await desk.post("/api/connections/browse", 422, type="my.stranger", config={"url": ""})
    assert text == "This kind of connection cannot be browsed."
    monkeypatch.setattr(trial, "TRIAL_S", 0.1)
    found = await steps(desk, "my.chatty", url="")
    assert found["login"] == ("ok", "In.")
    assert found["session"] == ("failed", "No answer within 0 s.")


async def test_browsing_is_bounded(
    desk: Desk, strangers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = {"type": "my.chatty", "config": {"url": ""}}
    answer = await desk.post("/api/connections/browse", **what)
    assert (len(answer["found"]), answer["is_whole"]) == (trial.FOUND_MAX, False)
    assert answer["text"] == "These are the first 2,000 (found_max). Look further below."
    monkeypatch.setattr(trial, "BROWSE_S", 0.1)
    answer = await desk.post("/api/connections/browse", **what, path="slow")
    assert (len(answer["found"]), answer["is_whole"]) == (1, False)
    assert Chatty.ended == 2, "what it holds is let go in any case"


async def test_who_goes_away_ends_what_was_asked(desk: Desk, strangers: None) -> None:
    """Over a real socket: a browser that is closed must not keep a device busy."""
    async with served(desk.runtime) as url:
        host, port = url.removeprefix("http://").split(":")
        body = b'{"type": "my.chatty", "config": {"url": ""}, "path": "slow"}'
        head = (
            f"POST /api/connections/browse HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode() + body)
        await writer.drain()
        await until(lambda: desk.runtime.trials._running == 1)
        assert Chatty.ended == 0
        writer.close()
        await until(lambda: Chatty.ended == 1 and desk.runtime.trials._running == 0)


async def test_what_is_wrong_is_said_before_anything_is_opened(desk: Desk) -> None:
    for body, text in (
        ({"type": "no.such"}, "no.such"),
        ({"type": "filter.deadband"}, "does not belong under `connections`"),
        ({"type": "mqtt.connection", "config": {"url": "x"}}, "is no broker"),
        ({"type": "mqtt.connection", "config": {"url": "mqtt://a", "bogus": 1}}, "bogus"),
        (
            {"type": "mqtt.connection", "config": {"url": "mqtt://a", "password": "hunter2"}},
            "A secret stands here in clear",
        ),
    ):
        said = await desk.post("/api/connections/test", 422, **body)
        assert text in said, said
        assert "hunter2" not in said
    await desk.post("/api/connections/browse", 422, path="")
    await desk.post("/api/connections/browse", 404, flow="idle", connection="none")
    rows = await audit_rows(desk.runtime.store)
    assert "hunter2" not in str(rows)
    assert rows[0]["action"] == "connection/test"


# ---------------------------------------------------------------------- OPC UA


async def test_opcua_a_session_is_tried_out_and_browsed(desk: Desk) -> None:
    async with running(users=Users()) as plc:
        found = await steps(desk, "opcua.connection", url=plc.url)
        assert list(found) == ["tcp", "login", "read"]
        assert found["login"] == ("ok", "A session is open, without a user.")
        assert found["read"][1].startswith("Read from ")
        bad = {"user": "op", "password": {"secret": "absent"}}
        found = await steps(desk, "opcua.connection", url=plc.url, **bad)
        assert found["login"][0] == "failed" and "'absent' is not set" in found["login"][1]
        secrets = desk.runtime.state_dir / "secrets"
        secrets.mkdir(exist_ok=True)
        (secrets / "plc").write_text("wrong")
        user = {"user": "op", "password": {"secret": "plc"}}
        found = await steps(desk, "opcua.connection", url=plc.url, **user)
        assert found["login"][0] == "failed" and "refused the user 'op'" in found["login"][1]
        (secrets / "plc").write_text("secret")
        found = await steps(desk, "opcua.connection", url=plc.url, **user)
        assert found["login"] == ("ok", "A session is open, as the user 'op'.")
        assert "travels in clear text" in found["said"][1]
        own = {"type": "opcua.connection", "config": {"url": plc.url}}
        top = {row["name"]: row for row in await browsed(desk, **own)}
        assert top["Plant"]["kind"] == "folder"
        press = await browsed(desk, top["Plant"]["path"] and plc.id("Press1"), **own)
        rows = {row["name"]: row for row in press}
        assert rows["Temp"] | {"facts": {}} == {
            "name": "Temp",
            "kind": "variable",
            "path": plc.id("Temp"),
            "address": plc.id("Temp"),
            "type": "Double",
            "value": 20.0,
            "unit": "degC",
            "quality": "Good",
            "facts": {},
        }
        assert (rows["Add"]["kind"], rows["Add"]["path"]) == ("method", "")
        assert [row["name"] for row in await browsed(desk, "/Objects/2:Plant", **own)] == [
            "Press1",
            "Many",
        ]
        for path, text in (("ns=2;s=None", "BadNodeId"), ("rubbish", "is no node")):
            said = await desk.post("/api/connections/browse", 409, path=path, **own)
            assert text in said


def press(plc: Plc, **more: Any) -> Document:
    text = f"""flow: press
version: 1
connections:
  plc: {{type: opcua.connection, url: "{plc.url}"}}
nodes:
  src: {{type: opcua.source, connection: plc, sampling_s: 0.1, publishing_s: 0.1,
         tags: {{press/temp: "{plc.id("Temp")}"}}}}
  quiet: {{type: filter.deadband, band: 1}}
wires:
- src -> quiet
"""
    document = Document.parse(text)
    entry = document.connections["plc"]
    return Document(
        **{
            **document.__dict__,
            "connections": {"plc": type(entry)(entry.type, {**entry.config, **more})},
        }
    )


async def test_opcua_the_running_connection_is_browsed_and_listed(tmp_path: Path) -> None:
    async with running() as plc:
        desk = await opened(press(plc), tmp_path)
        await until(lambda: len(desk.runtime.tags) == 1 and desk.runtime.live.rows[0] > 0)
        running_one = {"flow": "press", "connection": "plc"}
        rows = await browsed(desk, "/Objects/2:Plant/2:Press1", **running_one)
        assert "Temp" in [row["name"] for row in rows]
        await steps(desk, "opcua.connection", url=plc.url)
        (row,) = await desk.get("/api/connections")
        assert (row["state"], row["opened"], row["error"]) == ("connected", 1, "")
        assert (row["address"], row["nodes"]) == (plc.url, ["src"])
        assert row["next_try"] is None and row["since"] > 0 and row["rows"] >= 1
        assert row["certificates"] == []
        await closed(desk)


async def test_an_absent_server_is_listed_with_its_error_and_the_next_try(tmp_path: Path) -> None:
    port = free_port()
    plc = Plc(server=None, port=port, index=2)  # type: ignore[arg-type]  # only its address
    desk = await opened(press(plc), tmp_path)
    await until(lambda: desk.runtime.hosts["press"].drivers["plc"].next_try)
    (row,) = await desk.get("/api/connections")
    assert row["state"] == "disconnected" and f"127.0.0.1:{port}" in row["error"]
    assert row["next_try"] > row["since"]
    what = {"flow": "press", "connection": "plc"}
    assert f"127.0.0.1:{port}" in await desk.post("/api/connections/browse", 503, **what)
    await closed(desk)


async def until_listed(desk: Desk, path: str, number: int) -> None:
    """Certificates are read anew every few seconds."""
    async with asyncio.timeout(20):
        while len(await desk.get(path)) < number:
            await asyncio.sleep(0.1)


async def test_opcua_a_certificate_is_trusted_by_a_person(tmp_path: Path) -> None:
    async with running(pki=tmp_path / "plc") as plc:
        desk = await opened(press(plc, **SECURE), tmp_path / "state")
        found = await steps(desk, "opcua.connection", url=plc.url, **SECURE)
        assert found["certificate"][0] == "failed"
        assert "is not trusted: SHA-256 " in found["certificate"][1]
        driver = desk.runtime.hosts["press"].drivers["plc"]
        await until(lambda: driver.next_try)
        path = "/api/connections/press/plc/trust"
        await until_listed(desk, path, 2)
        own, server = await desk.get(path)
        assert (own["whose"], own["state"], own["subject"]) == ("own", "own", "Genba")
        assert (server["whose"], server["state"]) == ("server", "rejected")
        assert server["subject"] == "urn:test:plc"
        assert server["ends"] > server["begins"] > 0
        mark = server["fingerprint"]
        await desk.post(path, 404, fingerprint="00:11", trusted=True)
        done = await desk.post(path, fingerprint=mark, trusted=True)
        assert done["text"].startswith("The certificate is trusted: ")
        found = await steps(desk, "opcua.connection", url=plc.url, **SECURE)
        assert found["certificate"][0] == "ok" and found["read"][0] == "ok"
        assert [one["state"] for one in await desk.get(path)] == ["own", "trusted"]
        await desk.post(path, fingerprint=mark, trusted=False)
        found = await steps(desk, "opcua.connection", url=plc.url, trust="pin-first-use", **SECURE)
        assert found["certificate"][0] == "failed", "what a person rejected is not pinned"
        said = [(row["actor"], row["action"]) for row in await audit_rows(desk.runtime.store)]
        assert ("user:local", "connection/trust") in said
        assert ("user:local", "connection/reject") in said
        await closed(desk)


async def test_a_trial_trusts_nobody_for_good(desk: Desk, tmp_path: Path) -> None:
    async with running(pki=tmp_path / "plc") as plc:
        for _ in range(2):
            found = await steps(
                desk, "opcua.connection", url=plc.url, trust="pin-first-use", **SECURE
            )
            assert found["read"][0] == "ok"
            assert "It is trusted once this connection is deployed" in found["said"][1]
        assert list((tmp_path / "pki" / "trusted").iterdir()) == []


# ---------------------------------------------------------------------- MQTT


async def publish(broker: Broker, *messages: Outgoing) -> None:
    from nodes.mqtt._dial import Trust, parse_url
    from nodes.mqtt._session import Session
    from nodes.mqtt._settings import Settings

    settings = Settings(
        parse_url(broker.url),
        Trust(),
        Hello("publisher", clean_start=True),
        "5",
        1_000_000,
        lambda: 0,
        lambda topic, n: None,
    )
    session = await Session.open(settings)
    await session.publish(messages)
    await session.close()


async def test_mqtt_topics_are_seen_with_a_guess_of_their_form(
    tmp_path: Path,
    make_broker: Any,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_listen, "LISTEN_S", 0.5)
    broker = make_broker()
    text = f"""flow: sensors
version: 1
connections:
  broker: {{type: mqtt.connection, url: "{broker.url}", client_id: genba}}
nodes:
  src: {{type: mqtt.source, connection: broker, topics: ["plant/#"]}}
  quiet: {{type: filter.deadband, band: 1}}
wires:
- src -> quiet
"""
    desk = await opened(Document.parse(text), tmp_path / "state")
    await until(lambda: desk.runtime.hosts["sensors"].drivers["broker"].ready.is_set())
    retained = [
        ("plant/a", b"21.5"),
        ("plant/b", b'{"ts": 5, "v": 3, "deep": {"x": [1, 2]}}'),
        ("plant/c", b"open"),
        ("plant/d", b"\xff\x00\x01"),
        ("spBv1.0/g/DDATA/n/d", b"\x08\x01"),
        ("other/e", b"1"),
    ]
    await publish(broker, *(Outgoing(t, p, 1, True) for t, p in retained))
    running_one = {"flow": "sensors", "connection": "broker"}
    own = {
        "type": "mqtt.connection",
        "config": {"url": broker.url, "client_id": "genba", "will": {"topic": "plant/will"}},
    }
    for which in (running_one, own):
        rows = {row["name"]: row for row in await browsed(desk, **which)}
        assert list(rows) == sorted(topic for topic, _ in retained)
        assert [rows[f"plant/{x}"]["type"] for x in "abcd"] == ["number", "json", "text", "binary"]
        assert (rows["plant/a"]["value"], rows["plant/a"]["facts"]["retained"]) == (21.5, True)
        facts = rows["plant/b"]["facts"]
        assert facts["fields"] == {"ts": 5.0, "v": 3.0, "deep.x[0]": 1.0, "deep.x[1]": 2.0}
        assert facts["options"] == {"payload": "json", "value": "v"}
        assert rows["spBv1.0/g/DDATA/n/d"]["type"] == "sparkplug"
        some = await browsed(desk, "plant/+", **which)
        assert [row["name"] for row in some] == [f"plant/{x}" for x in "abcd"]
        said = await desk.post("/api/connections/browse", 422, path="a+/b", **which)
        assert "is no topic filter" in said
    found = await steps(desk, **{"type_name": own["type"], **own["config"]})
    assert found["login"][1].endswith("This trial had a client id of its own.")
    assert found["read"][0] == "ok"
    status = desk.runtime.hosts["sensors"].drivers["broker"].ctx.status
    assert (status.state, status.counts["opened"]) == ("connected", 1), "nobody took its place"
    (row,) = await desk.get("/api/connections")
    assert row["rows"] > 0
    await closed(desk)


async def test_mqtt_a_refused_user_is_named(
    desk: Desk,
    make_broker: Any,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    (tmp_path / "users").write_text("")
    broker = make_broker(f"allow_anonymous false\npassword_file {tmp_path}/users")
    found = await steps(desk, "mqtt.connection", url=broker.url)
    assert found["tcp"][0] == "ok" and found["session"][0] == "failed"
    assert "Check `username` and `password`." in found["session"][1]


# ---------------------------------------------------------------------- Modbus


async def test_modbus_registers_are_scanned_in_each_order(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_scan_registers, "PAUSE_S", 0.0)
    holding = [0x4248, 0x0000, 0xFFFF, 7] + [0] * 96
    async with tcp_server(device(1, {"holding": holding, "coil": [1, 0] * 8})) as port:
        own = {"type": "modbus.connection", "config": {"address": f"tcp://127.0.0.1:{port}"}}
        found = await steps(desk, **{"type_name": own["type"], **own["config"]})
        assert found["read"] == ("ok", "Unit 1 answers: holding:0 was read.")
        top = await browsed(desk, **own)
        assert [row["path"] for row in top] == [
            "1/coil/0-99",
            "1/discrete/0-99",
            "1/input/0-99",
            "1/holding/0-99",
        ]
        rows = await browsed(desk, "1/holding/0-99", **own)
        assert len(rows) == 100
        assert rows[0]["facts"]["float32"]["ABCD"] == 50.0
        assert rows[2]["value"] == 0xFFFF and rows[2]["facts"]["int16"] == -1
        assert rows[2]["facts"]["uint32"]["CDAB"] == 0x0007FFFF
        past = await browsed(desk, "1/holding/90-140", **own)
        assert [row["address"] for row in past] == [f"holding:{n}" for n in range(90, 100)]
        bits = await browsed(desk, "1/coil/0-3", **own)
        assert [row["value"] for row in bits] == [1, 0, 1, 0]
        for path, text in (
            ("1/holding/0-5000", "At most 1,000 addresses"),
            ("1/holding/9-3", "the first before the last"),
            ("x", "names no registers"),
            ("300/coil", "A unit is 0 to 255"),
        ):
            assert text in await desk.post("/api/connections/browse", 409, path=path, **own)


async def test_modbus_a_silent_unit_is_asked_once(desk: Desk) -> None:
    asked: list[bytes] = []

    def answer(tid: int, unit: int, pdu: bytes) -> list[tuple[float, bytes]]:
        from nodes.modbus._frame import mbap

        asked.append(pdu)
        if int.from_bytes(pdu[1:3], "big") >= 50:
            return []
        return [(0.0, mbap(tid, unit, read_reply(pdu)))]

    async with TcpSlave(answer) as slave:
        config = {"address": f"tcp://127.0.0.1:{slave.port}", "timeout_s": 0.2}
        what = {"type": "modbus.connection", "config": config, "path": "1/holding/0-199"}
        found = await desk.post("/api/connections/browse", **what)
        assert (len(found["found"]), found["is_whole"]) == (50, False)
        assert found["text"].startswith("Ended, so that the bus is not held up: unit 1 did not")
        assert len(asked) == 2


async def test_serial_ports_of_this_machine_are_listed(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port is called by its name by-id where it has one; Modbus says what it speaks there."""
    main, other = os.openpty()
    device = os.ttyname(other)
    (tmp_path / "usb-Scale_7").symlink_to(device)
    scale, bare = ListPortInfo(device), ListPortInfo("/dev/ttyS7")
    scale.description, scale.manufacturer = "Scale 7", "Waage AG"
    monkeypatch.setattr("nodes._line.BY_ID", tmp_path)
    monkeypatch.setattr("nodes._line.list_ports.comports", lambda: [scale, bare])
    found = await desk.post("/api/connections/places", type="serial.connection")
    assert [row["address"] for row in found] == [str(tmp_path / "usb-Scale_7"), "/dev/ttyS7"]
    assert (found[0]["name"], found[0]["facts"]["about"]) == (device, "Scale 7, Waage AG")
    found = await desk.post("/api/connections/places", type="modbus.connection")
    assert found[0]["address"] == f"rtu:{tmp_path}/usb-Scale_7"
    assert await desk.post("/api/connections/places", type="mqtt.connection") == []
    await desk.post("/api/connections/places", 422, type="log.sink")
    await desk.post("/api/connections/places", 409, type="no.such")
    os.close(main)
    os.close(other)


async def test_what_this_machine_has_can_be_asked_as_it_is(desk: Desk) -> None:
    found = await desk.post("/api/connections/places", type="serial.connection")
    assert {row["kind"] for row in found} <= {"port"}

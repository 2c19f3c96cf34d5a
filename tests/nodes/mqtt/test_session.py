"""The session against a real broker: absence, refusal, TLS, restarts, acknowledgements."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from gateway import Batch, ConfigError, Disconnected
from nodes.mqtt import _session
from nodes.mqtt._codec import Codec3, Codec5, Hello
from nodes.mqtt._throttle import QUEUE_ROWS_MAX


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_no_broker_at_the_start(bed: Any, make_broker: Any, version: str) -> None:
    broker = make_broker(start=False)
    connection = bed.connection(broker.url, version=version)
    with pytest.raises(Disconnected, match=f"Nobody answers at 127.0.0.1:{broker.port}"):
        await connection.open()
    await connection.close()
    with pytest.raises(Disconnected):
        await bed.source(topics=["p"]).connect()
    broker.start()
    await connection.open()
    assert not connection.session.is_gone


async def test_a_broker_that_is_killed_is_noticed_at_once(bed: Any, broker: Any) -> None:
    connection = bed.connection(broker.url)
    await connection.open()
    source = bed.source(topics=["p/#"])
    await source.connect()
    reading = asyncio.create_task(source.read())
    lost = asyncio.create_task(connection.lost())
    await asyncio.sleep(0.05)
    broker.stop(kill=True)
    async with asyncio.timeout(5):
        assert str(broker.port) in await lost
        with pytest.raises(Disconnected, match=str(broker.port)):
            await reading


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_wrong_password_is_a_matter_of_configuration(
    bed: Any, make_broker: Any, tmp_path: Path, version: str
) -> None:
    users = tmp_path / "users"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(users), "genba", "right"], check=True)
    broker = make_broker(f"allow_anonymous false\npassword_file {users}")
    bed.secrets = {"good": "right", "bad": "wrong"}
    config = {"version": version, "username": "genba"}
    connection = bed.connection(broker.url, password={"secret": "bad"}, **config)
    with pytest.raises(ConfigError, match="Check `username` and `password`"):
        await connection.open()
    connection = bed.connection(broker.url, password={"secret": "good"}, **config)
    await connection.open()
    assert not connection.session.is_gone


async def test_a_second_client_with_our_name_is_told(bed: Any, broker: Any) -> None:
    one = bed.connection(broker.url, "one", client_id="same")
    two = bed.connection(broker.url, "two", client_id="same")
    await one.open()
    lost = asyncio.create_task(one.lost())
    await two.open()
    async with asyncio.timeout(5):
        assert "another client call itself 'same'" in await lost


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_what_is_not_acknowledged_comes_again(
    bed: Any, broker: Any, collect: Any, send: Any, version: str
) -> None:
    """Killed after reading and before committing: nothing acknowledged is lost or repeated."""
    connection = bed.connection(broker.url, version=version)
    await connection.open()
    source = bed.source(topics=["p/{x}"], tag="{x}")
    await source.connect()
    await send(broker, [("p/a", str(i)) for i in range(10)])
    seen = collect(source)
    await seen.read(10, commit=True)
    position = source._position()
    await send(broker, [("p/a", str(i)) for i in range(10, 20)])
    await seen.read(20)  # read, never committed
    connection.session.drop("killed")
    await connection.close()
    await send(broker, [("p/a", str(i)) for i in range(20, 30)])
    connection = bed.connection(broker.url, version=version)
    await connection.open()
    assert connection.session.welcome.session_present
    again = bed.source(position=position, topics=["p/{x}"], tag="{x}")
    await again.connect()
    seen = collect(again)
    await seen.read(20, commit=True)
    assert seen.table() == {"a": [float(i) for i in range(10, 30)]}
    assert not seen.events["status"]


async def test_broker_restart_loses_nothing_acknowledged(
    bed: Any, broker: Any, collect: Any, send: Any
) -> None:
    connection = bed.connection(broker.url)
    await connection.open()
    source = bed.source(topics=["p/{x}"], tag="{x}")
    await source.connect()
    seen = collect(source)
    await send(broker, [("p/a", str(i)) for i in range(100)])
    await seen.read(100, commit=True)
    await send(broker, [("p/a", str(i)) for i in range(100, 200)])
    broker.stop()
    with pytest.raises(Disconnected):
        async with asyncio.timeout(5):
            while True:
                seen.take(await source.read())
    await source.close()
    await connection.close()
    broker.start()
    await connection.open()
    await source.connect()
    await seen.read(200, commit=True)
    assert sorted(set(seen.table()["a"])) == [float(i) for i in range(200)]


async def test_a_session_the_broker_forgot_is_a_gap(
    bed: Any, make_broker: Any, collect: Any, send: Any
) -> None:
    broker = make_broker("persistence false")
    connection = bed.connection(broker.url)
    await connection.open()
    source = bed.source(topics=["p/{x}"], tag="{x}")
    await source.connect()
    seen = collect(source)
    await send(broker, [("p/a", "1")])
    await seen.read(1, commit=True)
    broker.stop(kill=True)
    (broker.folder / "mosquitto.db").unlink(missing_ok=True)
    await connection.close()
    broker.start()
    await connection.open()
    await source.connect()
    await seen.read(status=1)
    gap = seen.events["status"][0]
    assert (gap.topic, gap.data["cause"]) == ("source/gap", "session_lost")
    assert gap.data["from"] < gap.data["to"]


async def test_quality_of_service_0_has_a_gap_after_each_loss(
    bed: Any, broker: Any, collect: Any, send: Any
) -> None:
    connection = bed.connection(broker.url)
    await connection.open()
    source = bed.source(topics=["p/{x}"], tag="{x}", qos=0)
    await source.connect()
    seen = collect(source)
    await send(broker, [("p/a", "1")], 0)
    await seen.read(1)
    connection.session.drop("cable")
    await connection.close()
    await connection.open()
    await source.connect()
    await seen.read(status=1)
    assert seen.events["status"][0].data["cause"] == "qos_0"


async def test_a_new_source_on_a_living_session_gets_what_is_open(
    bed: Any, broker: Any, collect: Any, send: Any
) -> None:
    connection = bed.connection(broker.url)
    await connection.open()
    first = bed.source(topics=["p/{x}"], tag="{x}")
    await first.connect()
    await send(broker, [("p/a", str(i)) for i in range(5)])
    await collect(first).read(5)
    await first.close()
    second = bed.source(topics=["p/{x}"], tag="{x}")
    with pytest.raises(Disconnected, match="sends again"):
        await second.connect()
    await connection.close()
    await connection.open()
    await second.connect()
    seen = collect(second)
    await seen.read(5, commit=True)
    assert seen.table() == {"a": [0, 1, 2, 3, 4]}


async def test_the_same_source_goes_on_where_it_was(
    bed: Any, broker: Any, collect: Any, send: Any
) -> None:
    connection = bed.connection(broker.url)
    await connection.open()
    source = bed.source(topics=["p/{x}"], tag="{x}")
    await source.connect()
    await source.close()
    await send(broker, [("p/a", str(i)) for i in range(5)])
    await source.connect()
    seen = collect(source)
    await seen.read(5, commit=True)
    assert seen.table() == {"a": [0, 1, 2, 3, 4]}
    assert connection.session.owed == 0


async def test_old_filters_are_unsubscribed(bed: Any, broker: Any, collect: Any, send: Any) -> None:
    connection = bed.connection(broker.url)
    await connection.open()
    old = bed.source(topics=["old/{x}"])
    await old.connect()
    position = old._position()
    await connection.close()
    await connection.open()
    new = bed.source(position=position, topics=["new/{x}"], tag="{x}")
    await new.connect()
    await send(broker, [("old/a", "1"), ("new/a", "2")])
    seen = collect(new)
    await seen.read(1, commit=True)
    assert seen.table() == {"a": [2]}
    assert connection.session.owed == 0
    assert "strays" not in connection.ctx.counts


class FakeBroker:
    """Speaks just enough MQTT to show what a client sends, and can fall silent."""

    def __init__(self) -> None:
        self.acks: list[int] = []
        self.writer: asyncio.StreamWriter | None = None
        self.pings = 0
        self.is_silent = False
        self.connected = asyncio.Event()
        self.backlog = b""
        """What it sends to one who comes back, before it answers anything."""
        self.grant = 1

    async def __aenter__(self) -> FakeBroker:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"mqtt://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        if self.writer is not None:
            self.writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        while head := await reader.read(1):
            size = shift = 0
            while True:
                byte = (await reader.readexactly(1))[0]
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            body = await reader.readexactly(size)
            if head[0] >> 4 == 1:
                writer.write(b"\x20\x03\x01\x00\x00" + self.backlog)
            elif head[0] >> 4 == 8:
                writer.write(b"\x90\x04" + body[:2] + bytes([0, self.grant]))
                self.connected.set()
            elif head[0] >> 4 == 4:
                self.acks.append(int.from_bytes(body, "big"))
            elif head[0] >> 4 == 12:
                self.pings += 1
                if not self.is_silent:
                    writer.write(b"\xd0\x00")


def _message(number: int, topic: bytes = b"p/a", payload: bytes = b"1") -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + number.to_bytes(2, "big") + b"\x00" + payload
    return b"\x32" + bytes([len(body)]) + body


async def test_more_than_we_take_unread_comes_before_the_answer(bed: Any, collect: Any) -> None:
    """mosquitto 2.0.11 sends far more than Receive Maximum after some reconnects (#2301).

    The answer to SUBSCRIBE stands behind messages for which there is no room until the source
    reads; so the source must not wait for it.
    """
    async with FakeBroker() as fake:
        many = 3 * QUEUE_ROWS_MAX
        fake.backlog = b"".join(map(_message, range(1, many + 1)))
        await bed.connection(fake.url).open()
        source = bed.source(topics=["p/a"])
        await source.connect()
        seen = collect(source)
        await seen.read(many)
        assert seen.rows == many
        await seen.commit()


async def test_a_refusal_that_comes_late_is_no_silence(bed: Any, collect: Any) -> None:
    async with FakeBroker() as fake:
        many = 3 * QUEUE_ROWS_MAX
        fake.backlog = b"".join(map(_message, range(1, many + 1)))
        fake.grant = 0x87
        await bed.connection(fake.url).open()
        source = bed.source(topics=["p/a"])
        await source.connect()
        with pytest.raises(Disconnected, match="refuses the subscription to p/a"):
            await collect(source).read(many + 1)


async def test_what_is_sent_again_is_no_publisher_that_starts_anew(bed: Any, collect: Any) -> None:
    """A crash after the very first messages: number 1 comes again, and is not taken for a new 1."""
    config = {"topics": ["p/a"], "payload": "json", "sequence": "n", "dedupe_by": "sequence"}

    def message(number: int, *, again: bool = False) -> bytes:
        packet = _message(number, payload=b'{"value":%d,"n":%d}' % (number, number))
        return bytes([packet[0] | 8 * again]) + packet[1:]

    async with FakeBroker() as fake:
        await bed.connection(fake.url).open()
        source = bed.source(**config)
        await source.connect()
        assert fake.writer is not None
        fake.writer.write(message(1) + message(2))
        seen = collect(source)
        await seen.read(2)
        fake.writer.write(message(1, again=True) + message(2, again=True) + message(3))
        await seen.read(3)
        assert seen.table() == {"p/a": [1, 2, 3]}
        fake.writer.write(message(1) + message(2))
        await seen.read(5)
        assert seen.table() == {"p/a": [1, 2, 3, 1, 2]}


async def test_acknowledgements_leave_in_the_order_of_arrival(
    bed: Any, collect: Any, settle: Any
) -> None:
    """Two sources share the session and commit the wrong way round."""
    async with FakeBroker() as fake:
        await bed.connection(fake.url).open()
        a = bed.source("a", topics=["p/a"])
        b = bed.source("b", topics=["p/b"])
        await a.connect()
        await b.connect()
        assert fake.writer is not None
        fake.writer.write(_message(7) + _message(3, b"p/b") + _message(9))
        one, two = collect(a), collect(b)
        await one.read(2)
        await two.read(1)
        fake.writer.write(_message(4, b"p/b"))
        await two.read(2)
        await two.commit()
        await asyncio.sleep(0.05)
        assert fake.acks == []
        await one.commit()
        await settle(lambda: len(fake.acks) == 4)
        assert fake.acks == [7, 3, 9, 4]


async def test_a_silent_peer_is_found_within_two_keepalives(bed: Any, settle: Any) -> None:
    async with FakeBroker() as fake:
        connection = bed.connection(fake.url, keepalive_s=1)
        await connection.open()
        await settle(lambda: fake.pings >= 2)
        assert not connection.session.is_gone
        fake.is_silent = True
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(10):
            reason = await connection.lost()
        assert "was silent" in reason
        assert loop.time() - began < 10


@pytest.mark.parametrize(
    "junk",
    [
        b"\x00\x00",
        b"\x32\x01\x00",
        b"\x34\x08\x00\x03p/a\x00\x01\x00",
        b"\x32\x05\x00\x09p/a",
        b"\x30\xff\xff\xff\xff\xff",
    ],
)
async def test_junk_ends_the_session_with_a_sentence(bed: Any, junk: bytes) -> None:
    async with FakeBroker() as fake:
        connection = bed.connection(fake.url)
        await connection.open()
        assert fake.writer is not None
        fake.writer.write(junk)
        async with asyncio.timeout(5):
            assert "not MQTT" in await connection.lost()


async def test_a_broker_that_never_answers_is_away(
    bed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_session, "ANSWER_TIMEOUT_S", 0.1)

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Disconnected, match="does not answer"):
        await bed.connection(f"mqtt://127.0.0.1:{port}").open()
    server.close()
    await asyncio.sleep(0.05)


def test_both_codecs_write_what_the_standard_says() -> None:
    hello = Hello("c", "u", "p", 10, clean_start=True)
    assert Codec3().connect(hello).hex() == "101300044d51545404c2000a00016300017500 0170".replace(
        " ", ""
    )
    assert Codec5().connect(hello)[0] == 0x10
    assert Codec3().subscribe(1, ["a/#"], 1, 0).hex() == "820800010003612f2301"
    assert Codec5().answer(bytes.fromhex("40020102")) == (0x0102, [0])
    assert Codec3().answer(bytes.fromhex("9004010200 80".replace(" ", ""))) == (0x0102, [0, 0x80])


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"url": "http://x"}, "is no broker"),
        ({"url": "mqtt://u:p@x"}, "not the URL"),
        ({"url": "mqtts://x", "cert": "a.pem"}, "go together"),
        ({"url": "mqtt://x", "ca": "a.pem"}, "mqtts:// only"),
        ({"url": "mqtt://x", "version": "3.1.1", "password": {"secret": "s"}}, "user name"),
    ],
)
def test_connections_that_cannot_work_are_refused(
    bed: Any, config: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValidationError, match=text):
        bed.connection(**config)


# TLS with certificates made here.


class Authority:
    """A certificate authority for tests."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cert = self._sign(name, self.key, None, 30, [])
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, host: str, days: int = 30) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = (
            [x509.IPAddress(ipaddress.ip_address(host))]
            if host[0].isdigit()
            else [x509.DNSName(host)]
        )
        cert = self._sign(name, key, self, days, names)
        paths = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        paths[0].write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: Authority | None,
        days: int,
        names: list[x509.GeneralName],
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        start = now - dt.timedelta(days=60)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.cert.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return builder.sign(issuer.key if issuer else key, hashes.SHA256())


@pytest.fixture
def tls_broker(make_broker: Any, tmp_path: Path) -> Any:
    def make(host: str = "127.0.0.1", days: int = 30, extra: str = "") -> tuple[Any, Authority]:
        authority = Authority(tmp_path, "plant")
        cert, key = authority.issue("broker", host, days)
        lines = [f"cafile {authority.path}", f"certfile {cert}", f"keyfile {key}", extra]
        broker = make_broker("\n".join(lines))
        broker.url = f"mqtts://127.0.0.1:{broker.port}"
        return broker, authority

    return make


async def test_tls_with_the_right_authority(bed: Any, tls_broker: Any, collect: Any) -> None:
    broker, authority = tls_broker()
    connection = bed.connection(broker.url, ca=authority.path)
    await connection.open()
    source = bed.source(topics=["p/{x}"], tag="{x}")
    await source.connect()
    sink = bed.sink(topic="p/{tag}", payload="plain")
    await sink.connect()
    n = 5_000
    tags = np.full(n, bed.tags.code("a"))
    await_all = collect(source)
    writing = asyncio.create_task(
        sink.write(Batch.columns(tags, np.zeros(n, np.int64), np.arange(n) * 1.0), "in")
    )
    await await_all.read(n, commit=True)
    await writing
    assert await_all.table()["a"] == [float(i) for i in range(n)]
    listed = connection.certificates()
    seen = [(one.whose, one.state, one.subject) for one in listed]
    assert seen == [("authority", "trusted", "plant"), ("server", "", "broker")]
    shown = x509.load_pem_x509_certificate((authority.folder / "broker.crt").read_bytes())
    assert listed[1].fingerprint == shown.fingerprint(hashes.SHA256()).hex(":").upper()
    assert listed[1].ends == round(shown.not_valid_after_utc.timestamp()) * 10**9


async def test_tls_refuses_what_it_cannot_trust(bed: Any, tls_broker: Any, tmp_path: Path) -> None:
    broker, _ = tls_broker()
    (tmp_path / "other").mkdir()
    wrong = Authority(tmp_path / "other", "stranger")
    for config, text in [
        ({"ca": wrong.path}, "not to be trusted"),
        ({}, "not to be trusted"),
        ({"ca": tmp_path / "absent.pem"}, "There is no file"),
        ({"ca": broker.folder / "mosquitto.conf"}, "cannot be used"),
    ]:
        with pytest.raises(ConfigError, match=text):
            await bed.connection(broker.url, **config).open()
    unverified = bed.connection(broker.url, verify=False)
    await unverified.open()
    assert not unverified.session.is_gone


async def test_tls_with_an_expired_certificate(bed: Any, tls_broker: Any) -> None:
    broker, authority = tls_broker(days=-1)
    with pytest.raises(ConfigError, match="expired"):
        await bed.connection(broker.url, ca=authority.path).open()


async def test_tls_with_another_host_name(bed: Any, tls_broker: Any) -> None:
    broker, authority = tls_broker(host="other.plant")
    with pytest.raises(ConfigError, match="IP address mismatch"):
        await bed.connection(broker.url, ca=authority.path).open()


async def test_tls_with_client_certificates(bed: Any, tls_broker: Any) -> None:
    broker, authority = tls_broker(extra="require_certificate true")
    with pytest.raises((ConfigError, Disconnected), match=r"certificate|TLS"):
        await bed.connection(broker.url, ca=authority.path).open()
    cert, key = authority.issue("genba", "genba")
    connection = bed.connection(broker.url, ca=authority.path, cert=cert, key=key)
    await connection.open()
    assert not connection.session.is_gone


async def test_no_tls_where_tls_is_asked_for(bed: Any, broker: Any) -> None:
    with pytest.raises((Disconnected, ConfigError), match=r"TLS|Nobody|connection"):
        await bed.connection(f"mqtts://127.0.0.1:{broker.port}").open()

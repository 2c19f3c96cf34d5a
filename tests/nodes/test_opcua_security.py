"""opcua.connection: policies, users, and whom it trusts."""

from __future__ import annotations

import asyncio
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.server.internal_session import InternalSession
from pydantic import ValidationError

from gateway import ConfigError, Disconnected
from nodes.opcua.connection import OpcuaConnection
from tests.nodes.opcua_plc import Gateway, Users, free_port, running

pytestmark = pytest.mark.plant
SECURED = [
    f"{policy}_{mode}"
    for policy in ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
    for mode in ("Sign", "SignAndEncrypt")
]
DAY_NS = 86_400_000_000_000


def trust_all(folder: Path) -> None:
    """What a person does: move what was rejected to trusted."""
    for path in (folder / "pki" / "rejected").iterdir():
        shutil.move(path, folder / "pki" / "trusted" / path.name)


async def opens(folder: Path, **config: Any) -> Gateway:
    """Open, read once, close."""
    gw = Gateway(folder, **config)
    await gw.open()
    await gw.connection.session.read([ua.NodeId(2258)])
    await gw.connection.close()
    await gw.ctx.tasks.stop()
    return gw


async def refusal(folder: Path, **config: Any) -> str:
    """The sentence with which opening is refused; nothing stays open."""
    gw = Gateway(folder, **config)
    with pytest.raises(ConfigError) as caught:
        await gw.open()
    assert gw.ctx.tasks is not None
    assert len(gw.ctx.tasks) == 0
    return str(caught.value)


async def test_every_policy_and_mode_with_and_without_user(tmp_path: Path) -> None:
    before = InternalSession._current_connections
    async with running(pki=tmp_path / "plc", users=Users()) as plc:
        text = await refusal(tmp_path, url=plc.url, security=SECURED[0])
        assert "is not trusted: SHA-256 " in text
        assert str(tmp_path / "pki" / "rejected") in text
        assert str(tmp_path / "pki" / "trusted") in text
        trust_all(tmp_path)
        for security in ["None", *SECURED]:
            await opens(tmp_path, url=plc.url, security=security)
            user = {"user": "op", "password": {"secret": "pw"}}
            gw = await opens(tmp_path, url=plc.url, security=security, **user)
            assert gw.ctx.told() == "", f"{security}: the password is encrypted"
        [pem] = (tmp_path / "pki" / "own").glob("*.pem")
        assert stat.S_IMODE(pem.stat().st_mode) == 0o600
        assert InternalSession._current_connections == before


async def test_a_wrong_password_is_named(tmp_path: Path) -> None:
    before = InternalSession._current_connections
    async with running(users=Users()) as plc:
        for ref, name in (("wrong", "op"), ("pw", "nobody")):
            text = await refusal(tmp_path, url=plc.url, user=name, password={"secret": ref})
            assert f"refused the user {name!r}: BadUserAccessDenied" in text
            assert "nonsense" not in text
        text = await refusal(tmp_path, url=plc.url, user="op", password={"secret": "absent"})
        assert "'absent' is not set" in text
        gw = await opens(tmp_path, url=plc.url, user="op", password={"secret": "pw"})
        assert "travels in clear text" in gw.ctx.told()
        assert InternalSession._current_connections == before


async def test_a_changed_certificate_is_refused(tmp_path: Path) -> None:
    port, security = free_port(), "Basic256Sha256_SignAndEncrypt"
    async with running(port, pki=tmp_path / "a") as plc:
        await refusal(tmp_path, url=plc.url, security=security)
        trust_all(tmp_path)
        await opens(tmp_path, url=plc.url, security=security)
    async with running(port, pki=tmp_path / "b") as plc:
        text = await refusal(tmp_path, url=plc.url, security=security)
        assert "has changed: SHA-256 " in text
        trust_all(tmp_path)
        await opens(tmp_path, url=plc.url, security=security)


async def test_pin_first_use(tmp_path: Path) -> None:
    port = free_port()
    how = {"security": "Aes256Sha256RsaPss_Sign", "trust": "pin-first-use"}
    async with running(port, pki=tmp_path / "a") as plc:
        gw = await opens(tmp_path, url=plc.url, **how)
        assert "was seen for the first time" in gw.ctx.told()
        gw = await opens(tmp_path, url=plc.url, **how)
        assert gw.ctx.told() == ""
    async with running(port, pki=tmp_path / "b") as plc:
        assert "has changed" in await refusal(tmp_path, url=plc.url, **how)


async def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    security = "Basic256Sha256_Sign"
    async with running(pki=tmp_path / "plc") as plc:
        await refusal(tmp_path, url=plc.url, security=security)
        trust_all(tmp_path)
        gw = Gateway(tmp_path, url=plc.url, security=security)
        now = gw.ctx.clock.now()
        for days, said in ((400, "it ended on"), (-400, "it begins on")):
            gw.ctx.clock.now = lambda days=days: now + days * DAY_NS
            with pytest.raises(ConfigError, match=said):
                await gw.open()


async def test_our_certificate_is_refused_by_the_server(tmp_path: Path) -> None:
    async def refuse(*_: Any) -> None:
        raise ua.uaerrors.BadCertificateUntrusted

    security = "Basic256Sha256_SignAndEncrypt"
    async with running(pki=tmp_path / "plc") as plc:
        plc.server.set_certificate_validator(refuse)
        await refusal(tmp_path, url=plc.url, security=security)
        trust_all(tmp_path)
        text = await refusal(tmp_path, url=plc.url, security=security)
        assert "refused the certificate of this gateway" in text
        [der] = (tmp_path / "pki" / "own").glob("*.der")
        assert str(der) in text


async def test_a_policy_that_is_not_offered(tmp_path: Path) -> None:
    async with running() as plc:
        text = await refusal(tmp_path, url=plc.url, security="Basic256Sha256_Sign")
        assert "does not offer Basic256Sha256 Sign. It offers None." in text


async def test_what_is_no_opcua_server(tmp_path: Path) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    for behave, said in ((greet, "OPC UA"), (silent, "No answer from")):
        server = await asyncio.start_server(behave, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            gw = Gateway(tmp_path, url=f"opc.tcp://127.0.0.1:{port}", timeout_s=0.5)
            with pytest.raises(Disconnected, match=said):
                await gw.open()


async def test_a_server_with_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as plc:
        monkeypatch.setattr(InternalSession, "max_connections", 0)
        with pytest.raises(Disconnected, match="no room for another session") as caught:
            await Gateway(tmp_path, url=plc.url).open()
        assert caught.value.retry_after_s == 30.0


async def test_a_user_certificate(tmp_path: Path) -> None:
    from nodes.opcua import _pki

    users = Users()
    async with running(pki=tmp_path / "plc", users=users) as plc:
        gw = Gateway(tmp_path, url=plc.url)
        own = _pki.own(tmp_path / "user", "urn:user", _pki.at(gw.ctx.clock.now()))
        other = _pki.own(tmp_path / "other", "urn:other", _pki.at(gw.ctx.clock.now()))
        users.certificate = own.certificate
        (tmp_path / "user.pem").write_bytes(own.key)
        (tmp_path / "user.der").write_bytes(own.certificate)
        files = {"user_certificate": "user.der", "user_key": "user.pem"}
        await opens(tmp_path, url=plc.url, **files)
        users.certificate = other.certificate
        text = await refusal(tmp_path, url=plc.url, **files)
        assert "refused the user certificate user.der" in text
        files["user_key"] = "missing.pem"
        text = await refusal(tmp_path, url=plc.url, **files)
        assert "cannot be read" in text


@pytest.mark.parametrize(
    "config",
    [
        {"url": "http://plc"},
        {"url": "opc.tcp://op:secret@plc:4840"},
        {"security": "Basic256Sha256_Sign", "trust": "none"},
        {"security": "None", "trust": "list"},
        {"password": {"secret": "pw"}},
        {"user_certificate": "a.der"},
        {"user": "op", "user_certificate": "a.der", "user_key": "a.pem"},
        {"keepalive_s": 20, "timeout_s": 20},
    ],
)
def test_what_the_config_refuses(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OpcuaConnection.Config.model_validate({"url": "opc.tcp://plc:4840", **config})


def test_a_server_that_an_authority_vouches_for(tmp_path: Path) -> None:
    """Trusting the authority is enough, for the application it was issued to and no other."""
    from datetime import UTC, datetime

    from asyncua.crypto import cert_gen
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID

    from nodes.opcua._trust import TrustList

    key = cert_gen.generate_private_key()
    uri = x509.UniformResourceIdentifier("urn:test:plc")
    authority = cert_gen.generate_self_signed_app_certificate(key, "Works CA", {}, [uri], [])
    server_key = cert_gen.generate_private_key()
    request = cert_gen.generate_app_certificate_signing_request(
        server_key, "plc", {}, [uri], [ExtendedKeyUsageOID.SERVER_AUTH]
    )
    issued = cert_gen.sign_certificate_request(request, authority, key)
    trust, now = TrustList(tmp_path), datetime.now(UTC)
    with pytest.raises(ConfigError, match="is not trusted"):
        trust.check(issued, "plc:4840", "urn:test:plc", "list", now)
    (trust.trusted / "ca.der").write_bytes(authority.public_bytes(Encoding.DER))
    assert trust.check(issued, "plc:4840", "urn:test:plc", "list", now) == ""
    with pytest.raises(ConfigError, match="is not trusted"):
        trust.check(issued, "plc:4840", "urn:other", "list", now)

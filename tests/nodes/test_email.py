"""Mail against a real SMTP server: what arrives, who is told, and every way a server says no."""

from __future__ import annotations

import asyncio
import datetime as dt
import email
import email.policy
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway import AlarmEvent, AlarmState, ConfigError, Disconnected, Event, Overlay, Rejected
from gateway.engine.clock import SystemClock
from gateway.flow import harness
from gateway.flow.document import Document
from gateway.flow.registry import node_class
from nodes._notify import Allowance, Sent
from nodes.email._letter import one_line
from tests.engine.gear import Script, kill, lent, started, until

NS = 10**9
T0 = 1_795_204_364 * NS


class Office:
    """What a mail server takes and how it answers."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []
        self.answers: list[str] = []
        """For the next mails, one each; after that 250."""
        self.refused: dict[str, list[str]] = {}
        """By recipient: answers to RCPT, one each; an empty list is none any more."""
        self.visits = 0
        self.tried: list[bytes] = []
        self.spam = b""

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.visits += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.refused.get(address):
            return self.refused[address].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        self.tried.append(bytes(envelope.content or b""))
        if self.spam and self.spam in self.tried[-1]:
            return "554 5.7.1 Looks like spam"
        if self.answers and (said := self.answers.pop(0)):
            return said
        self.mails.append(envelope)
        return "250 OK"

    def read(self) -> list[Any]:
        policy = email.policy.default
        return [email.message_from_bytes(m.content or b"", policy=policy) for m in self.mails]


@asynccontextmanager
async def serving(office: Office, port: int = 0, **more: Any) -> AsyncIterator[int]:
    tls = more.pop("tls", None)
    loop = asyncio.get_running_loop()
    protocols: list[SMTP] = []

    def made() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # A login over a socket that has TLS already.
            protocols.append(SMTP(office, hostname="mail.test", loop=loop, **more))
        return protocols[-1]

    server = await loop.create_server(made, "127.0.0.1", port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for protocol in protocols:
            if protocol.transport is not None:
                protocol.transport.close()
        await asyncio.sleep(0.02)


def certificate(folder: Path, host: str) -> tuple[ssl.SSLContext, Path]:
    """A server's context and the authority to trust: it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = dt.datetime.now(dt.UTC)
    import ipaddress

    names: list[x509.GeneralName] = [x509.DNSName(host)]
    if host[0].isdigit():
        names = [x509.IPAddress(ipaddress.ip_address(host))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / f"{host}.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    whole = folder / f"{host}.key"
    whole.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, whole)
    return context, pem


def sink(port: int, **config: Any) -> Any:
    ctx = harness.BenchContext(clock=SystemClock(), secrets={"mail": "four horses"})
    given = {
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "sender": "Genba <genba@example.com>",
        "to": ["shift@example.com"],
        "retry_s": 0.1,
        **config,
    }
    return harness.make(node_class("email.sink"), given, ctx)


def alarm(i: int = 1, change: str = "raised", **more: Any) -> AlarmEvent:
    given: dict[str, Any] = {
        "alarm": f"f/n:tag{i}:HI",
        "tag": f"tag{i}",
        "ts": T0 + i * NS,
        "change": change,
        "state": AlarmState.UNACK,
        "occurrence": 1,
        "priority": "high",
        "condition": "HI",
        "value": 76.25,
        "limit": 75.0,
        "unit": "Cel",
        "text": "温度が高い",
    }
    return AlarmEvent(**{**given, **more})


# ------------------------------------------------------------------ what arrives


async def test_an_alarm_is_a_mail_that_can_be_read() -> None:
    office = Office()
    async with serving(office) as port:
        node = sink(port, time_zone="Asia/Tokyo")
        await node.connect()
        await node.write((alarm(),), "alarms")
    (mail,) = office.read()
    assert mail["Subject"] == "Genba: high HI raised: tag1 76.25 Cel, limit 75 Cel (温度が高い)"
    assert (mail["From"], mail["To"]) == ("Genba <genba@example.com>", "shift@example.com")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_charset() == "utf-8"
    text = mail.get_content()
    assert "text: 温度が高い" in text
    assert "time: 2026-11-21 04:52:45 JST" in text
    assert "limit: 75" in text


async def test_words_of_ones_own_and_no_second_header() -> None:
    office = Office()
    async with serving(office) as port:
        node = sink(
            port,
            subject="{topic}: {data.user.name}",
            body="{data.note}\n{id}{data.gone}",
        )
        await node.connect()
        data = {"user": {"name": "Mo\r\nBcc: all@example.com"}, "note": "a\x00b\nc"}
        await node.write((Event(T0, "note", data, "7"),), "events")
    (mail,) = office.read()
    assert mail["Subject"] == "note: Mo Bcc: all@example.com"
    assert mail["Bcc"] is None
    assert office.mails[0].rcpt_tos == ["shift@example.com"]
    assert mail.get_content().splitlines() == ["a b", "c", "7"]


def test_a_subject_is_one_line() -> None:
    assert one_line("a\u2028b\x85c") in ("a b c", "a b\x85c")
    assert len(one_line("x" * 5000)) == 200


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"to": ["nobody"]}, "no mail address"),
        ({"to": ["a@b.c\r\nRCPT TO:<x@y.z>"]}, "no mail address"),
        ({"sender": "x\r\nBcc: <a@b.c>"}, "no mail address"),
        ({"subject": "{nonsense}"}, "there is no {nonsense}"),
        ({"user": "x"}, "go together"),
        ({"user": "x", "password": {"secret": "mail"}, "security": "none"}, "not sent in clear"),
        ({"time_zone": "Mars/Olympus"}, "no time zone"),
        ({"time_zone": "../../etc/passwd"}, "no time zone"),
    ],
)
def test_nonsense_is_refused_before_it_runs(config: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        sink(25, **config)


# ------------------------------------------------------------------ who is told


async def test_shelved_alarms_and_other_changes_are_not_mailed() -> None:
    office = Office()
    events = (
        alarm(1),
        alarm(2, overlay=Overlay.SHLVD),
        alarm(3, "acked", state=AlarmState.ACKED),
        alarm(4, "cleared", state=AlarmState.NORM),
        alarm(5, "unshelved"),
        alarm(6, "unshelved", state=AlarmState.NORM),
    )
    async with serving(office) as port:
        for changes, count in (("raised", 2), ("raised_and_over", 3), ("all", 6)):
            office.mails.clear()
            node = sink(port, changes=changes)
            await node.connect()
            await node.write(events, "alarms")
            assert len(office.mails) == count, changes


async def test_a_flood_is_one_mail() -> None:
    office = Office()
    async with serving(office) as port:
        node = sink(port, burst=10)
        await node.connect()
        await node.write(tuple(alarm(i, priority="urgent") for i in range(600)), "alarms")
    (mail,) = office.read()
    assert mail["Subject"] == "Genba: 600 alarms, 600 urgent"
    assert mail["Importance"] == "high"
    lines = mail.get_content().splitlines()
    assert "tag499" in lines[501]
    assert lines[502] == "... and 100 more. See the gateway's own list."


def test_the_allowance_is_some_at_once_and_then_one_each_time() -> None:
    may = Allowance(3, 60.0)
    assert may.left(0.0) == 3
    may.spend(3)
    assert (may.left(1.0), may.wait_s(1.0)) == (0, 59.0)
    assert may.left(61.0) == 1
    assert may.left(10_000.0) == 3
    assert Allowance(3, 0.0).left(5.0) == 3


async def test_beyond_the_allowance_mails_wait_and_become_one(tmp_path: Path) -> None:
    """With the engine: three mails at once, and all that comes later in one."""
    office = Office()
    async with serving(office) as port:
        with lent(Script()) as script:
            runtime = await started(_flow(port, "burst: 3, every_s: 1.5"), tmp_path)
            for i in range(40):
                script.readings.put_nowait(_events(i))
                await asyncio.sleep(0.01)
            await until(lambda: _lines(office) == 40)
            await runtime.stop()
    assert 4 <= len(office.mails) <= 6


# ------------------------------------------------------------------ ways to say no


async def test_the_same_mail_has_the_same_id() -> None:
    office = Office()
    async with serving(office) as port:
        for _ in range(2):
            node = sink(port)
            await node.connect()
            await node.write((alarm(),), "alarms")
            await node.write((alarm(2), alarm(3)), "alarms")
    ids = [mail["Message-ID"] for mail in office.read()]
    assert ids[:3] == ids[3:]
    assert len(set(ids)) == 3
    assert all(i.endswith("@example.com>") for i in ids)


async def test_greylisting_is_tried_later_and_only_for_whom_it_was() -> None:
    office = Office()
    office.refused["office@example.com"] = ["450 4.2.0 Greylisted", "451 Still"]
    async with serving(office) as port:
        node = sink(port, to=["shift@example.com", "office@example.com"])
        await node.connect()
        for _ in range(2):
            with pytest.raises(Disconnected, match=r"later: 45. ") as caught:
                await node.write((alarm(),), "alarms")
            assert caught.value.retry_after_s == 0.1
        await node.write((alarm(),), "alarms")
    assert [m.rcpt_tos for m in office.mails] == [["shift@example.com"], ["office@example.com"]]
    assert len({mail["Message-ID"] for mail in office.read()}) == 1


async def test_what_was_taken_is_not_sent_again_when_a_later_one_fails() -> None:
    office = Office()
    office.answers = ["", "", "452 4.3.1 Disk full"]
    events = tuple(alarm(i) for i in range(4))
    async with serving(office) as port:
        node = sink(port)
        await node.connect()
        with pytest.raises(Disconnected, match="Disk full"):
            await node.write(events, "alarms")
        await node.write(events, "alarms")
    tags = [mail["Subject"].split()[4] for mail in office.read()]
    assert sorted(tags) == ["tag0", "tag1", "tag2", "tag3"]


async def test_a_digest_that_is_tried_again_is_the_same_mail() -> None:
    office = Office()
    office.answers = ["451 Later"]
    events = tuple(alarm(i) for i in range(5))
    async with serving(office) as port:
        node = sink(port, burst=2)
        await node.connect()
        with pytest.raises(Disconnected):
            await node.write(events, "alarms")
        await node.write((*events, alarm(9)), "alarms")
    first, second = office.read()
    assert first["Subject"] == "Genba: 5 alarms"
    assert "tag9" in second["Subject"]


async def test_refused_for_good_is_a_dead_letter_and_costs_nobody_else(tmp_path: Path) -> None:
    """With the engine: of a step with five events the third is refused, and it alone."""
    office = Office()
    office.spam = b"topic: n/2"
    async with serving(office) as port:
        with lent(Script()) as script:
            runtime = await started(_flow(port, "burst: 100"), tmp_path)
            script.readings.put_nowait(_events(0, 1, 2, 3, 4))
            await until(lambda: _lines(office) == 4)
            node = next(s for s in runtime.statuses if s.node == "post")
            await until(lambda: node.counts["rejected"] == 1)
            await runtime.stop()
    subjects = [mail["Subject"] for mail in office.read()][1:]
    assert subjects == [f'Genba: n/{i} {{"i":{i}}}' for i in (0, 1, 3, 4)]
    assert office.visits <= 4, "the server is not asked about each half"


async def test_one_bad_address_among_others_is_said() -> None:
    office = Office()
    office.refused["gone@example.com"] = ["550 5.1.1 No such user"] * 9
    async with serving(office) as port:
        node = sink(port, to=["shift@example.com", "gone@example.com"])
        await node.connect()
        await node.write((alarm(),), "alarms")
        assert node.ctx.counts == {"mails": 1, "refused_recipients": 1}
        assert "550 5.1.1 No such user" in node.ctx.said[-1][1]
        alone = sink(port, to=["gone@example.com"])
        await alone.connect()
        with pytest.raises(Rejected, match="No such user"):
            await alone.write((alarm(),), "alarms")


async def test_a_server_that_is_away_for_a_while_gets_all(tmp_path: Path) -> None:
    office = Office()
    async with serving(office) as port:
        pass
    with lent(Script()) as script:
        runtime = await started(_flow(port, "burst: 100"), tmp_path)
        for i in range(3):
            script.readings.put_nowait(_events(i))
        node = next(s for s in runtime.statuses if s.node == "post")
        await until(lambda: node.state == "disconnected")
        assert "cannot be reached" in node.text
        async with serving(office, port):
            await until(lambda: _lines(office) == 3, 20)
            await runtime.stop()


async def test_killed_before_the_server_answered_it_is_sent_with_the_same_id(
    tmp_path: Path,
) -> None:
    office = Office()
    office.answers = ["451 Later"] * 99
    async with serving(office) as port:
        with lent(Script()) as script:
            runtime = await started(_flow(port, "retry_s: 0.1"), tmp_path)
            script.readings.put_nowait(_events(5))
            await until(lambda: b"n/5" in b"".join(office.tried))
            await kill(runtime)
            tried = b"".join(office.tried).decode()
            office.answers.clear()
            runtime = await started(_flow(port, "retry_s: 0.1"), tmp_path)
            await until(lambda: _lines(office) == 1)
            await runtime.stop()
    assert office.read()[-1]["Message-ID"] in tried


async def test_a_silent_server_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        node = sink(server.sockets[0].getsockname()[1], timeout_s=0.3)
        with pytest.raises(Disconnected, match=r"No answer from 127\.0\.0\.1:\d+ for 0\.3 s"):
            await node.connect()


# ------------------------------------------------------------------ TLS and login


def _login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    is_right = data.login == b"genba" and data.password == b"four horses"
    return AuthResult(success=is_right, handled=False)


@pytest.mark.parametrize("way", ["starttls", "tls"])
async def test_tls_and_a_login(tmp_path: Path, way: str) -> None:
    context, pem = certificate(tmp_path, "127.0.0.1")
    office = Office()
    more: dict[str, Any] = {"authenticator": _login, "auth_required": True}
    more |= {"tls_context": context, "require_starttls": True} if way == "starttls" else {}
    tls = {"tls": context, "auth_require_tls": False} if way == "tls" else {}
    login = {"user": "genba", "password": {"secret": "mail"}, "ca": str(pem)}
    async with serving(office, **more, **tls) as port:
        node = sink(port, security=way, **login)
        await node.connect()
        await node.write((alarm(),), "alarms")
        assert len(office.mails) == 1
        node.ctx.secrets["mail"] = "wrong"
        with pytest.raises(Disconnected, match="refuses the login of genba") as caught:
            await node.connect()
        assert caught.value.retry_after_s == 300, "servers lock accounts"
        assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("way", ["starttls", "tls"])
@pytest.mark.parametrize("wrong", ["stranger", "other name"])
async def test_a_certificate_that_does_not_count_gets_no_mail(
    tmp_path: Path, way: str, wrong: str
) -> None:
    host = "127.0.0.1" if wrong == "stranger" else "elsewhere.example.com"
    context, pem = certificate(tmp_path, host)
    ca = {"ca": str(pem)} if wrong == "other name" else {}
    office = Office()
    more = {"tls_context": context} if way == "starttls" else {"tls": context}
    async with serving(office, **more) as port:
        node = sink(port, security=way, **ca)
        with pytest.raises(ConfigError, match=r"does not count.*Nothing was sent"):
            await node.connect()
    assert not office.mails


async def test_no_tls_is_offered_and_nothing_is_sent_in_clear(tmp_path: Path) -> None:
    office = Office()
    async with serving(office) as port:
        with pytest.raises(ConfigError, match="offers no STARTTLS"):
            await sink(port, security="starttls").connect()
        with pytest.raises((ConfigError, Disconnected)):
            await sink(port, security="tls", timeout_s=1).connect()


# ------------------------------------------------------------------ pieces


def test_what_is_refused_is_not_asked_again_in_halves() -> None:
    sent = Sent()
    sent.add(["a"])
    sent.refuse(["b"], "no")
    with pytest.raises(Rejected, match="no"):
        sent.finish(["a", "b"])
    sent.finish(["a"])
    sent.begin()
    sent.finish(["b"])


def _flow(port: int, more: str) -> Document:
    return Document.parse(
        "flow: test\nversion: 1\nnodes:\n  src: {type: script.source}\n"
        f"  post: {{type: email.sink, host: 127.0.0.1, port: {port}, security: none, "
        f"sender: genba@example.com, to: [shift@example.com], {more}}}\n"
        "wires: [src.status -> post.events]\n"
    )


def _events(*numbers: int) -> Any:
    from gateway import Reading

    return Reading({"status": tuple(Event(T0 + i, f"n/{i}", {"i": i}, f"e{i}") for i in numbers)})


def _lines(office: Office) -> int:
    """How many of our events the mails hold."""
    bodies = [mail.get_content() for mail in office.read()]
    return sum(1 if "topic: n/" in body else body.count('{"i":') for body in bodies)

"""Opens a session: finds the endpoint, checks the server's certificate, logs in."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlparse

from asyncua.client.client import Client
from asyncua.crypto import security_policies as policies
from asyncua.crypto.uacrypto import CertProperties
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from gateway import ConfigError, GatewayError
from nodes.opcua._errors import translate_open
from nodes.opcua._pki import Own, Trust, first_of
from nodes.opcua._session import Session, Starter, drop
from nodes.opcua._trust import TrustList
from nodes.opcua._ua import EndpointDescription, ua

Mode = Literal["Sign", "SignAndEncrypt"]
_POLICIES: Final[dict[str, Any]] = {
    "Basic256Sha256": policies.SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": policies.SecurityPolicyAes256Sha256RsaPss,
}
_MODES: Final = {
    "Sign": ua.MessageSecurityMode.Sign,
    "SignAndEncrypt": ua.MessageSecurityMode.SignAndEncrypt,
}
_FAILURES: Final = (
    OSError,
    ua.UaError,
    AssertionError,
    AttributeError,
    IndexError,
    InvalidSignature,
    KeyError,
    TypeError,
    ValueError,
    struct.error,
)
"""What asyncua lets through when the other side answers amiss; seen in its source and in tests."""
_NEVER_S: Final = 1e6  # asyncua's own watchdog gives a busy server one second: ours is `lost`.


@dataclass(frozen=True, slots=True)
class Login:
    """All that is needed to open a session.

    Args:
        url: ``opc.tcp://host:port/path``.
        policy: Name of the security policy, or None.
        mode: Sign or SignAndEncrypt.
        own: Our certificate; None without security.
        trust: How the server's certificate is checked.
        trusted: The folders of trusted and rejected certificates.
        now: The gateway's time, UTC.
        name: Shown by the server as the session's name.
        uri: Our application URI.
        user: User name, or None.
        password: The user's password, or None.
        user_certificate: File of a user certificate, or None.
        user_key: File of its key, or None.
        timeout_s: How long a request may take [s].
        session_s: How long the server keeps a session nobody speaks for [s].
    """

    url: str
    policy: str | None
    mode: Mode
    own: Own | None
    trust: Trust
    trusted: TrustList | None
    now: datetime
    name: str
    uri: str
    user: str | None
    password: str | None
    user_certificate: Path | None
    user_key: Path | None
    timeout_s: float
    session_s: float

    @property
    def address(self) -> str:
        """Host and port."""
        parts = urlparse(self.url)
        return f"{parts.hostname}:{parts.port or 4840}"

    @property
    def who(self) -> str:
        """Who logs in, in words."""
        if self.user is not None:
            return f"the user {self.user!r}"
        if self.user_certificate is not None:
            return f"the user certificate {self.user_certificate.name}"
        return "an anonymous session"


async def open_session(login: Login, start: Starter, say: Callable[[str], None]) -> Session:
    """A new Client and its session.

    Raises:
        ConfigError: Security, certificate or user are refused; the message says what to do.
        Disconnected: The server is away or not ready.
    """
    logger = logging.getLogger("asyncua")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)  # It logs a trace for what we say in one sentence.
    client = _client(login)
    try:
        if login.policy is not None:
            await _secure(client, login, say)
        await _log_in(client, login)
        await client.connect()
        _warn_clear(client, login, say)
        session = Session(client, login.address, start, login.timeout_s)
        await session.learn()
    except (GatewayError, *_FAILURES) as error:
        await drop(client, polite=client.uaclient.has_session)
        own = str(login.own.file) if login.own is not None else ""
        raise translate_open(error, login.address, login.who, own) from error
    return session


def _client(login: Login) -> Client:
    client = Client(login.url, timeout=login.timeout_s, watchdog_intervall=_NEVER_S)
    client.application_uri = login.uri
    client.product_uri = "urn:genba"
    client.name = client.description = login.name
    client.session_timeout = round(login.session_s * 1000)
    return client


async def _secure(client: Client, login: Login, say: Callable[[str], None]) -> None:
    """Choose the endpoint and set its policy, after the server's certificate has passed."""
    assert login.policy is not None, "called only with security"
    assert login.own is not None, "security needs a certificate"
    assert login.trusted is not None, "security needs a trust list"
    policy, mode = _POLICIES[login.policy], _MODES[login.mode]
    finder = _client(login)
    try:
        endpoints = await finder.connect_and_get_server_endpoints()
    finally:
        await drop(finder, polite=False)
    fitting = [e for e in endpoints if e.SecurityMode == mode and e.SecurityPolicyUri == policy.URI]
    if not fitting:
        offered = sorted({_shown(endpoint) for endpoint in endpoints})
        raise ConfigError(
            f"The server at {login.address} does not offer {login.policy} {login.mode}.",
            hint=f"It offers {', '.join(offered) or 'nothing'}.",
        )
    certificate = first_of(fitting[0].ServerCertificate or b"")
    uri = str(fitting[0].Server.ApplicationUri or "")
    pinned = login.trusted.check(certificate, login.address, uri, login.trust, login.now)
    if pinned:
        say(pinned)
    await client.set_security(
        policy,
        CertProperties(login.own.certificate, "der"),
        CertProperties(login.own.key, "pem"),
        server_certificate=CertProperties(certificate.public_bytes(Encoding.DER), "der"),
        mode=mode,
    )


def _shown(endpoint: EndpointDescription) -> str:
    policy = str(endpoint.SecurityPolicyUri).rpartition("#")[2]
    return policy if policy == "None" else f"{policy} {endpoint.SecurityMode.name}"


async def _log_in(client: Client, login: Login) -> None:
    if login.user is not None:
        client.set_user(login.user)
        client.set_password(login.password or "")
    if login.user_certificate is not None:
        assert login.user_key is not None, "the config asks for both"
        try:
            await client.load_client_certificate(str(login.user_certificate))
            await client.load_private_key(login.user_key)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"The user certificate {login.user_certificate} or its key cannot be read: "
                f"{error}.",
                hint="Both are PEM or DER files; relative paths begin in the data folder.",
            ) from error


def _warn_clear(client: Client, login: Login, say: Callable[[str], None]) -> None:
    if login.user is None or (login.policy is not None and login.mode == "SignAndEncrypt"):
        return
    uri = client.server_policy(ua.UserTokenType.UserName).SecurityPolicyUri
    if uri == policies.SecurityPolicyNone.URI:
        say(f"The password for {login.address} travels in clear text: choose a security policy.")


__all__ = ["Login", "Mode", "open_session"]

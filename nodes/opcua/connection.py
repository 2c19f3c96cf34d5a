"""A session with an OPC UA server, shared by the nodes that name it."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Sequence
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from gateway import (
    Certificate,
    Config,
    ConfigError,
    Connection,
    Context,
    Disconnected,
    Example,
    Found,
    PositiveSeconds,
    Secret,
    Step,
)
from nodes.opcua import _pki as pki
from nodes.opcua._inspect import certificates, children, first_read, is_about_certificates
from nodes.opcua._open import Login, Mode, open_session
from nodes.opcua._session import Session
from nodes.opcua._trust import TrustList

_URL = re.compile(r"opc\.tcp://(\[[0-9A-Fa-f:.]+\]|[^\s/:@\[\]]+)(:\d{1,5})?(/\S*)?\Z")
_SESSION_S = 30.0  # What we left behind by a crash is gone from the server after that.
_SOON_DAYS = 30
Security = Literal[
    "None",
    "Basic256Sha256_Sign",
    "Basic256Sha256_SignAndEncrypt",
    "Aes128Sha256RsaOaep_Sign",
    "Aes128Sha256RsaOaep_SignAndEncrypt",
    "Aes256Sha256RsaPss_Sign",
    "Aes256Sha256RsaPss_SignAndEncrypt",
]


class OpcuaConnectionConfig(Config):
    url: str = Field(
        examples=["opc.tcp://10.0.0.5:4840"],
        description="Address of the server, as opc.tcp://host:port/path.",
    )
    security: Security = Field(
        "None", description="Security policy and mode; None neither signs nor encrypts."
    )
    trust: Literal["list", "pin-first-use", "none"] | None = Field(
        None,
        description="Who checks the server's certificate: `list` asks the folder pki/trusted and "
        "is the default with security; `pin-first-use` trusts the first one it sees and no other; "
        "`none` is possible without security only.",
        json_schema_extra={"advanced": True},
    )
    user: str | None = Field(None, min_length=1, description="User name; without one, anonymous.")
    password: Secret | None = Field(None, description="The user's password.")
    user_certificate: str | None = Field(
        None,
        description="File of a certificate that logs the user in, PEM or DER.",
        json_schema_extra={"advanced": True},
    )
    user_key: str | None = Field(
        None,
        description="File of that certificate's private key.",
        json_schema_extra={"advanced": True},
    )
    application_uri: str | None = Field(
        None,
        min_length=1,
        description="Name of this gateway among applications; its certificate is made for it.",
        json_schema_extra={"advanced": True},
    )
    timeout_s: PositiveSeconds = Field(
        8.0, description="How long one request may take.", json_schema_extra={"advanced": True}
    )
    keepalive_s: PositiveSeconds = Field(
        5.0,
        description="How often the server is asked whether it still lives.",
        json_schema_extra={"advanced": True},
    )

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        if _URL.match(url) is None:
            raise ValueError("Write opc.tcp://host:port/path, with user and password outside it.")
        return url

    @model_validator(mode="after")
    def _fits(self) -> OpcuaConnectionConfig:
        secured = self.security != "None"
        if self.trust == "none" and secured:
            raise ValueError("trust: none needs security: None. Use list or pin-first-use.")
        if self.trust not in (None, "none") and not secured:
            raise ValueError(f"trust: {self.trust} needs a security policy; None shows no proof.")
        if self.password is not None and self.user is None:
            raise ValueError("A password needs a user.")
        if (self.user_certificate is None) != (self.user_key is None):
            raise ValueError("user_certificate and user_key go together.")
        if self.user is not None and self.user_certificate is not None:
            raise ValueError("Log in by user or by user_certificate, not by both.")
        if self.keepalive_s + self.timeout_s > 30:
            raise ValueError("keepalive_s + timeout_s is how long a dead link hides: at most 30 s.")
        return self


class OpcuaConnection(Connection[OpcuaConnectionConfig]):
    """One session: opened anew after each loss, watched, and closed so that none is left behind.

    A server's certificate that is unknown or has changed is refused and kept in pki/rejected
    in the data folder; move the file to pki/trusted to trust it. This gateway's own certificate
    is made on first use in pki/own. A link that swallows everything is found after at most
    `keepalive_s` + `timeout_s`.

    Source: OPC 10000-4 v1.05, 5.5 SecureChannel, 5.6 Session, 6.1.3 trust.
    """

    Config = OpcuaConnectionConfig
    browses: ClassVar[str] = "The nodes below a node: ns=2;s=Press1 or /Objects/2:Press1."
    examples = (
        Example(
            "Signed and encrypted, with a user",
            {
                "url": "opc.tcp://10.0.0.5:4840",
                "security": "Basic256Sha256_SignAndEncrypt",
                "user": "genba",
                "password": {"secret": "plc_password"},
            },
        ),
        Example("Open, in a cell of its own", {"url": "opc.tcp://plc1:4840"}),
    )

    def __init__(self, config: OpcuaConnectionConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._session: Session | None = None
        self._told: set[str] = set()

    @property
    def session(self) -> Session:
        """The open session.

        Raises:
            Disconnected: There is none.
        """
        session = self._session
        if session is None:
            raise Disconnected(f"There is no session with {self.config.url}.")
        if not session.is_open:
            raise Disconnected(session.reason)
        return session

    async def open(self) -> None:
        """Open a new session with a new client."""
        assert self._session is None, "open is called after close"
        self._session = await open_session(await self._login(), self.ctx.start, self._warn)

    async def _login(self) -> Login:
        config, folder = self.config, self.ctx.data_dir / "pki"
        now = pki.at(self.ctx.clock.now())
        uri = self._uri
        secured = config.security != "None"
        policy, _, suffix = config.security.partition("_")
        mode: Mode = "Sign" if suffix == "Sign" else "SignAndEncrypt"
        own = await asyncio.to_thread(pki.own, folder, uri, now) if secured else None
        if own is not None and (left := pki.days_left(own.certificate, now)) < _SOON_DAYS:
            self._warn(
                f"This gateway's certificate {own.file} ends in {left} days. Delete it and its "
                ".pem, and trust the new one on the server."
            )
        password = self.ctx.secret(config.password) if config.password is not None else None
        user_files = (config.user_certificate, config.user_key)
        certificate, key = (self.ctx.data_dir / f if f is not None else None for f in user_files)
        return Login(
            url=config.url,
            policy=policy if secured else None,
            mode=mode,
            own=own,
            trust=config.trust or ("list" if secured else "none"),
            trusted=TrustList(folder, is_trial=self.is_trial) if secured else None,
            now=now,
            name=f"Genba {self.ctx.node_id}",
            uri=uri,
            user=config.user,
            password=password,
            user_certificate=certificate,
            user_key=key,
            timeout_s=config.timeout_s,
            session_s=_SESSION_S,
        )

    @property
    def _uri(self) -> str:
        return self.config.application_uri or f"urn:{socket.gethostname()}:genba:gateway"

    # ------------------------------------------------------------------ what can be asked

    def place(self) -> tuple[str, int] | None:
        """Where the server listens; 4840 where the address names no port."""
        parts = urlsplit(self.config.url)
        return (parts.hostname, parts.port or 4840) if parts.hostname else None

    async def check(self) -> AsyncIterator[Step]:
        """Certificate, session, login, and a first value."""
        config = self.config
        try:
            await self.open()
        except ConfigError as error:
            name = "certificate" if is_about_certificates(error.text) else "login"
            yield Step(name, str(error), "failed")
            return
        if config.security != "None":
            yield Step("certificate", f"Both sides trust each other: {config.security}.")
        who = "without a user" if config.user is None else f"as the user {config.user!r}"
        if config.user_certificate is not None:
            who = f"with the certificate {config.user_certificate}"
        yield Step("login", f"A session is open, {who}.")
        yield await first_read(self.session)

    def browse(self, path: str) -> AsyncIterator[Found]:
        """The children of a node, one level."""
        return children(self.session, path)

    def certificates(self) -> Sequence[Certificate]:
        """This gateway's, and those the server has shown."""
        folder = self.ctx.data_dir / "pki"
        own = [pki.own_file(folder, self._uri)] if self.config.security != "None" else []
        return tuple(certificates(folder, own, self._address))

    def decide(self, fingerprint: str, *, trusted: bool) -> str:
        """Move the server's certificate to trusted/ or to rejected/."""
        folder = TrustList(self.ctx.data_dir / "pki")
        path = folder.decide(self._address, fingerprint, trusted=trusted)
        done = "trusted" if trusted else "rejected"
        return f"The certificate is {done}: {path}. It counts from the next try to connect."

    @property
    def _address(self) -> str:
        host, port = self.place() or ("", 0)
        return f"{host}:{port}"

    def _warn(self, text: str) -> None:
        """Say something once, not at each of a hundred attempts."""
        if text not in self._told:
            self._told.add(text)
            self.ctx.say("warning", text)

    async def lost(self) -> str:
        """Wait until the session is gone and say why."""
        if self._session is None:
            return "The session is not open."
        return await self._session.lost(self.config.keepalive_s)

    async def close(self) -> None:
        """Close the session, politely while the server still answers."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


__all__ = ["OpcuaConnection", "OpcuaConnectionConfig"]

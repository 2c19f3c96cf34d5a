"""One session with an MQTT broker, shared by the sources and sinks that name it."""

from __future__ import annotations

import platform
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final, Literal

from pydantic import Field, field_validator, model_validator

from gateway import (
    Bytes,
    Certificate,
    Config,
    ConfigError,
    Connection,
    Context,
    Disconnected,
    Example,
    Found,
    Seconds,
    Secret,
    Step,
)
from nodes.mqtt._certificates import Seen
from nodes.mqtt._codec import Hello, Will
from nodes.mqtt._dial import Trust, parse_url
from nodes.mqtt._listen import browse, listen
from nodes.mqtt._session import Session
from nodes.mqtt._settings import Settings

_STRAYS_TOLD_MAX = 20
_CHECK_S: Final = 2.0  # A retained message comes at once; a sensor that speaks each second too.


class WillConfig(Config):
    topic: str = Field(min_length=1, description="Topic on which the broker says that we are gone.")
    payload: str = Field("", description="What it says there.")
    qos: Literal[0, 1] = Field(1, description="0 sends once, 1 until somebody has it.")
    retain: bool = Field(True, description="Keep it for those who subscribe later.")


class MqttConnectionConfig(Config):
    url: str = Field(
        examples=["mqtt://10.0.0.5:1883", "mqtts://broker.plant:8883"],
        description="Where the broker is; mqtts means TLS.",
    )
    version: Literal["5", "3.1.1"] = Field(
        "5",
        description="MQTT version; 3.1.1 only for brokers that speak nothing else.",
        json_schema_extra={"advanced": True},
    )
    client_id: str = Field(
        "",
        max_length=256,
        description="Our name at the broker, which keeps messages for it while we are away; "
        "empty makes one from this machine's name, the flow and the connection.",
        json_schema_extra={"advanced": True},
    )
    username: str | None = Field(None, description="User name, if the broker asks for one.")
    password: Secret | None = Field(None, description="The password, by reference.")
    ca: Path | None = Field(
        None,
        description="PEM file of the authority we trust; empty takes the system's.",
        json_schema_extra={"advanced": True},
    )
    cert: Path | None = Field(
        None, description="PEM file of our own certificate.", json_schema_extra={"advanced": True}
    )
    key: Path | None = Field(
        None, description="PEM file of its private key.", json_schema_extra={"advanced": True}
    )
    verify: bool = Field(
        True,
        description="Check the broker's certificate and name; keep it on.",
        json_schema_extra={"advanced": True},
    )
    keepalive_s: int = Field(
        10,
        ge=1,
        le=65_535,
        json_schema_extra={"unit": "s", "advanced": True},
        description="How long it may be quiet; a dead line is found within twice this time.",
    )
    will: WillConfig | None = Field(
        None,
        description="What the broker says when we are gone.",
        json_schema_extra={"advanced": True},
    )
    session_expiry_s: Seconds = Field(
        604_800,
        le=4_294_967_295,
        description="How long the broker keeps messages for us while we are away; 0 keeps none.",
        json_schema_extra={"advanced": True},
    )
    receive_maximum: int = Field(
        2000,
        ge=1,
        le=65_535,
        description="Messages that may be under way without our acknowledgement; MQTT 5 only.",
        json_schema_extra={"advanced": True},
    )
    message_bytes_max: Bytes = Field(
        1_048_576,
        description="Larger messages are refused: counted, and told with their start.",
        json_schema_extra={"advanced": True},
    )

    @field_validator("url")
    @classmethod
    def _is_broker(cls, url: str) -> str:
        parse_url(url)
        return url

    @model_validator(mode="after")
    def _fits(self) -> MqttConnectionConfig:
        if (self.cert is None) != (self.key is None):
            raise ValueError("`cert` and `key` go together.")
        if (self.ca or self.cert) and not parse_url(self.url).tls:
            raise ValueError("Certificates are of use with mqtts:// only.")
        if self.password is not None and self.username is None and self.version == "3.1.1":
            raise ValueError("MQTT 3.1.1 allows a password only with a user name.")
        return self


class MqttConnection(Connection[MqttConnectionConfig]):
    """A session that the broker keeps while we are away, so that nothing is missed.

    It acknowledges a message only when the flow has stored it. A topic filter belongs to one
    source: where filters overlap a broker may deliver a message twice.

    Delivery: QoS 1 at least once, also across restarts of either side; QoS 0 at most once.
    Back pressure: at 20,000 messages or 64 MiB waiting the socket is read no more; with QoS 1
    the broker stops at `receive_maximum`. What a broker throws away then is its own affair:
    set its queue limits, and number messages (`sequence`) to see it.
    Source: MQTT 5.0 (OASIS 2019); MQTT 3.1.1 (OASIS 2014).
    """

    Config = MqttConnectionConfig
    browses: ClassVar[str] = "Topics that are published under a filter: plant/+/oil or plant/#."
    examples = (
        Example("A broker in the plant", {"url": "mqtt://10.0.0.5:1883"}),
        Example(
            "With TLS, a password and a last will",
            {
                "url": "mqtts://broker.plant:8883",
                "ca": "plant-ca.pem",
                "username": "genba",
                "password": {"secret": "mqtt.password"},
                "will": {"topic": "genba/state", "payload": "gone"},
            },
        ),
    )

    def __init__(self, config: MqttConnectionConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._session: Session | None = None
        self._strays: set[str] = set()
        self._mark = secrets.token_hex(6)
        self._seen = Seen()

    @property
    def session(self) -> Session:
        """The session that is open.

        Raises:
            Disconnected: There is none.
        """
        if self._session is None or self._session.is_gone:
            raise Disconnected(f"There is no session with {parse_url(self.config.url)}.")
        return self._session

    async def open(self) -> None:
        """Connect, and say who we are."""
        self._session = await Session.open(self.settings())

    async def lost(self) -> str:
        """Wait for the end of the session."""
        return await self.session.lost()

    async def close(self) -> None:
        """Say goodbye; the broker keeps the session."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def place(self) -> tuple[str, int] | None:
        """Where the broker listens."""
        address = parse_url(self.config.url)
        return address.host, address.port

    async def check(self) -> AsyncIterator[Step]:
        """Log in, and see whether anything is published."""
        await self.open()
        config = self.config
        who = f"the user {config.username!r}" if config.username else "a client without a user"
        own = " This trial had a client id of its own." if config.client_id else ""
        yield Step("login", f"The broker takes {who}, MQTT {config.version}.{own}")
        try:
            heard = await listen(self.session, "#", _CHECK_S)
        except ConfigError as error:
            yield Step("read", str(error), "warning")
            return
        if heard.topics:
            text = f"{len(heard.topics)} topics were seen within {_CHECK_S:g} s."
            yield Step("read", text)
        else:
            text = f"Nothing was published within {_CHECK_S:g} s, or this user may not read it."
            yield Step("read", text, "warning")

    async def browse(self, path: str) -> AsyncIterator[Found]:
        """Topics under a filter, by listening in a session of its own."""
        session = self.session
        hello = replace(self.hello(), client_id=f"genba-browse-{secrets.token_hex(6)}")
        plain = replace(hello, will=None, clean_start=True, session_expiry_s=0)
        if not self.is_trial:  # Who shares this session must not see what we listen to.
            session = await Session.open(self.settings(plain))
        try:
            async for found in browse(session, path or "#"):
                yield found
        finally:
            if session is not self._session:
                await session.close()

    def certificates(self) -> Sequence[Certificate]:
        """Ours, the authority's, and the broker's as it was shown last."""
        config = self.config
        return list(self._seen.listed(self._file(config.cert), self._file(config.ca)))

    def client_id(self) -> str:
        """Our name at the broker; it must be the same after a restart."""
        if self.is_trial:  # One who takes the name of a session takes its place.
            return f"genba-trial-{self._mark}"
        name = f"genba-{platform.node()}-{self.ctx.flow}-{self.ctx.node_id}"
        return self.config.client_id or re.sub(r"[^A-Za-z0-9_-]+", "-", name)

    def settings(self, hello: Hello | None = None) -> Settings:
        """What a session needs to know; another `hello` makes a session of its own."""
        config = self.config
        return Settings(
            parse_url(config.url),
            Trust(
                self._file(config.ca),
                self._file(config.cert),
                self._file(config.key),
                config.verify,
                self._seen,
            ),
            hello or self.hello(),
            config.version,
            config.message_bytes_max,
            self.ctx.clock.now,
            self._stray,
        )

    def hello(self) -> Hello:
        """What CONNECT says."""
        config = self.config
        will = None if self.is_trial else config.will
        expiry_s = 0.0 if self.is_trial else config.session_expiry_s
        return Hello(
            self.client_id(),
            config.username,
            None if config.password is None else self.ctx.secret(config.password),
            config.keepalive_s,
            clean_start=expiry_s == 0,
            session_expiry_s=int(expiry_s),
            receive_maximum=config.receive_maximum,
            will=None
            if will is None
            else Will(will.topic, will.payload.encode(), will.qos, will.retain),
        )

    def _file(self, path: Path | None) -> Path | None:
        return None if path is None else self.ctx.data_dir / path

    def _stray(self, topic: str, n: int) -> None:
        """Messages no source wants: a subscription that a former configuration left behind."""
        self.ctx.count("strays", n)
        if topic not in self._strays and len(self._strays) < _STRAYS_TOLD_MAX:
            self._strays.add(topic)
            self.ctx.say(
                "warning",
                f"No source wants {topic!r}, but the broker sends it: an old subscription of "
                f"{self.client_id()!r}. It is passed over; another `client_id` ends it.",
            )

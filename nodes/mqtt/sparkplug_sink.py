"""Publishes samples as a Sparkplug B edge node."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from importlib.metadata import version
from socket import gethostname

import numpy as np
from pydantic import Field, field_validator, model_validator

from gateway import (
    Batch,
    Config,
    ConfigError,
    ConnectionName,
    Context,
    Disconnected,
    Example,
    Message,
    Port,
    Rejected,
    Seconds,
    Sink,
)
from nodes.mqtt._codec import Will
from nodes.mqtt._intake import Intake
from nodes.mqtt._session import Session
from nodes.mqtt._sparkplug import decode
from nodes.mqtt._spb_edge import REBIRTH, EdgeNode
from nodes.mqtt._topics import TopicMap
from nodes.mqtt._wire import Outgoing
from nodes.mqtt.connection import MqttConnection


class SparkplugSinkConfig(Config):
    connection: ConnectionName = Field(
        description="The `mqtt.connection` whose broker and credentials to use; the edge node "
        "opens a session of its own, because its death certificate is that session's will."
    )
    group: str = Field(examples=["plant"], description="Sparkplug group id.")
    edge: str = Field(examples=["genba"], description="Sparkplug edge node id.")
    device: str = Field("", description="Device id below it; empty publishes for the edge node.")
    devices: tuple[str, ...] = Field(
        (),
        max_length=50,
        examples=[["gateway/flow/{device}/#"]],
        description="Templates of tag names; tags that fit belong to the device that {device} "
        "names, the others to the edge node. Not together with `device`.",
    )
    properties: dict[str, str] = Field(
        {},
        max_length=50,
        examples=[{"Site": "Kyoto 2"}],
        description="Texts that every birth says of the edge node, as Properties/<name>.",
    )
    with_software: bool = Field(
        False, description="Births say which software this is, its version and on which host."
    )
    historical_after_s: Seconds = Field(
        60,
        description="Samples older than this when sent are marked historical.",
        json_schema_extra={"advanced": True},
    )

    @field_validator("group", "edge", "device")
    @classmethod
    def _is_level(cls, text: str) -> str:
        if any(sign in text for sign in "/+#"):
            raise ValueError("A Sparkplug id must not hold /, + or #.")
        return text

    @field_validator("group", "edge")
    @classmethod
    def _is_named(cls, text: str) -> str:
        if not text:
            raise ValueError("A Sparkplug id must not be empty.")
        return text

    @field_validator("devices")
    @classmethod
    def _are_templates(cls, devices: tuple[str, ...]) -> tuple[str, ...]:
        try:
            TopicMap(list(devices), "{device}")
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return devices

    @model_validator(mode="after")
    def _is_one_way(self) -> SparkplugSinkConfig:
        if self.device and self.devices:
            raise ValueError("Say either `device` or `devices`.")
        return self


class SparkplugSink(Sink[SparkplugSinkConfig]):
    """Be a Sparkplug B edge node: births, data by alias, the death as the will, rebirths.

    A tag that was not born yet makes a new birth. A device whose tags are all without
    communication has died (DDEATH), and is born again with the first that is not. It does not
    wait for a primary host.

    Delivery: QoS 0, as Sparkplug says: at most once on the line. What waited in the outbox
    while there was no session is sent beside what is new, with its own time, and marked
    historical, so that no host takes it for the value of now.
    Back pressure: it writes as fast as the socket takes; the rest waits in the outbox.
    Source: Eclipse Sparkplug 3.0.0, 5 and 6.
    """

    Config = SparkplugSinkConfig
    backfill = "live_first"
    inputs = (Port("in", "samples", "Samples to publish; a tag is a metric."),)
    examples = (
        Example("An edge node", {"connection": "broker", "group": "plant", "edge": "genba"}),
        Example(
            "The gateway itself, its flows and connections as devices, from `system.source`",
            {
                "connection": "broker",
                "group": "plant",
                "edge": "gw1",
                "devices": ["gateway/flow/{device}/#", "gateway/connection/{device}/#"],
                "with_software": True,
            },
        ),
    )

    def __init__(self, config: SparkplugSinkConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        facts = dict(config.properties)
        if config.with_software:
            facts = {
                "Software": "Genba",
                "Version": version("genba"),
                "Host": gethostname(),
                **facts,
            }
        self._node = EdgeNode(config.group, config.edge, config.device, config.devices, facts)
        self._session: Session | None = None
        self._lock = asyncio.Lock()

    async def connect(self) -> None:
        """Open the session with the death as its will, then be born."""
        connection = self.ctx.connection(MqttConnection, self.config.connection)
        death = self._node.next_death()
        hello = replace(
            connection.hello(),
            client_id=f"{connection.client_id()}-{self.config.group}-{self.config.edge}",
            clean_start=True,
            session_expiry_s=0,
            will=Will(death.topic, death.payload, 1, retain=False),
        )
        self._session = session = await Session.open(connection.settings(hello))
        commands = Intake(
            f"{self.ctx.flow}/{self.ctx.node_id}",
            [self._node.command_topic],
            lambda topic: topic == self._node.command_topic,
        )
        await session.subscribe(commands)
        async with self._lock:
            await self._publish(session, self._node.births(self.ctx.tags, self.ctx.clock.now()))
        self.ctx.start("commands", self._obey(session, commands))

    async def write(self, message: Message, port: str) -> None:
        """Publish rows, after a birth if there are new tags."""
        session = self._session
        if session is None or session.is_gone:
            raise Disconnected("The session of the edge node is gone.")
        assert isinstance(message, Batch), "the port takes samples"
        now = self.ctx.clock.now()
        async with self._lock:
            tags = self.ctx.tags
            if fresh := self._node.meet(np.unique(message.tag).tolist(), tags):
                await self._publish(session, self._node.births_of(fresh, tags, now))
            old_ns = now - round(self.config.historical_after_s * 1e9)
            await self._publish(session, self._node.data(message, tags, now, old_ns))

    async def _publish(self, session: Session, messages: list[Outgoing]) -> None:
        refused = await session.publish(messages)
        if refused:
            raise Rejected(f"The broker refuses {len(refused)} Sparkplug messages.")

    async def _obey(self, session: Session, commands: Intake) -> None:
        """Answer requests for a rebirth until the session ends."""
        while not session.is_gone:
            try:
                parts = await commands.take(100)
            except Disconnected:
                return
            for payload in [payload for part in parts for payload in part.payloads]:
                try:
                    order = decode(payload).find(REBIRTH)
                except ValueError:
                    self.ctx.count("undecodable")
                    continue
                if order is not None and order.value is True:
                    self.ctx.count("rebirths")
                    async with self._lock:
                        births = self._node.births(self.ctx.tags, self.ctx.clock.now())
                        await self._publish(session, births)
            session.acknowledge(parts)

    async def close(self) -> None:
        """Die in order: say so, then close; the broker publishes no will after that."""
        if self._session is None:
            return
        session, self._session = self._session, None
        if not session.is_gone:
            try:
                await session.publish([self._node.death()])
            except Disconnected:
                return
        await session.close()

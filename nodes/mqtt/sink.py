"""Publishes samples, alarms and events to an MQTT broker."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from gateway import (
    AlarmEvent,
    Batch,
    Config,
    ConnectionName,
    Context,
    Event,
    Example,
    Message,
    Port,
    Rejected,
    Sink,
)
from nodes.mqtt._message import TsStyle, Writer
from nodes.mqtt._session import Session
from nodes.mqtt._topics import names_in
from nodes.mqtt._wire import Outgoing
from nodes.mqtt.connection import MqttConnection

_KNOWN = {
    "topic": {"tag", "base", "feature", "unit", "flow", "node"},
    "alarm_topic": {"tag", "condition", "change", "alarm", "flow", "node"},
    "event_topic": {"topic", "flow", "node"},
}
_REASONS = {
    0x80: "unspecified error",
    0x83: "implementation specific error",
    0x87: "not authorized",
    0x90: "topic name invalid",
    0x95: "packet too large",
    0x97: "quota exceeded",
    0x99: "payload format invalid",
}


class MqttSinkConfig(Config):
    connection: ConnectionName = Field(description="The `mqtt.connection` to use.")
    topic: str = Field(
        "genba/{tag}",
        min_length=1,
        description="Topic of a sample, with {tag}, {base}, {feature}, {unit}, {flow}, {node}; "
        "the # before a feature becomes a level.",
    )
    alarm_topic: str = Field(
        "genba/alarms/{tag}/{condition}",
        min_length=1,
        description="Topic of an alarm, with {tag}, {condition}, {change}, {alarm}, {flow}, "
        "{node}.",
        json_schema_extra={"advanced": True},
    )
    event_topic: str = Field(
        "genba/events/{topic}",
        min_length=1,
        description="Topic of an event, with {topic}, {flow}, {node}.",
        json_schema_extra={"advanced": True},
    )
    payload: Literal["json", "plain", "template"] = Field(
        "json",
        description="How a sample is written: an object with value, ts, quality and unit; "
        "the bare number; or `template`.",
    )
    template: str = Field(
        "",
        max_length=10_000,
        examples=['{"v": {value}, "t": {ts}}'],
        description="Payload with {value}, {ts}, {quality}, {unit}, {tag}, {base}, {feature}.",
    )
    ts_style: TsStyle = Field(
        "ms",
        description="How timestamps are written: epoch ms, ns or iso.",
        json_schema_extra={"advanced": True},
    )
    qos: Literal[0, 1] = Field(1, description="0 may lose messages, 1 waits for the broker.")
    retain: bool = Field(False, description="The broker keeps the last message of each topic.")
    ikey: bool = Field(
        True,
        description="With QoS 1 and MQTT 5 each message carries the user property `ikey`, by "
        "which a receiver knows a second delivery.",
        json_schema_extra={"advanced": True},
    )

    @model_validator(mode="after")
    def _fits(self) -> MqttSinkConfig:
        for name, known in _KNOWN.items():
            text = getattr(self, name)
            unknown = names_in(text) - known
            if unknown:
                words = ", ".join(sorted(known))
                raise ValueError(f"`{name}` knows no {{{min(unknown)}}}; there is {words}.")
            if "+" in text or "#" in text:
                raise ValueError(f"`{name}` must not hold + or #: one publishes to one topic.")
        if (self.payload == "template") != bool(self.template):
            raise ValueError("`payload: template` and `template` go together.")
        return self


class MqttSink(Sink[MqttSinkConfig]):
    """Publish each row, alarm or event as a message of its own.

    Delivery: with QoS 1 at least once: all messages of a write are answered by the broker
    before it counts as done, and after a broken line the write is done again, with the same
    keys. With QoS 0 at most once. A message the broker refuses goes to the dead letters; the
    others of its write are sent.
    Back pressure: at most 1,000 messages, or what the broker allows, are without an answer;
    the rest waits in the outbox.
    """

    Config = MqttSinkConfig
    inputs = (
        Port("in", "samples", "Samples to publish."),
        Port("alarms", "alarms", "Alarms to publish."),
        Port("events", "events", "Events to publish."),
    )
    examples = (
        Example("JSON, a topic a tag", {"connection": "broker", "topic": "genba/{tag}"}),
        Example(
            "A format of one's own",
            {
                "connection": "broker",
                "topic": "erp/{base}",
                "payload": "template",
                "template": '{"v": {value}, "t": {ts}, "u": "{unit}"}',
            },
        ),
    )

    def __init__(self, config: MqttSinkConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._session: Session | None = None
        self._writer: Writer | None = None

    async def connect(self) -> None:
        """Take the session."""
        connection = self.ctx.connection(MqttConnection, self.config.connection)
        self._session = connection.session
        config = self.config
        self._writer = Writer(
            (self.ctx.flow, self.ctx.node_id),
            self.ctx.tags,
            {"in": config.topic, "alarms": config.alarm_topic, "events": config.event_topic},
            payload=config.payload,
            template=config.template,
            ts_style=config.ts_style,
            qos=config.qos,
            retain=config.retain,
            has_keys=config.ikey and config.qos > 0 and connection.config.version == "5",
        )

    async def write(self, message: Message, port: str) -> None:
        """Publish one message of the flow and wait for the broker's answers."""
        assert self._session is not None, "connect comes first"
        messages = self._messages(message)
        limit = self._session.welcome.packet_bytes_max
        fit = [m for m in messages if len(m.payload) + len(m.topic) + 100 <= limit]
        refused = await self._session.publish(fit)
        self.ctx.count("published", len(fit) - len(refused))
        self._complain(messages, fit, refused, limit)

    def _messages(self, message: Message) -> list[Outgoing]:
        assert self._writer is not None, "connect comes first"
        if isinstance(message, Batch):
            return self._writer.samples(message)
        assert isinstance(message, tuple), "no port takes windows"
        alarms = [item for item in message if isinstance(item, AlarmEvent)]
        events = [item for item in message if isinstance(item, Event)]
        return self._writer.alarms(alarms) if alarms else self._writer.events(events)

    def _complain(
        self,
        messages: list[Outgoing],
        fit: list[Outgoing],
        refused: dict[int, int],
        limit: int,
    ) -> None:
        if len(fit) < len(messages):
            large = next(m for m in messages if m not in fit)
            raise Rejected(
                f"{len(messages) - len(fit)} of {len(messages)} messages are too large, such as "
                f"{len(large.payload)} bytes on {large.topic}: the broker takes {limit}."
            )
        if refused:
            place, code = next(iter(refused.items()))
            raise Rejected(
                f"The broker refuses {len(refused)} of {len(messages)} messages, such as "
                f"{fit[place].topic}: {_REASONS.get(code, hex(code))}. Check topic and rights."
            )

    async def close(self) -> None:
        """Let go of the session; the connection keeps it."""
        self._session = None

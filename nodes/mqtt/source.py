"""Reads messages from an MQTT broker and acknowledges them when they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from gateway import (
    Batch,
    Context,
    Disconnected,
    Event,
    Example,
    Gap,
    Message,
    Port,
    Reading,
    Source,
)
from nodes.mqtt._availability import Availability
from nodes.mqtt._document import find, parse_path
from nodes.mqtt._intake import Intake, Part
from nodes.mqtt._pace import Pace
from nodes.mqtt._payload import Decoder
from nodes.mqtt._refusals import SAMPLE_BYTES, Refusals
from nodes.mqtt._rows import Rows
from nodes.mqtt._sequence import Counting
from nodes.mqtt._session import Session
from nodes.mqtt._source_config import MqttSourceConfig, layout_of
from nodes.mqtt._spb_host import DEFAULT_TAG, SparkplugHost
from nodes.mqtt._topics import TopicMap, fill
from nodes.mqtt.connection import MqttConnection

_RETAINED = {"always": 0, "once": 1, "never": 2}


class MqttSource(Source[MqttSourceConfig]):
    """Read numbers, JSON, raw text or Sparkplug B from topics, each topic a tag.

    What cannot be read is counted, told on `status` with its first 4 kB, and gives the tag a
    row of quality Bad_DecodingError; it never blocks what comes after it.

    Delivery: with QoS 1 at least once: a message is acknowledged, in the order of arrival,
    when the flow has stored it; after a crash the broker sends the rest again, and
    `dedupe_by` drops what was stored. With QoS 0 at most once, and a gap event each time the
    line was lost.
    Back pressure: when the flow is slow the connection stops reading; see `mqtt.connection`.
    """

    Config = MqttSourceConfig
    tells_gaps = True
    outputs = (
        Port("out", "samples", "One row a value."),
        Port("events", "events", "Raw messages, with `payload: raw`."),
        Port("status", "events", "Connection lost and back, gaps, refused payloads."),
    )
    examples = (
        Example(
            "JSON with value and time",
            {
                "connection": "broker",
                "topics": ["plant/{area}/{line}/{measure}"],
                "tag": "{area}/{line}/{measure}",
                "payload": "json",
            },
        ),
        Example(
            "Several values a message",
            {
                "connection": "broker",
                "topics": ["press/{unit}/state"],
                "tag": "press/{unit}",
                "payload": "json",
                "fields": {"oil.temp": "oil_temperature", "oil.bar": "oil_pressure"},
                "ts": "time",
            },
        ),
        Example(
            "Sparkplug B",
            {"connection": "broker", "topics": ["spBv1.0/plant/#"], "payload": "sparkplug"},
        ),
    )

    def __init__(self, config: MqttSourceConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        is_sparkplug = config.payload == "sparkplug"
        self._topics = TopicMap(list(config.topics), "{topic}" if is_sparkplug else config.tag)
        self._publishers = TopicMap(list(config.topics), config.publisher)
        self._refusals = Refusals(ctx)
        self._decoder = Decoder(ctx, layout_of(config), self._topics, self._refusals)
        tag = DEFAULT_TAG if config.tag == "{topic}" else config.tag
        self._host = SparkplugHost(ctx, self._refusals, tag) if is_sparkplug else None
        self._availability: Availability | None = None
        self._filters = list(self._topics.filters)
        if config.availability is not None:
            self._availability = Availability(config.availability, ctx)
            self._filters.append(config.availability.topic)
        self._sequence = parse_path(config.sequence)
        stored: Mapping[str, Any] = ctx.position or {}
        self._counting = Counting(ctx, self._refusals, stored.get("sequences"))
        self._old_filters: list[str] = list(stored.get("filters", ()))
        self._seen_at: int | None = stored.get("at")
        self._is_lossy = config.qos == 0 or bool(stored.get("lossy"))
        self._pace = Pace()
        self._session: Session | None = None
        self._intake: Intake | None = None

    async def connect(self) -> None:
        """Subscribe; tell of a gap when the broker has forgotten us."""
        session = self.ctx.connection(MqttConnection, self.config.connection).session
        if self._intake is not None and session is self._session:
            self._intake.is_read = True
            self._tell_gap(session)
            return
        stale = [f for f in self._old_filters if f not in self._filters]
        if stale and session.welcome.session_present:
            await session.unsubscribe(stale)
        intake = Intake(
            f"{self.ctx.flow}/{self.ctx.node_id}",
            self._filters,
            self._is_ours,
            qos=min(self.config.qos, 1),
            retained=_RETAINED[self.config.retained],
        )
        lower = await session.subscribe(intake)
        if lower:
            self.ctx.say("warning", f"The broker grants only QoS 0 for {', '.join(lower)}.")
            self._is_lossy = True
        self._tell_gap(session)
        self._session, self._intake = session, intake
        self._old_filters = list(self._filters)

    def _is_ours(self, topic: str) -> bool:
        config = self.config.availability
        return self._topics.fields(topic) is not None or (
            config is not None and topic == config.topic
        )

    def _tell_gap(self, session: Session) -> None:
        """What may have been missed since the last message. No silent gap."""
        if self._seen_at is None:
            return
        node, now = self.ctx.node_id, self.ctx.clock.now()
        if self._is_lossy:
            self._refusals.gap(Gap(node, "qos_0", self._seen_at, now))
        elif not session.welcome.session_present and session is not self._session:
            self._refusals.gap(Gap(node, "session_lost", self._seen_at, now))

    async def read(self) -> Reading:
        """Wait for messages, then take all that are there."""
        assert self._intake is not None, "connect comes first"
        assert self._session is not None
        if self._refusals:
            return Reading({"status": self._refusals.take()}, position=self._position())
        parts = await self._intake.take(self._pace.messages_max)
        outputs: dict[str, Message] = {}
        batches: list[Batch] = []
        events: list[Event] = []
        status: list[Event] = []
        for part in parts:
            rest = part if self._availability is None else self._said(part, batches, status)
            self._decode(rest, batches, events)
        if self._host is not None and (commands := self._host.commands()):
            with suppress(Disconnected):  # what was read must not be lost; it is asked again
                await self._session.publish(commands)
        batch = Batch.concat([b for b in batches if len(b)])
        self._pace.took(parts, len(batch))
        if len(batch):
            outputs["out"] = batch
            if self._availability is not None:
                self._availability.saw(batch)
            bad = int((~batch.good).sum())
            if bad:
                self.ctx.count("not_good", bad)
        if events:
            outputs["events"] = tuple(events)
        if self._refusals or status:
            outputs["status"] = (*status, *self._refusals.take())
        self._seen_at = parts[-1].arrival
        self._is_lossy |= any(part.is_lossy for part in parts)
        return Reading(outputs, (self._session, parts), self._position())

    async def acknowledge(self, token: Any) -> None:
        """Tell the broker; a session that is gone needs no answer, it sends again."""
        if token is not None:
            session, parts = token
            session.acknowledge(parts)

    async def close(self) -> None:
        """Stop reading; the broker, or the queue while the session stands, keeps what comes."""
        if self._intake is not None:
            self._intake.is_read = False

    async def leave(self) -> None:
        """End the subscription, so that what nobody reads holds up no other source."""
        if self._session is not None and self._intake is not None and not self._session.is_gone:
            await self._session.dismiss(self._intake)

    def tag_names(self) -> list[str]:
        """Tags whose topics have no wildcard."""
        if self._host is not None or self.config.fields or self.config.payload == "raw":
            return []
        return self._topics.fixed()

    def _position(self) -> dict[str, Any]:
        position: dict[str, Any] = {"filters": self._filters, "at": self._seen_at}
        if self._sequence:
            position["sequences"] = self._counting.sequences.save()
        if self._is_lossy:
            position["lossy"] = True
        return position

    def _said(self, part: Part, batches: list[Batch], status: list[Event]) -> Part:
        """Take what the device says of itself out of a part."""
        assert self._availability is not None
        rest, events, bad = self._availability.split(part)
        status += events
        if bad is not None:
            batches.append(bad)
        return rest

    def _decode(self, part: Part, batches: list[Batch], events: list[Event]) -> None:
        if self._host is not None:
            batches.append(self._births_and_data(part))
            return
        if self.config.payload == "raw":
            events.extend(self._raw(part))
            return
        batch = None if self._sequence else self._decoder.columns(part)
        batches.append(self._row_by_row(part) if batch is None else batch)

    def _row_by_row(self, part: Part) -> Batch:
        rows = Rows()
        for place in range(len(part.topics)):
            before = len(rows.tag)
            document = self._decoder.row(rows, part, place)
            new = range(before, len(rows.tag))
            if self._sequence and self._is_again(document, part, place, rows, new):
                self._pace.passed_over += len(rows.tag) - before
                for column in (rows.tag, rows.ts, rows.value, rows.quality):
                    del column[before:]
        return rows.batch()

    def _is_again(
        self, document: Any, part: Part, place: int, rows: Rows, new: Sequence[int]
    ) -> bool:
        """Whether a message, whose rows are new, is a second copy to drop."""
        number = find(document, self._sequence)
        if not isinstance(number, int) or isinstance(number, bool):
            return False
        words = self._publishers.fields(part.topics[place].decode("utf-8", "replace"))
        publisher = fill(self.config.publisher, words or {})
        ts = rows.ts[new[0]] if new else self.ctx.clock.now()
        again = self._counting.is_again(
            publisher, number, ts, [rows.tag[row] for row in new], sent_again=place in part.again
        )
        return again and self.config.dedupe_by == "sequence"

    def _births_and_data(self, part: Part) -> Batch:
        assert self._host is not None
        rows = Rows()
        for place, raw_topic in enumerate(part.topics):
            topic = raw_topic.decode("utf-8", "replace")
            payload = part.payloads[place]
            if place in part.large:
                size = part.large[place]
                reason = "Larger than `message_bytes_max`."
                self._refusals.note("too_large", topic, reason, payload, size)
                continue
            try:
                for row in self._host.take(topic, payload, part.arrival):
                    rows.add(*row)
            except ValueError as error:
                reason = f"It is no Sparkplug B: {error}."
                self._refusals.note("undecodable", topic, reason, payload)
        return rows.batch()

    def _raw(self, part: Part) -> list[Event]:
        """Messages as events; what is no UTF-8 is written in hexadecimal."""
        events = []
        for place, raw_topic in enumerate(part.topics):
            topic, payload = raw_topic.decode("utf-8", "replace"), part.payloads[place]
            if place in part.large:
                size = part.large[place]
                reason = "Larger than `message_bytes_max`."
                self._refusals.note("too_large", topic, reason, payload, size)
                continue
            data: dict[str, Any] = {"topic": topic}
            try:
                data["text"] = payload.decode()
            except UnicodeDecodeError:
                data["hex"] = payload.hex()
                self._refusals.note("not_utf8", topic, "It is no UTF-8.", payload[:SAMPLE_BYTES])
            events.append(Event(part.arrival, self._topics(topic) or topic, data))
        return events

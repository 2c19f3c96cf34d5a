"""Write what arrives to the gateway's log, for a look while a flow is built."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway import AlarmEvent, Batch, Config, Event, Example, Message, Port, Sink, Windows, quality


class LogSinkConfig(Config):
    level: Literal["debug", "info", "warning"] = Field("info", description="Level of the lines.")
    rows_max: int = Field(
        10, ge=1, le=1_000, description="Lines written of one message; the rest is counted."
    )


class LogSink(Sink[LogSinkConfig]):
    """Write samples, windows, alarms and events to the log, a line each.

    Delivery: latest; lines are for people, and none is kept for later.
    Back pressure: none; of a large message only the first `rows_max` rows are written.
    """

    Config = LogSinkConfig
    delivery = "latest"
    inputs = (
        Port("in", "samples", "Samples to log."),
        Port("windows", "windows", "Windows to log."),
        Port("alarms", "alarms", "Alarm events to log."),
        Port("events", "events", "Events to log."),
    )
    examples = (
        Example("Have a look", {}),
        Example("Alarms as warnings", {"level": "warning"}),
        Example("One line of each", {"rows_max": 1}),
    )

    async def write(self, message: Message, port: str) -> None:
        lines = self._lines(message)
        for line in lines[: self.config.rows_max]:
            self.ctx.say(self.config.level, line)
        if len(lines) > self.config.rows_max:
            self.ctx.say(self.config.level, f"… and {len(lines) - self.config.rows_max} more rows")

    def _lines(self, message: Message) -> list[str]:
        tags = self.ctx.tags
        if isinstance(message, Batch):
            return [
                f"{tags.name(tag)} {value:.6g} {tags[tag].unit} {quality.name(status)}"
                for tag, _, value, status in message.rows()
            ]
        if isinstance(message, Windows):
            spans = zip(message.tag.tolist(), message.count.tolist(), strict=True)
            return [f"{tags.name(tag)} window of {count} rows" for tag, count in spans]
        return [_line(item) for item in message]


def _line(item: AlarmEvent | Event) -> str:
    if isinstance(item, Event):
        return f"{item.topic} {dict(item.data)}"
    return f"{item.priority} {item.condition} {item.change} {item.tag}: {item.text}"

"""Write setpoints to variables of an OPC UA server."""

from __future__ import annotations

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
    PositiveSeconds,
    Rejected,
    Seconds,
    Sink,
    TagName,
)
from nodes.opcua._address import Address
from nodes.opcua._targets import Target, find_targets, read_back, write_all
from nodes.opcua.connection import OpcuaConnection


class LimitConfig(Config):
    min: float = Field(description="Smallest value that may be written.")
    max: float = Field(description="Largest value that may be written.")

    @model_validator(mode="after")
    def _fits(self) -> LimitConfig:
        if self.min > self.max:
            raise ValueError("min is above max.")
        return self


class OpcuaSinkConfig(Config):
    connection: ConnectionName = Field(description="The opcua.connection to use.")
    tags: dict[TagName, Address] = Field(
        min_length=1,
        examples=[{"press1/speed/setpoint": "ns=2;s=Press1.Speed.Setpoint"}],
        description="Tag to the node it is written to.",
    )
    limits: dict[TagName, LimitConfig] = Field(
        default_factory=dict, description="Values outside are refused, not cut."
    )
    max_age_s: PositiveSeconds = Field(
        5.0,
        description="An older value is dropped: a setpoint must never be late.",
        json_schema_extra={"advanced": True},
    )
    read_back: bool = Field(False, description="Read each value back and refuse a difference.")
    read_back_after_s: Seconds = Field(
        0.0,
        description="How long the server may take to show a written value.",
        json_schema_extra={"advanced": True},
    )

    @field_validator("read_back_after_s")
    @classmethod
    def _is_short(cls, value: float) -> float:
        if value > 10:
            raise ValueError("At most 10 s: the next setpoint waits that long.")
        return value

    @model_validator(mode="after")
    def _limits_fit(self) -> OpcuaSinkConfig:
        if unknown := sorted(self.limits.keys() - self.tags.keys()):
            raise ValueError(f"There are limits for {', '.join(unknown)}, which is not in tags.")
        return self


class OpcuaSink(Sink[OpcuaSinkConfig]):
    """Write the newest value of each tag, in the type its variable has.

    Bad samples and tags that are not named are not written. An integer variable takes the
    nearest whole number; what does not fit its range or the limits is refused.

    Delivery: at most once and never late. A value is written when the session is open and it
    is younger than `max_age_s`; else it is dropped and counted as `dropped_stale`.
    Back pressure: one write at a time; of several values of a tag in one message only the
    newest is written.
    Source: OPC 10000-4 v1.05, 5.11.4 Write.
    """

    Config = OpcuaSinkConfig
    delivery = "fresh"
    writes = True
    examples = (
        Example(
            "A speed between 0 and 60",
            {
                "connection": "plc",
                "tags": {"press1/speed/setpoint": "ns=2;s=Press1.Speed.Setpoint"},
                "limits": {"press1/speed/setpoint": {"min": 0, "max": 60}},
                "read_back": True,
            },
        ),
    )

    def __init__(self, config: OpcuaSinkConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._targets: dict[str, Target] = {}

    async def connect(self) -> None:
        """Look the nodes up and learn their types."""
        session = self.ctx.connection(OpcuaConnection, self.config.connection).session
        try:
            targets, refused = await find_targets(session, self.config.tags)
        except Rejected as error:
            raise Disconnected(str(error), retry_after_s=10.0) from error
        for tag, why in refused.items():
            self.ctx.say("warning", f"{tag} cannot be written: {why}. The others go on.")
        if not targets:
            raise ConfigError("None of the nodes can be written.", hint="See the lines above.")
        self._targets = targets

    async def write(self, message: Message, port: str) -> None:
        """Write the newest sample of each tag; the good ones also when others are refused."""
        assert isinstance(message, Batch), "the port carries samples"
        session = self.ctx.connection(OpcuaConnection, self.config.connection).session
        chosen, refused = self._choose(message)
        if chosen:
            refused += await write_all(session, chosen)
            self.ctx.count("written", len(chosen))
            if self.config.read_back:
                refused += await read_back(session, chosen, self.config.read_back_after_s)
        if refused:
            raise Rejected("; ".join(refused[:5]) + ".")

    def _choose(self, message: Batch) -> tuple[list[tuple[Target, float]], list[str]]:
        """What may be written, and sentences about what may not."""
        oldest = self.ctx.clock.now() - round(self.config.max_age_s * 1e9)
        newest: dict[int, int] = {}
        for row in np.argsort(message.ts, kind="stable").tolist():
            newest[int(message.tag[row])] = row
        chosen: list[tuple[Target, float]] = []
        refused: list[str] = []
        for code, row in newest.items():
            tag = self.ctx.tags.name(code)
            if tag not in self.config.tags:
                self.ctx.count("not_named")
            elif message.quality[row] >> 30:
                self.ctx.count("dropped_bad")
            elif message.ts[row] < oldest:
                self.ctx.count("dropped_stale")
                age_s = (self.ctx.clock.now() - int(message.ts[row])) / 1e9
                self.ctx.say("warning", f"{tag} was not written: its value is {age_s:.1f} s old.")
            elif tag not in self._targets:
                refused.append(f"{tag} has no node that can be written")
            elif why := self._outside(tag, float(message.value[row])):
                refused.append(why)
            else:
                chosen.append((self._targets[tag], float(message.value[row])))
        return chosen, refused

    def _outside(self, tag: str, value: float) -> str:
        limit = self.config.limits.get(tag)
        if limit is None or limit.min <= value <= limit.max:
            return ""
        return f"{tag} was not written: {value:g} is outside {limit.min:g} to {limit.max:g}"


__all__ = ["LimitConfig", "OpcuaSink", "OpcuaSinkConfig"]

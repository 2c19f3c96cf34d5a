"""Writes setpoints and commands to Modbus units."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from gateway import (
    Batch,
    Config,
    ConfigError,
    ConnectionName,
    Context,
    Example,
    Message,
    Rejected,
    Sink,
    TagName,
)
from nodes._setpoints import MaxAge, newest_allowed
from nodes.modbus import _pdu
from nodes.modbus._client import Ask, Bus, CutOff
from nodes.modbus._pdu import DeviceError, NoReply, UnitAway
from nodes.modbus._registers import Order, Point, encode
from nodes.modbus._tags import WriteTag, points_of
from nodes.modbus.connection import ModbusConnection


class ModbusSinkConfig(Config):
    connection: ConnectionName = Field(description="The bus: a `modbus.connection`.")
    unit: int = Field(1, ge=0, le=255, description="Unit id; an address like 7!40001 overrides it.")
    tags: dict[TagName, WriteTag] = Field(
        min_length=1,
        examples=[{"press1/oil/setpoint": {"address": "holding:20", "min": 0, "max": 80}}],
        description="What to write: tag to address, type, order and limits.",
    )
    max_age_s: MaxAge = 5.0
    base: Literal[0, 1] = Field(
        1, description="Number of the first address in reference numbers: 40001 or 40000."
    )
    order: Order = Field("ABCD", description="Byte order where a tag has none of its own.")
    write_with: Literal["auto", "multiple", "read_back"] = Field(
        "auto",
        description="auto: functions 5, 6 and 16; multiple: always 15 and 16; "
        "read_back: function 23, which writes and reads in one.",
    )
    bits_with: Literal["mask", "modify"] = Field(
        "mask",
        description="A bit of a register: by mask (function 22), or read, change and write.",
    )
    verify: bool = Field(
        False, description="Read what was written and refuse the row when it differs."
    )

    @model_validator(mode="after")
    def _can_be_written(self) -> ModbusSinkConfig:
        points_of(self.tags, self.base, self.unit, self.order)
        return self


class ModbusSink(Sink[ModbusSinkConfig]):
    """Write values to coils and holding registers.

    Of several values of one tag only the newest is written. A value that is Bad, too old or
    outside its limits is never written; it is not clamped either, because a clamped setpoint
    is one that nobody asked for.

    Delivery: fresh: once or not at all. Where no reply came the write may have happened; it is
    said and never repeated blindly. With `verify` it is read back.
    Back pressure: one request at a time and before all polls; what waits too long is dropped.
    Source: MODBUS Application Protocol Specification V1.1b3, 6.5, 6.6, 6.11, 6.12, 6.16, 6.17.
    """

    Config = ModbusSinkConfig
    delivery = "fresh"
    writes = True
    examples = (
        Example(
            "A setpoint with limits",
            {
                "connection": "line",
                "tags": {
                    "press1/oil/setpoint": {
                        "address": "40021",
                        "type": "float32",
                        "min": 0,
                        "max": 80,
                    },
                    "press1/pump/command": "coil:4",
                },
                "verify": True,
            },
        ),
    )

    def __init__(self, config: ModbusSinkConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._bus: Bus | None = None
        self._points = points_of(config.tags, config.base, config.unit, config.order)

    async def connect(self) -> None:
        bus = self._bus = self.ctx.connection(ModbusConnection, self.config.connection).bus
        if bus.target.framing != "tcp" and any(p.device == 0 for p in self._points.values()):
            raise ConfigError(
                "Unit 0 is a broadcast on a serial line, which no device confirms.",
                hint="Write to each unit by its id, 1 to 247.",
            )
        bus.check_open()

    async def write(self, message: Message, port: str) -> None:
        assert isinstance(message, Batch)
        config = self.config
        allowed, refused = newest_allowed(message, config.tags, config.max_age_s, self.ctx)
        for name, value in allowed.items():
            point = self._points[name]
            try:
                await self._write(point, value)
            except (DeviceError, CutOff, ValueError) as error:
                refused.append(f"{name} = {value:g}: {_words(error)}")
            else:
                self.ctx.count("written")
        if refused:
            raise Rejected("; ".join(refused) + ".")

    async def _write(self, point: Point, value: float) -> None:
        """Write one value in one turn on the bus."""
        assert self._bus is not None
        if point.type == "bool" and value not in (0, 1):
            raise ValueError("a bit is 0 or 1")
        data = b"" if point.type == "bool" else encode(point, value)
        async with self._bus.turn() as ask:
            if point.space == "coil":
                await self._write_coil(ask, point, bool(value))
            elif point.type == "bool":
                await self._write_bit(ask, point, bool(value))
            else:
                await self._write_registers(ask, point, data)

    async def _write_coil(self, ask: Ask, point: Point, on: bool) -> None:
        if self.config.write_with == "multiple":
            await ask(point.device, _pdu.write_coils(point.start, [on]))
        else:
            await ask(point.device, _pdu.write_coil(point.start, on))
        if self.config.verify:
            data = await ask(point.device, _pdu.read("coil", point.start, 1))
            _compare(bool(data[0] & 1), on)

    async def _write_bit(self, ask: Ask, point: Point, on: bool) -> None:
        bit = 1 << (point.bit or 0)
        if self.config.bits_with == "mask":
            request = _pdu.mask_register(point.start, 0xFFFF & ~bit, bit if on else 0)
            await ask(point.device, request)
        else:
            old = await ask(point.device, _pdu.read("holding", point.start, 1))
            word = int.from_bytes(old, "big")
            new = (word | bit if on else word & ~bit).to_bytes(2, "big")
            await ask(point.device, self._request(point, new))
        if self.config.verify:
            data = await ask(point.device, _pdu.read("holding", point.start, 1))
            _compare(bool(int.from_bytes(data, "big") & bit), on)

    async def _write_registers(self, ask: Ask, point: Point, data: bytes) -> None:
        got = await ask(point.device, self._request(point, data))
        if self.config.write_with == "read_back":
            _compare(got, data)
        elif self.config.verify:
            count = len(data) // 2
            _compare(await ask(point.device, _pdu.read("holding", point.start, count)), data)

    def _request(self, point: Point, data: bytes) -> _pdu.Request:
        if self.config.write_with == "read_back":
            return _pdu.write_and_read(point.start, data)
        if self.config.write_with == "multiple" or len(data) > 2:
            return _pdu.write_registers(point.start, data)
        return _pdu.write_register(point.start, data)


def _compare(got: object, wanted: object) -> None:
    if got != wanted:
        shown = [x.hex() if isinstance(x, bytes) else str(x) for x in (got, wanted)]
        raise ValueError(f"it was written, but the device then holds {shown[0]}, not {shown[1]}")


def _words(error: Exception) -> str:
    if isinstance(error, NoReply | CutOff):
        return f"{error}, so it may or may not be written; it is not repeated"
    if isinstance(error, UnitAway):
        return f"not written, {error}"
    return str(error)

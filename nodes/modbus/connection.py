"""A Modbus device over TCP, or a serial line with up to 247 of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from gateway import (
    Config,
    Connection,
    Context,
    Example,
    Found,
    PositiveSeconds,
    Seconds,
    Step,
)
from nodes._line import ports
from nodes.modbus import _pdu
from nodes.modbus._arbiter import Breaker
from nodes.modbus._client import Bus
from nodes.modbus._link import Target, Timing, parse_url
from nodes.modbus._scan_registers import browse

_COST_MAX = 0.04  # a unit that is away takes at most this share of the bus


class ModbusConnectionConfig(Config):
    address: str = Field(
        examples=["tcp://10.0.0.5:502", "rtu+tcp://10.0.0.5:4001", "rtu:/dev/ttyUSB0"],
        description="Where it is: Modbus TCP, RTU frames over TCP, or RTU on a serial port.",
        json_schema_extra={"places": True},
    )
    baud: int = Field(
        19200,
        ge=300,
        le=4_000_000,
        json_schema_extra={"unit": "Bd"},
        description="Speed of the serial line.",
    )
    parity: Literal["none", "even", "odd"] = Field(
        "even", description="Parity of the serial line; the standard says even."
    )
    stop_bits: Literal[1, 2] = Field(
        1, description="Stop bits of the serial line; the standard says 2 with parity none."
    )
    timeout_s: PositiveSeconds = Field(
        1.0,
        description="How long to wait for a reply; on RTU at least the slowest device's time.",
        json_schema_extra={"advanced": True},
    )
    quiet_s: Seconds = Field(
        0.2,
        description="How long an RTU line must be silent after a timeout before it is used.",
        json_schema_extra={"advanced": True},
    )
    pause_connect_s: Seconds = Field(
        0,
        description="Wait after connecting, for devices that are not ready at once.",
        json_schema_extra={"advanced": True},
    )
    pause_between_s: Seconds = Field(
        0,
        description="Wait between two requests; RTU always keeps 3.5 characters.",
        json_schema_extra={"advanced": True},
    )
    close_after_idle_s: Seconds = Field(
        0,
        description="Close TCP after this time without a request; 0 keeps it open.",
        json_schema_extra={"advanced": True},
    )
    breaker_failures: int = Field(
        3,
        ge=1,
        le=100,
        description="Silent requests in a row until a unit is taken for away.",
        json_schema_extra={"advanced": True},
    )
    breaker_s: PositiveSeconds = Field(
        30,
        description="How often a unit that is away is asked; more if it costs the bus over 4 %.",
        json_schema_extra={"advanced": True},
    )
    accept_tid_zero: bool = Field(
        False,
        description="Take TCP replies with transaction 0, as some old devices send them.",
        json_schema_extra={"advanced": True},
    )

    @field_validator("address")
    @classmethod
    def _is_address(cls, text: str) -> str:
        parse_url(text)
        return text


class ModbusConnection(Connection[ModbusConnectionConfig]):
    """One Modbus bus: who names it shares it, and only one request is on it at a time.

    Writes go before polls and never fall between a request and its reply. Every reply is
    checked for unit, function, count, address and transaction; one that comes late is never
    taken for the next. A unit that stays silent is asked rarely, so the others keep their pace.

    Source: MODBUS Application Protocol V1.1b3; Messaging on TCP/IP V1.0b; Serial Line V1.02.
    """

    Config = ModbusConnectionConfig
    browses: ClassVar[str] = "Registers of a unit: 1/holding/0-99, addresses as on the wire."
    examples = (
        Example("A device over TCP", {"address": "tcp://10.0.0.5:502"}),
        Example(
            "Meters on an RS-485 line",
            {"address": "rtu:/dev/ttyUSB0", "baud": 9600, "parity": "none", "stop_bits": 2},
        ),
        Example("RTU behind a serial server", {"address": "rtu+tcp://10.0.0.7:4001"}),
    )

    def __init__(self, config: ModbusConnectionConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        place = parse_url(config.address)
        target = Target(
            place.framing,
            place.host,
            place.port,
            place.path,
            config.baud,
            config.parity,
            config.stop_bits,
        )
        cost_s = config.timeout_s + (0 if place.framing == "tcp" else config.quiet_s)
        self.bus = Bus(
            target,
            Timing(
                config.timeout_s,
                config.quiet_s,
                config.pause_connect_s,
                max(config.pause_between_s, _silence_s(target)),
                config.close_after_idle_s if place.framing != "rtu" else 0,
            ),
            Breaker(config.breaker_failures, max(config.breaker_s, cost_s / _COST_MAX)),
            monotonic=ctx.clock.monotonic,
            count=ctx.count,
            accept_tid_zero=config.accept_tid_zero,
        )

    @classmethod
    def places(cls) -> Sequence[Found]:
        """The serial ports of this machine, for RTU."""
        return ports("rtu:")

    async def open(self) -> None:
        await self.bus.open()

    def place(self) -> tuple[str, int] | None:
        """The host, whose port is not knocked at: many devices take one connection at a time."""
        host = self.bus.target.host
        return (host, 0) if host else None

    async def check(self) -> AsyncIterator[Step]:
        """Open the way, and ask the first unit for a register."""
        await self.open()
        yield Step("open", f"Modbus {self.bus.target} is open.")
        try:
            await self.bus.ask(1, _pdu.read("holding", 0, 1))
        except _pdu.Refused as error:
            yield Step("read", f"Unit 1 answers, but not holding:0: {error.text}.")
        except _pdu.DeviceError as error:
            text = f"Unit 1 was asked for holding:0: {error.text}. Your units may be others."
            yield Step("read", text, "warning")
        else:
            yield Step("read", "Unit 1 answers: holding:0 was read.")

    def browse(self, path: str) -> AsyncIterator[Found]:
        """Registers of a range, read slowly."""
        return browse(self.bus, path)

    async def lost(self) -> str:
        return await self.bus.lost()

    async def close(self) -> None:
        self.bus.close()


def _silence_s(target: Target) -> float:
    """The silence between two frames on a serial line [s].

    Source: MODBUS over Serial Line V1.02, 2.5.1.1: 3.5 characters of 11 bits, and 1.75 ms above
    19200 Bd.
    """
    if target.framing != "rtu":
        return 0.0
    return 0.00175 if target.baud > 19200 else 3.5 * 11 / target.baud

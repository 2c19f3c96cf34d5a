"""Reads the registers and coils of Modbus units at a steady pace."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gateway import (
    EMPTY,
    Batch,
    Cause,
    Config,
    ConnectionName,
    Context,
    Disconnected,
    Event,
    Example,
    Gap,
    Message,
    Port,
    PositiveSeconds,
    Reading,
    Source,
    Tag,
    TagName,
    quality,
)
from nodes.modbus._client import Bus
from nodes.modbus._pdu import DeviceError, Refused
from nodes.modbus._planner import COILS_MAX, REGISTERS_MAX, Block, plan
from nodes.modbus._registers import Order, Point
from nodes.modbus._scan import Poll
from nodes.modbus._schedule import Schedule
from nodes.modbus._tags import ReadTag, points_of, spans_of
from nodes.modbus._trouble import Troubles
from nodes.modbus.connection import ModbusConnection

# Holes cost bytes on a serial line and next to nothing on TCP. Source: measured, deploy.md 2.2.
_GAP_TCP = 32
_GAP_RTU = 8


class ModbusSourceConfig(Config):
    connection: ConnectionName = Field(description="The bus: a `modbus.connection`.")
    unit: int = Field(1, ge=0, le=255, description="Unit id; an address like 7!40001 overrides it.")
    scan_s: PositiveSeconds = Field(1.0, description="Time between two scans.")
    tags: dict[TagName, ReadTag] = Field(
        min_length=1,
        examples=[{"oil/pressure": "holding:0 float32 CDAB"}],
        description="What to read: tag to address, type and order.",
    )
    base: Literal[0, 1] = Field(
        1, description="Number of the first address in reference numbers: 40001 or 40000."
    )
    order: Order = Field("ABCD", description="Byte order where a tag has none of its own.")
    gap_max: int | None = Field(
        None,
        ge=0,
        le=120,
        description="Largest hole read along: 32 addresses on TCP, 8 on RTU.",
        json_schema_extra={"advanced": True},
    )
    registers_max: int = Field(
        REGISTERS_MAX, ge=1, le=REGISTERS_MAX, description="Most registers in one request."
    )
    coils_max: int = Field(COILS_MAX, ge=1, le=COILS_MAX, description="Most coils in one request.")
    forbidden: list[str] = Field(
        default_factory=list,
        examples=[["holding:100-199"]],
        description="Addresses that must never be read, such as counters that a read resets.",
        json_schema_extra={"advanced": True},
    )

    @model_validator(mode="after")
    def _can_be_planned(self) -> ModbusSourceConfig:
        self.plan(0)
        return self

    def plan(self, gap_max: int) -> dict[float, list[Block]]:
        """The blocks to read by their scan time. Raises ValueError."""
        classes: dict[float, list[Point]] = {}
        points = points_of(self.tags, self.base, self.unit, self.order)
        for name, tag in self.tags.items():
            classes.setdefault(tag.scan_s or self.scan_s, []).append(points[name])
        spans = spans_of(self.forbidden, self.base)
        return {
            scan_s: plan(
                classes[scan_s],
                gap_max=gap_max if self.gap_max is None else self.gap_max,
                registers_max=self.registers_max,
                coils_max=self.coils_max,
                forbidden=spans,
            )
            for scan_s in sorted(classes)
        }


class ModbusSource(Source[ModbusSourceConfig]):
    """Read values from Modbus units, all of them at every scan.

    Values that lie near each other are read by one request. Where a device refuses a request,
    it is split until only the wrong address is left out. The timestamp is that of the reply,
    because Modbus has none.

    Delivery: none to repeat: what was not polled never existed. A scan that was missed or came
    a period late is a GAP on `status`; a value that could not be read is Bad at every scan.
    Back pressure: the next scan waits until the last one is taken; what is missed is a GAP.
    Source: MODBUS Application Protocol Specification V1.1b3, 6.1 to 6.4.
    """

    Config = ModbusSourceConfig
    tells_gaps = True
    outputs = (
        *Source.outputs,
        Port("texts", "events", "Strings, whenever one has changed."),
    )
    examples = (
        Example(
            "A meter",
            {
                "connection": "line",
                "unit": 3,
                "tags": {
                    "press1/motor/current": {"address": "30001", "scale": 0.1, "unit": "A"},
                    "press1/oil/pressure": "holding:0 float32 CDAB unit=bar",
                    "press1/pump/on": "coil:4",
                    "press1/drive/fault": "holding:10.3",
                },
            },
        ),
    )

    def __init__(self, config: ModbusSourceConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._bus: Bus | None = None
        self._polls: list[list[Poll]] = []
        self._schedule = Schedule([config.scan_s])
        self._trouble = Troubles(ctx.node_id, ctx.say)
        self._scanned_at: list[int] = []
        self._resumes: list[tuple[Cause, str] | None] = []
        self._cause: tuple[Cause, str] = ("gateway_away", "")
        self._broken: Disconnected | None = None

    async def connect(self) -> None:
        bus = self._bus = self.ctx.connection(ModbusConnection, self.config.connection).bus
        bus.check_open()
        if not self._polls:
            self._plan(_GAP_TCP if bus.target.framing == "tcp" else _GAP_RTU)
        self._broken = None
        self._resumes = [self._cause] * len(self._polls)
        self._cause = ("disconnected", "")
        self._schedule.start(self.ctx.clock.monotonic())

    def tag_names(self) -> list[str]:
        points = points_of(self.config.tags, self.config.base, self.config.unit, self.config.order)
        return [name for name, point in points.items() if not point.is_text]

    def _plan(self, gap_max: int) -> None:
        texts = set(self.config.tags) - set(self.tag_names())
        for name, tag in self.config.tags.items():
            if name not in texts:
                low, high = tag.range()
                self.ctx.tags.add(Tag(name, tag.unit, low, high, about=tag.about))
        planned = self.config.plan(gap_max)
        self._polls = [[Poll(b, self.ctx.tags.code) for b in blocks] for blocks in planned.values()]
        self._schedule = Schedule(list(planned))
        last = self.ctx.position.get("ts", 0) if isinstance(self.ctx.position, dict) else 0
        self._scanned_at = [int(last)] * len(planned)

    async def read(self) -> Reading:
        assert self._bus is not None
        if self._broken is not None:
            raise self._broken
        i, due = self._schedule.next()
        delay = due - self.ctx.clock.monotonic()
        try:
            if delay > 0:
                await self._bus.sleep(delay)
            events = self._missed(i)
            outputs = await self._scan(i, events)
        except Disconnected as error:
            self._cause = ("disconnected", str(error))
            raise
        return Reading(outputs, position={"ts": max(self._scanned_at)})

    def _missed(self, i: int) -> list[Event]:
        """GAPs for what was missed before this scan."""
        now, last = self.ctx.clock.now(), self._scanned_at[i]
        period_s = self._schedule.periods_s[i]
        missed = self._schedule.take(i, self.ctx.clock.monotonic())
        resumes, self._resumes[i] = self._resumes[i], None
        if resumes is not None:  # a new session: its schedule knows nothing of the time before
            missed = int((now - last) / 1e9 / period_s - 0.5) if last else 0
            cause, text = resumes
        else:
            cause = "poll_missed"
            text = f"A scan takes longer than {period_s:g} s: raise scan_s or read less."
        if missed <= 0 or not last:
            return []
        self.ctx.count("missed", missed)
        tags = None
        if len(self._polls) > 1:
            tags = tuple(name for poll in self._polls[i] for name in poll.names())
        return [Gap(self.ctx.node_id, cause, last, now, "", tags, missed, text).event()]

    async def _scan(self, i: int, events: list[Event]) -> Mapping[str, Message]:
        """Read all blocks of one scan class; appends to `events`."""
        assert self._bus is not None
        rows: list[_Row] = []
        texts: list[Event] = []
        waiting = deque(self._polls[i])
        while waiting:
            poll = waiting.popleft()
            if poll.retry_at > self.ctx.clock.monotonic():
                poll.failures += 1
                rows.append((poll, self.ctx.clock.now(), None))
                continue
            try:
                payload = await self._bus.ask(poll.block.device, poll.request)
            except Disconnected as error:
                if not rows:
                    raise
                # First hand over what was read.
                self._broken, self._cause = error, ("disconnected", str(error))
                break
            except DeviceError as error:
                parts = self._failed(i, poll, error, events)
                waiting.extendleft(reversed(parts))
                if not parts:
                    rows.append((poll, self.ctx.clock.now(), None))
                continue
            now = self.ctx.clock.now()
            rows.append((poll, now, poll.values(payload)))
            texts += [_text(now, name, text) for name, text in poll.texts(payload)]
            events += self._trouble.read_well(poll, now)
        if self._broken is None:
            self._scanned_at[i] = self.ctx.clock.now()
        found: dict[str, Message] = {
            "out": _batch(rows),
            "status": tuple(events),
            "texts": tuple(texts),
        }
        return {port: message for port, message in found.items() if len(message)}

    def _failed(self, i: int, poll: Poll, error: DeviceError, events: list[Event]) -> list[Poll]:
        """Smaller polls to try at once, or none when the block stays as it is and is Bad."""
        assert self._bus is not None
        if isinstance(error, Refused) and error.code in (2, 3):
            parts = poll.parts()
            if parts:
                at = self._polls[i].index(poll)
                self._polls[i][at : at + 1] = parts
                self._trouble.forget(poll)
                self.ctx.count("splits")
                return parts
        breaker = self._bus.breaker
        events += self._trouble.failed(
            poll,
            error,
            away=breaker.is_away(poll.block.device),
            retry_s=breaker.retry_s,
            clock=self.ctx.clock,
        )
        return []


_Row = tuple[Poll, int, NDArray[np.float64] | None]
"""A block, when its reply came [ns], and its values; None when it could not be read."""


def _batch(rows: list[_Row]) -> Batch:
    """All blocks of a scan as one batch; a block that could not be read is Bad."""
    sizes = [len(poll.codes) for poll, _, _ in rows]
    if not sum(sizes):
        return EMPTY
    status = [poll.status if values is None else quality.GOOD for poll, _, values in rows]
    return Batch.columns(
        np.concatenate([poll.codes for poll, _, _ in rows]),
        np.repeat(np.array([ts for _, ts, _ in rows], np.int64), sizes),
        np.concatenate(
            [np.full(len(p.codes), np.nan) if values is None else values for p, _, values in rows]
        ),
        np.repeat(np.array(status, np.uint32), sizes),
    )


def _text(now: int, name: str, text: str) -> Event:
    return Event(now, name, {"tag": name, "text": text}, f"{name}:{now}")

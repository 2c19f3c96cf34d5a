"""The simulated world: devices that send, receivers that take, and all that befalls them.

The world outlives the gateway: what a device was not told is safe, it sends again; what a
receiver took, it has. Faults stand as sentinels in the scripts, where they happen.
Source: the idea of sentinels in a test's input is Bytewax's (`bytewax.testing`, 0.21).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

from gateway.data.alarm import AlarmEvent
from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.tag import TagTable
from gateway.data.windows import Windows
from gateway.engine.sim_loop import SimClock, SimLoop
from gateway.errors import Disconnected, Rejected
from gateway.flow.config import Config
from gateway.flow.node import Context, Message, Port, Reading, Sink, Source

READ_ROWS_MAX: Final = 200


@dataclass(frozen=True)
class DISCONNECT:  # a sentinel reads like a word of the script
    """The device or receiver is away for so long [s]."""

    s: float


@dataclass(frozen=True)
class CRASH:
    """The gateway dies at once, or when it next comes by a crash point; it is back after `s`."""

    s: float = 1.0
    point: str = ""


@dataclass(frozen=True)
class CLOCK_BACK:  # noqa: N801 - a sentinel reads like a word of the script
    """The gateway's wall clock is set back by `s`."""

    s: float


@dataclass(frozen=True)
class CLOCK_FORWARD:  # noqa: N801 - a sentinel reads like a word of the script
    """The gateway's wall clock is set forward by `s`."""

    s: float


@dataclass(frozen=True)
class DISK_FULL:  # noqa: N801 - a sentinel reads like a word of the script
    """Nothing can be stored for so long [s]."""

    s: float


@dataclass(frozen=True)
class REFUSE:
    """The receiver refuses the next message for good."""


Fault = DISCONNECT | CRASH | CLOCK_BACK | CLOCK_FORWARD | DISK_FULL | REFUSE
Row = tuple[object, ...]
"""One row as a receiver sees it: names instead of codes."""


@dataclass(eq=False)
class Device:
    """Something that sends: its script, and what it was not yet told is safe.

    Args:
        tags: Its tags; a value of the script is sent for each, moved by the tag's number.
        every_s: Time between two values of the script [s].
        script: Values, and faults where they happen.
    """

    tags: tuple[str, ...]
    every_s: float
    script: Sequence[float | Fault]
    sent: list[Row] = field(default_factory=list)
    acknowledged: list[Row] = field(default_factory=list)
    pending: deque[tuple[int, list[Row]]] = field(default_factory=deque)
    number: int = 0
    read_to: int = 0
    away_until_s: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class Receiver:
    """Something that takes: what it got, by life of the gateway and time [s]."""

    script: Sequence[float | Fault]
    got: list[tuple[int, float, Row]] = field(default_factory=list)
    refused: int = 0
    refusing: bool = False
    away_until_s: float = 0.0


class World:
    """All that is outside of the gateway.

    Args:
        loop: Virtual time.
        devices: By the id of the source that reads them.
        receivers: By the id of the sink that writes to them.
    """

    def __init__(
        self, loop: SimLoop, devices: dict[str, Device], receivers: dict[str, Receiver]
    ) -> None:
        self.loop = loop
        self.clock = SimClock(loop, self)
        self.devices = devices
        self.receivers = receivers
        self.life = 0
        """How often the gateway died; what belongs to an earlier life is dead."""
        self.disk_full_until_s = 0.0
        self.crash: Callable[[CRASH], None] = lambda fault: None

    async def play_device(self, device: Device) -> None:
        """Send the script, a value every `every_s`."""
        for item in device.script:
            if not isinstance(item, float):
                self.befall(item, device)
                continue
            await asyncio.sleep(device.every_s)
            ts = self.clock.true_ns()
            rows: list[Row] = [(t, ts, item + 10 * i) for i, t in enumerate(device.tags)]
            device.number += 1
            device.pending.append((device.number, rows))
            device.sent += rows
            device.changed.set()

    async def play_receiver(self, receiver: Receiver) -> None:
        """Faults, with seconds of peace between them."""
        for item in receiver.script:
            if isinstance(item, float):
                await asyncio.sleep(item)
            else:
                self.befall(item, receiver)

    def befall(self, fault: Fault, whom: Device | Receiver) -> None:
        """Let a fault happen now."""
        now_s = self.loop.time()
        match fault:
            case DISCONNECT(s):
                whom.away_until_s = now_s + s
                if isinstance(whom, Device):
                    whom.changed.set()
            case CRASH():
                self.crash(fault)
            case CLOCK_BACK(s):
                self.clock.set_by(-s)
            case CLOCK_FORWARD(s):
                self.clock.set_by(s)
            case DISK_FULL(s):
                self.disk_full_until_s = now_s + s
            case REFUSE():
                if isinstance(whom, Receiver):
                    whom.refusing = True


class SimConfig(Config):
    """Nothing can be set: what happens stands in the world's script."""


def _world(ctx: Context) -> World:
    assert isinstance(ctx.clock, SimClock)
    world = ctx.clock.world
    assert isinstance(world, World)
    return world


class SimSource(Source[SimConfig]):
    """Reads a simulated device, which keeps every row until it is acknowledged.

    Delivery: at least once: what was not acknowledged comes again with the next session.
    Back pressure: rows wait in the device.
    """

    Config = SimConfig

    def __init__(self, config: SimConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._world = _world(ctx)
        self._device = self._world.devices[ctx.node_id]
        self._life = self._world.life

    def _check(self) -> None:
        if self._world.loop.time() < self._device.away_until_s:
            raise Disconnected(f"No answer from the simulated {self.ctx.node_id}.")

    async def connect(self) -> None:
        self._check()
        self._device.read_to = 0

    async def read(self) -> Reading:
        device = self._device
        while True:
            self._check()
            fresh = [item for item in device.pending if item[0] > device.read_to]
            if fresh:
                break
            device.changed.clear()
            await device.changed.wait()
        fresh = fresh[:READ_ROWS_MAX]
        device.read_to = fresh[-1][0]
        code = self.ctx.tags.code
        rows = [row for _, part in fresh for row in part]
        batch = Batch.of((code(str(t)), int(str(ts)), float(str(v)), 0) for t, ts, v in rows)
        return Reading({"out": batch}, token=device.read_to)

    async def acknowledge(self, token: int) -> None:
        if self._life != self._world.life:
            return  # The dead acknowledge nothing.
        self._check()
        while self._device.pending and self._device.pending[0][0] <= token:
            self._device.acknowledged += self._device.pending.popleft()[1]

    def tag_names(self) -> list[str]:
        return list(self._device.tags)


class SimEvery(Sink[SimConfig]):
    """Writes to a simulated receiver.

    Delivery: as the class says.
    Back pressure: rows wait in the outbox while the receiver is away.
    """

    Config = SimConfig
    inputs = (
        Port("in", "samples", "Samples to take."),
        Port("alarms", "alarms", "Alarm events to take."),
        Port("events", "events", "Events to take."),
    )

    def __init__(self, config: SimConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._world = _world(ctx)
        self._receiver = self._world.receivers[ctx.node_id]
        self._life = self._world.life

    async def connect(self) -> None:
        self._check()

    def _check(self) -> None:
        if self._world.loop.time() < self._receiver.away_until_s:
            raise Disconnected(f"The simulated {self.ctx.node_id} takes nothing.")

    async def write(self, message: Message, port: str) -> None:
        await asyncio.sleep(0.01)
        if self._life != self._world.life:
            await asyncio.Event().wait()  # The dead write nothing.
        self._check()
        receiver = self._receiver
        if receiver.refusing and len(rows_of(message, self.ctx.tags)) == 1:
            receiver.refusing = False
            receiver.refused += 1
            raise Rejected("It was told to refuse this.")
        now_s = self._world.loop.time()
        receiver.got += [(self._life, now_s, row) for row in rows_of(message, self.ctx.tags)]


class SimLatest(SimEvery):
    """Writes to a simulated display.

    Delivery: the newest row of each tag.
    Back pressure: older rows of a tag give way.
    """

    delivery: ClassVar[Literal["every", "latest", "fresh"]] = "latest"


class SimFresh(SimEvery):
    """Writes to a simulated actuator.

    Delivery: at once or never.
    Back pressure: none.
    """

    delivery: ClassVar[Literal["every", "latest", "fresh"]] = "fresh"


NODES: Final = {
    "sim.source": SimSource,
    "sim.every": SimEvery,
    "sim.latest": SimLatest,
    "sim.fresh": SimFresh,
}


def rows_of(message: Message, tags: TagTable) -> list[Row]:
    """A message as rows with names, equal whatever the codes are."""
    if isinstance(message, Windows):
        message = message.rows
    if isinstance(message, Batch):
        return [(tags.name(tag), ts, repr(v), q) for tag, ts, v, q in message.rows()]
    return [_item(item) for item in message]


def _item(item: AlarmEvent | Event) -> Row:
    if isinstance(item, Event):
        return (item.topic, item.ts, repr(dict(item.data)))
    return (item.alarm, item.ts, item.change, item.state.value, item.occurrence, item.text)

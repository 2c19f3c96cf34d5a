"""The nodes of the simulation: a source and sinks that know the simulated world."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final, Literal

from gateway.data.alarm import AlarmEvent
from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.tag import TagTable
from gateway.data.windows import Windows
from gateway.engine.sim_loop import SimClock
from gateway.engine.sim_world import Row, World
from gateway.errors import Disconnected, Rejected
from gateway.flow.config import Config
from gateway.flow.node import Context, Message, Outputs, Port, Reading, Sink, Source
from gateway.flow.worker import Worker

READ_ROWS_MAX: Final = 200


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
    tells_gaps = True  # There are none: the device keeps what was not acknowledged.

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
        samples = [sample for _, part in fresh for sample in part]
        batch = Batch.of((code(name), ts, value, 0) for name, ts, value in samples)
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
        receiver, rows = self._receiver, rows_of(message, self.ctx.tags)
        if receiver.refusing and rows[0] not in receiver.taken:
            receiver.refusing = False
            receiver.poison.add(rows[0])
        if not receiver.poison.isdisjoint(rows):
            raise Rejected("It was told to refuse this.")
        now_s = self._world.loop.time()
        receiver.taken.update(rows)
        receiver.got += [(self._life, now_s, row) for row in rows]


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


class SimWorker(Worker[SimConfig, Batch]):
    """Answers each row with its double, after a while; it is away now and then."""

    Config = SimConfig
    inputs = (Port("in", "samples", "Questions."),)
    outputs = (Port("out", "samples", "Answers."),)

    def __init__(self, config: SimConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._world = _world(ctx)
        self._receiver = self._world.receivers[ctx.node_id]
        self._life = self._world.life

    async def handle(self, message: Batch, port: str) -> Outputs:
        await asyncio.sleep(0.5)
        if self._life != self._world.life:
            await asyncio.Event().wait()  # The dead answer nothing.
        if self._world.loop.time() < self._receiver.away_until_s:
            raise Disconnected(f"The simulated {self.ctx.node_id} does not answer.")
        return {"out": message.with_value(message.value * 2)}


NODES: Final = {
    "sim.worker": SimWorker,
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

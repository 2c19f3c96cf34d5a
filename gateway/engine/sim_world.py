"""The simulated world: devices that send, receivers that take, and all that befalls them.

The world outlives the gateway: what a device was not told is safe, it sends again; what a
receiver took, it has. Faults stand as sentinels in the scripts, where they happen.
Source: the idea of sentinels in a test's input is Bytewax's (`bytewax.testing`, 0.21).
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.engine.sim_loop import SimClock, SimLoop


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
Sample = tuple[str, int, float]
"""What a device sends: tag, time [ns], value."""
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
    sent: list[Sample] = field(default_factory=list)
    acknowledged: list[Sample] = field(default_factory=list)
    pending: deque[tuple[int, list[Sample]]] = field(default_factory=deque)
    number: int = 0
    read_to: int = 0
    away_until_s: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class Receiver:
    """Something that takes: what it got, by life of the gateway and time [s].

    Args:
        script: Seconds of peace, and faults between them.
        poison: Rows it refuses for good; a message with one of them is refused whole.
    """

    script: Sequence[float | Fault]
    got: list[tuple[int, float, Row]] = field(default_factory=list)
    refusing: bool = False
    poison: set[Row] = field(default_factory=set)
    taken: set[Row] = field(default_factory=set)
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
        self.befallen: Counter[str] = Counter()
        self.crash: Callable[[CRASH], None] = lambda fault: None

    def trouble_s(self) -> float:
        """How long it takes until nobody is away and the disk can be written [s]."""
        ends = [self.disk_full_until_s]
        ends += [device.away_until_s for device in self.devices.values()]
        ends += [receiver.away_until_s for receiver in self.receivers.values()]
        return max(max(ends) - self.loop.time(), 0.0)

    async def play_device(self, device: Device) -> None:
        """Send the script, a value every `every_s`."""
        for item in device.script:
            if not isinstance(item, float):
                self.befall(item, device)
                continue
            await asyncio.sleep(device.every_s)
            ts = self.clock.true_ns()
            rows: list[Sample] = [(t, ts, item + 10 * i) for i, t in enumerate(device.tags)]
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
        at = f" at {fault.point}" if isinstance(fault, CRASH) and fault.point else ""
        self.befallen[type(fault).__name__ + at] += 1
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

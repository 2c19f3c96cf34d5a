"""Nodes: what a flow is made of. A node is exactly one of five kinds.

Source (waits in), Transform (computes, synchronous, deterministic), Worker (slow or remote),
Sink (waits out), Connection (one session or bus that others share). The engine connects,
retries, backs off, journals and stores; a node only says what is special about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gateway.errors import StateError
from gateway.flow.browsing import Inspected
from gateway.flow.config import Config
from gateway.flow.context import Clock as Clock  # the parts of a node, named here for all
from gateway.flow.context import Context as Context
from gateway.flow.context import Part as Part
from gateway.flow.port import Alarms as Alarms
from gateway.flow.port import Carries as Carries
from gateway.flow.port import Events as Events
from gateway.flow.port import Example as Example
from gateway.flow.port import Message as Message
from gateway.flow.port import Outputs as Outputs
from gateway.flow.port import Port as Port

State = dict[str, NDArray[Any]]
"""What a node remembers, as arrays; stored without pickle."""

C = TypeVar("C", bound=Config)
M = TypeVar("M")
K = TypeVar("K")


class Node(Generic[C]):
    """What all kinds share: a config, ports, examples and declared state."""

    Config: ClassVar[type[Config]]
    inputs: ClassVar[tuple[Port, ...]] = ()
    outputs: ClassVar[tuple[Port, ...]] = ()
    examples: ClassVar[tuple[Example, ...]] = ()
    stage: ClassVar[Literal["experimental", "beta", "stable"]] = "beta"
    state_version: ClassVar[int] = 1
    """Raise it when the same names in `snapshot` come to mean something else; see `migrate`."""
    kind: ClassVar[str] = "node"
    writes: ClassVar[bool] = False
    """True when it can change the plant: a flow must say ``allow_write: true``."""
    answers: ClassVar[bool] = False  # True where others come in at its `path`, below /hook/.

    def __init__(self, config: C, ctx: Context) -> None:
        self.config = config
        self.ctx = ctx
        self._arrays: dict[str, tuple[NDArray[Any], Any]] = {}
        self._parts: dict[str, Part] = {}

    def per_tag(self, name: str, fill: Any, dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """Declare state: one cell a tag, (tags.limit,). The engine saves and restores it."""
        array = np.full(self.ctx.tags.limit, fill, dtype)
        self._arrays[name] = (array, fill)
        return array

    def forget(self, code: NDArray[np.intp]) -> None:
        """Have some tags start over: their cells hold what they were declared with."""
        for array, fill in self._arrays.values():
            array[code] = fill

    def keep(self, name: str, part: K) -> K:
        """Declare state that saves and loads itself, such as a ring or a kernel."""
        self._parts[name] = part  # type: ignore[assignment]  # a Part by its two methods
        return part

    def snapshot(self) -> State:
        """A copy of all declared state, cut to the tags in use."""
        used = len(self.ctx.tags)
        state: State = {name: array[:used].copy() for name, (array, _) in self._arrays.items()}
        for name, part in self._parts.items():
            state.update({f"{name}.{key}": value for key, value in part.save().items()})
        return state

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `snapshot` gave.

        Raises:
            StateError: The state is of another shape; the node starts fresh.
        """
        for name, (array, fill) in self._arrays.items():
            saved = state.get(name)
            if saved is None or saved.ndim != 1 or len(saved) > len(array):
                raise StateError(f"Stored state has no fitting {name!r} for {self.ctx.node_id}.")
            array[:] = fill
            array[: len(saved)] = saved
        for name, part in self._parts.items():
            prefix = f"{name}."
            own = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
            try:
                part.load(own)
            except (KeyError, ValueError) as error:
                raise StateError(
                    f"Stored state of {self.ctx.node_id} does not fit: {error}."
                ) from error

    def migrate(self, version: int, state: State) -> State:
        """State that another version (`state_version`) of this class stored, as this one has it.

        Called before `restore` after an update, or after going back to an older program. Without
        a word of the node's own it starts fresh, and that is said.

        Raises:
            StateError: It cannot be used.
        """
        known = self.state_version
        raise StateError(f"it is of version {version}, this program knows version {known}")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source read, and how to tell the device that it is safe.

    Args:
        outputs: Messages by output port.
        token: Given back to `Source.acknowledge` once the reading is committed.
        position: Stored with the reading and lent again as ``ctx.position`` after a restart;
            plain JSON values.
    """

    outputs: Outputs
    token: Any = None
    position: Any = None


class Source(Node[C]):
    """Waits for the world and brings samples in. The engine connects, retries and backs off.

    The engine calls `connect`, then `read` for ever; when one raises Disconnected it calls
    `close`, waits and starts over. A source contains no retry loop.
    """

    kind = "source"
    tells_gaps: ClassVar[bool] = False
    """True when it tells of every hole itself (`gateway.Gap`), or misses nothing because the
    other side keeps what is not acknowledged. Else the engine tells of each time away: from the
    last reading before it to the first one after it, a restart of the gateway included."""
    outputs: ClassVar[tuple[Port, ...]] = (
        Port("out", "samples", "What the device sent."),
        Port("status", "events", "Connection lost and back, gaps, refused payloads."),
    )

    async def connect(self) -> None:
        """Get ready to read. Raises Disconnected or ConfigError."""

    async def read(self) -> Reading:
        """Wait for one row, then return all that are ready. Raises Disconnected."""
        raise NotImplementedError

    async def acknowledge(self, token: Any) -> None:
        """The reading with this token is committed: tell the device. Called in order."""

    async def close(self) -> None:
        """Let go of the device; called after every `connect`, also a failed one."""

    async def leave(self) -> None:
        """The flow has no such node any more: give back what `close` keeps for the next time.

        Called after `close`, when a flow is edited while it runs.
        """

    def tag_names(self) -> list[str]:
        """Tags this source is known to bring, for marking them Bad when it is away."""
        return []


class Transform(Node[C], Generic[C, M]):
    """Computes outputs from a message: synchronous, deterministic, no clock, no I/O.

    Tested of each: any cut of the input gives the same rows; saving and restoring at any cut
    changes nothing; same input, same output.
    """

    kind = "transform"
    inputs: ClassVar[tuple[Port, ...]] = (Port("in", "samples", "Samples to work on."),)
    outputs: ClassVar[tuple[Port, ...]] = (Port("out", "samples", "The result."),)

    def process(self, message: M, port: str) -> Outputs:
        """Work on one message. It must not change the message."""
        raise NotImplementedError

    def wake_at(self) -> int | None:
        """When `wake` is wanted next [ns], or None. Asked after every call."""
        return None

    def wake(self, now: int) -> Outputs:
        """The time asked for has come; `now` is at or after it [ns]."""
        return {}

    def keeps(self, old: C) -> bool:
        """True when the state made with another config still means the same with this one.

        Asked when a flow is edited while it runs. Without a word the node starts fresh.
        """
        return False

    def paused(self, ns: int) -> None:
        """The gateway was away for so long [ns]: that silence was ours, not the device's.

        A node that remembers when it saw something, in processing time, moves it by `ns`.
        """

    def clock_set(self, ns: int) -> None:
        """The gateway's clock was set by so much [ns], to `ctx.now`; no time has passed.

        Forward at any time; back only at a start, when the last run was days ahead.
        Times that the gateway's clock made move along, as they do in `paused`.
        """
        self.paused(ns)


class Sink(Node[C]):
    """Waits for the world to take what the flow made.

    delivery: ``every`` (store and forward), ``latest`` (displays: newest a tag), ``fresh``
    (setpoints: written at once or dropped with an event, never replayed).
    """

    kind = "sink"
    delivery: ClassVar[Literal["every", "latest", "fresh"]] = "every"
    backfill: ClassVar[Literal["in_order", "live_first"]] = "in_order"
    """What an outage's rows do once the receiver is back: go before new rows, or besides them.
    `live_first` suits receivers that sort by the row's own time, such as a historian."""
    lanes: ClassVar[int] = 1
    """How many writes may be under way at once. Rows are split by tag, so that each tag keeps its
    order; each lane has its own part of the outbox. `write` must bear being called side by side."""
    inputs: ClassVar[tuple[Port, ...]] = (Port("in", "samples", "What to send."),)

    async def connect(self) -> None:
        """Get ready to write. Raises Disconnected or ConfigError."""

    async def ready(self) -> None:
        """Wait until the next write may begin; what arrives meanwhile becomes part of it.

        For receivers of which one asks little: a mail a minute with all alarms of it, instead of
        five hundred mails. Called before every write, while something waits.
        """

    def received(self, offered: int) -> int:
        """After `connect`: the number of the newest message that the receiver has, if it knows.

        Messages up to it come one by one, each with its number in ``ctx.number``, so that what
        was written before a crash can be told from what was not.

        Args:
            offered: The number of the newest message there is.
        """
        return 0

    async def write(self, message: Message, port: str) -> None:
        """Send one message. Raises Disconnected (kept, tried again) or Rejected (dead letter)."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of the device; called after every `connect`, also a failed one."""


class Connection(Node[C], Inspected):
    """One session or bus, opened once, shared by the nodes that name it.

    It can also be tried out before it is used, and show what is behind it: see `Inspected`.
    """

    kind = "connection"

    async def open(self) -> None:
        """Open it. Raises Disconnected (tried again with back-off) or ConfigError."""
        raise NotImplementedError

    async def lost(self) -> str:
        """Wait until the session is gone and say why; the engine then closes and reopens."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close it; called after every `open`, also a failed one, and must not raise."""

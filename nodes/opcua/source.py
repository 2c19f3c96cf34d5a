"""Subscribe to variables of an OPC UA server."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gateway import (
    Batch,
    Cause,
    ConfigError,
    Context,
    Disconnected,
    Event,
    Example,
    LimitError,
    Port,
    Reading,
    Rejected,
    Source,
)
from nodes.opcua._decode import Changes, Publish, times
from nodes.opcua._facts import learn_facts, with_history
from nodes.opcua._history import Want, fill
from nodes.opcua._intake import Intake
from nodes.opcua._nodes import Found, find
from nodes.opcua._options import OpcuaSourceConfig
from nodes.opcua._session import Session
from nodes.opcua._subscription import Hole, Subscription, Watch
from nodes.opcua.connection import OpcuaConnection

_FACTS_NOW_MAX = 1000  # More than that would delay the first samples: they are read beside.
_FIRST_VALUES_S = 5.0  # How long the first values are waited for before the history is read.


class OpcuaSource(Source[OpcuaSourceConfig]):
    """Subscribe to variables; report by exception, in batches as the server publishes them.

    StatusCode and source timestamp are kept as the server gave them. A wrong node is told
    once on `status`, its tag is Bad, and the others go on. Text and structures leave on `events`.

    Delivery: at most once, with no silent hole. The server is done with a message when it is
    sent, so there is nothing to acknowledge after the commit; whatever was missed while the
    session was away is one `gap` event, filled from the server's history where it keeps one.
    Back pressure: up to `queue_rows_max` rows wait here; further publishes are dropped whole,
    counted as `rows_dropped`, and are a gap. The server is never held up, since other
    subscriptions share its session.
    Source: OPC 10000-4 v1.05, 5.13 MonitoredItem, 5.14 Subscription.
    """

    Config = OpcuaSourceConfig
    tells_gaps = True
    outputs: ClassVar[tuple[Port, ...]] = (
        *Source.outputs,
        Port("events", "events", "Values that are no numbers: text, dates, arrays."),
    )
    examples = (
        Example(
            "Two variables, once a second",
            {
                "connection": "plc",
                "tags": {
                    "press1/oil/temperature": "ns=2;s=Press1.Oil.Temp",
                    "press1/oil/pressure": "/Objects/2:Plant/2:Press1/2:Oil/2:Pressure",
                },
            },
        ),
        Example(
            "Everything below a machine, small changes held back",
            {
                "connection": "plc",
                "browse": {"root": "ns=2;s=Press1", "template": "site/press1/{path}"},
                "deadband": {"kind": "percent", "value": 0.5},
            },
        ),
    )

    def __init__(self, config: OpcuaSourceConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._intake = Intake(ctx, config.array_items_max)
        self._found: list[Found] = []
        self._history: list[Found] = []
        self._history_codes: NDArray[np.uint16] = np.zeros(0, np.uint16)
        self._subscription: Subscription | None = None
        self._first: list[tuple[str, Any]] = []
        self._is_after_hole = False
        self._cause: tuple[Cause, str] = ("gateway_away", "")
        self._known_facts: set[str] = set()
        self._dropped = 0

    def tag_names(self) -> list[str]:
        """Tags named in the config, and those found below the root so far."""
        return list(dict.fromkeys([*self.config.tags, *(f.tag for f in self._found)]))

    async def connect(self) -> None:
        """Look the nodes up, watch them, and learn their units."""
        config = self.config
        session = self.ctx.connection(OpcuaConnection, config.connection).session
        self._intake.resume(self.ctx.position)
        try:
            found, notes = await find(self.ctx, session, config.tags, config.browse)
            self._intake.start([f.tag for f in found])
        except LimitError as error:
            raise ConfigError(str(error)) from error
        except Rejected as error:
            raise Disconnected(str(error)) from error
        self._found = found
        self._subscription = Subscription(session, config.queue_rows_max, self.ctx.clock.monotonic)
        try:
            await self._subscribe(session, self._subscription, found, notes)
        except Rejected as error:
            raise Disconnected(str(error), retry_after_s=10.0) from error
        self._is_after_hole = self._intake.seen > 0
        if not self._is_after_hole:
            self._cause = ("subscription_recreated", "")
        self._dropped = 0

    async def _subscribe(
        self, session: Session, subscription: Subscription, found: list[Found], notes: list[Event]
    ) -> None:
        config = self.config
        await subscription.open(config.publishing_s)
        band = config.deadband
        how = Watch(
            config.sampling_s,
            config.queue_size,
            config.trigger,
            None if band is None else band.kind,
            0.0 if band is None else band.value,
        )
        items = [(i + 1, f.node) for i, f in enumerate(found) if f.node is not None]
        statuses = await subscription.watch(items, how)
        refused: dict[str, tuple[str, int | str]] = {
            f.tag: (f.address, f.reason) for f in found if f.node is None
        }
        for handle, status in statuses.items():
            refused[found[handle - 1].tag] = (found[handle - 1].address, status)
        bad, events = self._intake.refuse(refused)
        self._first = [("out", bad), ("status", (*notes, *events))]
        good = [f for f in found if f.tag not in refused]
        await self._learn(session, good)

    async def _learn(self, session: Session, good: list[Found]) -> None:
        """Units and ranges once a process, and who keeps a history."""
        nodes = [f.node for f in good if f.node is not None]
        if self.config.history:
            keeps = await with_history(session, nodes)
            self._history = [f for f, has in zip(good, keeps, strict=True) if has]
            codes = [self.ctx.tags.code(f.tag) for f in self._history]
            self._history_codes = np.array(codes, np.uint16)
        new = [f for f in good if f.tag not in self._known_facts]
        if len(new) > _FACTS_NOW_MAX:
            self.ctx.start("facts", self._learn_beside(session, new))
        elif new:
            await self._learn_facts(session, new)

    async def _learn_facts(self, session: Session, new: list[Found]) -> None:
        names, nodes = [f.tag for f in new], [f.node for f in new if f.node is not None]
        await learn_facts(session, self.ctx.tags, names, nodes)
        self._known_facts.update(names)

    async def _learn_beside(self, session: Session, new: list[Found]) -> None:
        try:
            for i in range(0, len(new), _FACTS_NOW_MAX):
                await self._learn_facts(session, new[i : i + _FACTS_NOW_MAX])
        except (Disconnected, Rejected) as error:
            self.ctx.say("info", f"Units are not known yet: {error}")

    async def read(self) -> Reading:
        """Wait for a publish, then take all that wait."""
        subscription = self._subscription
        assert subscription is not None, "read comes after connect"
        if any(len(message) for _, message in self._first):
            outputs = {port: message for port, message in self._first if len(message)}
            self._first = []
            return Reading(outputs)
        try:
            if self._is_after_hole:
                return await self._read_after_hole(subscription)
            return self._reading(await subscription.next(), [], [])
        except Disconnected as error:
            self._cause = ("subscription_recreated", str(error))
            raise

    async def _read_after_hole(self, subscription: Subscription) -> Reading:
        """The first reading of a new session: the gap, what the history knows, the new rows."""
        clock = self.ctx.clock
        taken = await subscription.next()
        missing = set(self._history_codes.tolist())
        until_s = clock.monotonic() + _FIRST_VALUES_S
        firsts: dict[int, int] = {}
        self._note_firsts(taken, firsts)
        while missing - firsts.keys() and (left_s := until_s - clock.monotonic()) > 0:
            more = await subscription.next(left_s)
            self._note_firsts(more, firsts)
            taken += more
        first = next((p.published for p in taken if isinstance(p, Publish)), 0) or clock.now()
        start, (cause, text) = self._intake.seen, self._cause
        more_facts: dict[str, Any] = {}
        batches = []
        if self._history:
            filled, more_facts = await self._fill(subscription, firsts, first)
            batches = [filled]
        gap = self._intake.gap(start, first, cause, text, **more_facts)
        self._is_after_hole = False
        self._cause = ("subscription_recreated", "")
        return self._reading(taken, batches, [gap])

    def _note_firsts(self, taken: list[Publish | Hole], firsts: dict[int, int]) -> None:
        """Remember the first new time of each tag: up to there the history is asked."""
        for publish in taken:
            if isinstance(publish, Publish):
                changes = publish.changes
                stamps = times(changes.ticks, self.ctx.clock.now()).tolist()
                for handle, ts in zip(changes.handle, stamps, strict=True):
                    firsts.setdefault(self.ctx.tags.code(self._found[handle - 1].tag), ts)

    async def _fill(
        self, subscription: Subscription, firsts: dict[int, int], end: int
    ) -> tuple[Batch, dict[str, Any]]:
        wants = []
        for code, found in zip(self._history_codes.tolist(), self._history, strict=True):
            assert found.node is not None, "a tag with history has a node"
            start = int(self._intake.last[code]) or self._intake.seen
            wants.append(Want(code, found.node, start, firsts.get(code, end)))
        rows_max = self.config.history_rows_max
        try:
            found_rows = await fill(subscription.session, wants, rows_max)
        except Rejected as error:
            self.ctx.say("warning", f"The history could not be read: {error}")
            return Batch.of([]), {"filled_rows": 0}
        open_ = found_rows.refused if not found_rows.is_cut else set(self._history_codes.tolist())
        whole = {f.tag for f in self._history if self.ctx.tags.code(f.tag) not in open_}
        batch = self._intake.filled(found_rows)
        self.ctx.count("history_rows", len(batch))
        facts: dict[str, Any] = {"filled_rows": len(batch), "filled_tags": found_rows.tags}
        facts["tags"] = tuple(f.tag for f in self._found if f.tag not in whole)
        return batch, facts | ({"cut_at": rows_max} if found_rows.is_cut else {})

    def _reading(
        self, taken: list[Publish | Hole], batches: list[Batch], status: list[Event]
    ) -> Reading:
        changes = Changes()
        for item in taken:
            if isinstance(item, Hole):
                gap = (item.start, item.end, item.cause, item.text)
                status.append(self._intake.gap(*gap, missing=item.rows))
                continue
            self._intake.seen = item.published or self.ctx.clock.now()
            changes = item.changes if not len(changes) else changes.with_more(item.changes)
        events: list[Event] = []
        if len(changes):
            batch, events, gaps = self._intake.rows(changes)
            batches.append(batch)
            status += gaps
        self._count_dropped()
        listed: dict[str, Any] = {
            "out": Batch.concat([b for b in batches if len(b)]),
            "status": tuple(status),
            "events": tuple(events),
        }
        outputs = {port: message for port, message in listed.items() if len(message)}
        if not outputs:
            return Reading({})
        return Reading(outputs, position=self._intake.position(self._history_codes))

    def _count_dropped(self) -> None:
        assert self._subscription is not None, "read comes after connect"
        dropped = self._subscription.dropped_rows
        if dropped > self._dropped:
            self.ctx.count("rows_dropped", dropped - self._dropped)
            self._dropped = dropped

    async def close(self) -> None:
        """Delete the subscription; a session that is gone took it along."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            try:
                await subscription.close()
            except (Disconnected, Rejected):
                return


__all__ = ["OpcuaSource", "OpcuaSourceConfig"]

"""Runtime: the flows, their devices and the store as one running gateway."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from gateway.data.event import Event
from gateway.data.tag import DERIVED_SHARE, TagTable
from gateway.data.tasks import Tasks
from gateway.engine.alarmbook import AlarmBook
from gateway.engine.assembly import Shop
from gateway.engine.clock import SystemClock
from gateway.engine.deploy import Deployed
from gateway.engine.destinations import Destinations
from gateway.engine.explain import Explainer, ExplainOptions
from gateway.engine.figures import figures_of
from gateway.engine.flows import DRAIN_S, Flows
from gateway.engine.flowsinks import FlowSinks
from gateway.engine.health import OWN, Condition, Health
from gateway.engine.history import History, HistoryLimits, kept_from
from gateway.engine.host import FlowHost
from gateway.engine.journal import opened
from gateway.engine.letters import LetterDesk
from gateway.engine.lookup import Lookup
from gateway.engine.metrics import Lines, Live, NodeStatus
from gateway.engine.models_pool import ModelPool
from gateway.engine.own import opened_own
from gateway.engine.place import about
from gateway.engine.report import status_of
from gateway.engine.runner import FlowRunner
from gateway.engine.secrets import Secrets
from gateway.engine.setpoints import SetpointDesk
from gateway.engine.shadows import Shadows
from gateway.engine.spans import Spans
from gateway.engine.store import Store
from gateway.engine.store_records import audit, newest_record
from gateway.engine.tagbook import TagBook
from gateway.engine.trial import Trials
from gateway.engine.view import wires_of
from gateway.engine.wear import WearMeter
from gateway.engine.writeledger import WriteLedger
from gateway.errors import Disconnected
from gateway.flow.document import Document
from gateway.flow.node import Clock

_log = logging.getLogger("genba.runtime")
CHECKPOINT_S = 60.0


class Runtime:
    """Runs flows until stopped.

    Args:
        documents: The flows.
        state_dir: Folder for the state file, secrets and certificates; made when absent.
        variables: Values for ``${name}`` in the flows.
        clock: The time; the machine's unless a simulation brings its own.
        store: The state file; `genba.db` in `state_dir` unless a simulation brings its own.
        tags_max: How many tags there may be.
        checkpoint_s: Seconds between checkpoints.
        history: How much is kept for trends; None keeps nothing.
        is_safe: Start without flows, so that a bad one can be looked at and mended.
        explain: How alarms are explained; None explains none.
        spans: Where drawn batches leave what they took; None traces none.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        state_dir: Path,
        *,
        variables: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        store: Store | None = None,
        tags_max: int = 10_000,
        checkpoint_s: float = CHECKPOINT_S,
        history: HistoryLimits | None = None,
        is_safe: bool = False,
        explain: ExplainOptions | None = None,
        spans: Spans | None = None,
    ) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self.state_dir = state_dir
        self.clock: Clock = clock or SystemClock()
        self.tags = TagTable(tags_max, reserve=int(tags_max * DERIVED_SHARE))
        self.live, self.lines, self.book = Live(self.tags), Lines(), AlarmBook()
        self.store = store or Store(state_dir / "genba.db")
        self.store.told = self.lines.teller(self.clock.now, "store")
        self.started_s, self.since = self.clock.monotonic(), self.clock.now()
        self.letters = LetterDesk(self.store, lambda: self.runners, self.tags, self.clock)
        self.wear, self.secrets = WearMeter(self.store), Secrets(state_dir / "secrets")
        self._documents, self._tasks, self._is_running = list(documents), Tasks("engine"), False
        self._lookup = Lookup(self.live, self.clock)
        destinations = Destinations(state_dir / "destinations" / "allowed.json")
        lent = (self.store, self.secrets, destinations.resolve, self._say)
        self.models = ModelPool(state_dir, self.clock, *lent)
        writes = WriteLedger.stored(self.store, self.clock, self._lookup)
        seen = (self.tags, self.live, self.lines, self.book, TagBook(self.tags), self.secrets)
        lent_too = (writes, destinations, self.models, spans)
        self.spans = spans
        self._shop = Shop(state_dir, self.clock, self.store, *seen, *lent_too)
        self.setpoints = SetpointDesk(
            writes, FlowSinks(lambda: self.runners), partial(audit, self.store), self._say
        )
        self._shop.figures = partial(figures_of, self)
        self.doors, self.destinations = self._shop.doors, destinations
        self.history: History | None = kept_from(self._shop, history)
        self._own: FlowHost | None = None
        self.health: Health | None = None
        self.flows = Flows(self._shop, dict(variables or {}), self._say, is_safe=is_safe)
        self.shadows = Shadows(lambda: self.hosts, self.tags, self.clock)
        self.explainer = Explainer(self, explain) if explain is not None else None
        self._checkpoint_s, self.trials = checkpoint_s, Trials(self._shop)

    @property
    def hosts(self) -> dict[str, FlowHost]:
        """The flows that run with all their loops, by name."""
        return self.flows.hosts

    @property
    def runners(self) -> dict[str, FlowRunner]:
        """The flows that run, by name."""
        return {name: host.runner for name, host in self.hosts.items()}

    @property
    def booked(self) -> dict[str, FlowRunner]:
        """All flows that have books: those that run, and the gateway's own, which is last."""
        hosts = [*self.hosts.values(), *filter(None, [self._own])]
        return {host.name: host.runner for host in hosts}

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Open the store, recover every flow and start all loops.

        No absent device prevents the start; a flow with an error is left out and said. A disk
        that is away or full is waited for.

        Raises:
            ConfigError: No flow can run, or another gateway has the state file.
            Disconnected: The disk went away while the state was read.
        """
        try:
            if damaged := await opened(self.store):
                self._say("error", "store", damaged)
            self.tags.load(await self.store.tags())
            self._shop.tag_book.loaded()
            newest = await newest_record(self.store)
            behind = self.clock.begin(newest) if isinstance(self.clock, SystemClock) else 0
            self.book.apply(await self.store.alarm_events())
            await self.setpoints.load(self.store)
            await self._add_own(damaged)
            await self.flows.open(self._documents)
            if behind and self.health is not None:
                self.health.clock_was_set(-behind, newest)
        except BaseException:
            await self._tasks.stop()
            await self.store.close()
            raise
        self._is_running = True
        self._lookup.begin()
        for host in self._all():
            host.start()
        assert self.health is not None
        self._tasks.start("health", self.health.run())
        self._tasks.start("setpoints", self.setpoints.run())
        self._tasks.start("checkpoint", self._checkpoints())
        for name, part in (("history", self.history), ("explain", self.explainer)):
            if part is not None:
                self._tasks.start(name, part.run())

    async def _add_own(self, damaged: str) -> None:
        """The flow of the gateway's own alarms."""
        self._own, self.health, said = await opened_own(self._shop, lambda: self.runners)
        health = self.health
        health.is_safe = self.flows.is_safe
        self.flows.lost = lambda flow, text: health.once(
            f"gateway/flow/{flow}", Condition(text, "high")
        )
        if damaged:
            self.health.once("gateway/state", Condition(damaged, "high"))
        for text in said:
            self._say("error", OWN, text)
            self.flows.lost(OWN, text)

    def _all(self) -> list[FlowHost]:
        """All flows, the gateway's own first."""
        return [*([self._own] if self._own is not None else []), *self.hosts.values()]

    async def stop(self) -> None:
        """Stop reading, let the sinks finish for a moment, store a checkpoint, close."""
        if not self._is_running:
            return
        self._is_running = False
        try:
            async with asyncio.timeout(DRAIN_S):
                await self.flows.settled()
        except TimeoutError:
            pass  # The disk is away; what was not stored did not happen.
        hosts = self._all()
        await asyncio.gather(*(host.stop_reading(DRAIN_S) for host in hosts))
        await self._tasks.stop()
        await asyncio.gather(*(host.stop() for host in hosts))
        await self._shop.node_tasks.stop()
        await self.models.stop()
        await self._checkpoint()
        if self.history is not None:
            await self.history.stop()
        with suppress(Disconnected):  # A day of which some bytes are not counted.
            await self.wear.note(self.clock.now())
        await self.store.close()

    async def _checkpoints(self) -> None:
        while True:
            await asyncio.sleep(self._checkpoint_s)
            await self._checkpoint()
            try:
                await self.wear.note(self.clock.now())
                await self.store.trim(self.clock.now())
            except Disconnected as error:
                self._say("error", "store", f"Old records could not be dropped: {error}")

    async def _checkpoint(self) -> None:
        for host in self._all():
            try:
                await host.runner.checkpoint()
            except Disconnected as error:
                self._say("error", host.name, f"No checkpoint: {error}")
            except Exception as error:  # noqa: BLE001 - one flow must not cost the others theirs
                self._say("error", host.name, f"No checkpoint by an error of ours: {error!r}.")

    def _say(self, level: str, where: str, text: str) -> None:
        place = about(where) if where in self.hosts else {}
        _log.log(getattr(logging, level.upper()), "%s: %s", where, text, extra=place)
        self.lines.add(self.clock.now(), level, where, text)

    # ------------------------------------------------------------------ what people do

    async def deploy(
        self, document: Document, author: str, note: str = "", base: int | None = None
    ) -> Deployed:
        """Let a new revision of a flow take the place of the one that runs; see `Flows.deploy`."""
        return await self.flows.deploy(document, author, note, base)

    async def rollback(
        self, flow: str, author: str, note: str = "", number: int | None = None
    ) -> Deployed:
        """Run an old revision again, as a new one; see `Flows.rollback`."""
        return await self.flows.rollback(flow, author, note, number)

    async def remove(self, flow: str, author: str, note: str = "") -> Deployed:
        """End a flow and keep its revisions; see `Flows.remove`."""
        return await self.flows.remove(flow, author, note)

    async def act(self, action: str, data: Mapping[str, Any]) -> int:
        """Hand an operator's action to every flow, as journalled input.

        Args:
            action: ack, reset, shelve, unshelve, suppress, unsuppress, remove_from_service or
                return_to_service.
            data: At least ``alarm`` and ``actor``; what else the action needs.

        Returns:
            How many nodes it was handed to; 0 when no node has such an alarm.

        Raises:
            Disconnected: It cannot be recorded; nothing was done.
        """
        now = self.clock.now()
        await audit(self.store, now, str(data.get("actor", "")), f"alarm/{action}", data)
        event = Event(now, f"alarm/{action}", data)
        return sum(host.runner.act(event) for host in self._all())

    def left_out(self) -> list[str]:
        """Flows that were asked for and do not run, by name."""
        return [d.name for d in self._documents if d.name not in self.hosts]

    @property
    def statuses(self) -> list[NodeStatus]:
        """How every node is."""
        return self._shop.board.all

    def wires(self) -> list[dict[str, Any]]:
        """Every wire with its rows, its drops and what waits at its end."""
        return [row for runner in self.runners.values() for row in wires_of(runner)]

    def status(self) -> dict[str, Any]:
        """Everything a screen shows but the tags, as plain values."""
        return status_of(self)

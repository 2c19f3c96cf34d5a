"""Runtime: the flows, their devices and the store as one running gateway."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.data.event import Event
from gateway.data.tag import TagTable
from gateway.engine.alarmbook import AlarmBook
from gateway.engine.assembly import Shop
from gateway.engine.clock import SystemClock
from gateway.engine.context import Secrets
from gateway.engine.deploy import Deployed, check, first_revision, used
from gateway.engine.health import OWN, Condition, Health, own_flow
from gateway.engine.host import FlowHost, resolved
from gateway.engine.metrics import Lines, Live, NodeStatus
from gateway.engine.runner import FlowRunner
from gateway.engine.store import Store
from gateway.engine.store_file import Revision
from gateway.engine.store_records import audit, newest_record
from gateway.engine.tagbook import TagBook
from gateway.engine.tasks import Tasks
from gateway.engine.view import flow_status, wires_of
from gateway.errors import ConfigError, Disconnected, GatewayError
from gateway.flow.document import Document
from gateway.flow.node import Clock
from gateway.flow.variables import resolve

_log = logging.getLogger("genba.runtime")
CHECKPOINT_S = 60.0
DRAIN_S = 3.0


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
    ) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self.state_dir = state_dir
        self.clock: Clock = clock or SystemClock()
        self.tags = TagTable(tags_max)
        self.live = Live(self.tags)
        self.lines = Lines()
        self.book = AlarmBook()
        self.store = store or Store(state_dir / "genba.db")
        self.store.told = self.lines.teller(self.clock.now, "store")
        self.hosts: dict[str, FlowHost] = {}
        self.started_s = self.clock.monotonic()
        self._documents = list(documents)
        self._variables = dict(variables or {})
        self._tasks = Tasks("engine")
        self._shop = Shop(
            state_dir,
            self.clock,
            self.store,
            self.tags,
            self.live,
            self.lines,
            self.book,
            TagBook(self.tags),
            Secrets(state_dir / "secrets"),
        )
        self._own: FlowHost | None = None
        self.health: Health | None = None
        self._checkpoint_s = checkpoint_s
        self._is_running = False

    @property
    def runners(self) -> dict[str, FlowRunner]:
        """The flows that run, by name."""
        return {name: host.runner for name, host in self.hosts.items()}

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Open the store, recover every flow and start all loops.

        An absent device never prevents the start; a flow with an error is left out and said.

        Raises:
            ConfigError: No flow at all can run, or another gateway has the state file.
            Disconnected: The state file is away.
        """
        damaged = await self.store.open()
        try:
            if damaged:
                self._say("error", "store", damaged)
            self.tags.load(await self.store.tags())
            self._shop.tag_book.loaded()
            newest = await newest_record(self.store)
            behind = self.clock.begin(newest) if isinstance(self.clock, SystemClock) else 0
            self.book.apply(await self.store.alarm_events())
            await self._add_own(damaged)
            await self._add_flows()
            if behind and self.health is not None:
                self.health.clock_was_set(-behind, newest)
        except BaseException:
            await self._tasks.stop()
            await self.store.close()
            raise
        self._is_running = True
        for host in self._all():
            host.start()
        assert self.health is not None
        self._tasks.start("health", self.health.run())
        self._tasks.start("checkpoint", self._checkpoints())

    async def _add_own(self, damaged: str) -> None:
        """The flow of the gateway's own alarms."""
        now = self.clock.now()
        document = own_flow()
        revision, _ = await first_revision(self.store, document, {}, now)
        self._own = FlowHost(self._shop, document, revision)
        await self._own.open()
        self.health = Health(
            self._own.runner, lambda: self.runners, self.store, self.book, self.clock
        )
        if damaged:
            self.health.once("gateway/state", Condition(damaged, "high"))

    def _all(self) -> list[FlowHost]:
        """All flows, the gateway's own first."""
        return [*([self._own] if self._own is not None else []), *self.hosts.values()]

    async def _add_flows(self) -> None:
        errors = []
        for document in self._documents:
            try:
                await self._add_flow(document)
            except Disconnected:
                raise  # The state file is away: that is no matter of one flow.
            except GatewayError as error:
                errors.append(str(error))
                self._say("error", document.name, f"This flow does not run: {error}")
        if errors and not self.hosts:
            raise ConfigError("No flow can run.", hint=" ".join(errors))

    async def stop(self) -> None:
        """Stop reading, let the sinks finish for a moment, store a checkpoint, close."""
        if not self._is_running:
            return
        self._is_running = False
        hosts = self._all()
        await asyncio.gather(*(host.stop_reading(DRAIN_S) for host in hosts))
        await self._tasks.stop()
        await asyncio.gather(*(host.stop() for host in hosts))
        await self._shop.node_tasks.stop()
        await self._checkpoint()
        await self.store.close()

    async def _checkpoints(self) -> None:
        while True:
            await asyncio.sleep(self._checkpoint_s)
            await self._checkpoint()
            try:
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

    async def _add_flow(self, document: Document) -> FlowHost:
        """Take a flow of a file in: as it is there, or as it was deployed after that."""
        if document.name == OWN:
            raise ConfigError(f"{OWN!r} is the gateway's own flow.", hint="Choose another name.")
        now = self.clock.now()
        revision, text = await first_revision(self.store, document, self._variables, now)
        if text:
            self._say("info", document.name, text)
        if revision.text == document.text():  # With the file's name and lines, for messages.
            document = document.with_values(lambda value: resolve(value, self._variables))
        else:
            document = resolved(revision)
        host = FlowHost(self._shop, document, revision)
        for text in await host.open():
            self._say("error", document.name, text)
            if self.health is not None:
                self.health.once(f"gateway/flow/{document.name}", Condition(text, "high"))
        self.hosts[document.name] = host
        return host

    def _say(self, level: str, where: str, text: str) -> None:
        _log.log({"error": logging.ERROR, "info": logging.INFO}[level], "%s: %s", where, text)
        self.lines.add(self.clock.now(), level, where, text)

    # ------------------------------------------------------------------ what people do

    async def deploy(
        self, document: Document, author: str, note: str = "", base: int | None = None
    ) -> Deployed:
        """Let a new revision of a flow take the place of the one that runs.

        Args:
            document: The new flow.
            author: Who does it: ``user:anna``.
            note: Why, in words.
            base: The revision that was edited; refused when another runs by now.

        Raises:
            ConfigError: It cannot run, or somebody else was faster; the old one runs on.
            Disconnected: It cannot be stored; the old one runs on.
        """
        host = self.hosts.get(document.name)
        check(document, self._variables, host.revision if host is not None else None, base)
        number = host.revision.number if host is not None else 0
        values = used(document, self._variables)
        revision = Revision(number + 1, self.clock.now(), author, note, document.text(), values)
        detail = {"flow": document.name, "revision": revision.number, "note": note}
        await audit(self.store, revision.ts, author, "flow/deploy", detail)
        if host is None:
            host = FlowHost(self._shop, resolved(revision), revision)
            said = await host.open()
            self.hosts[document.name] = host
            host.start()
        else:
            said = await host.deploy(resolved(revision), revision)
            await host.runner.checkpoint()
        for text in said:
            self._say("info", document.name, text)
        return Deployed(document.name, revision.number, tuple(said))

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

    @property
    def statuses(self) -> list[NodeStatus]:
        """How every node is."""
        return self._shop.board.all

    def wires(self) -> list[dict[str, Any]]:
        """Every wire with its rows, its drops and what waits at its end."""
        return [row for runner in self.runners.values() for row in wires_of(runner)]

    def status(self) -> dict[str, Any]:
        """Everything a screen shows but the tags, as plain values."""
        return {
            "now": self.clock.now(),
            "uptime_s": self.clock.monotonic() - self.started_s,
            "tags": len(self.tags),
            "nodes": [status.as_dict() for status in self.statuses],
            "wires": self.wires(),
            "flows": {name: flow_status(runner) for name, runner in self.runners.items()},
            "commits": self.store.commits,
            "bytes_written": self.store.bytes_written,
            "lines": [list(line) for line in self.lines.kept],
        }

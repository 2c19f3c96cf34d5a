"""Flows: those that run, how they come and go while the gateway runs, and their revisions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gateway.engine.assembly import Shop
from gateway.engine.deploy import (
    FILE,
    Deployed,
    check,
    earlier,
    first_revision,
    is_removed,
    nothing,
    used,
)
from gateway.engine.health import OWN, SAFE
from gateway.engine.host import FlowHost, resolved
from gateway.engine.store_entry import Revision
from gateway.engine.store_records import audit, newest_revisions, next_revision, revisions
from gateway.errors import ConfigError, Disconnected, GatewayError
from gateway.flow.document import Document
from gateway.flow.variables import resolve

Say = Callable[[str, str, str], None]
"""Tells people: (level, where, sentence)."""
DRAIN_S: Final = 3.0
"""How long the sinks of a flow that ends may take to finish [s]."""


class Flows:
    """All flows of a gateway.

    Args:
        shop: What they share.
        variables: Values for ``${name}``.
        say: Tells people.
        is_safe: Start none, so that one that does harm can be mended or removed.
    """

    def __init__(
        self, shop: Shop, variables: Mapping[str, str], say: Say, *, is_safe: bool = False
    ) -> None:
        self.is_safe = is_safe
        self.hosts: dict[str, FlowHost] = {}
        self._shop = shop
        self.variables = variables
        self._say = say
        self.lost: Callable[[str, str], None] = lambda flow, text: None
        """Called with (flow, sentence) for what could not be taken back at the start."""
        self._lock = asyncio.Lock()  # One change at a time, so that none is built on an old one.

    # ------------------------------------------------------------------ the start

    async def open(self, documents: Sequence[Document]) -> None:
        """Make the flows of files and those deployed without one; a bad one is left out and said.

        Raises:
            ConfigError: No flow at all can run.
            Disconnected: The state file is away.
        """
        if self.is_safe:
            self._say("warning", "flows", SAFE)
            return
        errors = []
        for document in documents:
            try:
                await self._add(document)
            except Disconnected:
                raise  # The state file is away: that is no matter of one flow.
            except GatewayError as error:
                errors.append(str(error))
                self._shop.board.forget(document.name)
                self._say("error", document.name, f"This flow does not run: {error}")
        named = {OWN, *(document.name for document in documents)}
        for name, (revision, has_file) in (await newest_revisions(self._shop.store)).items():
            if name in named or is_removed(revision):
                continue
            if has_file:
                hint = f"`genba rollback {name}` runs it again, `genba remove {name}` ends it."
                text = "Its file is gone, so it does not run; its state and alarms are kept."
                self._say("error", name, f"{text} {hint}")
                continue
            try:
                await self._open(resolved(revision), revision)
            except Disconnected:
                raise
            except GatewayError as error:
                self._shop.board.forget(name)
                self._say("error", name, f"This flow does not run: {error}")
        if errors and not self.hosts:
            raise ConfigError("No flow can run.", hint=" ".join(errors))

    async def _add(self, document: Document) -> None:
        """Take a flow of a file in: as it is there, or as it was deployed after that."""
        if document.name == OWN:
            raise ConfigError(f"{OWN!r} is the gateway's own flow.", hint="Choose another name.")
        now = self._shop.clock.now()
        revision, text = await first_revision(self._shop.store, document, self.variables, now)
        if is_removed(revision) and document.nodes:
            text = f"{revision.author} removed this flow; edit its file, or deploy it, to run it."
            self._say("info", document.name, text)
            return
        if text:
            self._say("info", document.name, text)
        if revision.text == document.text():  # With the file's name and lines, for messages.
            document = document.with_values(lambda value: resolve(value, self.variables))
        else:
            document = resolved(revision)
        await self._open(document, revision)

    async def _open(self, document: Document, revision: Revision) -> list[str]:
        host = FlowHost(self._shop, document, revision)
        said = await host.open()
        for text in said:
            self._say("error", document.name, text)
        for text in host.lost:
            self.lost(document.name, text)
        self.hosts[document.name] = host
        return said

    # ------------------------------------------------------------------ while it runs

    async def deploy(
        self, document: Document, author: str, note: str = "", base: int | None = None
    ) -> Deployed:
        """Let a new revision of a flow take the place of the one that runs, or add a flow.

        Args:
            document: The new flow.
            author: Who does it: ``user:anna``.
            note: Why, in words.
            base: The revision that was edited; refused when another runs by now.

        Raises:
            ConfigError: It cannot run, or somebody else was faster; the old one runs on.
            Disconnected: It cannot be stored; the old one runs on.
        """
        if document.name == OWN:
            raise ConfigError(f"{OWN!r} is the gateway's own flow.", hint="Choose another name.")
        async with self._lock:
            known = await revisions(self._shop.store, document.name)
            before = known[-1] if known else None
            check(document, self.variables, before, base)
            text, values = document.text(), used(document, self.variables)
            host = self.hosts.get(document.name)
            number = before.number if before is not None else 0
            is_same = before is not None and (before.text, before.variables) == (text, values)
            if host is not None and is_same:
                same = ("Nothing has changed: this is what runs.",)
                return Deployed(document.name, number, same, before)
            number = await next_revision(self._shop.store, document.name)
            revision = Revision(number, self._shop.clock.now(), author, note, text, values)
            said = await self._audited("flow/deploy", document.name, revision)
            return Deployed(document.name, number, tuple(said), before)

    async def rollback(
        self, flow: str, author: str, note: str = "", number: int | None = None
    ) -> Deployed:
        """Run an old revision again, as a new one.

        Args:
            flow: Its name.
            author: Who does it.
            note: Why, in words.
            number: Which revision; without one the newest that differs from the last.

        Raises:
            ConfigError: There is no such revision, or it cannot run any more.
            Disconnected: It cannot be stored.
        """
        known = await revisions(self._shop.store, flow)
        if not known:
            raise ConfigError(f"There is no flow {flow!r}.", hint="`genba revisions` lists them.")
        target = earlier(known, flow, number)
        note = note or f"Back to revision {target.number}."
        document = Document.parse(target.text, f"revision {target.number}")
        return await self.deploy(document, author, note, known[-1].number)

    async def remove(self, flow: str, author: str, note: str = "") -> Deployed:
        """End a flow: its alarms, its queues and its state. Its revisions are kept.

        Raises:
            ConfigError: There is no such flow.
            Disconnected: It cannot be stored; the flow runs on.
        """
        async with self._lock:
            known = await revisions(self._shop.store, flow)
            if not known or (flow not in self.hosts and is_removed(known[-1])):
                raise ConfigError(
                    f"There is no flow {flow!r}.", hint="`genba revisions` lists them."
                )
            now, text = self._shop.clock.now(), nothing(known[-1], flow)
            number = await next_revision(self._shop.store, flow)
            revision = Revision(number, now, author, note or "Removed.", text)
            said = await self._audited("flow/remove", flow, revision)
            host = self.hosts.pop(flow)
            await host.stop()
            self._shop.board.forget(flow)
            return Deployed(flow, revision.number, tuple(said), known[-1])

    async def _audited(self, action: str, flow: str, revision: Revision) -> list[str]:
        """Turn to a revision, with who did it and what came of it in the audit."""
        store, author = self._shop.store, revision.author
        detail: dict[str, Any] = {"flow": flow, "revision": revision.number, "note": revision.note}
        await audit(store, revision.ts, author, action, detail)
        try:
            said = await self._turn_to(flow, revision)
        except GatewayError as error:
            await self._note(author, f"{action}_refused", {**detail, "error": str(error)})
            raise
        if said:
            await self._note(author, f"{action}_said", {**detail, "said": said})
        for text in said:
            self._say("info", flow, text)
        return said

    async def _note(self, author: str, action: str, detail: Mapping[str, Any]) -> None:
        """What came of an action that is on record already: a help, not a promise."""
        try:
            await audit(self._shop.store, self._shop.clock.now(), author, action, detail)
        except Disconnected as error:
            self._say("error", "store", f"The audit misses what came of {action}: {error}")

    async def _turn_to(self, flow: str, revision: Revision) -> list[str]:
        host = self.hosts.get(flow)
        document = resolved(revision)
        if host is None:
            host = FlowHost(self._shop, document, revision)
            try:
                said = await host.open()
            except BaseException:
                self._shop.board.forget(flow)
                raise
            self.hosts[flow] = host
            if document.nodes:
                host.start()
        else:
            if not document.nodes:
                await host.stop_reading(DRAIN_S)
            said = await host.deploy(document, revision)
        try:
            await host.runner.checkpoint()
        except Disconnected as error:
            self._say("error", flow, f"It runs, but there is no checkpoint: {error}")
        return said

    # ------------------------------------------------------------------ what people ask

    def prepared(self, document: Document) -> Document:
        """A flow that could run, with its variables replaced.

        Raises:
            ConfigError: It cannot run.
        """
        check(document, self.variables, None, None)
        return document.with_values(lambda value: resolve(value, self.variables))

    async def listing(self) -> list[dict[str, Any]]:
        """Every flow that runs or has revisions, as plain values."""
        found = []
        for name, (revision, has_file) in (await newest_revisions(self._shop.store)).items():
            if name == OWN:
                continue
            host = self.hosts.get(name)
            state = "running" if host else "removed" if is_removed(revision) else "stopped"
            row = revision_row(revision, with_text=False)
            about = host.document.about if host is not None else ""
            nodes = len(host.document.nodes) if host is not None else 0
            row |= {"flow": name, "state": state, "about": about, "nodes": nodes}
            row["durability"] = host.document.durability if host is not None else None
            found.append({**row, "from_file": has_file and revision.author == FILE})
        return found

    async def known(self, flow: str) -> list[Revision]:
        """All revisions of a flow, oldest first; none when there is no such flow."""
        return await revisions(self._shop.store, flow)

    async def settled(self) -> None:
        """Wait until no change is under way."""
        async with self._lock:
            pass


def revision_row(revision: Revision, *, with_text: bool) -> dict[str, Any]:
    """A revision as plain values."""
    row: dict[str, Any] = {
        "revision": revision.number,
        "ts": revision.ts,
        "author": revision.author,
        "note": revision.note,
    }
    return {**row, "text": revision.text} if with_text else row


__all__ = ["DRAIN_S", "Flows", "revision_row"]

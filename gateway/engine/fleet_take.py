"""Fleet take: a flow that another gateway pushed becomes a revision here, or is taken back.

Each flow remembers which parcel it took last, so that the same parcel twice is once, an older
one than the last is refused, and only what a parcel brought can be taken back with it. One that
is taken back before it came never counts: a request that was lost on the way may still arrive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.engine import fleet_file
from gateway.engine.deploy import is_removed
from gateway.engine.fleet_book import Trust
from gateway.engine.fleet_parcel import Opened, Parcel, Sealed, opened
from gateway.engine.store_records import audit
from gateway.errors import ConfigError, Rejected
from gateway.flow.document import Document

if TYPE_CHECKING:
    from gateway.engine.runtime import Runtime

ENDED_MAX: Final = 200
"""Parcels that were taken back and are remembered."""


class Taker:
    """Takes flows in.

    Args:
        runtime: The gateway.
        trust: Whose flows it takes.
        path: Where it remembers what it took.

    Raises:
        ConfigError: The file is damaged.
    """

    def __init__(self, runtime: Runtime, trust: Trust, path: Path) -> None:
        self._runtime = runtime
        self._trust = trust
        self._path = path
        self._lock = asyncio.Lock()
        found = fleet_file.load(path) or {}
        self._flows: dict[str, dict[str, Any]] = dict(found.get("flows", {}))
        self._ended: list[str] = list(found.get("ended", []))

    async def take(self, sealed: Sealed, asked_by: str) -> dict[str, Any]:
        """Run the flow of a parcel as a new revision.

        Args:
            sealed: The parcel.
            asked_by: Who handed it over, for the audit.

        Returns: ``flow``, ``revision`` and ``said``.

        Raises:
            Rejected: Nobody who is trusted signed it, or it is older than the last one.
            ConfigError: The flow cannot run here; what ran before runs on.
        """
        found = await self._opened(sealed, asked_by)
        parcel = found.parcel
        async with self._lock:
            last = self._flows.get(parcel.flow)
            if parcel.id in self._ended:
                raise Rejected("This push of the flow was taken back before it came.")
            if last and last["id"] == parcel.id and last["revision"] is not None:
                return {"flow": parcel.flow, "revision": last["revision"], "said": []}
            if last and last["id"] != parcel.id and last["made"] >= parcel.made:
                raise Rejected(
                    "A later push of this flow was taken already. Is the clock of the gateway "
                    "that pushes right?"
                )
            return await self._take(found, asked_by, last)

    async def _take(
        self, found: Opened, asked_by: str, last: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        parcel = found.parcel
        entry = {
            "id": parcel.id,
            "made": parcel.made,
            "key": found.key,
            "before": await self._running(parcel.flow),
            "revision": None,
        }
        if last and last["id"] == parcel.id:  # Cut short before: what ran then is what counts.
            entry["before"] = last["before"]
        await self._keep(parcel.flow, entry)
        detail = {"flow": parcel.flow, "push": parcel.id, "key": found.key, "from": parcel.sender}
        runtime = self._runtime
        await audit(runtime.store, runtime.clock.now(), asked_by, "fleet/take", detail)
        try:
            document = Document.parse(parcel.text, f"{parcel.flow}.flow.yaml")
            if document.name != parcel.flow:
                raise ConfigError(f"The text is that of the flow {document.name!r}.")
            done = await runtime.deploy(document, author_of(parcel), parcel.note)
        except ConfigError:
            await self._keep(parcel.flow, last)
            raise
        await self._keep(parcel.flow, {**entry, "revision": done.revision})
        return {"flow": parcel.flow, "revision": done.revision, "said": list(done.said)}

    async def undo(self, sealed: Sealed, asked_by: str) -> dict[str, Any]:
        """Run again what ran before a parcel came; a second time it does nothing.

        Returns: ``text``, what became of it in a sentence.

        Raises:
            Rejected: Nobody who is trusted signed it, or the flow was edited since.
            ConfigError: What ran before cannot run any more.
        """
        parcel = (await self._opened(sealed, asked_by)).parcel
        async with self._lock:
            last = self._flows.get(parcel.flow)
            if last is None or last["id"] != parcel.id:
                await self._end(parcel.id)
                return {"text": "It did not come here, and is not taken any more."}
            if parcel.id in self._ended:
                return {"text": "It was taken back already."}
            now = self._runtime.clock.now()
            detail = {"flow": parcel.flow, "push": parcel.id}
            await audit(self._runtime.store, now, asked_by, "fleet/undo", detail)
            text = await self._undo(parcel, last)
            await self._end(parcel.id)
            return {"text": text}

    async def _undo(self, parcel: Parcel, last: Mapping[str, Any]) -> str:
        runtime, flow, before = self._runtime, parcel.flow, last["before"]
        running = await self._running(flow)
        if running == before:
            return "What ran before runs."
        if last["revision"] is not None and running != last["revision"]:
            raise Rejected(f"{flow} was edited here since (revision {running}); it stays so.")
        note = f"The push {parcel.id} was taken back."
        if before is None:
            await runtime.remove(flow, author_of(parcel), note)
            return f"{flow} was ended; there was none before."
        done = await runtime.rollback(flow, author_of(parcel), note, before)
        return f"Revision {done.revision} of {flow} runs, which is revision {before} again."

    async def _running(self, flow: str) -> int | None:
        """The revision that runs or is to run; None when there is none."""
        known = await self._runtime.flows.known(flow)
        return known[-1].number if known and not is_removed(known[-1]) else None

    async def _opened(self, sealed: Sealed, asked_by: str) -> Opened:
        try:
            return await asyncio.to_thread(opened, sealed, self._trust.keys)
        except Rejected as error:
            runtime = self._runtime
            detail = {"key": sealed.key, "error": str(error)}
            await audit(runtime.store, runtime.clock.now(), asked_by, "fleet/refused", detail)
            raise

    async def _keep(self, flow: str, entry: Mapping[str, Any] | None) -> None:
        flows = {name: one for name, one in self._flows.items() if name != flow}
        if entry is not None:
            flows[flow] = dict(entry)
        await self._store(flows, self._ended)

    async def _end(self, push: str) -> None:
        ended = [one for one in self._ended if one != push]
        await self._store(self._flows, [*ended, push][-ENDED_MAX:])

    async def _store(self, flows: dict[str, dict[str, Any]], ended: list[str]) -> None:
        what = {"flows": flows, "ended": ended}
        await asyncio.to_thread(fleet_file.store, self._path, what)
        self._flows, self._ended = flows, ended


def author_of(parcel: Parcel) -> str:
    """As whom the revisions of a flow name who pushed it."""
    return f"fleet:{parcel.sender}/{parcel.author.removeprefix('user:')}"[:128]


__all__ = ["Taker", "author_of"]

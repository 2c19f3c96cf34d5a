"""Grant book: the write grants as they stand, and how an administrator changes them.

They are kept as revisions that are only added; a change and its line in the audit are one
transaction. What cannot be read any more refuses: while the newest revision of a grant is
damaged, nothing is written that no whole grant is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from gateway.engine.store import Store
from gateway.engine.store_grants import GrantRow, add_grant, load_grants
from gateway.errors import ConfigError, LimitError
from gateway.flow.grant import Grant, shared
from gateway.flow.node import Clock

GRANTS_MAX: Final = 500


class GrantBook:
    """All grants, whole in memory: a write costs no query.

    Args:
        store: Where they are kept.
        clock: The time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._changing = asyncio.Lock()
        self._numbers: dict[str, int] = {}
        self._heads: dict[str, GrantRow] = {}
        self._targets: dict[tuple[str, str], dict[str, Grant]] = {}
        self._tags: dict[str, list[Grant]] = {}
        self.grants: dict[str, Grant] = {}
        self.damaged: list[str] = []
        """Grants whose newest revision cannot be read."""

    async def load(self) -> None:
        """Read them all, before anything is written.

        Raises:
            Disconnected: The disk is away.
        """
        for row in await load_grants(self._store):
            self._numbers[row.id] = row.number
            try:
                self._take(row, Grant.model_validate(row.fact) if row.fact else None)
            except ValidationError:
                self._take(row, None, is_damaged=True)
            if row.is_damaged:
                self._take(row, None, is_damaged=True)

    def number(self, id: str) -> int:
        """The revision of a grant; 0 when there was never one."""
        return self._numbers.get(id, 0)

    def rows(self) -> list[dict[str, Any]]:
        """All grants as JSON values with revision, author and time, by id."""
        found = []
        for name, grant in sorted(self.grants.items()):
            head = self._heads[name]
            found.append(
                {**grant.fact(), "revision": head.number, "author": head.author, "ts": head.ts}
            )
        return found

    def of_node(self, flow: str, node: str) -> Mapping[str, Grant]:
        """The grants of a sink by tag."""
        return self._targets.get((flow, node), {})

    def of_tag(self, tag: str) -> list[Grant]:
        """The grants by which a tag may be written."""
        return self._tags.get(tag, [])

    @property
    def has_tags(self) -> bool:
        """True when there is any grant at all."""
        return bool(self._tags)

    async def put(self, actor: str, grant: Grant) -> int:
        """Make a grant, or change it; returns the number of its revision.

        Raises:
            ConfigError: Another is for the same target.
            LimitError: There are too many.
            Disconnected: The disk refused; nothing was changed.
        """
        async with self._changing:
            if other := shared(grant, self.grants):
                raise ConfigError(
                    f"The grant {other!r} is for one of these tags of {grant.flow}/{grant.node}.",
                    hint="Change that one, or take the tag out of it.",
                )
            if grant.id not in self.grants and len(self.grants) >= GRANTS_MAX:
                raise LimitError("grants_max", GRANTS_MAX, "Remove grants nobody uses.")
            return await self._write(actor, "grant/set", grant.id, grant)

    async def remove(self, actor: str, id: str) -> int:
        """End a grant; its revisions are kept. Returns the number of the one that says so.

        Raises:
            ConfigError: There is none.
            Disconnected: The disk refused; it goes on.
        """
        async with self._changing:
            if id not in self.grants and id not in self.damaged:
                raise ConfigError(f"There is no write grant {id!r}.", hint="genba grants list")
            return await self._write(actor, "grant/remove", id, None)

    async def _write(self, actor: str, action: str, id: str, grant: Grant | None) -> int:
        before = self.grants.get(id)
        fact = None if grant is None else grant.fact()
        detail = {"grant": id, "before": before and before.fact(), "after": fact}
        row = GrantRow(id, 0, self._clock.now(), actor, fact)
        row = await add_grant(self._store, row, action, detail)
        self._numbers[id] = row.number
        self._take(row, grant)
        return row.number

    def _take(self, row: GrantRow, grant: Grant | None, *, is_damaged: bool = False) -> None:
        self.grants.pop(row.id, None)
        self._heads.pop(row.id, None)
        if row.id in self.damaged:
            self.damaged.remove(row.id)
        if is_damaged:
            self.damaged.append(row.id)
        if grant is not None:
            self.grants[row.id] = grant
            self._heads[row.id] = row
        self._targets, self._tags = {}, {}
        for one in self.grants.values():
            targets = self._targets.setdefault((one.flow, one.node), {})
            for tag in one.tags:
                targets[tag] = one
                self._tags.setdefault(tag, []).append(one)


__all__ = ["GRANTS_MAX", "GrantBook"]

"""Drafts of flows and where their boxes stand, in the state file.

A draft is what somebody edits and has not deployed. Each write names the version it was made
from, so that of two who edit one flow the second is told instead of undoing the work of the
first. The layout of a deployed flow stands here too, and not beside a file: what runs was often
deployed without one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from gateway.engine.sealed import seal, unseal
from gateway.engine.store import Store
from gateway.engine.store_file import in_transaction
from gateway.errors import LimitError, Rejected, StateError

DRAFT_BYTES_MAX: Final = 3 * 1024 * 1024
"""Of one draft with its layout; a flow file may have two thirds of it."""
DRAFTS_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of all drafts together: they share the state file with what must not be lost."""


class Overwritten(Rejected):
    """Somebody else has saved a newer draft; nothing was written."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A flow as somebody has it on the screen.

    Args:
        flow: The flow's name.
        text: The flow file, which need not be right yet.
        layout: (x, y) of each node in boxes.
        base: The revision it was made from; None for a flow that is new.
        version: Grows with every save, and never comes again for this flow.
        by: Who saved it.
        ts: When [ns].
    """

    flow: str
    text: str
    layout: Mapping[str, Any]
    base: int | None
    version: int
    by: str
    ts: int

    def row(self, *, with_text: bool = True) -> dict[str, Any]:
        """As plain values."""
        row = asdict(self)
        return row if with_text else {k: v for k, v in row.items() if k not in ("text", "layout")}


async def drafts(store: Store) -> list[Draft]:
    """All drafts by the name of their flow; one that is damaged is left out, and said."""
    rows = await store.run(lambda db: db.execute("SELECT * FROM draft ORDER BY flow").fetchall())
    return [found for flow, fact in rows if (found := _whole(store, flow, fact))]


async def draft(store: Store, flow: str) -> Draft | None:
    """The draft of a flow, or None."""
    fact = await store.run(lambda db: _fact(db, flow))
    return _whole(store, flow, fact) if fact is not None else None


async def save_draft(store: Store, new: Draft) -> Draft:
    """Write a draft; it is on the disk when this returns.

    Args:
        store: The state file.
        new: Its `version` is the one it was made from; 0 for a first one.

    Returns: the draft with its new version.

    Raises:
        Overwritten: Another version is there; the message says whose.
        LimitError: It is too large, or all drafts together are.
        Disconnected: The disk refused; the old one stays.
    """
    done = new

    def work(db: sqlite3.Connection) -> None:
        nonlocal done
        before = _read(db, new.flow)
        found = before.version if before is not None else 0
        if found != new.version:
            raise Overwritten(_said(before))
        # Never a number again, also after the draft was thrown away: an editor that slept
        # through that must not take the next draft for its own.
        done = Draft(**{**asdict(new), "version": max(found + 1, new.ts // 1_000_000)})
        fact = json.dumps(asdict(done), sort_keys=True)
        _check_room(db, new.flow, len(fact))
        db.execute("REPLACE INTO draft VALUES (?,?)", (new.flow, seal(fact, "draft", new.flow)))

    await store.run(lambda db: in_transaction(db, lambda: work(db)))
    return done


async def drop_draft(store: Store, flow: str, version: int | None = None) -> bool:
    """Throw a draft away; False when there is none.

    Args:
        store: The state file.
        flow: Whose.
        version: The version that is meant; None for whichever there is.

    Raises:
        Overwritten: Another version is there.
        Disconnected: The disk refused; it stays.
    """
    is_there = False

    def work(db: sqlite3.Connection) -> None:
        nonlocal is_there
        before = _read(db, flow)
        is_there = before is not None
        if before is not None and version is not None and before.version != version:
            raise Overwritten(_said(before))
        db.execute("DELETE FROM draft WHERE flow=?", (flow,))

    await store.run(lambda db: in_transaction(db, lambda: work(db)))
    return is_there


async def layout(store: Store, flow: str) -> dict[str, Any]:
    """Where the boxes of the deployed flow stand; empty when nobody has moved one."""

    def work(db: sqlite3.Connection) -> dict[str, Any]:
        row = db.execute("SELECT fact FROM layout WHERE flow=?", (flow,)).fetchone()
        try:
            return dict(json.loads(unseal(row[0], "layout", flow))) if row else {}
        except StateError:
            return {}  # It costs only the positions; the boxes are then placed anew.

    return await store.run(work)


async def save_layout(store: Store, flow: str, boxes: Mapping[str, Any]) -> None:
    """Keep where the boxes of the deployed flow stand; the last one who moves them counts.

    Raises:
        LimitError: It is too large.
        Disconnected: The disk refused.
    """
    fact = json.dumps(boxes, sort_keys=True)
    if len(fact) > DRAFT_BYTES_MAX:
        raise LimitError("draft_bytes_max", DRAFT_BYTES_MAX, "The layout is too large.")

    def work(db: sqlite3.Connection) -> None:
        db.execute("REPLACE INTO layout VALUES (?,?)", (flow, seal(fact, "layout", flow)))

    await store.run(lambda db: in_transaction(db, lambda: work(db)))


def _fact(db: sqlite3.Connection, flow: str) -> str | None:
    row = db.execute("SELECT fact FROM draft WHERE flow=?", (flow,)).fetchone()
    return row[0] if row is not None else None


def _read(db: sqlite3.Connection, flow: str) -> Draft | None:
    """The draft; one that is damaged is as good as none, so that it can be written anew."""
    fact = _fact(db, flow)
    with suppress(StateError):
        return _draft(flow, fact) if fact is not None else None
    return None


def _draft(flow: str, fact: str) -> Draft:
    return Draft(**json.loads(unseal(fact, "draft", flow)))


def _whole(store: Store, flow: str, fact: str) -> Draft | None:
    try:
        return _draft(flow, fact)
    except StateError:
        store.lost(f"The draft of {flow!r} is damaged in the state file and cannot be used.")
        return None


def _said(before: Draft | None) -> str:
    if before is None:
        return (
            "The draft was thrown away meanwhile. Save yours as a new one, or open the flow anew."
        )
    return (
        f"{before.by} has saved this draft meanwhile (version {before.version}). "
        "Open it, or save yours under that version to overwrite it."
    )


def _check_room(db: sqlite3.Connection, flow: str, size: int) -> None:
    if size > DRAFT_BYTES_MAX:
        raise LimitError("draft_bytes_max", DRAFT_BYTES_MAX, "The draft is too large.")
    sql = "SELECT coalesce(sum(length(fact)), 0) FROM draft WHERE flow<>?"
    (others,) = db.execute(sql, (flow,)).fetchone()
    if others + size > DRAFTS_BYTES_MAX:
        text = "There are too many drafts: throw some away (GET /api/drafts lists them)."
        raise LimitError("drafts_bytes_max", DRAFTS_BYTES_MAX, text)


__all__ = [
    "DRAFTS_BYTES_MAX",
    "DRAFT_BYTES_MAX",
    "Draft",
    "Overwritten",
    "draft",
    "drafts",
    "drop_draft",
    "layout",
    "save_draft",
    "save_layout",
]

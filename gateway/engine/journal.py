"""Journal: nothing goes on until it is on the disk, however long that takes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Mapping
from functools import partial
from typing import Final

from gateway.engine.backoff import Backoff
from gateway.engine.books import Spill
from gateway.engine.crash import crash_point
from gateway.engine.egress import Egress
from gateway.engine.outbox import Outbox
from gateway.engine.packing import pack_messages
from gateway.engine.store import Entry, Store
from gateway.engine.store_entry import OutboxRow
from gateway.engine.workers import WorkerDriver
from gateway.errors import Disconnected

_log = logging.getLogger("genba.journal")
RETRY_S: Final = 5.0
"""Longest wait for a disk: one that is back is written to within ten seconds."""


async def opened(store: Store) -> str:
    """Open the state file, as long as it takes: a disk that is away is no reason to end.

    Returns:
        What `Store.open` says.

    Raises:
        ConfigError: Another gateway uses it.
    """
    backoff = Backoff("state/open")
    while True:
        try:
            told = await store.open()
        except Disconnected as error:
            if not backoff.tries:
                text = (
                    f"{error} No flow runs until it can be opened; it is tried every few seconds."
                )
                _log.error("%s", text)
                store.told("error", text)
            await asyncio.sleep(min(backoff.next_s(), RETRY_S))
            continue
        if backoff.tries:
            _log.info("The state file is open.")
            store.told("info", "The state file is open.")
        return told


async def persist(store: Store, entry: Entry) -> None:
    """Commit an entry, as long as it takes: what cannot be stored is not acknowledged."""
    backoff = Backoff(f"{entry.flow}/journal")
    while True:
        try:
            await store.commit(entry)
        except Disconnected as error:
            store.trouble = str(error)
            if not backoff.tries:
                _log.error("%s Nothing is acknowledged until it can be stored.", error)
                store.told("error", f"{error} Nothing is acknowledged until it can be stored.")
            await asyncio.sleep(min(backoff.next_s(), RETRY_S))
            continue
        store.trouble = ""
        if backoff.tries:
            _log.info("The state file can be written again.")
            store.told("info", "The state file can be written again.")
        return


async def stored(store: Store, entry: Entry, *, once: bool) -> None:
    """Commit an entry; `once` raises Disconnected where it would else be tried again for ever."""
    await (store.commit(entry) if once else persist(store, entry))


def outboxes(
    egresses: Mapping[str, Egress], workers: Mapping[str, WorkerDriver]
) -> dict[str, Outbox]:
    """What waits for sinks and workers, by the names under which it is stored."""
    found = {node: driver.outbox for node, driver in workers.items()}
    for egress in egresses.values():
        found |= egress.outboxes()
    return found


def late_is_useless(egresses: Mapping[str, Egress]) -> frozenset[str]:
    """Outboxes whose messages are of no use once they are old: those of setpoints."""
    fresh = [egress for egress in egresses.values() if egress.sink.delivery == "fresh"]
    return frozenset(name for egress in fresh for name in egress.outboxes())


def settled(boxes: Mapping[str, Outbox]) -> int:
    """Rows that have left, whatever became of them."""
    books = [box.books for box in boxes.values()]
    return sum(one.delivered + one.dead + one.dropped.total() for one in books)


async def write_with_outboxes(
    store: Store,
    entry: Entry,
    boxes: Mapping[str, Outbox],
    stale: Collection[str],
    *,
    everything: bool = False,
    once: bool = False,
) -> None:
    """Commit an entry together with what the sinks have taken and what waits for them.

    Args:
        store: Where to.
        entry: What else is committed.
        boxes: The queues by node id.
        stale: Queues whose messages are never stored: late they are of no use.
        everything: Store all that waits, for a checkpoint; see `Outbox.to_store`.
        once: Try once: for what somebody waits for who can be told.

    Raises:
        Disconnected: The disk refused, with `once`; the queues are as they were.
    """
    spills: dict[str, list[Spill]] = {}
    for node, box in boxes.items():
        if node not in stale:
            spills[node] = box.to_store(everything=everything)
    parts = [(node, spill) for node, listed in spills.items() for spill in listed]
    entry.blocks = [
        OutboxRow(node, part.first, part.last, part.rows, partial(pack_messages, part.items))
        for node, part in parts
    ]
    entry.outlets = {node: json.dumps(box.mark()) for node, box in boxes.items()}
    freed = {node: box.freed for node, box in boxes.items() if box.freed}
    for node in freed:
        boxes[node].freed = []
    entry.freed = freed
    try:
        await stored(store, entry, once=once)
    except BaseException:
        for node, numbers in freed.items():
            boxes[node].freed[:0] = numbers
        for node in spills:
            boxes[node].not_stored()
        raise
    if entry.blocks:
        crash_point("post_spill")
    for row, (_, spill) in zip(entry.blocks, parts, strict=True):
        spill.bytes = len(row.data)
    for node, listed in spills.items():
        boxes[node].stored(listed)

"""Journal: nothing goes on until it is on the disk, however long that takes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Mapping
from typing import Final

from gateway.engine.backoff import Backoff
from gateway.engine.books import Spill
from gateway.engine.crash import crash_point
from gateway.engine.outbox import Outbox
from gateway.engine.packing import pack_messages
from gateway.engine.store import Entry, Store
from gateway.engine.store_entry import OutboxRow
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
    entry.blocks = [_row(node, spill) for node, parts in spills.items() for spill in parts]
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
        raise
    if entry.blocks:
        crash_point("post_spill")
    for node, parts in spills.items():
        boxes[node].stored(parts)


def _row(node: str, spill: Spill) -> OutboxRow:
    data = pack_messages(spill.items)
    spill.bytes = len(data)
    return OutboxRow(node, spill.first, spill.last, spill.rows, data)

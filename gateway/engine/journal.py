"""Journal: nothing goes on until it is on the disk, however long that takes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Mapping

from gateway.engine.backoff import Backoff
from gateway.engine.books import Spill
from gateway.engine.crash import crash_point
from gateway.engine.outbox import Outbox
from gateway.engine.packing import pack_messages
from gateway.engine.store import Entry, Store
from gateway.engine.store_file import OutboxRow
from gateway.errors import Disconnected

_log = logging.getLogger("genba.journal")


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
            await asyncio.sleep(backoff.next_s())
            continue
        store.trouble = ""
        if backoff.tries:
            _log.info("The state file can be written again.")
            store.told("info", "The state file can be written again.")
        return


async def write_with_outboxes(
    store: Store,
    entry: Entry,
    boxes: Mapping[str, Outbox],
    stale: Collection[str],
    *,
    everything: bool,
) -> None:
    """Commit an entry together with what the sinks have taken and what waits for them.

    Args:
        store: Where to.
        entry: What else is committed.
        boxes: The queues by node id.
        stale: Queues whose messages are never stored: late they are of no use.
        everything: Store all that waits, for a checkpoint; see `Outbox.to_store`.
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
    await persist(store, entry)
    if entry.blocks:
        crash_point("post_spill")
    for node, parts in spills.items():
        boxes[node].stored(parts)


def _row(node: str, spill: Spill) -> OutboxRow:
    data = pack_messages(spill.items)
    spill.bytes = len(data)
    return OutboxRow(node, spill.first, spill.last, spill.rows, data)

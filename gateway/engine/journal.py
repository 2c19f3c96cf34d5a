"""Journal: nothing goes on until it is on the disk, however long that takes."""

from __future__ import annotations

import asyncio
import logging

from gateway.engine.backoff import Backoff
from gateway.engine.store import Entry, Store
from gateway.errors import Disconnected

_log = logging.getLogger("genba.journal")


async def persist(store: Store, entry: Entry) -> None:
    """Commit an entry, as long as it takes: what cannot be stored is not acknowledged."""
    backoff = Backoff(f"{entry.flow}/journal")
    while True:
        try:
            await store.commit(entry)
        except Disconnected as error:
            if not backoff.tries:
                _log.error("%s Nothing is acknowledged until it can be stored.", error)
                store.told("error", f"{error} Nothing is acknowledged until it can be stored.")
            await asyncio.sleep(backoff.next_s())
            continue
        if backoff.tries:
            _log.info("The state file can be written again.")
            store.told("info", "The state file can be written again.")
        return

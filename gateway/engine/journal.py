"""Journal: nothing goes on until it is on the disk, however long that takes."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from gateway.engine.backoff import Backoff
from gateway.engine.store import Entry, Store
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
            if not backoff.tries:
                _log.error("%s Nothing is acknowledged until it can be stored.", error)
                store.told("error", f"{error} Nothing is acknowledged until it can be stored.")
            await asyncio.sleep(min(backoff.next_s(), RETRY_S))
            continue
        if backoff.tries:
            _log.info("The state file can be written again.")
            store.told("info", "The state file can be written again.")
        return

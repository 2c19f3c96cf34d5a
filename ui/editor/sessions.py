"""Sessions: the flows that are open in this process, each once however many tabs show it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any, Final
from weakref import WeakValueDictionary

from nicegui import background_tasks

from ui.editor import drafts
from ui.editor.release import refresh
from ui.editor.session import Session
from ui.engine import Api

SESSIONS_MAX: Final = 50
"""Flows that are remembered; of those that nobody has open the longest closed goes first."""

_sessions: OrderedDict[str, Session] = OrderedDict()
_opening: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
"""By flow; a flow is in here while somebody opens it."""


async def open_session(flow: str, api: Api) -> Session:
    """The session of a flow; what runs is looked at anew, so that nobody edits an old one.

    Raises:
        ConfigError: There is no such flow, or its draft cannot be read.
        Disconnected: The gateway does not answer.
    """
    lock = _opening.setdefault(flow, asyncio.Lock())
    async with lock:
        session, kept = _sessions.get(flow), await drafts.draft(api, flow)
        version = kept.version if kept is not None else 0
        if session is None or (not session.tabs and session.is_kept and session.version != version):
            # Nobody has it open here, and somebody has saved or dropped the draft elsewhere.
            running = await drafts.deployed(api, flow)
            if running is not None and kept is not None and kept.base is not None:
                # The draft may be of a revision that no longer runs.
                running = await drafts.revision(api, flow, kept.base, running)
            session = _sessions[flow] = Session(flow, running, kept, _start)
        await refresh(session, api)
        _sessions.move_to_end(flow)
        for name in [name for name, one in _sessions.items() if not one.tabs and one.is_kept]:
            if len(_sessions) > SESSIONS_MAX and name not in _opening:
                _sessions.pop(name).keeper.stop()
        return session


def open_now() -> dict[str, Session]:
    """Flows that somebody has open."""
    return {name: session for name, session in _sessions.items() if session.tabs}


def _start(work: Coroutine[Any, Any, None]) -> object:
    return background_tasks.create(work, name="editor")


__all__ = ["SESSIONS_MAX", "open_now", "open_session"]

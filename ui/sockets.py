"""Sockets: what NiceGUI takes from a browser belongs to the page that this browser opened.

NiceGUI takes the id of a page, sent with each event, for proof enough. Here a socket is bound
to one page when it is opened, with the session that page was made for, and an event that names
another page is not heard.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qs

from nicegui import Client, app, core
from socketio.exceptions import ConnectionRefusedError  # noqa: A004
from starlette.datastructures import Headers

from ui.front import session_of

Handler = Callable[..., Awaitable[Any] | Any]
_BOUND = ("event", "javascript_response", "ack", "log")
LOOK_S: Final = 10.0
"""How often it is looked for sockets of which the end was missed [s]."""


def bind() -> None:
    """Put the checks before NiceGUI's own handlers; once, before the first page."""
    handlers: dict[str, Handler] = core.sio.handlers["/"]
    handlers["connect"] = _connected(handlers["connect"])
    handlers["handshake"] = _shaken(handlers["handshake"])
    for name in _BOUND:
        handlers[name] = _heard(handlers[name])
    app.timer(LOOK_S, end_the_lost)


async def end_the_lost() -> None:
    """Tell NiceGUI of sockets that have ended without a word.

    A socket that is found dead while its page is just being connected, as after a moment in
    which nothing could run, is forgotten by Socket.IO 5 before its page counts as connected: the
    end is told to nobody, and NiceGUI would keep the page and its tasks for ever.
    """
    for sid, transport in core.sio.manager.get_participants("/", None):
        if transport not in core.sio.eio.sockets:
            core.sio.handlers["/"]["disconnect"](sid)
            await core.sio.manager.disconnect(sid, "/", ignore_queue=True)


def _is_its(client_id: str, environ: dict[str, Any]) -> bool:
    """Whether the session of a socket is the one that the page was made for."""
    client = Client.instances.get(client_id)
    if client is None:
        return False
    scope = environ["asgi.scope"]
    request = client.request
    return session_of(Headers(scope=scope), scope) == session_of(request.headers, request.scope)


def _connected(inner: Handler) -> Handler:
    async def connected(sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        client_id = parse_qs(environ.get("QUERY_STRING", "")).get("client_id", [""])[0]
        if not _is_its(client_id, environ):
            raise ConnectionRefusedError("This page is another session's.")
        result = inner(sid, environ, auth)
        if result is not None:
            await result

    return connected


def _shaken(inner: Handler) -> Handler:
    async def shaken(sid: str, data: dict[str, Any]) -> bool:
        if not _is_its(str(data.get("client_id")), core.sio.get_environ(sid)):
            return False
        return bool(await inner(sid, data))

    return shaken


def _heard(inner: Handler) -> Handler:
    def heard(sid: str, message: dict[str, Any]) -> None:
        if message.get("client_id") in core.sio.rooms(sid):
            inner(sid, message)

    return heard

"""Front: believes the front door of this gateway, and nobody else, about whom a request is for.

The pages are served by another process, which passes requests on. It says who asked and over
which scheme in headers, and shows the local token beside them, which only processes of this
gateway can read. Without the right token the headers are taken away and count for nothing.

Source: RFC 7239, 8.1: such headers are believed only from a proxy that is known.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final

from gateway.api.gate import Access
from gateway.api.scope import FLEET, FRONT, App, Receive, Scope, Send

TOKEN: Final = b"genba-front"
FOR: Final = b"x-forwarded-for"
PROTO: Final = b"x-forwarded-proto"
CENTRE: Final = b"genba-fleet"
"""SHA-256 of the certificate that another gateway showed at the door of the fleet."""
_SCHEMES: Final = {
    ("http", "http"): "http",
    ("http", "https"): "https",
    ("websocket", "http"): "ws",
    ("websocket", "https"): "wss",
}


class Front:
    """Takes a request for what the front door says it is; it stands outermost.

    Args:
        app: What it stands before.
        access: Has the local token.
    """

    def __init__(self, app: App, access: Access) -> None:
        self._app = app
        self._token = access.local_token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            scope = self._seen(scope)
        await self._app(scope, receive, send)

    def _seen(self, scope: Scope) -> Scope:
        """The scope without the headers of a front door, and with what a real one says."""
        shown: dict[bytes, list[bytes]] = {TOKEN: [], FOR: [], PROTO: [], CENTRE: []}
        kept = []
        for name, value in scope["headers"]:
            if (key := name.lower()) in shown:
                shown[key].append(value)
            else:
                kept.append((name, value))
        scope = {**scope, "headers": kept}
        scope.pop(FRONT, None)
        scope.pop(FLEET, None)
        tokens = shown[TOKEN]
        if len(tokens) != 1 or not hmac.compare_digest(tokens[0], self._token):
            return scope
        scope[FRONT] = True
        if shown[CENTRE]:
            scope[FLEET] = _last(shown[CENTRE]).upper()
        # Who is not named is taken for nobody's neighbour: never for one on this machine.
        scope["client"] = (_address(shown[FOR]), 0)
        scheme = _SCHEMES.get((scope["type"], _last(shown[PROTO])))
        scope["scheme"] = scheme or scope["scheme"]
        return scope


def _last(values: list[bytes]) -> str:
    """The last of a list of values, which is the one that our own front door wrote."""
    return values[-1].decode("latin-1").rpartition(",")[2].strip().lower() if values else ""


def _address(values: list[bytes]) -> str:
    """An IP address as it was given; empty when it is none.

    >>> _address([b"10.0.0.5, 192.168.1.9"]), _address([b"unknown"]), _address([])
    ('192.168.1.9', '', '')
    """
    text = _last(values)
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    return text

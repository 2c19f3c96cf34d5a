"""Scope: what a request says of itself, and how far that is believed.

A request comes from this machine's loopback address, or it was passed on by the front door of
this gateway, which says whom it stands for; see `front`.

Source: ASGI 3.0, HTTP & WebSocket protocol; RFC 6265bis, 4.1.3.2 (the prefix ``__Host-``).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.requests import cookie_parser

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
COOKIE: Final = "__Host-genba"
PLAIN_COOKIE: Final = "genba"
"""On the loopback address without TLS, where browsers refuse the other name."""
FRONT: Final = "genba.front"
"""Set in the scope of a request that the front door passed on and whose Host it has checked."""
FLEET: Final = "genba.fleet"
"""Set in the scope of a request that came by the door of the fleet: whose certificate it was."""
_SAFE: Final = ("GET", "HEAD")
_PAGES: Final = {"ws": "http", "wss": "https"}
"""A page says where it came from in words of HTTP, also when it opens a socket."""


def address_of(scope: Scope) -> str:
    """Where a request came from."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def is_loopback(scope: Scope) -> bool:
    """Whether a request came from this machine over its loopback address."""
    try:
        found = ipaddress.ip_address(address_of(scope).partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def names_this_machine(scope: Scope) -> bool:
    """Whether the Host that was asked for is this machine's own name."""
    return [host_name(host) in HOSTS for host in Headers(scope=scope).getlist("host")] == [True]


def host_name(host: str) -> str:
    """A Host header without its port.

    >>> host_name("localhost:8780"), host_name("[::1]"), host_name("[::1]:80")
    ('localhost', '[::1]', '[::1]')
    """
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def page_scheme(scope: Scope) -> str:
    """http or https, for a socket as well."""
    scheme = str(scope["scheme"])
    return _PAGES.get(scheme, scheme)


def is_safe_way(scope: Scope) -> bool:
    """Whether a password or a cookie may go this way: over TLS, or not over a wire at all."""
    return page_scheme(scope) == "https" or is_loopback(scope)


def cookie_name(scope: Scope) -> str:
    """The cookie's name on this way; empty where none may be set."""
    if page_scheme(scope) == "https":
        return COOKIE
    return PLAIN_COOKIE if is_loopback(scope) else ""


def cookie_of(scope: Scope) -> str:
    """The secret of a session that a browser shows; empty when it shows none."""
    name = cookie_name(scope)
    return cookie_parser(Headers(scope=scope).get("cookie", "")).get(name, "") if name else ""


def is_foreign(scope: Scope) -> bool:
    """Whether a request that changes something does not come from a page of ours.

    A browser always says where such a request comes from, so one that says nothing is foreign.
    Opening a socket is such a request: a browser lets any page do it, cookie and all.
    """
    headers = Headers(scope=scope)
    own = f"{page_scheme(scope)}://{headers.get('host', '')}"
    return scope.get("method") not in _SAFE and headers.get("origin") != own

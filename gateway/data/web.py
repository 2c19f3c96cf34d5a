"""Clients of HTTP that give every connection back, whatever ends the request."""

from __future__ import annotations

import ssl
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


def client(
    *,
    timeout: httpx.Timeout | float,
    verify: ssl.SSLContext | bool = True,
    limits: httpx.Limits | None = None,
    cookies: CookieJar | None = None,
) -> httpx.AsyncClient:
    """A client that follows no redirects and takes nothing from the environment.

    Args:
        timeout: Longest wait for one step [s].
        verify: Whom it trusts.
        limits: How many connections are open; None: ten, and two of them between requests.
        cookies: Where they are kept.
    """
    # Every command imports this module, and few want the time that httpx takes to load.
    import httpx

    from gateway.data.transport import Transport

    limits = limits or httpx.Limits(max_connections=10, max_keepalive_connections=2)
    inner = httpx.AsyncHTTPTransport(verify=verify, trust_env=False, limits=limits)
    return httpx.AsyncClient(
        transport=Transport(inner), timeout=timeout, trust_env=False, cookies=cookies
    )


__all__ = ["client"]

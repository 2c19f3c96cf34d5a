"""One WebSocket to a server, opened at an address that was looked up and allowed.

Source: RFC 6455; the keep-alive of websockets 15 (a ping, and an end when no pong comes).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)

from gateway import ConfigError, Context, Disconnected
from nodes._web import place_of, retry_after_s, trust

QUEUE: Final = 16
"""Messages that the library holds; beyond, it stops reading from the socket."""


async def opened(
    ctx: Context,
    url: str,
    *,
    ca: str,
    headers: Mapping[str, str],
    token: str,
    timeout_s: float,
    ping_s: float,
    bytes_max: int,
    protocols: tuple[str, ...] = (),
) -> ClientConnection:
    """A socket that is open; a token that is not empty is shown as a bearer's.

    Raises:
        Disconnected: Nobody answers, or it is refused for now.
        ConfigError: The certificate does not count, the place may not be reached, or the server
            wants another address or a login.
    """
    place = await place_of(ctx, url)
    name = f"{place.host}:{place.port}"
    shown = {"Authorization": f"Bearer {token}"} if token else {}
    context: ssl.SSLContext | None = trust(ctx, ca) if place.is_tls else None
    try:
        return await connect(
            url,
            host=place.address,
            port=place.port,
            ssl=context,
            server_hostname=place.host if context else None,
            additional_headers={**headers, **shown},
            subprotocols=list(protocols) or None,  # type: ignore[arg-type]  # plain texts
            user_agent_header="genba",
            open_timeout=timeout_s,
            ping_interval=ping_s or None,
            ping_timeout=max(ping_s, 1.0) if ping_s else None,
            close_timeout=2.0,
            max_size=bytes_max,
            max_queue=QUEUE,
            process_exception=lambda error: error,
            proxy=None,
        )
    except ssl.SSLCertVerificationError as error:
        raise ConfigError(
            f"The certificate of {name} does not count: {error.verify_message}.",
            hint="Set `ca` to the certificate of the authority that signed it.",
        ) from error
    except InvalidStatus as error:
        raise _refused(name, error, ctx.clock.now()) from error
    except TimeoutError as error:
        raise Disconnected(f"No answer from {name} for {timeout_s:g} s.") from error
    except (OSError, InvalidHandshake, InvalidURI, WebSocketException) as error:
        raise Disconnected(f"{name} cannot be reached: {error}.") from error


def _refused(name: str, error: InvalidStatus, now: int) -> ConfigError | Disconnected:
    status = error.response.status_code
    if status in (401, 403, 404) or 300 <= status < 400:
        return ConfigError(
            f"{name} refuses the socket ({status}).", hint="Check `url`, `headers` and the token."
        )
    wait_s = retry_after_s(error.response.headers.get("Retry-After", ""), now)
    return Disconnected(f"{name} refuses the socket ({status}).", retry_after_s=wait_s)


def ended(url: str, error: ConnectionClosed) -> Disconnected:
    """Why a socket is no more, in words."""
    close = error.rcvd or error.sent
    if close is None:
        return Disconnected(f"{url} is gone without a word. Is it up?")
    why = "".join(c if c.isprintable() else " " for c in close.reason)[:200]
    return Disconnected(f"{url} closed the socket ({close.code}{': ' + why if why else ''}).")


__all__ = ["ended", "opened"]

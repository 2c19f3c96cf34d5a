"""The door of the fleet: where other gateways come in, each with a certificate that is trusted.

It is a process of its own, so that whoever knocks, however often, takes nothing from an alarm
and nothing from the pages. It lets in who shows a certificate that an administrator of this
gateway trusts, and only to the three paths that are for other gateways; the API then asks for
their token. It ends with the process that started it.

Source: RFC 8446, 4.4.2 (client certificates); RFC 5280.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import ssl
import sys
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ui import child
from ui.engine import Engine
from ui.proxy import CENTRE, Proxy

PATHS: Final = {
    ("GET", "/api/fleet/self"),
    ("POST", "/api/fleet/flows"),
    ("POST", "/api/fleet/flows/back"),
}
CENTRES: Final = Path("fleet") / "centres.pem"
"""Certificates that are trusted, in the state; made by the API of their list."""
_AT_ONCE: Final = 64


class Door:
    """Lets through what is for other gateways.

    Args:
        engine: The gateway on this machine.
    """

    def __init__(self, engine: Engine) -> None:
        self._proxy = Proxy(engine)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4403})
        elif scope["type"] == "http":
            if (scope["method"], scope["path"]) in PATHS:
                await self._proxy.http(scope, receive, send)
            else:
                await PlainTextResponse("There is nothing here.", 404)(scope, receive, send)


class _Knock(H11Protocol):
    """One connection; it knows whose certificate was shown and tells the application."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        found = transport.get_extra_info("ssl_object")
        self.app = _told(self.app, found.getpeercert(binary_form=True) or b"")


def _told(app: ASGIApp, certificate: bytes) -> ASGIApp:
    shown = hashlib.sha256(certificate).hexdigest().upper()

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, CENTRE: shown}, receive, send)

    return told


def context_of(config: uvicorn.Config, centres: Path) -> None:
    """Let in who shows a certificate of the list; nobody while it is empty."""
    assert config.ssl is not None
    config.ssl.verify_mode = ssl.CERT_REQUIRED
    config.ssl.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # One that is pinned needs no issuer.
    with contextlib.suppress(FileNotFoundError):
        if text := centres.read_text("utf-8").strip():
            config.ssl.load_verify_locations(cadata=text)


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ui.fleet_door")
    parser.add_argument("--state", type=Path, required=True, help="folder of the gateway's state")
    parser.add_argument("--fd", type=int, required=True, help="listening socket to answer on")
    parser.add_argument("--certificate", type=Path, required=True, help="chain, PEM")
    parser.add_argument("--key", type=Path, required=True, help="its private key, PEM")
    parser.add_argument("--name", action="append", default=[], help="not used here")
    return parser.parse_args(words)


async def _serve(args: argparse.Namespace) -> None:
    config = uvicorn.Config(
        Door(Engine(args.state)),
        log_level="error",
        access_log=False,
        lifespan="off",
        proxy_headers=False,
        http=_Knock,
        ssl_certfile=args.certificate,
        ssl_keyfile=args.key,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        limit_concurrency=_AT_ONCE,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=5,
        server_header=False,
    )
    config.load()
    context_of(config, args.state / CENTRES)
    await child.serve(config, args.fd)


def main() -> int:
    """Answer until the process that started it has ended."""
    return child.run(_serve(_arguments(sys.argv[1:])))


if __name__ == "__main__":
    sys.exit(main())

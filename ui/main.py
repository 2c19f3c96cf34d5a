"""The screens as a process of their own: NiceGUI behind the front door.

It holds nothing that an alarm needs: it may be slow, be killed or be absent. It ends with the
process that started it, whose end it sees at its standard input.
"""

from __future__ import annotations

import argparse
import logging
import socket
import ssl
import sys
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI
from nicegui import Client, app, ui

from ui import child, pages
from ui.engine import Engine
from ui.front import Front
from ui.session import use
from ui.sockets import bind

_log = logging.getLogger("genba.ui")
RECONNECT_S: Final = 60.0
"""How long a page may be without its socket and lose nothing; measured in reference/ui.md."""


def application(state: Path, names: list[str]) -> Front:
    """All pages behind the front door.

    Args:
        state: Folder of the gateway's state.
        names: Host names this gateway is reached by.
    """
    engine = Engine(state)
    use(engine)
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    pages.declare()
    ui.run_with(
        outer,
        title="Genba",
        favicon="現",
        binding_refresh_interval=None,
        reconnect_timeout=RECONNECT_S,
        message_history_length=200,
        tailwind=False,
        show_welcome_message=False,
    )
    # NiceGUI keeps a dictionary of each browser tab for 30 days after its page has gone. No page
    # of ours puts anything into it, and a tab that comes back gets another.
    app.storage.max_tab_storage_age = RECONNECT_S
    app.on_delete(_nobody_comes)
    bind()
    return Front(outer, engine, names)


def _nobody_comes(client: Client) -> None:
    """End what waits for the browser of a page that is gone.

    Where a page could not be built in time, NiceGUI 3.18 deletes it and leaves a task that waits
    for its browser for ever.
    """
    client._waiting_for_connection.set()


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ui", description="The screens of Genba.")
    parser.add_argument("--state", type=Path, required=True, help="folder of the gateway's state")
    parser.add_argument("--fd", type=int, required=True, help="listening socket to answer on")
    parser.add_argument("--certificate", type=Path, help="certificate chain, PEM")
    parser.add_argument("--key", type=Path, help="its private key, PEM")
    parser.add_argument("--name", action="append", default=[], help="a host name of this gateway")
    return parser.parse_args(words)


async def _serve(args: argparse.Namespace) -> None:
    config = uvicorn.Config(
        application(args.state, [socket.gethostname(), *args.name]),
        log_level="error",
        access_log=False,
        proxy_headers=False,  # Who asks is who connects: this is the front door itself.
        ws="websockets-sansio",
        ssl_certfile=args.certificate,
        ssl_keyfile=args.key,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=30,
        server_header=False,
    )
    await child.serve(config, args.fd)


def main() -> int:
    """Answer until the process that started it has ended."""
    return child.run(_serve(_arguments(sys.argv[1:])))

"""Screens: the process that serves the pages, started, watched and ended by `genba run`.

The port is opened here and handed down, so that a browser that comes while the screens are
started again waits instead of being refused. The screens end when their standard input does,
also when this process is killed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gateway.api import certificate
from gateway.engine.backoff import Backoff
from gateway.engine.fleet import FOLDER
from gateway.engine.fleet_book import BUNDLE
from gateway.engine.program import module_words
from gateway.errors import ConfigError

_log = logging.getLogger("genba.screens")
LISTEN: Final = "127.0.0.1:8788"
DOOR: Final = "ui.fleet_door"
_BACKLOG: Final = 64
_END_S: Final = 5.0
_LOOK_S: Final = 2.0


@dataclass(frozen=True)
class Address:
    """Where the screens listen, and whether they speak TLS there.

    What the network reaches always does; this machine's own address does when asked to.

    >>> Address.parse("0.0.0.0:8443")
    Address(host='0.0.0.0', port=8443, is_tls=True)
    >>> Address.parse("https://127.0.0.1:8443").is_tls, Address.parse("127.0.0.1:8788").is_tls
    (True, False)
    """

    host: str
    port: int
    is_tls: bool

    @classmethod
    def parse(cls, text: str) -> Address:
        """An address and port.

        Raises:
            ConfigError: It is none.
        """
        scheme, _, rest = text.rpartition("://")
        host, colon, port = rest.rpartition(":")
        host = host.strip("[]") or "0.0.0.0"  # noqa: S104 - asked for by leaving it out
        try:
            found = ipaddress.ip_address(host)
            if not colon or not 0 <= int(port) <= 65_535 or scheme not in ("", "http", "https"):
                raise ValueError(text)
        except ValueError as error:
            raise ConfigError(
                f"{text!r} is no address of this machine with a port.",
                hint="Write --listen 127.0.0.1:8788, 0.0.0.0:8443, or off for no screens.",
            ) from error
        if scheme == "http" and not found.is_loopback:
            raise ConfigError(
                f"{text!r} would send passwords over the network as they are.",
                hint="Leave http:// out; the screens then speak TLS.",
            )
        return cls(host, int(port), scheme == "https" or not found.is_loopback)


class Screens:
    """The process of the screens.

    Args:
        state: Folder of the gateway's state.
        address: Where they listen. What is reached from the network speaks TLS.
        now: The time [ns], for a new certificate.
        names: Further host names this gateway is reached by.
        module: The program that answers there.
        watched: Files beside the certificate with which it is started anew when they change.

    A port that is taken keeps no gateway from running: it is tried again. After a gateway was
    killed, its screens have the port for a second more.

    Raises:
        ConfigError: The certificate cannot be used.
    """

    def __init__(
        self,
        state: Path,
        address: Address,
        now: int,
        names: tuple[str, ...] = (),
        *,
        module: str = "ui",
        watched: tuple[Path, ...] = (),
    ) -> None:
        self._what = "The screens" if module == "ui" else "The door of the fleet"
        self._watched = watched
        self._address = address
        self.fingerprint = ""
        self._certificate: Path | None = None
        self._words = [*module_words(module), "--state", str(state)]
        self._words += [word for name in names for word in ("--name", name)]
        self.is_tls = address.is_tls
        if self.is_tls:
            path, key = certificate.ensure(state, now, names)
            self._certificate = path
            self.fingerprint = certificate.fingerprint(path)
            self._words += ["--certificate", str(path), "--key", str(key)]
        self._socket = self._opened()  # Last, so that nothing that goes wrong leaves it open.
        self.port = int(self._socket.getsockname()[1]) if self._socket else address.port
        host = address.host
        if ipaddress.ip_address(host).is_unspecified:
            host = socket.gethostname()
        name = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if self.is_tls else 'http'}://{name}:{self.port}"
        self.starts = 0

    async def run(self) -> None:
        """Keep the screens running until cancelled."""
        backoff = Backoff("screens")
        try:
            while True:
                self._socket = self._socket or self._opened()
                if self._socket is None:
                    text = f"Port {self._address.port} is taken by another program"
                else:
                    code = await self._once(self._socket.fileno())
                    if code is None:
                        continue  # With the new certificate.
                    text = f"{self._what} ended ({code})"
                wait_s = backoff.next_s()
                _log.error("%s. Next try in %.0f s.", text, wait_s)
                await asyncio.sleep(wait_s)
        finally:
            self.close()

    def close(self) -> None:
        """Give the port back."""
        if self._socket is not None:
            self._socket.close()

    def _opened(self) -> socket.socket | None:
        """The port, or None while another program has it."""
        host, port = self._address.host, self._address.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            return socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError:
            return None

    async def _once(self, listening: int) -> int | None:
        """Run them once; returns the exit code, or None when the certificate is another now."""
        self.starts += 1
        seen = self._stamp()
        process = await asyncio.create_subprocess_exec(
            *self._words,
            *("--fd", str(listening)),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=[listening],
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # Ctrl-C is for the gateway, which then ends the screens.
        )
        assert process.stdin is not None
        try:
            while self._stamp() == seen:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        return await process.wait()
            return None
        finally:
            process.stdin.close()  # That is how it is told.
            if process.returncode is None:
                try:
                    async with asyncio.timeout(_END_S):
                        await asyncio.shield(process.wait())
                except (TimeoutError, asyncio.CancelledError):
                    process.kill()
                    await process.wait()

    def _stamp(self) -> list[int]:
        """Changes with the certificate, and with the files that are watched."""
        found = []
        for path in filter(None, (self._certificate, *self._watched)):
            try:
                found.append(path.stat().st_mtime_ns)
            except OSError:
                found.append(0)
        return found


def add_listen(parser: argparse.ArgumentParser) -> None:
    """Declare ``--listen``."""
    parser.add_argument(
        "--listen",
        default=os.environ.get("GENBA_LISTEN", LISTEN),
        metavar="ADDRESS:PORT",
        help=f"where the screens answer (default {LISTEN}, this machine only; another address "
        "speaks TLS and asks for a login), or off",
    )


def screens(listen: str, state: Path, now: int, names: tuple[str, ...] = ()) -> Screens | None:
    """The screens that ``--listen`` asks for.

    Raises:
        ConfigError: See `Screens`.
    """
    return None if listen == "off" else Screens(state, Address.parse(listen), now, names)


def door(listen: str, state: Path, now: int, names: tuple[str, ...] = ()) -> Screens | None:
    """The door of the fleet that ``--fleet-listen`` asks for; it always speaks TLS.

    Raises:
        ConfigError: See `Screens`.
    """
    if listen == "off":
        return None
    address = replace(Address.parse(listen), is_tls=True)
    watched = (state / FOLDER / BUNDLE,)
    return Screens(state, address, now, names, module=DOOR, watched=watched)


__all__ = ["DOOR", "LISTEN", "Address", "Screens", "add_listen", "door", "screens"]

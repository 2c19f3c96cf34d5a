"""A proxy that spoils a TCP link as a test tells it: slow, cut, reset, half open, corrupt.

There is no `tc netem` where these tests run, so faults are made above the kernel: what the
proxy does not pass on is for both ends as if it had got lost on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.data.tasks import Tasks

_CHUNK = 65_536
_TICK_S = 0.02
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends RST. socket(7).


@dataclass
class Way:
    """One direction of a link; all may be changed while it runs.

    Args:
        seed: Start of the random numbers.
        delay_s: How long each piece waits before it goes on [s].
        bytes_per_s: How much goes on at most; None: all.
        corrupt: Chance of each byte to be changed, 0 to 1.
        spoil: Changes each piece in a way of the test's own.
    """

    seed: int
    delay_s: float = 0.0
    bytes_per_s: float | None = None
    corrupt: float = 0.0
    spoil: Callable[[bytes], bytes] | None = None
    passed: int = 0
    """Bytes that went on."""
    spoilt: int = 0
    """Bytes of these that were changed."""
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def heal(self) -> None:
        """Pass everything on as it is."""
        self.delay_s, self.bytes_per_s, self.corrupt, self.spoil = 0.0, None, 0.0, None

    @property
    def chunk(self) -> int:
        """How much may be read at a time, so that the rate is kept evenly."""
        return _CHUNK if self.bytes_per_s is None else max(1, int(self.bytes_per_s * _TICK_S))

    async def through(self, data: bytes) -> bytes:
        """A piece as it comes out at the other end, when it comes out."""
        pause_s = self.delay_s
        if self.bytes_per_s is not None:
            pause_s += len(data) / self.bytes_per_s
        if pause_s:
            await asyncio.sleep(pause_s)
        if self.spoil is not None:
            data = self.spoil(data)
        if self.corrupt:
            spoilt = bytearray(data)
            for i in range(len(spoilt)):
                if self._random.random() < self.corrupt:
                    spoilt[i] ^= self._random.randrange(1, 256)
                    self.spoilt += 1
            data = bytes(spoilt)
        self.passed += len(data)
        return data


class Link:
    """One connection through the proxy."""

    def __init__(self, near: asyncio.StreamWriter) -> None:
        self.near = near
        self.far: asyncio.StreamWriter | None = None
        self.is_dead = False
        """Something of it was swallowed: its ends no longer agree, so it cannot be healed."""

    def close(self, *, reset: bool) -> None:
        """End both sides, with a FIN or a RST."""
        for writer in (self.near, self.far):
            if writer is None or writer.transport.is_closing():
                continue
            if reset:
                with contextlib.suppress(OSError):
                    raw: Any = writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
            else:
                writer.close()


class Proxy:
    """Listens at `port` and passes on to a port of this machine, as well as it is told to.

    Args:
        target: The port of the server.
        seed: Start of the random numbers of both directions.
    """

    def __init__(self, target: int, seed: int = 1) -> None:
        self.target = target
        self.port = 0
        self.up = Way(seed)
        """From the client to the server."""
        self.down = Way(seed + 1)
        """From the server to the client."""
        self.attempts: list[float] = []
        """When connections were asked for [s of the monotonic clock]."""
        self.links: set[Link] = set()
        self._drop_after: int | None = None
        self._is_refusing = False
        self._is_swallowing = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks = Tasks("proxy")
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._tasks.stop()
        for link in list(self.links):
            link.close(reset=True)

    # ------------------------------------------------------------------ faults

    def cut(self) -> None:
        """End what is open with a FIN; who connects is hung up on at once."""
        self._is_refusing = True
        for link in list(self.links):
            link.close(reset=False)

    def reset(self) -> None:
        """End what is open with a RST; new connections are served."""
        for link in list(self.links):
            link.close(reset=True)

    def stall(self) -> None:
        """Hold everything back, as when a cable is out: it arrives when it is healed."""
        self._flows.clear()

    def half_open(self) -> None:
        """Swallow everything; the ends are not told, also not when one of them closes.

        New connections are accepted, and nobody answers on them.
        """
        self._is_swallowing = True

    def drop_after(self, n: int) -> None:
        """End the link with a RST that has carried `n` bytes more, in both ways together."""
        self._drop_after = n

    def heal(self) -> None:
        """Pass everything on. Links of which something was swallowed end with a RST."""
        self._is_refusing = self._is_swallowing = False
        self._drop_after = None
        self.up.heal()
        self.down.heal()
        for link in [link for link in self.links if link.is_dead]:
            link.close(reset=True)
        self._flows.set()

    # ------------------------------------------------------------------ the way through

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.attempts.append(time.monotonic())
        link = Link(writer)
        if self._is_refusing:
            link.close(reset=False)
            return
        self.links.add(link)
        self._tasks.start("link", self._serve(link, reader))

    async def _serve(self, link: Link, near: asyncio.StreamReader) -> None:
        try:
            if self._is_swallowing:
                link.is_dead = True
                await self._swallow(near)
                return
            await self._flows.wait()
            try:
                far, link.far = await asyncio.open_connection("127.0.0.1", self.target)
            except OSError:
                link.close(reset=True)
                return
            await asyncio.gather(
                self._pipe(link, near, link.far, self.up),
                self._pipe(link, far, link.near, self.down),
            )
        finally:
            link.close(reset=False)
            self.links.discard(link)

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(_CHUNK):
                pass

    async def _pipe(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(way.chunk):
                await self._flows.wait()
                if self._is_swallowing or link.is_dead:
                    link.is_dead = True
                    continue
                writer.write(await way.through(data))
                await writer.drain()
                if self._drop_after is not None:
                    self._drop_after -= len(data)
                    if self._drop_after <= 0:
                        self._drop_after = None
                        link.close(reset=True)
                        return
        while self._is_swallowing:
            await asyncio.sleep(_TICK_S)
        await self._flows.wait()
        if not writer.transport.is_closing():
            writer.close()


__all__ = ["Proxy", "Way"]

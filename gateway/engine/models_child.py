"""The child process of a local model, seen from here: lines out, lines back, an end in any case.

Nothing of ours goes to it but its order: no environment, no open files, no secrets. How it locks
itself away stands in `models.llm.jail`.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from gateway.data.tasks import Tasks
from gateway.engine.models_answer import Answer, OnPiece
from gateway.engine.models_spawn import STOP_S, reap, socket_path, spawned
from gateway.errors import ConfigError, Disconnected, Rejected
from gateway.flow.generate import Ask

LOAD_S: Final = 120.0
"""A large model on a slow disk takes its time."""
LINE_BYTES_MAX: Final = 1024 * 1024
ANSWER_CHARS_MAX: Final = 256 * 1024
T = TypeVar("T")
_TAIL_BYTES: Final = 2_000
_LINE: Final = b'{"is"'
"""How each line of ours begins."""


class Child:
    """One process with one model; when it has ended, another is made.

    Args:
        name: Of the model.
        order: What to load, for its first line.
    """

    def __init__(self, name: str, order: Mapping[str, Any]) -> None:
        self._name = name
        self._order = order
        self._tasks = Tasks(f"model/{name}")
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: list[asyncio.ReadTransport] = []
        self._ready: asyncio.Future[list[str]] | None = None
        self._idle = asyncio.Event()
        self._number = 0
        self._done: asyncio.Future[dict[str, Any]] | None = None
        self._on_piece: OnPiece | None = None
        self._chars = 0
        self._tail = b""
        self.ended = asyncio.Event()

    @property
    def pid(self) -> int:
        """Of the process; 0 when there is none."""
        return self._process.pid if self._process is not None and not self.ended.is_set() else 0

    async def start(self) -> list[str]:
        """Start it and wait until the model is loaded; returns how it is locked away.

        Raises:
            ConfigError: It refuses the file.
            Disconnected: It ended, or takes too long.
        """
        self._ready = asyncio.get_running_loop().create_future()
        try:
            if path := socket_path():
                await self._reach(path)
            else:
                threads = int(self._order["threads"])
                self._process = await asyncio.to_thread(spawned, threads)
                await self._connect(self._process)
            await self._send(self._order)
            async with asyncio.timeout(LOAD_S):
                return await asyncio.shield(self._ready)
        except TimeoutError as error:
            await self.kill()
            text = f"The model {self._name} is not loaded after {LOAD_S:.0f} s."
            raise Disconnected(text) from error
        except BaseException:
            await self.kill()
            raise

    async def _reach(self, path: str) -> None:
        """Have systemd start the process: it ends with this connection."""
        try:
            reader, self._writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
        except OSError as error:
            raise Disconnected(
                f"The explainer cannot be reached at {path}: {error.strerror or error}. "
                "Run: systemctl restart genba-explainer.socket"
            ) from error
        self._tasks.start("lines", self._listen(reader))

    async def _connect(self, process: subprocess.Popen[bytes]) -> None:
        loop = asyncio.get_running_loop()
        assert process.stdin is not None
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), loop=loop),
            process.stdin,
        )
        self._writer = asyncio.StreamWriter(transport, protocol, None, loop)
        readers = []
        for pipe in (process.stdout, process.stderr):
            reader = asyncio.StreamReader(LINE_BYTES_MAX, loop=loop)
            made = asyncio.StreamReaderProtocol(reader, loop=loop)
            reading, _ = await loop.connect_read_pipe(partial(_same, made), pipe)
            self._reading.append(reading)
            readers.append(reader)
        self._tasks.start("said", self._hear(readers[1]))
        self._tasks.start("lines", self._listen(readers[0]))

    # ------------------------------------------------------------------ questions

    async def ask(self, ask: Ask, on_piece: OnPiece, left_s: float) -> Answer:
        """Ask, one question at a time; one who is cancelled stops the calculation.

        Raises:
            Rejected: The model refuses this question.
            Disconnected: The process ended.
        """
        await self._settled()
        self._number += 1
        number = self._number
        done = self._done = asyncio.get_running_loop().create_future()
        self._chars = 0
        self._idle.clear()
        parts: list[str] = []

        def piece(text: str) -> None:
            parts.append(text)
            on_piece(text)

        self._on_piece = piece
        try:
            await self._send({"do": "ask", "id": number, **_fields(ask), "cpu_s": left_s})
            said = await asyncio.shield(done)
        except asyncio.CancelledError:
            with suppress(Disconnected):
                await self._send({"do": "stop", "id": number})
            raise
        finally:
            self._on_piece = None
        if said["is"] == "done":
            cut = bool(said["is_cut"])
            return Answer("".join(parts), int(said["tokens_in"]), int(said["tokens_out"]), cut)
        text = f"The model {self._name}: {said['text']}"
        if said["why"] == "refused":
            raise Rejected(text)
        raise Disconnected(text)

    async def _settled(self) -> None:
        """A question that was given up has ended, or the process has."""
        try:
            async with asyncio.timeout(STOP_S):
                await self._idle.wait()
        except TimeoutError:
            await self.kill()
        if self.ended.is_set():
            raise Disconnected(self._last_words())

    # ------------------------------------------------------------------ lines

    async def _send(self, value: Mapping[str, Any]) -> None:
        assert self._writer is not None
        try:
            self._writer.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")
            await self._writer.drain()
        except (OSError, RuntimeError) as error:
            await self._end()  # So that it is known by what it ended.
            raise Disconnected(self._last_words()) from error

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                if self._process is None:  # What native code says comes on the same socket.
                    words, begin, rest = line.partition(_LINE)
                    self._tail = (self._tail + words)[-_TAIL_BYTES:]
                    line = begin + rest
                if line:
                    self._take(json.loads(line))
        except (ValueError, KeyError, TypeError):
            self._tail = b"It said something that is no line of ours."
        finally:
            await self._end()

    def _take(self, said: dict[str, Any]) -> None:
        kind = said["is"]
        if kind == "piece" and said["id"] == self._number and self._on_piece is not None:
            text = str(said["text"])
            self._chars += len(text)
            if self._chars > ANSWER_CHARS_MAX:
                raise ValueError("an answer without an end")
            self._on_piece(text)
        elif kind in ("done", "failed") and said["id"] == self._number:
            self._idle.set()
            if self._done is not None and not self._done.done():
                self._done.set_result(said)
        elif kind == "ready" and self._ready is not None and not self._ready.done():
            self._idle.set()
            self._ready.set_result([str(step) for step in said["jail"]])
        elif kind == "refused" and self._ready is not None and not self._ready.done():
            text = f"The model {self._name} is not loaded: {said['text']}."
            self._ready.set_exception(ConfigError(text, hint="genba models list"))

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        while part := await reader.read(4_096):
            self._tail = (self._tail + part)[-_TAIL_BYTES:]

    # ------------------------------------------------------------------ the end

    async def kill(self) -> None:
        """End the process now."""
        if self._process is None and self._writer is not None:
            self._writer.transport.abort()
            await self._end()
        elif self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._end()

    async def stop(self) -> None:
        """End the process; no more lines come for it, so it goes by itself, or is made to."""
        if self._writer is not None:
            self._writer.close()
        try:
            async with asyncio.timeout(STOP_S):
                await self.ended.wait()
        except TimeoutError:
            await self.kill()
        await self._tasks.stop()
        self._shut()

    async def _end(self) -> None:
        process = self._process
        if self.ended.is_set():
            return
        if process is not None:
            await asyncio.to_thread(reap, process)
        self.ended.set()
        self._idle.set()
        self._shut()
        error = Disconnected(self._last_words())
        for future in (self._ready, self._done):
            if future is not None and not future.done():
                future.set_exception(error)
                future.exception()  # Whoever waits sees it; where nobody does, it is no fault.

    def _shut(self) -> None:
        if self._writer is not None:
            self._writer.close()
        for reading in self._reading:  # Not every event loop closes them at their end.
            reading.close()

    def _last_words(self) -> str:
        code = self._process.returncode if self._process is not None else None
        how = f"with code {code}" if code is not None and code >= 0 else "by itself"
        if code is not None and code < 0:
            with suppress(ValueError):
                how = f"by {signal.Signals(-code).name}"
        words = " ".join(self._tail.decode("utf-8", "replace").split())[-200:]
        text = f"The process of the model {self._name} ended {how}."
        return f"{text} Its last words: {words}" if words else text


def _same(made: T) -> T:
    return made


def _fields(ask: Ask) -> dict[str, Any]:
    return {
        "messages": [list(message) for message in ask.messages],
        "schema": ask.schema,
        "grammar": ask.grammar,
        "tokens_max": ask.tokens_max,
        "temperature": ask.temperature,
        "seed": ask.seed,
    }


__all__ = ["Child"]

"""A model in a file: its process is started when it is asked, and ended when it is not."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import models
from gateway.data.tasks import Tasks
from gateway.engine.backoff import Backoff
from gateway.engine.models_answer import Answer, OnPiece
from gateway.engine.models_child import Child
from gateway.engine.models_turns import Turns
from gateway.errors import ConfigError, Disconnected
from gateway.flow.generate import Ask
from gateway.flow.models import OWN, LocalModel, Model
from gateway.flow.node import Clock
from models.llm import binding, gguf

_log = logging.getLogger("genba.models")
OWN_FILE: Final = Path(str(models.__file__)).parent / "explainer" / "genba.gguf"
"""The model that comes with the product."""
NO_BINDING: Final = "The program that runs models is not installed."
INSTALL: Final = "genba models install"
_MB: Final = 1 << 20
_Stamp = tuple[int, int]


def path_of(model: LocalModel, folder: Path) -> Path:
    """Where its file is."""
    return OWN_FILE if model.file == OWN else folder / model.file


def identity(model: Model) -> list[str | int]:
    """What an answer depends on, of a model: another file or another server answers otherwise."""
    if not isinstance(model, LocalModel):
        return [model.url, model.model]
    if model.file != OWN:
        return [model.file, model.sha256, model.context]
    with suppress(OSError):
        stat = OWN_FILE.stat()
        return [model.file, stat.st_mtime_ns, stat.st_size, model.context]
    return [model.file]


class LocalRunner:
    """One local model.

    Args:
        name: Of the model.
        model: As it is set up.
        folder: Of the files of models.
        clock: The time.
    """

    def __init__(self, name: str, model: LocalModel, folder: Path, clock: Clock) -> None:
        self._name = name
        self._model = model
        self._path = path_of(model, folder)
        self._clock = clock
        self._turns = Turns(1, model.queue_max, f"The model {name}")
        self._tasks = Tasks(f"model/{name}")
        self._backoff = Backoff(f"model/{name}")
        self._not_before = 0.0
        self._child: Child | None = None
        self._starting = asyncio.Lock()
        self._refused: tuple[_Stamp, str] | None = None
        self._sums: tuple[_Stamp, str] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._is_asked = False
        self._warned = ""
        self.jail: list[str] = []
        """How its process was locked away when it was started last."""
        self.trouble = ""

    @property
    def state(self) -> str:
        """What it does now."""
        if self._refused is not None or self.trouble:
            return self._refused[1] if self._refused is not None else self.trouble
        if not binding.installed():
            return f"{NO_BINDING} {INSTALL}"
        if self._child is None or self._child.ended.is_set():
            return "stopped"
        return "busy" if self._is_asked else "ready"

    @property
    def waiting(self) -> int:
        """Questions that wait."""
        return self._turns.waiting

    @property
    def pid(self) -> int:
        """Of its process; 0 when there is none."""
        return self._child.pid if self._child is not None else 0

    # ------------------------------------------------------------------ questions

    async def answer(self, ask: Ask, on_piece: OnPiece, left_s: float) -> Answer:
        """The answer; a process that ends meanwhile is started anew once.

        Raises:
            ConfigError: The file or this machine is not as it must be.
            Rejected: The model refuses the question.
            Disconnected: Its process ended twice, or too many wait.
        """
        end = self._clock.monotonic() + left_s
        async with self._turns.turn(ask.priority):
            self._is_asked = True
            try:
                return await self._answer(ask, on_piece, end)
            finally:
                self._is_asked = False
                self._wait_for_more()

    async def _answer(self, ask: Ask, on_piece: OnPiece, end: float) -> Answer:
        given = 0

        def piece(text: str) -> None:
            nonlocal given
            given += 1
            on_piece(text)

        while True:
            child = await self._started()
            try:
                left_s = max(end - self._clock.monotonic(), 0.1)
                # What a process that ended has said already is not said a second time.
                answer = await child.ask(ask, piece if not given else _unheard, left_s)
            except Disconnected as error:
                is_first = self._backoff.tries == 0
                self._failed(error)
                if is_first and child.ended.is_set():
                    _log.warning("%s It is started again.", error)
                    self._not_before = 0.0
                    continue
                raise
            self._backoff.reset()
            self._not_before, self.trouble = 0.0, ""
            return answer

    def _failed(self, error: Disconnected) -> None:
        self._not_before = self._clock.monotonic() + self._backoff.next_s()
        self.trouble = str(error)

    async def warm(self) -> None:
        """Have the process ready, where it can be."""
        try:
            await self._started()
            self._wait_for_more()
        except (ConfigError, Disconnected) as error:
            if str(error) != self._warned:
                _log.warning("%s", error)
            self._warned = str(error)

    # ------------------------------------------------------------------ the process

    async def _started(self) -> Child:
        async with self._starting:
            if self._child is not None and not self._child.ended.is_set():
                return self._child
            if (wait_s := self._not_before - self._clock.monotonic()) > 0:
                raise Disconnected(self.trouble, retry_after_s=wait_s)
            order, stamp = await self._order()
            await self._drop()
            self._child = child = Child(self._name, order)
            try:
                self.jail = await child.start()
            except ConfigError as error:
                self._refused = (stamp, str(error))
                await self._drop()
                raise
            except Disconnected as error:
                await self._drop()
                self._failed(error)
                raise
            self._refused = None
            _log.info("The model %s runs, locked away by %s.", self._name, ", ".join(self.jail))
            return child

    async def _order(self) -> tuple[dict[str, Any], _Stamp]:
        """What the process is told to load.

        Raises:
            ConfigError: There is no such file, or it was refused before.
        """
        if not await asyncio.to_thread(binding.installed):
            raise ConfigError(NO_BINDING, hint=INSTALL)
        try:
            stat = await asyncio.to_thread(self._path.stat)
        except OSError as error:
            raise ConfigError(
                f"The file of the model {self._name} is not there: {self._path}.",
                hint="genba models list",
            ) from error
        stamp = (stat.st_mtime_ns, stat.st_size)
        if self._refused is not None and self._refused[0] == stamp:
            raise ConfigError(self._refused[1])
        model = self._model
        is_own = model.file == OWN
        size, digest = model.size or stat.st_size, model.sha256
        if not digest:
            if self._sums is None or self._sums[0] != stamp:
                self._sums = (stamp, await asyncio.to_thread(gguf.sha256, self._path))
            digest = self._sums[1]
        order = {
            "do": "load",
            "file": str(self._path.resolve()),
            "size": size,
            "sha256": digest,
            "context": model.context,
            "threads": model.threads,
            "memory_bytes": model.memory_mb * _MB,
            "nice": model.nice,
            "is_trusted": is_own,
        }
        return order, stamp

    def _wait_for_more(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._model.idle_s:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self._model.idle_s, self._nobody_asks)

    def _nobody_asks(self) -> None:
        if not self._is_asked and not self._turns.waiting and self._child is not None:
            self._tasks.start("idle", self._sleep())

    async def _sleep(self) -> None:
        async with self._starting:
            if not self._is_asked:
                await self._drop()

    async def _drop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.stop()

    async def close(self) -> None:
        """End the process."""
        if self._idle is not None:
            self._idle.cancel()
        await self._tasks.stop()
        await self._drop()


def _unheard(text: str) -> None:
    """For pieces that nobody is to hear."""


__all__ = ["OWN_FILE", "LocalRunner", "identity", "path_of"]

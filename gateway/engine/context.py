"""The context the engine lends each node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from gateway.data.tag import TagTable
from gateway.data.tasks import Tasks
from gateway.engine.destinations import Destinations
from gateway.engine.doors import BODY_BYTES_MAX, Door, Doors
from gateway.engine.metrics import Lines, NodeStatus
from gateway.engine.models_pool import ModelPool
from gateway.engine.place import about
from gateway.engine.secrets import Secrets
from gateway.errors import ConfigError
from gateway.flow.config import Secret
from gateway.flow.generate import Ask, Generated, OnChunk
from gateway.flow.inbound import GiveBack, OnCall, OnLine
from gateway.flow.node import Clock, Connection

K = TypeVar("K")
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class NodeContext:
    """What one node may use; see `gateway.flow.node.Context`."""

    def __init__(
        self,
        status: NodeStatus,
        *,
        tags: TagTable,
        clock: Clock,
        data_dir: Path,
        tasks: Tasks,
        secrets: Secrets,
        lines: Lines,
        connections: Mapping[str, Connection[Any]],
        destinations: Destinations,
        doors: Doors,
        models: ModelPool | None = None,
        figures: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self.node_id = status.node
        self.flow = status.flow
        self.tags = tags
        self.clock = clock
        self.now = 0
        self.position: Any = None
        self.number = 0
        self.data_dir = data_dir
        self.status = status
        self._tasks = tasks
        self._own: set[asyncio.Task[Any]] = set()
        self._secrets = secrets
        self._lines = lines
        self._connections = connections
        self._destinations = destinations
        self._doors = doors
        self._models = models
        self._figures = figures
        self._log = logging.getLogger(f"genba.{status.flow}.{status.node}")

    def connection(self, kind: type[K], name: str) -> K:
        found = self._connections.get(name)
        if found is None:
            raise ConfigError(
                f"There is no connection {name!r}.",
                where=f"{self.flow}: nodes.{self.node_id}.connection",
                hint=f"There is {', '.join(sorted(self._connections)) or 'none'}.",
            )
        if not isinstance(found, kind):
            raise ConfigError(
                f"The connection {name!r} is a {type(found).__name__}, not a {kind.__name__}.",
                where=f"{self.flow}: nodes.{self.node_id}.connection",
            )
        return found

    def secret(self, ref: Secret) -> str:
        return self._secrets(ref)

    async def resolve(self, host: str, port: int) -> list[str]:
        return await self._destinations.resolve(host, port)

    async def generate(self, ask: Ask, on_chunk: OnChunk | None = None) -> Generated:
        if self._models is None:
            raise ConfigError("No language model is asked here.", hint="genba models list")
        named = ask if ask.key else replace(ask, key=f"{self.flow}/{self.node_id}")
        return await self._models.generate(named, on_chunk)

    def serve(
        self,
        path: str,
        *,
        on_call: OnCall | None = None,
        on_line: OnLine | None = None,
        body_bytes_max: int = 65_536,
    ) -> GiveBack:
        limit = min(body_bytes_max, BODY_BYTES_MAX)
        return self._doors.open(path, Door(f"{self.flow}/{self.node_id}", on_call, on_line, limit))

    def figures(self) -> Mapping[str, float]:
        return self._figures()

    def count(self, name: str, n: int = 1) -> None:
        self.status.counts[name] += n

    def say(self, level: Literal["debug", "info", "warning", "error"], text: str) -> None:
        place = about(self.flow, self.node_id, self.number)
        self._log.log(_LEVELS[level], "%s", text, extra=place)
        if level != "debug":
            self._lines.add(self.clock.now(), level, f"{self.flow}/{self.node_id}", text)

    def show(self, text: str, key: str, *, is_over: bool = False) -> None:
        where = f"{self.flow}/{self.node_id}"
        self._lines.grow(self.clock.now(), where, text, key, is_over=is_over)

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> Awaitable[Any]:
        task = self._tasks.start(f"{self.node_id}/{name}", work)
        self._own.add(task)
        task.add_done_callback(self._own.discard)
        return task

    def end(self) -> None:
        """The node is gone: what it started ends with it."""
        for task in self._own:
            task.cancel()


ContextMaker = Callable[[NodeStatus], NodeContext]

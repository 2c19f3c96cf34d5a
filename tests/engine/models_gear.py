"""What the tests of models share: a pool with a store and destinations of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.clock import SystemClock
from gateway.engine.destinations import Destinations
from gateway.engine.models_pool import ModelPool
from gateway.engine.secrets import Secrets
from gateway.engine.store import Store
from gateway.flow.generate import Ask
from gateway.flow.models import ModelList

needs_llama = pytest.mark.skipif(
    importlib.util.find_spec("llama_cpp") is None,
    reason="llama-cpp-python is not installed: make llm",
)


class Gear:
    """A pool and what it told people."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = SystemClock()
        self.store = Store(folder / "genba.db")
        self.secrets = Secrets(folder / "secrets")
        self.destinations = Destinations(folder / "destinations" / "allowed.json")
        self.said: list[tuple[str, str, str]] = []
        self.pool = self.made()

    def made(self) -> ModelPool:
        """A pool over the same folder, as after a restart."""
        lent = (self.store, self.secrets, self.destinations.resolve)
        return ModelPool(self.folder, self.clock, *lent, lambda *words: self.said.append((*words,)))

    async def restart(self) -> None:
        """Another process over the same folder."""
        await self.pool.stop()
        self.pool = self.made()

    async def set(self, models: dict[str, Any], rules: list[Any] | None = None) -> None:
        """Have these models."""
        found = ModelList.of({"models": models, "rules": rules or []})
        await self.pool.book.put(found, None, "user:test", "models/set")


@asynccontextmanager
async def gear(folder: Path, *, allows: bool = True) -> AsyncIterator[Gear]:
    """A pool that may reach this machine."""
    made = Gear(folder)
    await made.store.open()
    if allows:
        made.destinations.allow("127.0.0.1")
    try:
        yield made
    finally:
        await made.pool.stop()
        await made.store.close()


def ask(text: str = "Say something.", **more: Any) -> Ask:
    """A question."""
    given: dict[str, Any] = {"task": "chat", "messages": (("user", text),), "deadline_s": 20.0}
    return Ask(**{**given, **more})


def server(url: str, **more: Any) -> dict[str, Any]:
    """A model behind a server, as the list has it."""
    return {"kind": "server", "url": url, "model": "m", "is_inside": True, **more}

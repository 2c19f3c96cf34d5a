"""What the tests of links share: the real runtime with its outputs in reach, and stop-watches."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from gateway import Batch
from gateway.engine.runtime import Runtime
from gateway.flow.document import Document
from tests.engine.gear import Script, lent
from tests.faults.figures import record

TORTURE = bool(os.environ.get("GENBA_TORTURE"))
"""The long form: the settings of the product instead of quick ones, and longer runs."""
LONG_S = 90.0
Row = tuple[str, int, float, int]


class Scene:
    """A running runtime, and what its sink `out` has taken: the sink is a `script.sink`."""

    def __init__(self, runtime: Runtime, script: Script) -> None:
        self.runtime = runtime
        self.script = script

    def rows(self, tag: str = "") -> list[Row]:
        """(tag, ts, value, quality) of all that came, or of one tag."""
        names = self.runtime.tags.names()
        found = [m for p, m in self.script.written if p == "in" and isinstance(m, Batch)]
        every = [(names[t], ts, v, q) for batch in found for t, ts, v, q in batch.rows()]
        return [row for row in every if tag in ("", row[0])]

    def good(self, tag: str = "") -> list[float]:
        """Values of quality Good."""
        return [value for _, _, value, status in self.rows(tag) if status == 0]

    def events(self, topic: str) -> list[dict[str, Any]]:
        """Data of all events of a topic, oldest first."""
        found = [e for p, m in self.script.written if p == "events" for e in m]  # type: ignore[union-attr]  # events
        return [{"ts": e.ts, **e.data} for e in found if e.topic == topic]  # type: ignore[union-attr]  # events

    def gaps(self, cause: str) -> list[dict[str, Any]]:
        """Gaps with one cause."""
        return [gap for gap in self.events("source/gap") if gap["cause"] == cause]

    def node(self, name: str) -> Any:
        """The status of a node or connection."""
        return next(status for status in self.runtime.statuses if status.node == name)

    def said(self) -> str:
        """All sentences for people."""
        return "\n".join(line[3] for line in self.runtime.lines.kept)

    def faultless(self) -> None:
        """No code of ours has failed."""
        faults = {s.node: s.counts["faults"] for s in self.runtime.statuses if s.counts["faults"]}
        assert not faults, f"{faults}: {self.said()}"

    async def until(self, check: Callable[[], Any], about: str, seconds: float = LONG_S) -> Any:
        """Wait until something holds, and say what did not."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := check()):
                    await asyncio.sleep(0.02)
                return found
        except TimeoutError:
            raise AssertionError(f"Not within {seconds:.0f} s: {about}.\n{self.said()}") from None

    async def flowing(self, tag: str, n: int = 3) -> None:
        """Wait until so many more good rows of a tag came."""
        before = len(self.good(tag))
        await self.until(lambda: len(self.good(tag)) >= before + n, f"new rows of {tag}")

    async def lost(self, seconds: float = LONG_S) -> None:
        """Wait until a source has told that it lost its device, once more than before."""
        before = len(self.events("source/lost"))
        await self.until(
            lambda: len(self.events("source/lost")) > before, "the loss is found", seconds
        )


@contextlib.asynccontextmanager
async def scene(
    text: str, folder: Path, variables: dict[str, Any] | None = None
) -> AsyncIterator[Scene]:
    """Run a flow; ``${name}`` stand for variables."""
    with lent(Script()) as script:
        filled = Template(text).substitute(variables or {})
        runtime = Runtime([Document.parse(filled)], folder)
        await runtime.start()
        try:
            yield Scene(runtime, script)
        finally:
            await runtime.stop()


class Watch:
    """Measures one thing; figures are recorded, never asserted."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    @property
    def s(self) -> float:
        """Seconds since it was made."""
        return round(time.monotonic() - self._began_s, 2)


def attempts(times: list[float], since_s: float) -> dict[str, float]:
    """How often a link was tried: the number, the rate [1/s], and the longest pause [s]."""
    mine = [at for at in times if at >= since_s]
    passed_s = time.monotonic() - since_s
    pauses = np.diff([*mine, time.monotonic()]) if mine else np.array([passed_s])
    return {
        "attempts": len(mine),
        "per_s": round(len(mine) / passed_s, 3),
        "longest_s": round(float(pauses.max()), 1),
    }


__all__ = ["LONG_S", "TORTURE", "Scene", "Watch", "attempts", "record", "scene"]

"""The gateway itself as a source: ready, alarms, flows, connections."""

from __future__ import annotations

import asyncio
import re
from typing import Final

import numpy as np
from pydantic import Field

from gateway import (
    Batch,
    Config,
    Context,
    Example,
    LimitError,
    PositiveSeconds,
    Reading,
    Source,
    Tag,
    TagName,
    quality,
)

_UNITS: Final = {"uptime": "s"}
_ABOUT: Final = {
    "ready": "1 when the gateway is ready.",
    "uptime": "Time since the gateway started.",
    "raised": "Alarms that were raised within the last ten minutes.",
    "unbalanced": "Rows that the books miss; 0 is right.",
    "connected": "1 while the connection holds.",
    "rows": "Rows that sources brought since the start.",
    "waiting": "Rows that wait for the flow or for its sinks.",
    "troubled": "Nodes that are disconnected, faulted or wrongly set up.",
}
_UNFIT: Final = re.compile(r"[\s+#\x00]+")


class SystemSourceConfig(Config):
    prefix: TagName = Field("gateway", description="What the names of the tags begin with.")
    every_s: PositiveSeconds = Field(5.0, description="Time between two readings.")


class SystemSource(Source[SystemSourceConfig]):
    """Read how the gateway itself is: ready, open alarms, flows and connections.

    Each figure is a tag: `gateway/ready`, `gateway/alarms/open`, `gateway/flow/press/rows`,
    `gateway/connection/press.plc/connected` and others. The tags of a flow or a connection that
    is gone become bad once (BadNoCommunication).

    Delivery: at most once; while the gateway is off nobody reads it.
    Back pressure: reading waits while the inbox is full.
    """

    Config = SystemSourceConfig
    examples = (
        Example("Every five seconds", {}),
        Example("Once a minute, under the name of the site", {"prefix": "site/gw1", "every_s": 60}),
        Example("As fast as an overview wants it", {"every_s": 1}),
    )

    def __init__(self, config: SystemSourceConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._codes: dict[str, int] = {}
        self._due_s = 0.0

    def tag_names(self) -> list[str]:
        return [f"{self.config.prefix}/{name}" for name in ("ready", "uptime", "alarms/open")]

    async def connect(self) -> None:
        self._due_s = self.ctx.clock.monotonic()

    async def read(self) -> Reading:
        await asyncio.sleep(max(self._due_s - self.ctx.clock.monotonic(), 0))
        self._due_s = max(self._due_s + self.config.every_s, self.ctx.clock.monotonic())
        found = dict(self.ctx.figures())
        gone = [self._codes.pop(name) for name in [*self._codes] if name not in found]
        for name in [name for name in found if name not in self._codes]:
            try:
                self._codes[name] = self._code(name)
            except LimitError:  # Said by the gateway's own alarm; the others are read.
                self.ctx.count("tags_full")
                del found[name]
        codes = [*(self._codes[name] for name in found), *gone]
        values = [*found.values(), *([float("nan")] * len(gone))]
        status = [quality.GOOD] * len(found) + [quality.BAD_NO_COMMUNICATION] * len(gone)
        ts = np.full(len(codes), self.ctx.clock.now(), np.int64)
        columns = (np.array(codes, np.uint16), ts, np.array(values), np.array(status, np.uint32))
        return Reading({"out": Batch.columns(*columns)})

    def _code(self, name: str) -> int:
        last = name.rpartition("/")[2]
        tag = _UNFIT.sub("_", f"{self.config.prefix}/{name}")
        return self.ctx.tags.add(Tag(tag, _UNITS.get(last, "1"), about=_ABOUT.get(last, "")))

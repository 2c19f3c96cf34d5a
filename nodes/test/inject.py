"""Inject samples by hand or on a schedule: the button of the palette."""

from __future__ import annotations

import asyncio

from pydantic import Field, field_validator

from gateway import Batch, Config, Context, Example, Reading, Seconds, Source, TagTable, parse_table


class InjectConfig(Config):
    rows: str = Field(
        min_length=1,
        max_length=20_000,
        examples=["TT101 0s 20 | 1s 21 bad"],
        description="Samples in table notation; 0s is the moment of sending.",
    )
    every_s: Seconds = Field(0.0, description="Send again and again after this time; 0 sends once.")

    @field_validator("rows")
    @classmethod
    def _can_be_read(cls, rows: str) -> str:
        parse_table(rows, TagTable())
        return rows


class Inject(Source[InjectConfig]):
    """Send samples that stand in the flow: to try what follows without a device.

    Delivery: at most once; after a restart it begins anew.
    Back pressure: sending waits while the inbox is full.
    """

    Config = InjectConfig
    tells_gaps = True  # There are none: what it sends stands in the flow.
    examples = (
        Example("Three samples at once", {"rows": "TT101 0s 20 | 1s 21 | 2s 22 bad"}),
        Example("One every minute", {"rows": "pump/on 0s 1", "every_s": 60}),
        Example("Two tags", {"rows": "A 0s 1; B 0s 2"}),
    )

    def __init__(self, config: InjectConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._sent = 0

    async def read(self) -> Reading:
        if self._sent and not self.config.every_s:
            await asyncio.Event().wait()
        if self._sent:
            await asyncio.sleep(self.config.every_s)
        self._sent += 1
        batch: Batch = parse_table(self.config.rows, self.ctx.tags, origin=self.ctx.clock.now())
        return Reading({"out": batch})

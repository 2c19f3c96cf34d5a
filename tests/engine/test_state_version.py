"""State that another version of a node stored: brought over by the node, or fresh and said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from gateway import Batch, Config, Outputs, State, StateError, Transform
from gateway.engine.runtime import Runtime
from gateway.flow import registry
from tests.engine.gear import Script, flow, kill, lent, samples, started, until, values


class Empty(Config):
    """Nothing to set."""


class Total(Transform[Empty, Batch]):
    """Adds up the values of each tag, in the unit of the version."""

    Config = Empty
    scale: ClassVar[float] = 1.0

    def __init__(self, config: Empty, ctx: Any) -> None:
        super().__init__(config, ctx)
        self.total = self.per_tag("total", 0.0)

    def process(self, message: Batch, port: str) -> Outputs:
        np.add.at(self.total, message.tag, message.value * self.scale)
        return {"out": message.with_value(self.total[message.tag])}


class Thousandths(Total):
    """The next program: it counts in thousandths, and knows what the one before counted in."""

    state_version = 2
    scale = 1000.0

    def migrate(self, version: int, state: State) -> State:
        if version != 1:
            return super().migrate(version, state)
        return {**state, "total": state["total"] * 1000.0}


class Silent(Total):
    """The next program of one who forgot to write `migrate`."""

    state_version = 3


DOCUMENT = flow(
    "src: {type: script.source}\nsum: {type: t.total}\nout: {type: script.sink}",
    "src -> sum -> out",
)


@pytest.fixture
def script() -> Iterator[Script]:
    with lent(Script()) as script:
        registry.LENT["t.total"] = Total
        yield script


async def restarted(runtime: Runtime, folder: Path, cls: type[Total]) -> Runtime:
    """The gateway after an update; what was read since the checkpoint is in the journal."""
    await kill(runtime)
    registry.LENT["t.total"] = cls
    return await started(DOCUMENT, folder)


async def add(runtime: Runtime, script: Script, value: float, total: float) -> None:
    await script.readings.put(samples(runtime, f"A 0s {value}"))
    await until(lambda: total in values(script))


async def test_a_node_brings_its_state_over(script: Script, tmp_path: Path) -> None:
    runtime = await started(DOCUMENT, tmp_path)
    await add(runtime, script, 5, 5.0)
    await runtime.runners["test"].checkpoint()
    runtime = await restarted(runtime, tmp_path, Thousandths)
    await add(runtime, script, 1, 6000.0)
    assert not [line for line in runtime.lines.kept if "it is new" in line[3]]
    await runtime.runners["test"].checkpoint()
    loaded = await runtime.store.snapshot("test")
    assert loaded is not None
    assert loaded.head["versions"]["sum"] == 2
    runtime = await restarted(runtime, tmp_path, Thousandths)
    await add(runtime, script, 1, 7000.0)
    await runtime.stop()


async def test_without_a_word_a_node_starts_fresh_and_it_is_said(
    script: Script, tmp_path: Path
) -> None:
    runtime = await started(DOCUMENT, tmp_path)
    await add(runtime, script, 5, 5.0)
    await runtime.runners["test"].checkpoint()
    runtime = await restarted(runtime, tmp_path, Silent)
    await add(runtime, script, 1, 1.0)
    (line,) = [line[3] for line in runtime.lines.kept if "it is new" in line[3]]
    assert "sum" in line
    assert "it is of version 1, this program knows version 3" in line
    runtime = await restarted(runtime, tmp_path, Total)  # The update is taken back.
    await add(runtime, script, 2, 5.0 + 1.0 + 2.0)
    await runtime.stop()


def test_the_default_refuses() -> None:
    from gateway.flow.harness import BenchContext, make

    node = make(Total, {}, BenchContext())
    with pytest.raises(StateError, match="version 7"):
        node.migrate(7, {})

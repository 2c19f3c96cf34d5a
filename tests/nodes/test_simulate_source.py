"""The simulated signal: on its grid, within its ends, the same for the same seed."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from gateway import TagTable
from gateway.engine.sim_loop import START_NS, SimClock, SimLoop
from gateway.flow import harness
from gateway.flow.registry import node_class

S = 10**9


def source(loop: SimLoop | None = None, **config: Any) -> Any:
    ctx = harness.BenchContext(tags=TagTable(600))
    if loop is not None:
        ctx.clock = SimClock(loop, None)
    return harness.make(node_class("simulate.source"), {"tag": "A", **config}, ctx)


@pytest.mark.parametrize("shape", ["sine", "ramp", "square", "walk", "constant"])
def test_a_shape_stays_within_its_ends_and_repeats(shape: str) -> None:
    config = {"shape": shape, "low": 10, "high": 20, "period_s": 30, "count": 3, "seed": 4}
    first = [source_.sample(k) for source_ in [source(**config)] for k in range(200)]
    again = [source_.sample(k) for source_ in [source(**config)] for k in range(200)]
    assert np.array_equal(first, again)
    assert np.min(first) >= 10 - 1e-9
    assert np.max(first) <= 20 + 1e-9
    if shape != "walk":
        np.testing.assert_allclose(first[0], first[30], atol=1e-9)


def test_noise_is_of_its_size_and_depends_on_the_seed() -> None:
    noisy = np.concatenate([source(shape="constant", noise=2, count=500).sample(k) for k in (1, 2)])
    assert abs(float(noisy.std()) - 2) < 0.2
    assert abs(float(noisy.mean()) - 50) < 0.3
    other = source(shape="constant", noise=2, count=500, seed=9).sample(1)
    assert not np.array_equal(noisy[:500], other)


def test_samples_come_on_a_grid_and_go_on_from_now_after_a_stall() -> None:
    loop = SimLoop()

    async def go() -> list[tuple[float, int]]:
        node = source(loop, every_s=2.0)
        await node.connect()
        found = []
        for i in range(6):
            if i == 3:
                await asyncio.sleep(9.5)
            reading = await node.read()
            found.append((loop.time(), int(reading.outputs["out"].ts[0])))
        return found

    found = loop.run_until_complete(go())
    loop.close()
    assert [at for at, _ in found] == [0, 2, 4, 13.5, 15.5, 17.5]
    assert all(ts == START_NS + round(at * S) for at, ts in found)


def test_tags_have_their_facts() -> None:
    node = source(count=2, unit="Cel", low=0, high=100)
    assert node.tag_names() == ["A/1", "A/2"]
    assert node.ctx.tags[1].unit == "Cel"
    assert node.ctx.tags[1].high == 110


def test_ends_must_be_in_order() -> None:
    with pytest.raises(ValidationError, match="must be below"):
        source(low=5, high=5)

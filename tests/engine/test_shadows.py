"""A shadow beside a live flow: the same input, effects muted, differences counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import ConfigError
from gateway.engine import shadows, store_writer
from gateway.engine.runtime import Runtime
from gateway.engine.wiring import Result
from gateway.flow.document import Document
from tests.engine.gear import Script, flow, lent, samples, started, until, values

NODES = """
    src: {type: script.source}
    high: {type: alarm.limit, hi: %d}
    out: {type: script.sink}
    """
WIRES = "src -> high, src -> out, high.alarms -> out.alarms"


def edited(limit: int) -> Document:
    return flow(NODES % limit, WIRES)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(Script()) as script:
        yield script


def _rows(runtime: Runtime) -> dict[str, list[int]]:
    """Rows at each end: of the live flow and of the shadow."""
    return {end["end"]: end["rows"] for end in runtime.shadows.row("test")["ends"]}


async def test_it_sees_what_the_live_flow_sees_and_writes_nothing(
    script: Script, tmp_path: Path
) -> None:
    runtime = await started(edited(80), tmp_path)
    await script.readings.put(samples(runtime, "TT1 0s 70"))
    await until(lambda: values(script) == [70.0])
    assert await runtime.shadows.start(edited(60)) == []
    for i, value in enumerate((65, 50, 90, 50)):
        await script.readings.put(samples(runtime, f"TT1 {i + 1}s {value}"))
        await until(lambda: len(values(script)) == i + 2)  # noqa: B023 - it is awaited here
    await until(lambda: _rows(runtime).get("out.in") == [4, 4])
    row = runtime.shadows.row("test")
    assert row["disabled"] == ""
    assert values(script) == [70.0, 65.0, 50.0, 90.0, 50.0], "nothing is written twice"
    live, shadow = _rows(runtime)["out.alarms"]
    assert shadow > live, "the lower limit raises one alarm more"
    assert [e.tag for e in runtime.book.history() if e.change == "raised"] == ["TT1"]
    assert runtime.shadows.stop("test")["steps"] == row["steps"]
    with pytest.raises(ConfigError, match="No shadow"):
        runtime.shadows.row("test")
    await runtime.stop()


async def test_one_that_fails_or_is_slow_hurts_nobody(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "STEP_S_MAX", 0.0)
    monkeypatch.setattr(shadows, "_FIRST_STEPS", 1)
    runtime = await started(edited(80), tmp_path)
    await runtime.shadows.start(edited(60))
    for i in range(6):
        await script.readings.put(samples(runtime, f"TT1 {i}s {i}"))
        await until(lambda: len(values(script)) == i + 1)  # noqa: B023 - it is awaited here
    assert "what the live flow can spare" in runtime.shadows.row("test")["disabled"]
    monkeypatch.setattr(shadows, "STEP_S_MAX", 1.0)
    await runtime.shadows.start(edited(60))

    def fail(inputs: object, now: int) -> Result:
        raise ZeroDivisionError("a bug")

    shadow = runtime.shadows._running["test"].shadow
    monkeypatch.setattr(shadow.player, "step", fail)
    await script.readings.put(samples(runtime, "TT1 9s 9"))
    await until(lambda: len(values(script)) == 7)
    assert "a bug" in runtime.shadows.row("test")["disabled"]
    await runtime.stop()


async def test_there_is_no_shadow_of_nothing(script: Script, tmp_path: Path) -> None:
    runtime = await started(edited(80), tmp_path)
    other = flow(NODES % 1, WIRES, "other")
    with pytest.raises(ConfigError, match="No flow 'other' runs"):
        await runtime.shadows.start(other)
    await runtime.stop()

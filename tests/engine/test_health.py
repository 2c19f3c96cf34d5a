"""The gateway watches itself: what is wrong with it is an alarm like any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import ConfigError, Disconnected, Reading, Rejected
from gateway.engine import health, store_writer
from gateway.engine.backoff import Backoff
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import gaps
from tests.engine.gear import Script, flow, kill, lent, samples, started, until, values

PLAIN = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(health, "LOOK_S", 0.01)
    monkeypatch.setattr(Backoff, "next_s", lambda self, at_least_s=0.0: 0.02)
    with lent(Script()) as script:
        yield script


def own(runtime: Runtime) -> dict[str, str]:
    """The gateway's own open alarms by what they are about, with their states."""
    return {e.tag: e.state.value for e in runtime.book.open() if e.alarm.startswith("gateway/")}


async def test_a_disk_that_refuses_is_an_alarm_at_once(script: Script, tmp_path: Path) -> None:
    runtime = await started(PLAIN, tmp_path)
    commit = runtime.store.commit

    async def refuse(entry: Any) -> None:
        raise Disconnected("The disk is full.")

    runtime.store.commit = refuse  # type: ignore[method-assign]  # a disk that refuses
    await script.readings.put(Reading({"out": samples(runtime, "TT1 0s 1")}, token=1))
    await until(lambda: own(runtime).get("gateway/disk") == "UNACK")
    (alarm,) = [e for e in runtime.book.open() if e.tag == "gateway/disk"]
    assert (alarm.priority, "disk is full" in alarm.text) == ("urgent", True)
    assert script.acknowledged == []
    runtime.store.commit = commit  # type: ignore[method-assign]  # and one that does not
    await until(lambda: own(runtime).get("gateway/disk") == "RTNUN")
    assert script.acknowledged == [1]
    await kill(runtime)
    runtime = await started(PLAIN, tmp_path)
    assert own(runtime)["gateway/disk"] == "RTNUN", "nobody has acknowledged it yet"
    assert await runtime.act("ack", {"alarm": "*", "actor": "user:anna"}) >= 1
    await until(lambda: "gateway/disk" not in own(runtime))
    await runtime.stop()


async def test_a_dead_letter_is_an_alarm(script: Script, tmp_path: Path) -> None:
    script.poison = lambda message: Rejected("No.")
    runtime = await started(PLAIN, tmp_path)
    await script.readings.put(samples(runtime, "TT1 0s 1"))
    await until(lambda: own(runtime).get("gateway/dead_letters") == "UNACK")
    await runtime.stop()


async def test_a_damaged_file_is_an_alarm_and_no_reason_not_to_start(
    script: Script, tmp_path: Path
) -> None:
    (tmp_path / "genba.db").write_bytes(b"no database at all" * 1000)
    runtime = await started(PLAIN, tmp_path)
    await until(lambda: own(runtime).get("gateway/state") == "RTNUN")
    await script.readings.put(samples(runtime, "TT1 0s 1"))
    await until(lambda: values(script) == [1.0])
    await runtime.stop()


async def test_a_clock_that_was_set_is_a_gap_and_a_note(script: Script, tmp_path: Path) -> None:
    runtime = await started(PLAIN, tmp_path)
    clock: Any = runtime.clock
    wall = clock._wall
    clock.jumped()
    clock._wall = lambda: wall() + 3600 * 10**9
    await until(lambda: own(runtime).get("gateway/clock") == "RTNUN")
    await until(lambda: runtime._own is not None and not runtime._own.runner.inbox.rows)
    clock._wall = wall
    await until(lambda: len(runtime.book.history()) >= 4)
    await runtime.stop()
    runtime = await started(PLAIN, tmp_path)
    steps = [gap for gap in await gaps(runtime.store) if gap["cause"] == "clock_step"]
    assert [round((gap["to"] - gap["from"]) / 1e9) for gap in steps] == [3600, 3600]
    await runtime.stop()


async def test_the_name_of_the_own_flow_is_taken(script: Script, tmp_path: Path) -> None:
    mine = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out", "gateway")
    with pytest.raises(ConfigError, match="own flow"):
        await started(mine, tmp_path)


async def test_safe_mode_starts_no_flow_and_says_so(script: Script, tmp_path: Path) -> None:
    await (await started(PLAIN, tmp_path)).stop()
    runtime = Runtime([PLAIN], tmp_path, is_safe=True)
    await runtime.start()
    assert not runtime.hosts
    await until(lambda: own(runtime).get("gateway/safe_mode") == "UNACK")
    await runtime.deploy(PLAIN, "user:anna")  # As it was mended.
    await script.readings.put(samples(runtime, "TT1 0s 1"))
    await until(lambda: values(script) == [1.0])
    await runtime.stop()
    runtime = await started(PLAIN, tmp_path)
    assert list(runtime.hosts) == [PLAIN.name]
    await until(lambda: own(runtime).get("gateway/safe_mode") == "RTNUN")
    await runtime.stop()

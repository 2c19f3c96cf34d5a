"""What waits for a sink that is removed is dropped, counted and said, and never lies about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.status import page
from gateway.engine import store_writer
from gateway.engine.backoff import Backoff
from gateway.engine.report import report
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit_rows
from tests.engine.gear import Script, flow, kill, lent, samples, started, until

KEPT = "src: {type: script.source}\nother: {type: script.sink}"
ALL = flow(
    KEPT + "\nout: {type: script.sink}\nlan: {type: script.lanes}\nask: {type: script.worker}",
    "src -> out, src -> other, src -> lan, src -> ask -> out",
)
LESS = flow(KEPT, "src -> other")
SAID = [f"{n} is closed: 10 rows that waited for it were dropped." for n in ("ask", "lan", "out")]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(Backoff, "next_s", lambda self, at_least_s=0.0: min(at_least_s, 0.01))
    with lent(Script()) as script:
        yield script


async def filled(script: Script, folder: Path) -> Runtime:
    """Ten rows wait for each of three sinks and a worker, on the disk."""
    runtime = await started(ALL, folder)
    script.slow.clear()
    for i in range(5):
        await script.readings.put(samples(runtime, f"A {i}s 1 | {i}.5s 2"))
    boxes = runtime.runners["test"].outboxes()
    await until(lambda: all(sum(_offered(boxes, n)) == 10 for n in ("out", "lan", "ask")))
    await runtime.runners["test"].checkpoint()
    return runtime


def _offered(boxes: Any, node: str) -> list[int]:
    return [box.books.offered for name, box in boxes.items() if name.partition("#")[0] == node]


async def queues(runtime: Runtime) -> set[str]:
    """All queues of the flow that have anything on the disk."""
    return await runtime.store.queues("test")


async def page_of(runtime: Runtime) -> str:
    return "\n".join(line.plain for line in page(await report(runtime)))


async def test_a_deploy_counts_what_it_drops(script: Script, tmp_path: Path) -> None:
    runtime = await filled(script, tmp_path)
    deployed = await runtime.deploy(LESS, "user:anna")
    assert sorted(deployed.said) == SAID
    assert await queues(runtime) == {"other"}
    found = await report(runtime)
    assert (found["closed"], found["unbalanced"]) == ({"test": 30}, 0)
    assert "30 given up with sinks that were removed" in await page_of(runtime)
    (row,) = [r for r in await audit_rows(runtime.store) if r["action"] == "flow/deploy_said"]
    assert sorted(row["detail"]["said"]) == SAID
    await kill(runtime)
    runtime = await started(LESS, tmp_path)
    assert (await report(runtime))["closed"] == {"test": 30}, "once, also after a crash"
    await runtime.stop()


async def test_a_sink_that_is_removed_while_the_gateway_is_off(
    script: Script, tmp_path: Path
) -> None:
    runtime = await filled(script, tmp_path)
    await kill(runtime)
    runtime = await started(LESS, tmp_path)
    assert await queues(runtime) == {"other"}
    assert (await report(runtime))["closed"] == {"test": 30}
    said = [line[3] for line in runtime.lines.kept if "is closed" in line[3]]
    assert sorted(said) == SAID
    await runtime.stop()


async def test_queues_of_which_no_state_is_left_to_tell(script: Script, tmp_path: Path) -> None:
    runtime = await filled(script, tmp_path)

    def forget(db: Any) -> None:
        db.execute("DELETE FROM snapshot")
        db.execute("DELETE FROM journal")
        db.commit()

    await runtime.store.run(forget)
    await kill(runtime)
    runtime = await started(LESS, tmp_path)
    assert await queues(runtime) == {"other"}
    assert (await report(runtime))["closed"] == {"test": 30}
    said = [line[3] for line in runtime.lines.kept if "is closed" in line[3]]
    assert sorted(said) == SAID
    await runtime.stop()


async def test_what_waits_for_a_flow_that_does_not_run_is_shown_until_it_is_removed(
    script: Script, tmp_path: Path
) -> None:
    runtime = await filled(script, tmp_path)
    await kill(runtime)
    other = flow("src: {type: script.source}", "", name="other")
    runtime = await started(other, tmp_path)
    found = await report(runtime)
    waiting = {row["node"]: row["rows"] for row in found["waiting"] if row.get("stopped")}
    assert waiting == {"ask": 10, "lan": 10, "other": 10, "out": 10}
    text = "test/out: 10 rows, "
    hint = "kept until the flow runs again; genba remove test drops them"
    assert any(text in x and hint in x for x in (await page_of(runtime)).splitlines())
    await runtime.remove("test", "user:anna")
    found = await report(runtime)
    assert not found["waiting"]
    assert found["closed"] == {"test": 40}
    assert await queues(runtime) == set()
    assert "test: 40 rows given up" in await page_of(runtime)
    await runtime.stop()

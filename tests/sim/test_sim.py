"""The engine through simulated days of faults; a failure names the seed that repeats it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.engine import egress, recovery, runner, sim, store_ledger
from gateway.engine.sim_day import Report
from gateway.engine.sim_world import (
    CLOCK_BACK,
    CLOCK_FORWARD,
    CRASH,
    DISCONNECT,
    DISK_FULL,
    REFUSE,
    Device,
    Fault,
    Receiver,
)
from tests.faults.figures import record

HOT = 90.0
COLD = 50.0


def day(script: Sequence[float | Fault], **receivers: Sequence[float | Fault]) -> Report:
    """A day with a script of its own; receivers that are not named take everything."""
    names = ("raw", "trend", "alarms", "valve", "screen", "ask", "answers")
    takers = {name: Receiver(receivers.get(name, ())) for name in names}
    device = Device(("press/oil",), sim.EVERY_S, script)
    return sim.simulate(0, len(script) * sim.EVERY_S / 3600, {"press": device}, takers)


TORTURE = bool(os.environ.get("GENBA_TORTURE"))
HOURS = float(os.environ.get("GENBA_SIM_H") or (6.0 if TORTURE else 0.5))


@pytest.mark.parametrize("seed", range(1, 1001 if TORTURE else 21))
def test_a_day_of_faults(seed: int) -> None:
    report = sim.run(seed, HOURS)
    record(
        "simulation",
        seeds=1,
        plant_hours=HOURS,
        rows=report.rows,
        crashes=sum(n for kind, n in report.faults.items() if kind.startswith("CRASH")),
        deploys=report.faults.get("DEPLOY", 0),
        problems=len(report.problems),
    )
    again = f"python -m gateway.engine.sim --seed {seed} --hours {HOURS:g}"
    assert not report.problems, f"{again}\n{report}"
    assert report.rows == 2 * round(HOURS * 720)


def test_equal_seeds_give_equal_days() -> None:
    assert sim.run(7, 0.5).digest == sim.run(7, 0.5).digest
    assert sim.run(7, 0.5).digest != sim.run(8, 0.5).digest


@pytest.mark.parametrize(
    "fault",
    [
        DISCONNECT(30.0),
        CRASH(),
        CRASH(600.0),
        *(CRASH(2.0, point) for point in ("pre_commit", "post_commit", "pre_ack", "mid_step")),
        *(CRASH(2.0, point) for point in ("pre_snapshot", "post_snapshot")),
        CLOCK_BACK(3600.0),
        CLOCK_FORWARD(86_400.0),
        DISK_FULL(60.0),
    ],
    ids=str,
)
def test_each_fault_alone(fault: Fault) -> None:
    script: list[float | Fault] = [*[COLD, COLD + 1] * 50, fault, *[HOT, HOT + 1] * 50]
    report = day([*script, *[COLD, COLD - 1] * 50])
    assert report.problems == []
    assert sum(report.faults.values()) == 1


def test_a_crash_while_the_receiver_is_away_loses_nothing() -> None:
    script: list[float | Fault] = [*[COLD, HOT] * 60, CRASH(), *[COLD, HOT] * 60, CRASH(), COLD]
    report = day(script, raw=[100.0, DISCONNECT(1000.0)], trend=[50.0, DISCONNECT(2000.0)])
    assert report.problems == []
    assert report.faults == {"CRASH": 2, "DISCONNECT": 2}


def test_alarms_that_timers_raised_outlive_a_crash() -> None:
    quiet = [COLD] * 20
    script: list[float | Fault] = [*quiet, DISCONNECT(300.0), *quiet, *quiet, CRASH(5.0), *quiet]
    report = day([*script, *quiet, DISCONNECT(200.0), *quiet, CRASH(400.0), *quiet, *quiet])
    assert report.problems == []


def test_a_gateway_that_is_away_is_no_silent_device() -> None:
    script: list[float | Fault] = [*[COLD] * 20, CRASH(1000.0), *[COLD] * 300]
    report = day(script)
    assert report.problems == []
    assert "silent" not in str(report)


def test_what_is_refused_is_kept_and_costs_nothing_else() -> None:
    report = day([COLD, HOT] * 100, raw=[100.0, DISCONNECT(60.0), 61.0, REFUSE(), 100.0, REFUSE()])
    assert report.problems == []
    assert report.faults["REFUSE"] == 2


# ------------------------------------------------------------------ the checks have teeth


STORM = [*[COLD, HOT] * 40, CRASH(), *[HOT, COLD] * 40, CRASH(2.0, "mid_step"), *[COLD] * 60]


def test_it_finds_an_acknowledgement_before_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hasty(self: Any, entries: Any) -> None:
        for entry in entries:
            if entry.ingress is not None and entry.token is not None:
                await entry.ingress.acknowledge(entry.token)
        await serve(self, entries)

    serve = runner.FlowRunner._serve
    monkeypatch.setattr(runner.FlowRunner, "_serve", hasty)
    script = [*[COLD, HOT] * 40, CRASH(2.0, "pre_commit"), *[COLD, HOT] * 40]
    assert any("lost" in text for text in day(script).problems)


def test_it_finds_cursors_that_are_not_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(self: Any, mark: Any, offered: Any, blocks: Any) -> bool:
        return bool(restore(self, {**mark, "low": mark.get("offered", 0)}, offered, ()))

    restore = egress.Outbox.restore
    monkeypatch.setattr(egress.Outbox, "restore", forgetful)
    script: list[float | Fault] = [*[COLD, HOT] * 100, CRASH(), *[COLD, HOT] * 40]
    problems = day(script, raw=[250.0, DISCONNECT(900.0)]).problems
    assert any("acknowledged rows were lost" in text for text in problems), problems


def test_it_finds_a_setpoint_that_is_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    def eager(self: Any, port: str, message: Any, *, replay: bool = False) -> None:
        self._is_up = True
        offer(self, port, message)

    offer = egress.Egress.offer
    monkeypatch.setattr(runner, "MARK_S", 3600.0)  # Else it is known what was written.
    monkeypatch.setattr(egress.Egress, "offer", eager)
    storm = [*[COLD, HOT] * 40, CRASH(20.0, "mid_step"), *[COLD] * 60]
    problems = day(storm, valve=[50.0, DISCONNECT(100.0)]).problems
    assert any("valve" in text for text in problems), problems


def test_it_finds_a_snapshot_with_a_wrong_number(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wrong(self: Any, checkpoint: Any) -> int:
        checkpoint.seq += 4  # The next records are of timers and answers and hold no row.
        return int(await save(self, checkpoint))

    save = store_ledger.LedgerStore.save_snapshot
    monkeypatch.setattr(store_ledger.LedgerStore, "save_snapshot", wrong)
    script: list[float | Fault] = [*[COLD, HOT] * 31, CRASH(), *[COLD] * 60]
    assert day(script).problems


def test_it_finds_a_journal_that_is_not_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(self: Any) -> None:
        return

    monkeypatch.setattr(recovery.Recovery, "_replay", nothing)
    assert day(STORM).problems

"""Setpoints of people and writes of flows, through a running gateway to a device that records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Batch, ConfigError, Disconnected, Rejected
from gateway.engine import setpoint_watch, store_writer
from gateway.engine.principal import Principal
from gateway.engine.runtime import Runtime
from gateway.engine.setpoint import ENDED
from gateway.engine.store_records import audit_check, audit_rows, letters
from tests.engine.gear import kill, started, until
from tests.engine.setpoint_gear import (
    ANNA,
    BOB,
    CARL,
    READ_BACK,
    RUNS,
    SHOWN,
    TAG,
    Device,
    device,
    grant,
    press,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(setpoint_watch, "LOOK_S", 0.01)


@pytest.fixture
def valve() -> Iterator[Device]:
    with device() as made:
        yield made


@pytest.fixture
async def runtime(valve: Device, tmp_path: Path) -> AsyncIterator[Runtime]:
    made = await started(press(), tmp_path)
    await until(lambda: made.runners["press"].egresses["valve"].is_up)
    yield made
    await made.stop()


async def ended(runtime: Runtime, found: dict[str, Any]) -> dict[str, Any]:
    await until(lambda: runtime.setpoints.row(found["setpoint"])["state"] in ENDED)
    return runtime.setpoints.row(found["setpoint"])


async def written(runtime: Runtime, value: float, who: Principal = ANNA) -> dict[str, Any]:
    """Arm and confirm as one person; the end of it."""
    armed = await runtime.setpoints.arm(who, TAG, value)
    if not armed["token"]:
        return armed
    return await ended(runtime, await runtime.setpoints.confirm(who, armed["token"]))


async def said(runtime: Runtime) -> list[tuple[str, str, Any]]:
    rows = await audit_rows(runtime.store)
    return [(row["actor"], row["action"], row["detail"]) for row in reversed(rows)]


async def test_arm_confirm_written_read_back_and_audited(valve: Device, runtime: Runtime) -> None:
    await runtime.setpoints.book.put("user:carl", grant(**READ_BACK, step_max=20))
    armed = await runtime.setpoints.arm(ANNA, TAG, 30.0)
    assert armed["token"] == ""
    assert armed["state"] == "refused"
    assert f"{SHOWN} has had no value since the gateway started." in armed["text"]
    await valve.shows(runtime, speed=20.0)
    await until(lambda: runtime.setpoints._ledger.look(SHOWN))
    assert "The step of 30 is more than 20." in (await written(runtime, 50.0))["text"]
    armed = await runtime.setpoints.arm(ANNA, TAG, 30.0, why="new recipe")
    assert [check["rule"] for check in armed["checks"]] == ["role", "device", "range", "step"]
    assert armed["before"] == 20.0
    assert valve.given == []
    found = await runtime.setpoints.confirm(ANNA, armed["token"])
    assert found["state"] == "confirmed"
    await until(lambda: valve.given)
    await valve.shows(runtime, speed=30.2)
    row = await ended(runtime, found)
    assert (row["state"], row["before"], row["after"]) == ("written", 20.0, 30.2), row
    assert valve.given == [(TAG, 30.0)]
    await runtime.setpoints.look()
    audit = await said(runtime)
    mine = [(who, what) for who, what, detail in audit if detail.get("setpoint") == row["setpoint"]]
    assert mine == [
        ("user:anna", "setpoint/arm"),
        ("user:anna", "setpoint/confirm"),
        ("user:anna", "setpoint/result"),
    ]
    last = audit[-1][2]
    assert (last["cause"], last["before"], last["after"], last["value"]) == (
        "new recipe", 20.0, 30.2, 30.0,
    )  # fmt: skip
    assert not (await audit_check(runtime.store)).broken
    assert runtime.setpoints.rows()[0] == row
    assert "token" not in row


async def test_a_device_that_holds_another_value(valve: Device, runtime: Runtime) -> None:
    await runtime.setpoints.book.put("x", grant(**READ_BACK, read_back_s=0.1))
    await valve.shows(runtime, speed=20.0)
    await until(lambda: runtime.setpoints._ledger.look(SHOWN))
    row = await written(runtime, 30.0)
    assert (row["state"], row["after"]) == ("differs", 20.0)
    assert "press/speed shows 20 and not 30" in row["text"]


async def test_who_may_and_who_may_confirm(valve: Device, runtime: Runtime) -> None:
    desk = runtime.setpoints
    with pytest.raises(ConfigError, match="No write grant lets people"):
        await desk.arm(ANNA, TAG, 1.0)
    await desk.book.put("x", grant(role="engineer"))
    assert "user:carl has not the grant writer" in (await desk.arm(CARL, TAG, 1.0))["text"]
    assert "the grant asks for engineer" in (await desk.arm(ANNA, TAG, 1.0))["text"]
    armed = await desk.arm(BOB, TAG, 1.0)
    with pytest.raises(Rejected, match="Only user:bob"):
        await desk.confirm(ANNA, armed["token"])
    await desk.book.put("x", grant(two_person=True))
    with pytest.raises(Rejected, match="Nothing is armed"):
        await desk.confirm(BOB, armed["token"] + "x")
    found = await desk.confirm(BOB, armed["token"])
    assert "was changed. Arm again" in found["text"]
    armed = await desk.arm(BOB, TAG, 1.0)
    with pytest.raises(Rejected, match="Somebody else"):
        await desk.confirm(BOB, armed["token"])
    desk.may_still = lambda account: False
    with pytest.raises(Rejected, match="may not write setpoints any more"):
        await desk.confirm(ANNA, armed["token"])
    desk.may_still = lambda account: True
    row = await ended(runtime, await desk.confirm(ANNA, armed["token"]))
    assert (row["state"], row["armed_by"], row["confirmed_by"]) == (
        "written", "user:bob", "user:anna",
    )  # fmt: skip
    with pytest.raises(Rejected, match="Nothing is armed"):
        await desk.confirm(ANNA, armed["token"])
    assert valve.given == [(TAG, 1.0)]
    assert ("user:anna", "setpoint/denied") in [(a, b) for a, b, _ in await said(runtime)]


async def test_interlocks_fail_closed(valve: Device, runtime: Runtime) -> None:
    lock = {"when": "running == 0", "inputs": {"running": RUNS}, "about": "The press stands"}
    await runtime.setpoints.book.put("x", grant(interlocks=[lock]))
    assert "no value since the gateway started" in (await written(runtime, 1.0))["text"]
    await valve.shows(runtime, running=1.0)
    await until(lambda: runtime.setpoints._ledger.look(RUNS))
    assert "does not hold (running 1)" in (await written(runtime, 1.0))["text"]
    await valve.shows(runtime, running=0.0)
    await until(lambda: runtime.setpoints._ledger.look(RUNS).value == 0.0)
    assert (await written(runtime, 1.0))["state"] == "written"
    now = runtime.clock.now()
    code = runtime.tags.code(RUNS)
    for row in ((code, now, 0.0, 0x80000000), (code, now - 11 * 10**9, 0.0, 0)):
        valve.script.readings.put_nowait(Batch.of([row]))
        await until(lambda row=row: runtime.live.quality[code] == row[3])
        found = await written(runtime, 2.0)
        assert found["state"] == "refused", found
    assert valve.given == [(TAG, 1.0)]


async def test_an_interlock_that_opens_between_confirm_and_write(
    valve: Device, runtime: Runtime
) -> None:
    lock = {"when": "running == 0", "inputs": {"running": RUNS}}
    await runtime.setpoints.book.put("x", grant(interlocks=[lock]))
    await valve.shows(runtime, running=0.0)
    await until(lambda: runtime.setpoints._ledger.look(RUNS))
    armed = await runtime.setpoints.arm(ANNA, TAG, 1.0)
    async with runtime.runners["press"].lock:  # The flow is held up between the two.
        found = await runtime.setpoints.confirm(ANNA, armed["token"])
        runtime.live.value[runtime.tags.code(RUNS)] = 1.0
    row = await ended(runtime, found)
    assert row["state"] == "refused"
    assert "running == 0: does not hold" in row["text"]
    assert valve.given == []


async def test_what_is_late_is_dropped_with_an_event(valve: Device, runtime: Runtime) -> None:
    await runtime.setpoints.book.put("x", grant(max_age_s=0.2, confirm_s=2))
    armed = await runtime.setpoints.arm(ANNA, TAG, 1.0)
    async with runtime.runners["press"].lock:
        found = await runtime.setpoints.confirm(ANNA, armed["token"])
        row = await ended(runtime, found)
    assert (row["state"], row["text"]) == (
        "expired", "It could not be written in time, so it was dropped.",
    )  # fmt: skip
    assert any("could not be written in time" in line[3] for line in runtime.lines.kept)
    await until(lambda: valve.script.writing == 0 and not runtime.runners["press"].inbox.rows)
    valve.script.slow.clear()  # A device that takes a second for a write.
    armed = await runtime.setpoints.arm(ANNA, TAG, 2.0)
    row = await ended(runtime, await runtime.setpoints.confirm(ANNA, armed["token"]))
    assert (row["state"], "may or may not" in row["text"]) == ("unknown", True)
    valve.script.slow.set()
    await asyncio.sleep(0.05)
    assert valve.given == []


async def test_a_device_that_is_away_is_said_and_never_written_later(
    valve: Device, runtime: Runtime
) -> None:
    await runtime.setpoints.book.put("x", grant(max_age_s=0.3))
    armed = await runtime.setpoints.arm(ANNA, TAG, 1.0)
    valve.script.away = True
    row = await ended(runtime, await runtime.setpoints.confirm(ANNA, armed["token"]))
    assert row["state"] == "unknown"
    assert "The link broke" in row["text"]
    assert "cannot write now" in (await runtime.setpoints.arm(ANNA, TAG, 2.0))["text"]
    valve.script.away = False
    await until(lambda: runtime.runners["press"].egresses["valve"].is_up)
    assert valve.given == []


async def test_what_a_flow_writes_is_judged_too(valve: Device, runtime: Runtime) -> None:
    await valve.shows(runtime, wanted=500.0)
    await until(lambda: valve.given == [(TAG, 500.0)])  # No grant: only the sink's own limits.
    await runtime.setpoints.book.put("x", grant())
    counts = runtime.runners["press"].egresses["valve"].ctx.status.counts
    for value, wanted in ((500.0, 0), (60.0, 1), (float("nan"), 1), (70.0, 2)):
        before = counts["refused_writes"] + counts["written"]
        await valve.shows(runtime, wanted=value)
        await until(lambda before=before: counts["refused_writes"] + counts["written"] > before)
        assert len(valve.given) == 1 + wanted
    await runtime.setpoints.book.put("x", grant(by="people"))
    await valve.shows(runtime, wanted=80.0)
    await until(lambda: counts["refused_writes"] == 3)
    assert valve.given[1:] == [(TAG, 60.0), (TAG, 70.0)]
    found = await letters(runtime.store)
    assert [row["error"] for row in reversed(found)] == [
        f"{TAG} = 500 is not written. 500 is outside 0 to 100.",
        f"{TAG} = nan is not written. Its quality is not Good.",
        f"{TAG} = 80 is not written. The write grant speed is for people only.",
    ]


async def test_a_tag_with_a_grant_has_no_way_around(valve: Device, tmp_path: Path) -> None:
    other = press().text().replace("flow: press", "flow: other")
    documents = [press(), type(press()).parse(other)]
    runtime = await started(documents, tmp_path)
    await until(lambda: all(r.egresses["valve"].is_up for r in runtime.runners.values()))
    await runtime.setpoints.book.put("x", grant())
    runtime.runners["other"].put(
        "valve", "in", Batch.of([(runtime.tags.code(TAG), runtime.clock.now(), 5.0, 0)])
    )
    counts = runtime.runners["other"].egresses["valve"].ctx.status.counts
    await until(lambda: counts["refused_writes"])
    (letter,) = await letters(runtime.store)
    assert letter["error"] == f"{TAG} is written by its write grant only, which is for press/valve."
    assert valve.given == []
    await runtime.stop()


async def test_a_flow_that_may_not_write(valve: Device, tmp_path: Path) -> None:
    runtime = await started(press(more=""), tmp_path)
    await until(lambda: runtime.runners["press"].egresses["valve"].is_up)
    await valve.shows(runtime, wanted=1.0)
    found: list[Any] = []

    async def has_letter() -> bool:
        found[:] = await letters(runtime.store)
        return bool(found)

    async with asyncio.timeout(10):
        while not await has_letter():
            await asyncio.sleep(0.01)
    assert "may not change the plant" in found[0]["error"]
    assert valve.given == []
    await runtime.stop()


async def test_a_sink_that_keeps_what_it_could_not_send(valve: Device, tmp_path: Path) -> None:
    """Store and forward, but not of what a grant is for: that goes once and at once."""
    runtime = await started(press("script.keeping"), tmp_path)
    egress = runtime.runners["press"].egresses["valve"]
    await until(lambda: egress.is_up)
    await runtime.setpoints.book.put("x", grant())
    armed = await runtime.setpoints.arm(ANNA, TAG, 7.0)
    valve.script.trouble.append(Disconnected("It went away."))
    row = await ended(runtime, await runtime.setpoints.confirm(ANNA, armed["token"]))
    assert row["state"] == "unknown"
    await until(lambda: egress.is_up and not egress.queued_rows)
    assert valve.given == []
    assert (await written(runtime, 8.0))["state"] == "written"
    assert valve.given == [(TAG, 8.0)]
    await runtime.stop()


@pytest.mark.parametrize("sink", ["script.valve", "script.keeping"])
@pytest.mark.parametrize("moment", ["armed", "recorded", "handed in", "writing", "written"])
async def test_a_kill_at_every_moment(
    valve: Device, tmp_path: Path, moment: str, sink: str
) -> None:
    """At most once, whenever the power goes; and afterwards somebody can see what became of it."""
    runtime = await started(press(sink), tmp_path)
    await until(lambda: runtime.runners["press"].egresses["valve"].is_up)
    desk = runtime.setpoints
    await desk.book.put("x", grant(max_age_s=30))
    armed = await desk.arm(ANNA, TAG, 7.0)
    token = armed["token"]
    if moment == "recorded":
        desk._send = lambda one, until_s: None  # type: ignore[method-assign]  # the last it does
    if moment == "writing":
        valve.script.slow.clear()
    if moment != "armed":
        runner = runtime.runners["press"]
        if moment == "handed in":
            await runner.lock.acquire()
        await desk.confirm(ANNA, token)
        if moment == "writing":
            await until(lambda: valve.script.writing)
        if moment == "written":
            await until(lambda: valve.given)
    await kill(runtime)
    valve.script.slow.set()
    before = list(valve.given)
    again = await started(press(sink), tmp_path)
    egress = again.runners["press"].egresses["valve"]
    await until(lambda: egress.is_up and not egress.queued_rows)
    await again.setpoints.look()
    with pytest.raises(Rejected, match="Nothing is armed"):
        await again.setpoints.confirm(ANNA, token)
    row = again.setpoints.row(armed["setpoint"])
    wanted = {"armed": ("expired",), "written": ("written", "unknown")}
    assert row["state"] in wanted.get(moment, ("unknown",)), row
    assert valve.given == before
    assert len(before) == (moment == "written")
    assert (await written(again, 8.0))["state"] == "written"
    assert valve.given == [*before, (TAG, 8.0)]
    await again.stop()


async def test_grants_are_revisions_and_survive(valve: Device, tmp_path: Path) -> None:
    runtime = await started(press(), tmp_path)
    book = runtime.setpoints.book
    assert await book.put("user:carl", grant()) == 1
    assert await book.put("user:carl", grant(hi=50)) == 2
    with pytest.raises(ConfigError, match="The grant 'speed' is for one of these tags"):
        await book.put("user:carl", grant(id="other"))
    await book.put("user:carl", grant(id="gone", tags=["a/b"]))
    await book.remove("user:carl", "gone")
    with pytest.raises(ConfigError, match="no write grant 'gone'"):
        await book.remove("user:carl", "gone")
    await runtime.stop()
    again = await started(press(), tmp_path)
    (row,) = again.setpoints.book.rows()
    assert (row["id"], row["hi"], row["revision"], row["author"]) == ("speed", 50, 2, "user:carl")
    audit = [(w, d["grant"], d["revision"]) for _, w, d in await said(again)]
    assert audit == [
        ("grant/set", "speed", 1),
        ("grant/set", "speed", 2),
        ("grant/set", "gone", 1),
        ("grant/remove", "gone", 2),
    ]
    await again.stop()


async def test_a_damaged_grant_refuses(valve: Device, tmp_path: Path) -> None:
    runtime = await started(press(), tmp_path)
    await runtime.setpoints.book.put("user:carl", grant())

    def damage(db: Any) -> None:
        db.execute("DROP TRIGGER write_grant_is_final")
        db.execute("UPDATE write_grant SET fact = replace(fact, '100.0', '900.0')")
        db.commit()

    await runtime.store.run(damage)
    await runtime.stop()
    again = await started(press(), tmp_path)
    await until(lambda: again.runners["press"].egresses["valve"].is_up)
    assert again.setpoints.book.damaged == ["speed"]
    await valve.shows(again, wanted=1.0)
    counts = again.runners["press"].egresses["valve"].ctx.status.counts
    await until(lambda: counts["refused_writes"])
    with pytest.raises(ConfigError, match="No write grant"):
        await again.setpoints.arm(ANNA, TAG, 1.0)
    assert valve.given == []
    await again.setpoints.book.put("user:carl", grant())
    assert (await written(again, 5.0))["state"] == "written"
    await again.stop()


async def test_what_cannot_be_recorded_is_not_written(valve: Device, runtime: Runtime) -> None:
    desk = runtime.setpoints
    await desk.book.put("x", grant())
    armed = await desk.arm(ANNA, TAG, 5.0)
    note = desk._note

    async def away(*said: Any) -> None:
        raise Disconnected("The disk is full.")

    desk._note = away
    with pytest.raises(Disconnected):
        await desk.confirm(ANNA, armed["token"])
    with pytest.raises(Disconnected):
        await desk.arm(ANNA, TAG, 6.0)
    desk._note = note
    with pytest.raises(Rejected, match="Nothing is armed"):
        await desk.confirm(ANNA, armed["token"])
    assert desk.row(armed["setpoint"])["state"] == "refused"
    assert valve.given == []

"""Nothing acknowledged is lost and nothing counts twice, however often the gateway is killed.

A publisher sends some 4,500 messages a second over a real broker, with QoS 1, and writes down what
was acknowledged to it. The gateway is killed at every named crash point and at random, and started
again at once. Then what came out is compared with what must come out, bit by bit.

`GENBA_TORTURE=1` kills it hundreds of times; `GENBA_KILL_SEED` chooses other chances.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.engine.codec import plain
from gateway.engine.crash import POINTS
from gateway.engine.fold import Folded, fold, stored
from gateway.engine.store import Store
from gateway.errors import StateError
from gateway.flow.document import Document
from gateway.flow.variables import resolve
from tests.faults.figures import record
from tests.faults.session import Session
from tests.faults.verdict import Verdict, judge, lines

pytestmark = [pytest.mark.plant, pytest.mark.slow]

TORTURE: Final = os.environ.get("GENBA_TORTURE") == "1"
SEED: Final = int(os.environ.get("GENBA_KILL_SEED", "1"))
POINT_KILLS: Final = 20 if TORTURE else 3
RANDOM_KILLS: Final = 500 if TORTURE else 24
COLD_KILLS: Final = 25 if TORTURE else 3
ELSEWHERE: Final[dict[str, str]] = {
    "post_deploy": "Nobody changes the flow here; the tests of hot deploy come by this one.",
}
"""Crash points that this flow never comes by, each with the reason and where it is tested."""
AGAIN: Final = (
    f"GENBA_KILL_SEED={SEED} {'GENBA_TORTURE=1 ' * TORTURE}python -m pytest {Path(__file__).name}"
)


@dataclass
class Outcome:
    """One session and what came of it."""

    session: Session
    verdict: Verdict
    folded: Folded
    checkpoints: dict[int, str]
    """Digests of checkpoints that the killed had left, by the record after which they were."""
    last: tuple[int, str]
    """The same for the checkpoint at the end."""
    stored_alarms: list[dict[str, Any]]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """One publisher and one broker for all the kills."""
    print(f"Again: {AGAIN}")
    kinds = [p for p in POINTS if p not in ELSEWHERE for _ in range(POINT_KILLS)]
    kinds += ["random"] * RANDOM_KILLS + ["cold"] * COLD_KILLS
    folder = tmp_path_factory.mktemp("kills")
    sample_every = 20 if TORTURE else 4
    with Session(folder, SEED, sample_every=sample_every) as session:
        session.chance.shuffle(kinds)
        unreached: set[str] = set()
        for kind in kinds:
            if kind == "random":
                session.kill_at_random()
            elif kind == "cold":
                session.kill_cold()
            elif kind not in unreached and not session.kill_at(kind):
                unreached.add(kind)
        session.finish()
        found = asyncio.run(_looked_into(session))
        _tell(found)
        yield found


async def _looked_into(session: Session) -> Outcome:
    document = Document.load(session.folder / "kills.flow.yaml")
    document = document.with_values(lambda value: resolve(value, {"mqtt_url": "mqtt://nowhere"}))
    store = Store(session.state / "genba.db")
    await store.open()
    try:
        tags = len(await store.tags())
        checkpoints = dict([found async for found in _samples(session, tags)])
        return Outcome(
            session,
            judge(session),
            await fold(store, document, checkpoints),
            checkpoints,
            await stored(store, "kills"),
            [
                plain(event)
                for event in await store.alarm_events()
                if event.alarm.startswith("kills/")  # Not those of the gateway about itself.
            ],
        )
    finally:
        await store.close()


async def _samples(session: Session, tags: int) -> Any:
    """(record, digest) of the checkpoints in copies of the state file, since all tags are known.

    Arrays with a cell a tag are shorter before, so their bits do not compare.
    """
    for path in session.samples:
        copy = Store(path)
        damaged = await copy.open()
        assert not damaged, f"{damaged} Again: {AGAIN}"
        try:
            found = await copy.snapshot("kills")
            states = found.states.values() if found is not None else ()
            if any(len(array) == tags for state in states for array in state.values()):
                yield await stored(copy, "kills")
        except StateError:
            pass  # It was killed before its first checkpoint.
        finally:
            await copy.close()


def _tell(found: Outcome) -> None:
    """Print the figures, and keep them for the page that publishes them."""
    session, verdict = found.session, found.verdict
    kinds = Counter(kill.kind for kill in session.kills if kill.was_reached)
    recoveries = lines(session.folder / "recoveries.jsonl")
    first = {
        kind: sorted(r["first_s"] for r in recoveries if r["kind"] == kind)
        for kind in ("warm", "cold")
    }
    numbers: dict[str, float] = {
        "kills": kinds.total(),
        "random_kills": kinds["random"],
        "crash_points": len(kinds) - 1,
        "point_kills_min": min(kinds[p] for p in POINTS if p not in ELSEWHERE),
        "messages": verdict.acknowledged,
        "messages_per_s": round(verdict.acknowledged / session.published["s"]),
        "lost": verdict.lost,
        "double": verdict.double,
        "windows": verdict.windows,
        "alarm_events": verdict.alarms,
        "missing_alarms": verdict.missing_alarms,
        "spurious_alarms": verdict.spurious_alarms,
        "redelivered": session.redelivered,
        "lines_repeated": verdict.repeated,
        "checkpoints_compared": len(found.checkpoints) + 1,
        "recovery_median_s": round(statistics.median(first["cold"]), 3),
        "recovery_max_s": round(first["cold"][-1], 3),
        "recovery_without_imports_median_s": round(statistics.median(first["warm"]), 3),
        "recovery_without_imports_max_s": round(first["warm"][-1], 3),
    }
    print(f"{numbers}\n{verdict}")
    record("kills", seed=SEED, **numbers)


@pytest.mark.parametrize("point", POINTS)
def test_it_was_killed_at(outcome: Outcome, point: str) -> None:
    if point in ELSEWHERE:
        pytest.skip(ELSEWHERE[point])
    died = [kill for kill in outcome.session.kills if kill.kind == point and kill.was_reached]
    assert len(died) >= POINT_KILLS, f"Never seen at {point}. Again: {AGAIN}"


def test_it_was_killed_at_random(outcome: Outcome) -> None:
    died = [kill for kill in outcome.session.kills if kill.kind == "random" and kill.was_reached]
    assert len(died) >= RANDOM_KILLS + COLD_KILLS, f"Again: {AGAIN}"


def test_nothing_is_lost_and_nothing_counts_twice(outcome: Outcome) -> None:
    verdict = outcome.verdict
    assert verdict.acknowledged > 10_000
    assert min(verdict.windows, verdict.alarms) > 100
    assert outcome.session.redelivered > 0, "no kill had the broker send anything again"
    assert verdict.faults() == {}, f"{verdict}. Again: {AGAIN}"


def test_the_state_is_what_the_journal_gives(outcome: Outcome) -> None:
    seq, digest = outcome.last
    folded = outcome.folded
    assert (folded.seq, folded.digest) == (seq, digest), f"Again: {AGAIN}"
    assert outcome.checkpoints, "no checkpoint was left to look at"
    assert folded.digests == outcome.checkpoints, f"Again: {AGAIN}"


def test_alarm_events_are_those_of_a_run_without_kills(outcome: Outcome) -> None:
    wanted = [plain(event) for event in outcome.folded.alarms]
    assert outcome.stored_alarms == wanted, f"Again: {AGAIN}"
    # In the sink an event may stand twice, never with other words.
    rows = lines(outcome.session.state / "alarms.jsonl")
    # The store leaves out when shelving ends where nothing is shelved; the sink says 0.
    told = [{key: row[key] for key in row if key != "until" or row[key]} for row in rows]
    came = {json.dumps(row, sort_keys=True) for row in told}
    known = {json.dumps(row, sort_keys=True) for row in wanted if row["condition"] != "COMM"}
    assert came == known, f"Again: {AGAIN}"


def test_it_never_said_that_something_went_wrong(outcome: Outcome) -> None:
    log = (outcome.session.folder / "gateway.log").read_text()
    bad = [line for line in log.splitlines() if "Traceback" in line or " ERROR " in line]
    assert not bad, f"{bad[:5]} Again: {AGAIN}"


# ---------------------------------------------------------------- gateways wrong on purpose


def test_one_that_acknowledges_before_the_commit_is_found_out(tmp_path: Path) -> None:
    with Session(tmp_path, SEED, mutant="acknowledge_early", patience_s=5) as session:
        for _ in range(6):
            session.kill_at("pre_commit")
        session.finish()
        verdict = judge(session)
    print(verdict)
    assert verdict.lost > 0
    record("kills_mutant_acknowledges_early", kills=len(session.kills), lost=verdict.lost)


def test_one_that_takes_what_comes_twice_for_two_is_found_out(tmp_path: Path) -> None:
    with Session(tmp_path, SEED, dedupe=False) as session:
        for point in ("post_commit", "pre_ack") * 3:
            session.kill_at(point)
        session.finish()
        verdict = judge(session)
    print(verdict)
    assert verdict.double > 0
    assert verdict.lost == 0
    record("kills_mutant_without_dedupe", kills=len(session.kills), double=verdict.double)


def test_one_that_forgets_a_state_is_found_out(tmp_path: Path) -> None:
    with Session(tmp_path, SEED, mutant="forget") as session:
        for _ in range(4):
            session.kill_at("post_snapshot")
        session.finish()
        found = asyncio.run(_looked_into(session))
    print(found.verdict)
    assert found.verdict.faults()
    assert found.last[0] == found.folded.seq
    assert found.last[1] != found.folded.digest

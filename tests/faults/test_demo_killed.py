"""Any process of the demo is killed at any moment: devices, broker, gateway, two at once.

The plant plays its faults meanwhile. What the gateway makes of it must follow from its journal, bit
by bit and alarm by alarm, and nothing may be alarmed that is not so.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from gateway.cli.demo import devices
from gateway.data.alarm import AlarmEvent
from gateway.engine.fold import fold, stored
from gateway.engine.store import Store
from gateway.flow.document import Document
from gateway.flow.variables import resolve
from gateway.plant.judge import Raised, judge
from gateway.plant.plant import DEVICES, Plant
from gateway.plant.signals import SIGNALS
from tests.faults.figures import record
from tests.faults.session import keep_journal
from tests.plant.product import Product, shipped, until, variables

pytestmark = [pytest.mark.plant, pytest.mark.slow]

TORTURE: Final = os.environ.get("GENBA_TORTURE") == "1"
SEED: Final = int(os.environ.get("GENBA_KILL_SEED", "1"))
PLANT_S: Final = 300.0 if TORTURE else 42.0  # The first faults begin after 25 s and 33 s.
AGAIN: Final = (
    f"GENBA_KILL_SEED={SEED} {'GENBA_TORTURE=1 ' * TORTURE}python -m pytest {Path(__file__).name}"
)


async def test_any_process_of_the_demo_is_killed_at_any_moment(tmp_path: Path) -> None:
    print(f"Again: {AGAIN}")
    chance = random.Random(SEED)
    (tmp_path / "state").mkdir()
    await keep_journal(tmp_path / "state" / "genba.db")
    killed: Counter[str] = Counter()
    async with Plant(tmp_path / "plant", seed=SEED, secure=False) as plant:
        manifest = plant.manifest()
        values = variables(manifest)
        async with Product(tmp_path, shipped(), values) as product:
            while plant.now() < PLANT_S:
                await asyncio.sleep(chance.uniform(0.3, 5.0))
                for victim in chance.sample(["gateway", "gateway", *DEVICES], 2):
                    if victim != "gateway":
                        killed[victim] += _kill_device(plant, victim)
                    else:
                        await product.kill()
                        killed["gateway"] += 1
                        # At times it is killed again before it answers.
                        await product.start(answers=chance.random() < 0.7)
            await product.kill()
            await product.start()
            for device in DEVICES:
                await until(lambda d=device: plant.pid(d), f"{device} starts again")
            await product.all_flow(len(SIGNALS))
            ran_s = plant.now()
            assert await product.terminate() == 0
            product.said()
        schedule = plant.schedule(ran_s)
    alarms = await _follow_from_the_journal(product.state / "genba.db", values)

    t0 = float(manifest["t0"])
    raised = [Raised(e.ts / 1e9 - t0, e.tag, e.text) for e in alarms if e.change == "raised"]
    verdict = judge(schedule, raised, ran_s, devices(manifest, raised))
    # A device that was killed twice in a row may have been away for long enough to say so.
    false = [alarm for alarm in verdict.false if " has been away for " not in alarm.text]
    found = len(verdict.found) - len(
        verdict.missed
    )  # Where it or the device was dead, it may miss.
    print(f"{dict(killed)}; {found} of {len(verdict.found)} faults; {len(alarms)} alarm events")
    record(
        "demo_killed",
        kills=killed.total(),
        gateway_kills=killed["gateway"],
        faults=len(verdict.found),
        found=found,
        false=len(false),
    )
    assert not false, f"{false} Again: {AGAIN}"
    assert killed["gateway"] >= 3
    assert len(killed) >= 5


def _kill_device(plant: Plant, device: str) -> int:
    """Kill a device's process; 0 when it has none now."""
    if pid := plant.pid(device):
        os.kill(pid, signal.SIGKILL)
    return bool(pid)


async def _follow_from_the_journal(path: Path, values: dict[str, str]) -> list[AlarmEvent]:
    """Compare every flow's state and alarms with those of a run that was never interrupted."""
    store = Store(path)
    await store.open()
    try:
        alarms = await store.alarm_events()
        for file in shipped():
            document = Document.load(file).with_values(lambda value: resolve(value, values))
            folded = await fold(store, document)
            assert folded.rows > 100
            seen = await stored(store, document.name)
            assert seen == (folded.seq, folded.digest), f"{document.name}. Again: {AGAIN}"
            mine = [event for event in alarms if event.alarm.startswith(f"{document.name}/")]
            assert _words(mine) == _words(folded.alarms), f"{document.name}. Again: {AGAIN}"
    finally:
        await store.close()
    return alarms


def _words(events: Sequence[AlarmEvent]) -> list[str]:
    """Events as text: a number that is not known equals itself there."""
    return [repr(event) for event in events]

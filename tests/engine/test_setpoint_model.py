"""Setpoints, judged by a model: random grants, people, flows, faults, clocks and restarts.

The desk, the gate and the ledger are the real ones; the device, the disk and the flows in between
are adversaries: messages come late, twice, in another order or after a restart, the disk refuses,
the device takes a value and says that it did not. The device keeps its own books and its own,
plain copy of the rules, and accuses whoever writes what must not be written.

The short form takes 20,000 operations, ``GENBA_TORTURE=1`` a million.
"""

from __future__ import annotations

import logging
import math
import os
import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import pytest

from gateway import Batch, Disconnected, GatewayError, Message, Rejected, TagTable
from gateway.engine.clock import SystemClock
from gateway.engine.grantbook import GrantBook
from gateway.engine.lookup import Lookup
from gateway.engine.metrics import Live
from gateway.engine.principal import Principal
from gateway.engine.roles import ROLES
from gateway.engine.rowgate import RowGate
from gateway.engine.setpoints import SetpointDesk
from gateway.engine.store_grants import GrantRow
from gateway.engine.writegate import WriteGate
from gateway.engine.writeledger import WriteLedger
from gateway.flow import judging
from gateway.flow.grant import Grant, Interlock
from gateway.flow.judging import Check, Seen
from tests.engine.setpoint_gear import flow_context

TORTURE = "GENBA_TORTURE" in os.environ
OPERATIONS = 1_000_000 if TORTURE else 20_000
SEEDS = (1, 2, 3, 4)
NS = 10**9
EPS = 1e-6
SINKS = ("valve", "drive")
LOCKS = (
    ("running == 0", {"running": "lock/running"}, lambda v, c, i: i["lock/running"] == 0),
    ("value < limit", {"limit": "lock/limit"}, lambda v, c, i: v < i["lock/limit"]),
    ("1 / running > 0", {"running": "lock/running"}, lambda v, c, i: i["lock/running"] >= 0),
)
ODD = (math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, -0.0, 2**53 + 1.0, 1e-300)


class Time(SystemClock):
    """The product's clock over a wall clock that jumps."""

    def __init__(self, world: World) -> None:
        self.world = world
        super().__init__()

    def _wall(self) -> int:
        return self.world.wall

    def _steady(self) -> int:
        return round(self.world.true_s * 1e9)


class World:
    """The plant, the people, the disk, and what the gateway has in its hands."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.true_s = 1000.0
        self.wall = 1_800_000_000 * NS
        self.tags = TagTable(100)
        self.targets = [("press", sink, f"{sink}/{i}") for sink in SINKS for i in range(2)]
        self.holds = dict.fromkeys(self.targets, 50.0)
        self.history: dict[Any, list[tuple[float, float]]] = defaultdict(list)
        self.writes: dict[Any, list[tuple[float, float]]] = defaultdict(list)
        self.queue: list[tuple[str, Batch]] = []
        self.flow_rows: dict[tuple[Any, int], float] = {}
        self.used: set[tuple[Any, int]] = set()
        self.armed: dict[str, dict[str, Any]] = {}
        self.confirming: tuple[Principal, str] | None = None
        self.sent: dict[tuple[Any, int], dict[str, Any]] = {}
        self.grants: dict[str, Grant] = {}
        self.locks: dict[str, Any] = {}
        self.marks: dict[Any, Any] = {}
        self.inputs: dict[str, tuple[float, int, int]] = {}
        self.disk_is_away = False
        self.trouble = ""
        self.number = 0
        self.newest = 0
        self.done: Counter[str] = Counter()
        self.people = [Principal(f"user:p{i}", ROLES[i % 4], i % 7 > 0, f"p{i}") for i in range(10)]
        self.live = Live(self.tags)
        self.start()

    # ------------------------------------------------------------------ the gateway's life

    def start(self) -> None:
        """A new process: what was in memory is gone, what waited in a journal comes again."""
        old = self.live
        self.live = Live(self.tags)
        if self.rng.random() < 0.5:  # The replay of the journal brings old values back.
            self.live.value[:], self.live.ts[:] = old.value, old.ts
            self.live.quality[:], self.live.rows[:] = old.quality, old.rows
        clock = Time(self)
        clock.begin(self.newest)  # As the runtime does, from its journal.
        look = Lookup(self.live, clock)
        look.begin()
        self.clock = clock
        self.inputs.clear()
        self.armed.clear()
        self.ledger = WriteLedger(GrantBook(None, clock), clock, look, self.keep)  # type: ignore[arg-type]  # its disk is this world
        self.ledger.restore(self.marks)
        for target, _ in self.sent:  # As the audit tells.
            self.ledger.learn(target)
        for grant in self.grants.values():
            self.ledger.book._take(GrantRow(grant.id, 1, 0, "x", grant.fact()), grant)
        self.desk = SetpointDesk(self.ledger, self, self.note, lambda *said: None)
        self.desk.may_still = lambda account: self.person(account).is_writer
        self.gates = {}
        for sink in SINKS:
            self.ctx = flow_context("press", sink, self.tags, clock)
            fresh = sink == "valve"
            self.gates[sink] = WriteGate(
                self.ledger, self.ctx, writes=True, allowed=True, is_fresh=fresh
            )

    def person(self, account: str) -> Principal:
        return next(one for one in self.people if one.account == account)

    async def keep(self, target: Any, fact: Mapping[str, Any]) -> None:
        self.must_answer()
        self.marks[target] = fact

    async def note(self, ts: int, actor: str, action: str, detail: Mapping[str, Any]) -> None:
        self.must_answer()

    def must_answer(self) -> None:
        self.true_s += self.rng.random() * 0.01
        if self.disk_is_away:
            self.true_s += self.rng.random()
            raise Disconnected("The disk is away.")

    # ------------------------------------------------------------------ what the desk asks

    def problem(self, flow: str, node: str, tag: str) -> str:
        return ""

    def hand_in(self, flow: str, node: str, tag: str, value: float, ts: int) -> None:
        assert self.confirming is not None, "handed in without a confirmation"
        who, name = self.confirming
        armed = self.armed.pop(name)
        target = (flow, node, tag)
        assert (armed["target"], armed["value"]) == (target, value)
        grant = armed["grant"]
        assert self.grants.get(grant.id) is grant
        assert self.true_s - armed["at_s"] <= grant.confirm_s + EPS + 1.0
        by = armed["who"]
        assert who.is_writer
        assert ROLES.index(who.role) >= ROLES.index(grant.role)  # type: ignore[arg-type]  # a role
        assert (who.account != by.account) == grant.two_person
        self.newest = max(self.newest, self.clock.now())
        self.sent[target, ts] = {"value": value, "at_s": self.true_s, "grant": grant}
        self.queue.append((node, Batch.of([(self.tags.code(tag), ts, value, 0)])))

    # ------------------------------------------------------------------ the device

    async def device(self, message: Message, port: str) -> None:
        """Takes a value, or not, and says so, or not."""
        assert isinstance(message, Batch)
        rows = message.rows()
        trouble = self.trouble
        if trouble != "lost before":
            for code, ts, value, status in rows:
                self.take(self.tags.name(code), ts, value, status)
        if trouble in ("lost before", "lost after"):
            raise Disconnected(trouble)
        if trouble == "refused":
            raise Rejected(trouble)
        self.gate_ctx.count("written", len(message))

    def take(self, tag: str, ts: int, value: float, status: int) -> None:
        """The judge: every rule once more, in its plainest words."""
        target = next(t for t in self.targets if t[2] == tag)
        grant = next((g for g in self.grants.values() if tag in g.tags), None)
        key = (target, ts)
        if grant is None:  # Then the outbox alone keeps it from being written twice.
            assert key in self.flow_rows, "only a flow may write without a grant"
            return
        assert status == 0
        assert key not in self.used, "written twice"
        self.used.add(key)
        assert math.isfinite(value)
        assert grant.lo <= value <= grant.hi, "out of range"
        if key in self.sent:
            sent = self.sent[key]
            assert sent["value"] == value
            assert sent["grant"] is grant, "by a grant that was changed"
            assert self.true_s - sent["at_s"] <= grant.max_age_s + EPS, "late"
            assert grant.by != "flows"
            self.done["people"] += 1
        else:
            assert grant.by != "people"
            assert self.flow_rows[key] == value
            assert abs(self.clock.now() - ts) / NS <= grant.max_age_s + EPS, "late"
            self.done["flows"] += 1
        self.judge_rates(grant, target, value)
        for lock in self.locks[grant.id]:
            self.judge_lock(grant, lock, value)
        self.apply(target, value, is_known=bool(grant.read_back))

    def judge_rates(self, grant: Grant, target: Any, value: float) -> None:
        step = abs(value - self.holds[target])
        if grant.step_max is not None:
            assert step <= grant.step_max * (1 + EPS), "over step"
        lately = [s for at_s, s in self.writes[target] if self.true_s - at_s < 60.0 - EPS]
        if grant.writes_per_min is not None:
            assert len(lately) < grant.writes_per_min, "over rate"
        if grant.change_per_min is not None:
            assert math.fsum(lately) + step <= grant.change_per_min * (1 + EPS), "over change"

    def judge_lock(self, grant: Grant, lock: Any, value: float) -> None:
        _, inputs, rule = lock
        found = {}
        for tag in inputs.values():
            assert tag in self.inputs, "an interlock without a value"
            number, ts, status = self.inputs[tag]
            assert status == 0, "an interlock on a Bad value"
            assert abs(self.clock.now() - ts) / NS <= grant.input_age_s + EPS, "on an old value"
            found[tag] = number
        assert rule(value, None, found), "interlocked"

    def apply(self, target: Any, value: float, *, is_known: bool) -> None:
        """The device holds it; by how much it changed counts where anybody could know."""
        step = abs(value - self.holds[target]) if is_known else 0.0
        self.writes[target].append((self.true_s, step))
        del self.writes[target][:-2000]
        self.history[target].append((self.true_s, self.holds[target]))
        del self.history[target][:-200]
        self.holds[target] = value

    def held_at(self, target: Any, at_s: float) -> float:
        """What the device held at a time."""
        return next(
            (v for until_s, v in self.history[target] if until_s > at_s), self.holds[target]
        )

    # ------------------------------------------------------------------ operations

    def value(self) -> float:
        if self.rng.random() < 0.1:
            return self.rng.choice(ODD)
        roll = self.rng.random()
        if roll < 0.6:
            return self.rng.choice(list(self.holds.values())) + self.rng.gauss(0, 3)
        return self.rng.uniform(30, 70) if roll < 0.85 else self.rng.uniform(-50, 150)

    def set_grant(self) -> None:
        rng = self.rng
        sink = rng.choice(SINKS)
        tags = [t[2] for t in self.targets if t[1] == sink]
        i = rng.randrange(3)
        tags = [tags, tags[:1], tags[1:]][i]
        ids = {0: ("0", "1", "2"), 1: ("0", "1"), 2: ("0", "2")}[i]
        for other in ids:
            self.drop_grant(f"{sink}{other}")
        locks = [rng.choice(LOCKS) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
        given = {
            "id": f"{sink}{i}", "flow": "press", "node": sink, "tags": tags,
            "by": rng.choice(("people", "flows", "both", "both")),
            "role": rng.choice(ROLES[1:]),
            "lo": 50 - rng.uniform(0, 60), "hi": 50 + rng.uniform(0, 60),
            "two_person": rng.random() < 0.2, "max_age_s": rng.uniform(0.1, 10),
            "confirm_s": rng.uniform(2, 60), "input_age_s": rng.uniform(1, 30),
            "interlocks": [{"when": when, "inputs": inputs} for when, inputs, _ in locks],
            "writes_per_min": rng.choice((None, None, 1, 3, 10)),
        }  # fmt: skip
        if rng.random() < 0.6:
            given |= {
                "read_back": {tag: f"{tag}/shown" for tag in tags},
                "tolerance": rng.choice((0.0, 0.1)),
                "read_back_s": rng.uniform(0.5, 8),
                "step_max": rng.choice((None, 1.0, 5.0, 20.0)),
                "change_per_min": rng.choice((None, None, 10.0, 50.0)),
            }
        grant = Grant.model_validate(given)
        self.grants[grant.id] = grant
        self.locks[grant.id] = locks
        self.ledger.book._take(GrantRow(grant.id, 1, 0, "x", grant.fact()), grant)

    def drop_grant(self, id: str) -> None:
        if self.grants.pop(id, None) is not None:
            self.ledger.book._take(GrantRow(id, 1, 0, "x", None), None)

    def pass_time(self) -> None:
        rng = self.rng
        if rng.random() < 0.02:  # The wall clock is set.
            self.wall += round(rng.choice((-3600, -5, 5, 60, 86_400)) * rng.random() * NS)
        passed_s = rng.choice((0.0, 0.001, 0.01, 0.05, 0.2, 0.5, 3.0, 30.0)) * rng.random()
        self.true_s += passed_s
        self.wall += round(passed_s * NS)

    def sample(self) -> None:
        """A source brings something, often all there is."""
        for target in self.targets:
            if self.rng.random() < 0.5:
                self.bring(f"{target[2]}/shown", target)
        for tag in ("lock/running", "lock/limit"):
            if self.rng.random() < 0.5:
                self.bring(tag, None)

    def bring(self, tag: str, target: Any) -> None:
        """One sample: what a device shows is late, but not later than the grant allows."""
        rng = self.rng
        status = 0 if rng.random() < 0.95 else 0x80000000
        if target is None:
            is_flag = tag == "lock/running"
            value = float(rng.random() < 0.3) if is_flag else rng.uniform(40, 120)
            lag_s = rng.choice((0.0, 0.0, 0.0, 0.0, 5.0, 40.0))
            ts = self.clock.now() - round(lag_s * NS)
            self.inputs[tag] = (value, ts, status)
        else:
            grant = next((g for g in self.grants.values() if target[2] in g.tags), None)
            lag_s = rng.random() * (grant.read_back_s if grant is not None else 0.5)
            value = self.held_at(target, self.true_s - lag_s)
            ts = self.clock.now()
        code = self.tags.code(tag)
        if math.isfinite(value):
            self.live.value[code], self.live.ts[code] = value, ts
            self.live.quality[code] = status
            self.live.rows[code] += 1

    def flow_writes(self) -> None:
        """A flow makes a value: a good one, an old one, a Bad one, several of a tag."""
        rng = self.rng
        node = rng.choice(SINKS)
        rows = []
        for target in rng.choices([t for t in self.targets if t[1] == node], k=rng.choice((1, 3))):
            self.number += 1
            age_s = rng.choice((0.0, 0.0, 0.0, 1.0, 20.0, -3.0, -90.0)) * rng.random()
            ts = self.clock.now() - round(age_s * NS) - self.number % 997
            value = self.value()
            bad = not math.isfinite(value) or rng.random() < 0.05
            if (target, ts) not in self.flow_rows and (target, ts) not in self.sent:
                self.flow_rows[target, ts] = value
                rows.append((self.tags.code(target[2]), ts, value, 0x80000000 if bad else 0))
        if rows:
            self.newest = max(self.newest, self.clock.now())
            self.queue.append((node, Batch.of(rows)))

    async def arm(self) -> None:
        who, target, value = (
            self.rng.choice(self.people),
            self.rng.choice(self.targets),
            self.value(),
        )
        try:
            found = await self.desk.arm(who, target[2], value)
        except GatewayError:
            return
        if found["token"]:
            grant = next(g for g in self.grants.values() if target[2] in g.tags)
            assert who.is_writer
            assert grant.lo <= value <= grant.hi
            self.armed[found["setpoint"]] = {
                "who": who, "target": target, "value": value, "grant": grant,
                "at_s": self.true_s, "token": found["token"],
            }  # fmt: skip
            self.done["armed"] += 1

    async def confirm(self) -> None:
        if not self.armed:
            return
        names = list(self.armed)
        name = names[-1] if self.rng.random() < 0.6 else self.rng.choice(names)
        one = self.armed[name]
        who = one["who"] if self.rng.random() < 0.6 else self.rng.choice(self.people)
        if not who.is_writer or ROLES.index(who.role) < 1:
            return  # The gate of the API lets nobody else so far.
        token = one["token"] if self.rng.random() < 0.95 else one["token"][::-1]
        self.confirming = (who, name)
        try:
            await self.desk.confirm(who, token)
        except GatewayError:
            return
        finally:
            self.confirming = None
        self.armed.pop(name, None)

    async def deliver(self) -> None:
        """A message reaches the gate: in any order, and sometimes it stays to come again."""
        if not self.queue:
            return
        rng = self.rng
        place = -1 if rng.random() < 0.7 else rng.randrange(len(self.queue))
        node, message = self.queue[place]
        if rng.random() < 0.7:
            del self.queue[place]
        del self.queue[:-200]
        self.trouble = rng.choice(("", "", "", "", "lost before", "lost after", "refused"))
        gate = self.gates[node]
        self.gate_ctx = gate._ctx
        try:
            await gate.write(self.device, message, "in")
        except (Rejected, Disconnected):
            self.done["refused"] += 1

    async def step(self) -> None:
        """One operation."""
        roll = self.rng.random()
        if roll < 0.002:
            self.set_grant()
        elif roll < 0.0022 and self.grants:
            self.drop_grant(self.rng.choice(list(self.grants)))
        elif roll < 0.004:
            self.pass_time()
            self.start()
            self.done["starts"] += 1
        elif roll < 0.01:
            self.disk_is_away = self.rng.random() < 0.1
        elif roll < 0.2:
            self.pass_time()
        elif roll < 0.4:
            self.sample()
        elif roll < 0.5:
            self.flow_writes()
        elif roll < 0.65:
            await self.arm()
        elif roll < 0.78:
            await self.confirm()
        elif roll < 0.97:
            await self.deliver()
        else:
            try:
                await self.desk.look()
            except Disconnected:
                self.done["unsaid"] += 1


@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_reaches_a_device_that_must_not(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "genba")
    world = World(seed)
    for _ in range(4):
        world.set_grant()
    for _ in range(OPERATIONS // len(SEEDS)):
        await world.step()
    assert world.done["people"] > OPERATIONS / 4000, world.done
    assert world.done["flows"] > OPERATIONS / 4000, world.done
    assert world.done["starts"] > OPERATIONS / 20_000


def _all_ok(*given: Any) -> Check:
    return Check("rule", True, "So be it.")


async def _forgets(self: Any, *given: Any) -> None:
    """Has the disk know of nothing."""


BUGS: dict[str, tuple[Any, str, Any]] = {
    "no range": (judging, "_range", _all_ok),
    "no step": (judging, "_step", _all_ok),
    "no rate": (judging, "_rate", _all_ok),
    "no change": (judging, "_change", _all_ok),
    "no interlock": (Interlock, "holds", lambda *given: (True, "So be it.")),
    "old inputs": (Seen, "problem", lambda self, age_max_s: ""),
    "a ticket for ever": (WriteLedger, "redeem", lambda s, t, ts, v: s._tickets.get((t, ts))),
    "no floor": (WriteLedger, "floor", lambda self, target: 0),
    "forgets at a restart": (WriteLedger, "remember", _forgets),
    "never late": (RowGate, "_left_s", lambda *given: (9.0, "")),
    "anybody confirms": (SetpointDesk, "_may_not_confirm", lambda self, one, who: ""),
    "anybody writes": (RowGate, "_may_not", lambda self, grant, row, ticket: ""),
    "read-back at once": (WriteLedger, "_settled_s", lambda self, grant, name: 0.0),
}
"""Each a rule that was forgotten."""


@pytest.mark.parametrize("bug", BUGS)
async def test_the_model_has_teeth(
    bug: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "genba")
    where, name, instead = BUGS[bug]
    monkeypatch.setattr(where, name, instead)
    with pytest.raises(AssertionError):
        for seed in range(10):
            world = World(seed)
            for _ in range(4):
                world.set_grant()
            for _ in range(10_000):
                await world.step()

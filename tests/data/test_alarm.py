"""The state machine of alarms against a table written down on its own."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.data.alarm import (
    AlarmOptions,
    AlarmState,
    AlarmStatus,
    ConditionChange,
    OperatorAction,
    Overlay,
    OverlayAction,
    Stimulus,
    StimulusKind,
    transition,
)

HOUR = 3600 * 10**9

# Written from reference/reliability.md §4.1, not from the code: what each state becomes.
# "!" is a refusal, "=" is nothing, a trailing "+" counts a new occurrence.
TABLE = {
    #          true       false    latched   auto      ack       reset
    "NORM": ("UNACK+", "=", "=", "=", "!", "!"),
    "UNACK": ("=", "RTNUN", "LATUN", "NORM", "ACKED", "!"),
    "ACKED": ("=", "NORM", "LATACK", "NORM", "!", "!"),
    "RTNUN": ("UNACK+", "=", "=", "=", "NORM", "!"),
    "LATUN": ("UNACK+", "=", "=", "=", "LATACK", "!"),
    "LATACK": ("UNACK+", "=", "=", "=", "!", "NORM"),
}
COLUMNS: dict[str, tuple[StimulusKind, AlarmOptions]] = {
    "true": ("condition_true", AlarmOptions()),
    "false": ("condition_false", AlarmOptions()),
    "latched": ("condition_false", AlarmOptions(latch=True)),
    "auto": ("condition_false", AlarmOptions(auto_ack=True)),
    "ack": ("ack", AlarmOptions()),
    "reset": ("reset", AlarmOptions()),
}
CELLS = [
    (state, column, cells[i]) for state, cells in TABLE.items() for i, column in enumerate(COLUMNS)
]
OVERLAYS = list(product((0, 9 * HOUR), (False, True), (False, True)))


def covered(status: AlarmStatus, until: int, suppressed: bool, out: bool) -> AlarmStatus:
    return replace(status, shelved_until=until, suppressed=suppressed, out_of_service=out)


def stimulus(kind: StimulusKind, status: AlarmStatus) -> Stimulus:
    return Stimulus(kind, occurrence=status.occurrence, now=HOUR, until=2 * HOUR, reason="repair")


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize(("state", "column", "cell"), CELLS)
def test_every_state_and_event(
    state: str, column: str, cell: str, overlay: tuple[int, bool, bool]
) -> None:
    before = covered(AlarmStatus(AlarmState(state), occurrence=3), *overlay)
    kind, options = COLUMNS[column]
    done = transition(before, stimulus(kind, before), options)
    assert bool(done.refused) == (cell == "!")
    assert (done.change is None) == (cell in "!=")
    if cell in "!=":
        assert done.status == before
    else:
        wanted = AlarmState(cell.rstrip("+"))
        assert done.status == replace(before, state=wanted, occurrence=3 + cell.endswith("+"))


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("state", AlarmState)
@pytest.mark.parametrize(
    ("on", "off", "field"),
    [
        ("shelve", "unshelve", "shelved_until"),
        ("suppress", "unsuppress", "suppressed"),
        ("remove_from_service", "return_to_service", "out_of_service"),
    ],
)
def test_overlays_are_independent(
    state: AlarmState,
    on: StimulusKind,
    off: StimulusKind,
    field: str,
    overlay: tuple[int, bool, bool],
) -> None:
    before = covered(AlarmStatus(state, occurrence=3), *overlay)
    was_on = bool(getattr(before, field))
    hidden = transition(before, stimulus(on, before))
    assert bool(hidden.refused) == (was_on and on != "shelve"), "shelving again prolongs it"
    assert hidden.status.state is state
    assert hidden.status.overlay is not Overlay.NONE
    shown = transition(hidden.status, stimulus(off, hidden.status))
    others = [f for f in ("shelved_until", "suppressed", "out_of_service") if f != field]
    assert all(getattr(shown.status, f) == getattr(before, f) for f in others)
    assert not getattr(shown.status, field)
    active = state in (AlarmState.UNACK, AlarmState.ACKED)
    if active and not any(getattr(before, f) for f in others):
        assert (shown.status.state, shown.status.occurrence) == (AlarmState.UNACK, 4)
    else:
        assert (shown.status.state, shown.status.occurrence) == (state, 3)
    assert transition(shown.status, stimulus(off, shown.status)).refused


@pytest.mark.parametrize(
    ("asked", "options", "why"),
    [
        (Stimulus("shelve", now=HOUR, until=2 * HOUR), AlarmOptions(), "reason"),
        (Stimulus("shelve", now=HOUR, until=2 * HOUR, reason=" "), AlarmOptions(), "reason"),
        (Stimulus("shelve", now=HOUR, until=HOUR, reason="x"), AlarmOptions(), "future"),
        (Stimulus("shelve", now=0, until=8 * HOUR + 1, reason="x"), AlarmOptions(), "8 h"),
        (Stimulus("shelve", until=1, reason="x"), AlarmOptions(shelve_max_ns=0), "must not"),
        (Stimulus("ack", occurrence=1), AlarmOptions(), "Occurrence 1 is not"),
    ],
)
def test_refusals_say_why(asked: Stimulus, options: AlarmOptions, why: str) -> None:
    before = AlarmStatus(AlarmState.UNACK, occurrence=2)
    done = transition(before, asked, options)
    assert why in done.refused
    assert done.refused.endswith(".")
    assert done.status is before


class Machine(RuleBasedStateMachine):
    """Drives one alarm by any sequence of stimuli and compares with a model of sets."""

    def __init__(self) -> None:
        super().__init__()
        self.status = AlarmStatus()
        self.state = "NORM"
        self.covers: set[str] = set()
        self.occurrence = 0

    def _do(self, kind: StimulusKind, options: AlarmOptions, occurrence: int) -> str | None:
        done = transition(
            self.status,
            Stimulus(kind, occurrence, now=HOUR, until=2 * HOUR, reason="repair"),
            options,
        )
        assert not (done.refused and done.change)
        if done.change is None:
            assert done.status == self.status
        self.status = done.status
        return done.change

    @rule(column=st.sampled_from(list(COLUMNS)), stale=st.booleans())
    def process(self, column: str, stale: bool) -> None:
        kind, options = COLUMNS[column]
        stale = stale and column == "ack" and self.occurrence > 0
        change = self._do(kind, options, self.occurrence - stale)
        cell = TABLE[self.state][list(COLUMNS).index(column)]
        if stale or cell in "!=":
            assert change is None
            return
        assert change is not None
        self.state = cell.rstrip("+")
        self.occurrence += cell.endswith("+")

    @rule(kind=st.sampled_from(["shelve", *get_args(OverlayAction), "unshelve"]))
    def overlay(self, kind: StimulusKind) -> None:
        change = self._do(kind, AlarmOptions(), 0)
        name = {"s": "SHLVD", "u": "", "r": "OOSRV"}[kind[0]]
        name = "DSUPR" if "suppress" in kind else "SHLVD" if "shelve" in kind else name
        if kind in ("shelve", "suppress", "remove_from_service"):
            assert (change is None) == (name in self.covers and kind != "shelve")
            self.covers.add(name)
            return
        assert (change is None) == (name not in self.covers)
        if name in self.covers:
            self.covers.remove(name)
            if not self.covers and self.state in ("UNACK", "ACKED"):
                self.state = "UNACK"
                self.occurrence += 1

    @invariant()
    def agrees(self) -> None:
        assert self.status.state.value == self.state
        assert self.status.occurrence == self.occurrence
        shown = next((c for c in ("OOSRV", "DSUPR", "SHLVD") if c in self.covers), "NONE")
        assert self.status.overlay.value == shown


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
test_any_sequence = Machine.TestCase


def test_the_tests_know_every_stimulus() -> None:
    known = {kind for kind, _ in COLUMNS.values()} | {"shelve", "unshelve"}
    kinds = get_args(ConditionChange) + get_args(OperatorAction) + get_args(OverlayAction)
    assert known | set(get_args(OverlayAction)) == set(kinds)

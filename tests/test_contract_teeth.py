"""The contract suite has teeth: every planted bug is found by some law.

Each class below is a real node with one small bug of a kind that people do write. The node
it is made from passes, so what is found is the bug.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gateway import Batch, Example, Outputs, Transform
from gateway.data import quality
from nodes.filter.deadband import Deadband, DeadbandConfig
from tests.contract import laws, runs
from tests.contract.scripts import script
from tests.test_contract import EXEMPT, GOOD, SCRIPTS


class _Simple(Transform[DeadbandConfig, Batch]):
    """The reference node in its plainest form, so that one method decides.

    State: value, time and severity last passed, per tag.
    Cost: O(n) a batch.
    """

    Config = DeadbandConfig
    examples = Deadband.examples

    def __init__(self, config: DeadbandConfig, ctx: Any) -> None:
        super().__init__(config, ctx)
        self._value = self.per_tag("value", np.nan)
        self._ts = self.per_tag("ts", 0, np.int64)
        self._severity = self.per_tag("severity", 255, np.uint8)
        self._heartbeat_ns = round(config.heartbeat_s * 1e9) or 2**63 - 1

    def process(self, batch: Batch, port: str) -> Outputs:
        keep = np.zeros(len(batch), np.bool_)
        with np.errstate(invalid="ignore"):  # Infinity from infinity is no number, and passes.
            for rows in batch.rounds():
                keep[rows] = self._passes(batch.where(rows))
        return {"out": batch.where(keep)} if keep.any() else {}

    def _band(self, tag: Any) -> Any:
        if self.config.kind == "percent":
            return self.config.band / 100 * self.ctx.tags.span[tag]
        return np.full(len(tag), self.config.band)

    def _passes(self, rows: Batch) -> Any:
        tag, severity = rows.tag, rows.quality >> 30
        last = self._value[tag]
        small = np.abs(rows.value - last) <= self._band(tag)
        small |= np.isnan(rows.value) & np.isnan(last)
        small &= severity == self._severity[tag]
        small &= rows.ts - self._ts[tag] < self._heartbeat_ns
        tag = tag[~small]
        self._value[tag] = rows.value[~small]
        self._ts[tag] = rows.ts[~small]
        self._severity[tag] = severity[~small]
        return ~small


class ForgotValue(_Simple):
    """A state array that is not declared: it is lost at a restart."""

    def __init__(self, config: DeadbandConfig, ctx: Any) -> None:
        super().__init__(config, ctx)
        self._value = self._value.copy()


class ForgotHeartbeat(_Simple):
    """The time of the last passed sample is not declared."""

    def __init__(self, config: DeadbandConfig, ctx: Any) -> None:
        super().__init__(config, ctx)
        self._ts = self._ts.copy()


class LessForLessOrEqual(_Simple):
    """Exactly the band counts as a change."""

    def _passes(self, rows: Batch) -> Any:
        exact = np.abs(rows.value - self._value[rows.tag]) == self._band(rows.tag)
        passes = super()._passes(rows) | exact
        self._value[rows.tag[passes]] = rows.value[passes]
        return passes


class SharedByTags(_Simple):
    """One last value for all tags."""

    def _passes(self, rows: Batch) -> Any:
        passes = super()._passes(rows)
        if passes.any():
            self._value[:] = rows.value[passes][-1]
        return passes


class SharedByNodes(_Simple):
    """State on the class, so that two nodes have it in common."""

    newest: dict[int, float] = {}

    def process(self, batch: Batch, port: str) -> Outputs:
        keep = np.zeros(len(batch), np.bool_)
        for row, (tag, _, value, _) in enumerate(batch.rows()):
            keep[row] = self.newest.get(tag) != value
            self.newest[tag] = value
        return super().process(batch.where(keep), port)


class MutatesInput(_Simple):
    """Clips the values of its input in place."""

    def process(self, batch: Batch, port: str) -> Outputs:
        np.clip(batch.value, -1e6, 1e6, out=batch.value)
        return super().process(batch, port)


class KeepsInput(_Simple):
    """Remembers its input without a copy and looks at it later."""

    def __init__(self, config: DeadbandConfig, ctx: Any) -> None:
        super().__init__(config, ctx)
        self._kept: Batch | None = None

    def process(self, batch: Batch, port: str) -> Outputs:
        before, self._kept = self._kept, batch
        if before is not None and len(before) and float(before.value[0]) > 1e8:
            return {}
        return super().process(batch, port)


class Rolls(_Simple):
    """Passes by chance, without a seed."""

    def process(self, batch: Batch, port: str) -> Outputs:
        return super().process(batch, port) if random.random() < 0.9 else {}


class LooksAtBatch(_Simple):
    """Compares with the mean of the batch it happens to be in."""

    def process(self, batch: Batch, port: str) -> Outputs:
        out = super().process(batch, port)
        if "out" not in out:
            return out
        rows = out["out"]
        assert isinstance(rows, Batch)
        keep = rows.value != np.nanmax(batch.value) if batch.good.all() else slice(None)
        rows = rows.where(keep)
        return {"out": rows} if len(rows) else {}


class OneRoundOnly(_Simple):
    """Forgets that a tag may repeat within a batch."""

    def process(self, batch: Batch, port: str) -> Outputs:
        with np.errstate(invalid="ignore"):
            keep = self._passes(batch)
        return {"out": batch.where(keep)} if keep.any() else {}


class NanPoisons(_Simple):
    """A running mean that takes NaN in and never gets rid of it."""

    def __init__(self, config: DeadbandConfig, ctx: Any) -> None:
        super().__init__(config, ctx)
        self._mean = self.per_tag("mean", 0.0)

    def process(self, batch: Batch, port: str) -> Outputs:
        for row, tag in enumerate(batch.tag.tolist()):
            self._mean[tag] += 0.1 * (batch.value[row] - self._mean[tag])
        out = super().process(batch, port).get("out")
        if out is None:
            return {}
        assert isinstance(out, Batch)
        return {"out": out.with_value(self._mean[out.tag])}


class BadBecomesGood(_Simple):
    """Loses the quality on the way."""

    def process(self, batch: Batch, port: str) -> Outputs:
        out = super().process(batch, port).get("out")
        if out is None:
            return {}
        assert isinstance(out, Batch)
        good = np.where(np.isfinite(out.value), np.uint32(quality.GOOD), out.quality)
        return {"out": Batch(out.tag, out.ts, out.value, good)}


class SendsEmpty(_Simple):
    """Sends a message without rows when nothing passed."""

    def process(self, batch: Batch, port: str) -> Outputs:
        return {"out": batch.where(slice(0, 0)), **super().process(batch, port)}


class CountsEmpty(_Simple):
    """Counts messages, so an empty one changes what it does next."""

    def __init__(self, config: DeadbandConfig, ctx: Any) -> None:
        super().__init__(config, ctx)
        self._calls = self.per_tag("calls", 0, np.int64)

    def process(self, batch: Batch, port: str) -> Outputs:
        self._calls += not len(batch)
        return {} if self._calls[0] % 3 == 2 and len(batch) else super().process(batch, port)


class AssumesOrder(_Simple):
    """Is sure that time never goes back."""

    def process(self, batch: Batch, port: str) -> Outputs:
        assert (np.diff(batch.ts) >= 0).all(), "time went back"
        return super().process(batch, port)


class KnowsTagsAtStart(_Simple):
    """Sizes a table by the tags there are when it is made."""

    def __init__(self, config: DeadbandConfig, ctx: Any) -> None:
        super().__init__(config, ctx)
        self._known = {tag.name for tag in ctx.tags}

    def process(self, batch: Batch, port: str) -> Outputs:
        known = [self.ctx.tags.name(t) in self._known for t in batch.tag.tolist()]
        return super().process(batch.where(np.array(known, np.bool_)), port)


class SnapshotIsAlias(_Simple):
    """The snapshot is the state itself, so it goes on changing."""

    def snapshot(self) -> Any:
        return {name: array for name, (array, _) in self._arrays.items()}


class DropsDuplicatesInBatch(_Simple):
    """Thinks that two rows of one tag and time are one."""

    def process(self, batch: Batch, port: str) -> Outputs:
        _, first = np.unique(np.stack([batch.tag, batch.ts]), axis=1, return_index=True)
        return super().process(batch.where(np.sort(first)), port)


class UsesTheWallClock(_Simple):
    """Asks the machine for the time."""

    def process(self, batch: Batch, port: str) -> Outputs:
        self.ctx.clock.now()
        return super().process(batch, port)


class LateTimer(_Simple):
    """Sends a reminder some time after the last sample, but forgets it at a restart."""

    def __init__(self, config: DeadbandConfig, ctx: Any) -> None:
        super().__init__(config, ctx)
        self._last: Batch | None = None

    def process(self, batch: Batch, port: str) -> Outputs:
        self._last = batch.where(slice(-1, None)) if len(batch) else self._last
        return super().process(batch, port)

    def wake_at(self) -> int | None:
        return None if self._last is None else int(self._last.ts[0]) + 2_000_000_000

    def wake(self, now: int) -> Outputs:
        last, self._last = self._last, None
        return {} if last is None else {"out": last}


class KeepsWhatDoesNotFit(_Simple):
    """It says that an edit leaves its state as it is, but with `percent` it has more of it."""

    def __init__(self, config: DeadbandConfig, ctx: Any) -> None:
        super().__init__(config, ctx)
        if config.kind == "percent":
            self.per_tag("range", 0.0)

    def keeps(self, old: DeadbandConfig) -> bool:
        return True


class WrongExample(_Simple):
    """Its example promises what it does not do."""

    examples = (Example("Wrong", {"band": 1}, given="T 0s 1 | 1s 1.5", expect="T 0s 1 | 1s 1.5"),)


PLANTED = [cls for cls in _Simple.__subclasses__() if cls.__module__ == __name__]


def findings(cls: type[Transform[Any, Any]]) -> Iterator[str]:
    """The laws that find something wrong, over every example as `test_contract` runs them."""
    for name, law in {"examples_hold": None, **laws.LAWS}.items():
        try:
            for index in range(len(cls.examples)):
                if law is None:
                    laws.examples_hold(cls, index)
                    continue
                for seed in range(SCRIPTS):
                    law(cls, index, script(cls, index, seed))
        except (AssertionError, ValueError):
            yield name


def test_there_are_enough_bugs() -> None:
    assert len(PLANTED) >= 12


def test_the_node_without_a_bug_passes() -> None:
    assert list(findings(_Simple)) == []


@pytest.mark.parametrize("bug", PLANTED)
def test_the_bug_is_found(bug: type[Transform[Any, Any]]) -> None:
    assert next(findings(bug), None) is not None, f"no law finds: {bug.__doc__}"


def _stateful() -> list[str]:
    """Transforms that remember something after the first script of their first example."""
    found = []
    for name, cls in GOOD.items():
        if cls.kind == "transform" and (name, "restart_is_invisible", "*") not in EXEMPT:
            first = script(cls, 0, 0)
            if runs.start(cls, first).play(first.ops).bench.node.snapshot():
                found.append(name)
    return found


@pytest.mark.parametrize("name", _stateful())
def test_the_scripts_reach_the_state_of_every_node(name: str) -> None:
    """Whatever a node remembers matters to some script: forgetting it all is found."""
    base: Any = GOOD[name]

    class Forgetful(base):
        def restore(self, state: Any) -> None:
            """Take nothing back."""

    for index in range(len(base.examples)):
        for seed in range(SCRIPTS):
            try:
                laws.restart_is_invisible(Forgetful, index, script(base, index, seed))
            except AssertionError:
                return
    raise AssertionError(f"no script notices that {name} forgets everything at a restart")

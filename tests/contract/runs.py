"""Runs: drive a node through a script and say what came out, by name and bit for bit."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway import AlarmEvent, Batch, Event, Message, Node, TagTable, Windows
from gateway.flow import harness
from tests.contract.scripts import LIMIT, Op, Script, frozen, part, size

Row = tuple[Any, ...]
Rows = dict[str, list[Row]]
"""What left each port, in order."""


def exact(value: float) -> str:
    """A float so that equal text means equal bits; every NaN is alike."""
    return "nan" if value != value else float(value).hex()


def rows_of(message: Message, tags: TagTable) -> list[Row]:
    """A message as rows that begin with what they are about: a tag, an alarm or a topic."""
    if isinstance(message, Batch):
        return [(tags.name(t), ts, exact(v), q) for t, ts, v, q in message.rows()]
    if isinstance(message, Windows):
        found: list[Row] = []
        for i in range(len(message)):
            one = harness.window(message, i)
            inside = tuple(rows_of(one.rows, tags))
            found.append((tags.name(int(one.tag[0])), int(one.start[0]), int(one.end[0]), inside))
        return found
    return [_item(item) for item in message]


def _item(item: AlarmEvent | Event) -> Row:
    if isinstance(item, Event):
        return (item.topic, item.ts, json.dumps(item.data, sort_keys=True, default=str), item.id)
    values = (exact(v) if isinstance(v, float) else v for v in dataclasses.astuple(item))
    return (item.tag, *values)


def by_subject(rows: Rows) -> dict[tuple[str, str], list[Row]]:
    """Rows by port and subject: order matters within a tag, not between tags."""
    found: dict[tuple[str, str], list[Row]] = {}
    for port, items in rows.items():
        for row in items:
            found.setdefault((port, str(row[0])), []).append(row)
    return found


class Run:
    """One node on a bench."""

    def __init__(self, cls: type[Node[Any]], script: Script, ctx: harness.BenchContext) -> None:
        self.ctx = ctx
        self.cls = cls
        self.script = script
        self.bench = harness.Bench(harness.make(cls, script.example.config, ctx))

    def play(self, ops: Sequence[Op]) -> Run:
        for op in ops:
            self.bench.send(op.message, op.port, op.now)
        return self

    def finish(self) -> Run:
        self.bench.run_until(self.script.until)
        return self

    def rows(self, skip: Mapping[str, int] | None = None) -> Rows:
        """All that came out, without the first `skip` messages of each port."""
        first = skip or {}
        return {
            port: [row for m in messages[first.get(port, 0) :] for row in rows_of(m, self.ctx.tags)]
            for port, messages in self.bench.out.items()
        }

    def sent(self) -> dict[str, int]:
        """Messages that left each port so far."""
        return {port: len(messages) for port, messages in self.bench.out.items()}


def start(cls: type[Node[Any]], script: Script, *, know_tags: bool = True) -> Run:
    """A fresh node for a script."""
    return Run(cls, script, script.context(know_tags=know_tags))


def whole(cls: type[Node[Any]], script: Script) -> Run:
    """A fresh node that has played the script as written."""
    return start(cls, script).play(script.ops).finish()


def cut(ops: Sequence[Op], rng: np.random.Generator | None) -> list[Op]:
    """The same rows at the same times in other messages: row by row, or cut by chance."""
    found: list[Op] = []
    for op in ops:
        n = size(op.message)
        if rng is None:
            cuts = list(range(1, n))
        else:
            cuts = sorted({int(c) for c in rng.integers(1, n, size=2)}) if n > 1 else []
        bounds = [0, *cuts, n]
        for a, b in pairwise(bounds):
            piece = frozen(part(op.message, a, b))
            found.append(dataclasses.replace(op, message=piece))
    return found


def stored(state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """State as it comes back from the disk: written and read without pickle."""
    file = io.BytesIO()
    np.savez(file, **{f"a{i}": array for i, array in enumerate(state.values())})
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        return {name: loaded[f"a{i}"] for i, name in enumerate(state)}


def twin(old: Run) -> harness.BenchContext:
    """A context with the same tags and time as that of another run."""
    ctx = harness.BenchContext(tags=TagTable(LIMIT), now=old.ctx.now)
    ctx.tags.load(list(old.ctx.tags.dump()))
    return ctx


def restarted(old: Run) -> Run:
    """A fresh node with the stored state of another, and its tags."""
    fresh = Run(old.cls, old.script, twin(old))
    fresh.bench.node.restore(stored(old.bench.node.snapshot()))
    return fresh


def difference(left: dict[Any, list[Row]], right: dict[Any, list[Row]]) -> str:
    """Where two results part, in one line each; empty when they are equal."""
    for key in sorted({*left, *right}, key=str):
        a, b = left.get(key, []), right.get(key, [])
        if a == b:
            continue
        at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
        at = min(len(a), len(b)) if at is None else at
        return f"{key}: row {at} of {len(a)} and {len(b)}:\n  {a[at : at + 2]}\n  {b[at : at + 2]}"
    return ""

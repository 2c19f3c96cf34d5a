"""The laws that hold for every transform; each raises AssertionError with the script.

Source: reference/style.md §10. `tests/test_contract.py` runs them over every node and
`tests/test_contract_teeth.py` over nodes with planted bugs.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gateway import Batch, Event, Node, StateError, Windows, quality
from gateway.flow import harness, notation
from tests.contract import runs, scripts
from tests.contract.scripts import NEWCOMER, Op, Script, empty, frozen, part, size

Law = Callable[[type[Node[Any]], int, Script], None]
FLOAT32_MAX = 3.4028234663852886e38
"""The largest value a 32-bit register can hold, so one that a broken device does send."""


@contextmanager
def _at(cls: type[Node[Any]], script: Script) -> Iterator[None]:
    """Warnings are errors, and every failure comes with the script that shows it."""
    try:
        with warnings.catch_warnings(), np.errstate(all="warn", under="ignore"):
            warnings.simplefilter("error")
            yield
    except Exception as error:
        raise AssertionError(f"{error!r}\n{cls.__name__} with {script}") from error


def examples_hold(cls: type[Node[Any]], index: int) -> None:
    """1. What an example expects is what comes out, in virtual time."""
    example = cls.examples[index]
    assert example.given is not None, f"{example.title!r} gives nothing: a transform's can run"
    assert example.expect is not None, f"{example.title!r} expects nothing"
    wanted = harness.expected(cls, example)
    found = harness.run_example(cls, example)  # type: ignore[arg-type]  # a transform
    assert {port: found[port] for port in wanted} == wanted, example.title


def batching_is_invisible(cls: type[Node[Any]], index: int, script: Script) -> None:
    """2. Any cut of the input gives the same rows, tag by tag."""
    with _at(cls, script):
        wanted = runs.by_subject(runs.whole(cls, script).rows())
        rng = np.random.default_rng(script.seed)
        for chance in (None, rng, rng):
            ops = runs.cut(script.ops, chance)
            found = runs.by_subject(runs.start(cls, script).play(ops).finish().rows())
            assert not runs.difference(wanted, found), "a cut shows: " + runs.difference(
                wanted, found
            )


def restart_is_invisible(cls: type[Node[Any]], index: int, script: Script) -> None:
    """3. Save, go on, restore the saved state elsewhere: nothing changes for either."""
    with _at(cls, script):
        rng = np.random.default_rng(script.seed)
        ops = runs.cut(script.ops, rng)
        wanted = runs.start(cls, script).play(ops).finish().rows()
        for at in sorted({len(ops) // 2, 1 + int(rng.integers(len(ops)))}):
            old = runs.start(cls, script).play(ops[:at])
            before = old.sent()
            fresh = runs.restarted(old)
            kept = old.bench.node.snapshot()
            went_on = old.play(ops[at:]).finish()
            assert went_on.rows() == wanted, "taking a snapshot changed the node"
            rest, after = went_on.rows(before), fresh.play(ops[at:]).finish().rows()
            differs = runs.difference(runs.by_subject(rest), runs.by_subject(after))
            assert not differs, f"the restart before message {at} shows: {differs}"
            late = runs.Run(cls, script, fresh.ctx)
            late.ctx.now = ops[at - 1].now
            late.bench.node.restore(kept)  # It must not have changed while the node went on.
            differs = runs.difference(
                runs.by_subject(rest), runs.by_subject(late.play(ops[at:]).finish().rows())
            )
            assert not differs, f"the snapshot shares memory with the node: {differs}"


def restart_tells_nonsense(cls: type[Node[Any]], index: int, script: Script) -> None:
    """3b. State of another shape is a StateError, not a crash and not silently taken."""
    with _at(cls, script):
        run = runs.start(cls, script).play(script.ops)
        state = run.bench.node.snapshot()
        for name, array in state.items():
            assert array.dtype != object, f"state {name!r} cannot be stored without pickle"
        if not state:
            return
        try:
            runs.start(cls, script).bench.node.restore({"nonsense": np.zeros(3)})
        except StateError:
            return
        raise AssertionError("restore() took state that is not its own")


def inputs_are_untouched(cls: type[Node[Any]], index: int, script: Script) -> None:
    """4. A message is the same after as before; arrays are read-only besides."""
    with _at(cls, script):
        table = script.context().tags
        before = [runs.rows_of(scripts.copy(op.message), table) for op in script.ops]
        runs.whole(cls, script)
        assert before == [runs.rows_of(op.message, table) for op in script.ops]


def inputs_are_not_kept(cls: type[Node[Any]], index: int, script: Script) -> None:
    """4b. State is a copy: reusing the memory of an old message changes nothing."""
    with _at(cls, script):
        wanted = runs.whole(cls, script).rows()
        run = runs.start(cls, script)
        found: runs.Rows = {port: [] for port in run.bench.out}
        for op in [*script.ops, None]:
            if op is None:
                run.finish()
            else:
                message = scripts.copy(op.message)
                run.play([Op(op.now, op.port, frozen(message))])
            for port, messages in run.bench.out.items():
                found[port] += [r for m in messages for r in runs.rows_of(m, run.ctx.tags)]
                messages.clear()
            if op is not None:
                _scribble(message)
        assert found == wanted, runs.difference(found, wanted)


def _scribble(message: Any) -> None:
    batch = message.rows if isinstance(message, Windows) else message
    if isinstance(batch, Batch):
        for column, junk in ((batch.ts, 7), (batch.value, 1e9), (batch.quality, 0)):
            column.flags.writeable = True
            column[:] = junk


def deterministic(cls: type[Node[Any]], index: int, script: Script) -> None:
    """5. Same input, same output, also with a twin beside it that gets other times."""
    with _at(cls, script):
        wanted = runs.whole(cls, script).rows()
        one, twin = runs.start(cls, script), runs.start(cls, script)
        for op in script.ops:
            twin.play([op, op])
            one.play([op])
        assert one.finish().rows() == wanted, "a second run, beside a twin, differs"


def empty_changes_nothing(cls: type[Node[Any]], index: int, script: Script) -> None:
    """6. A message without rows gives nothing and changes no state."""
    with _at(cls, script):
        wanted = runs.whole(cls, script).rows()
        run = runs.start(cls, script)
        for op in script.ops:
            run.bench.run_until(op.now)
            run.ctx.now = op.now
            for port in cls.inputs:
                gave = run.bench.node.process(empty(port.carries), port.name)
                assert not gave, f"an empty message to {port.name!r} gave {gave}"
            run.play([op])
        assert run.finish().rows() == wanted, "empty messages changed what came out"


def tags_do_not_disturb(cls: type[Node[Any]], index: int, script: Script) -> None:
    """7. A new tag among the rows changes nothing for the others, and nor does a late table."""
    with _at(cls, script):
        wanted = runs.by_subject(runs.whole(cls, script).rows())
        run = runs.start(cls, script)
        code = run.ctx.tags.code(NEWCOMER)
        ops = [Op(op.now, op.port, frozen(_joined(op.message, code))) for op in script.ops]
        found = runs.by_subject(run.play(ops).finish().rows())
        found = {key: rows for key, rows in found.items() if not _about_newcomer(key, rows)}
        assert not runs.difference(wanted, found), "a new tag disturbs: " + runs.difference(
            wanted, found
        )
        late = runs.start(cls, script, know_tags=False)
        known = script.context().tags.names()
        codes = np.array([late.ctx.tags.code(name) for name in known], np.uint16)
        ops = [Op(op.now, op.port, frozen(_recoded(op.message, codes))) for op in script.ops]
        found = runs.by_subject(late.play(ops).finish().rows())
        assert not runs.difference(wanted, found), (
            "tags made after the node are not seen: " + runs.difference(wanted, found)
        )


def _recoded(message: Any, codes: Any) -> Any:
    """The message with other numbers for its tags; `codes` are the new by the old."""
    if isinstance(message, Windows):
        rows = message.rows.with_tag(codes[message.rows.tag])
        return Windows(codes[message.tag], message.start, message.end, message.offset, rows)
    return message.with_tag(codes[message.tag]) if isinstance(message, Batch) else message


def _about_newcomer(key: tuple[str, str], rows: list[runs.Row]) -> bool:
    return NEWCOMER in key[1] or any(NEWCOMER in json.dumps(row, default=str) for row in rows[:1])


def _joined(message: Any, code: int) -> Any:
    """The message with rows of another tag between its own."""
    if isinstance(message, Windows):
        parts = []
        for i in range(size(message)):
            one = harness.window(message, i)
            other = Windows(
                np.array([code], np.uint16),
                one.start,
                one.end,
                one.offset,
                one.rows.with_tag(np.full(len(one.rows), code, np.uint16)),
            )
            parts += [other, one]
        return Windows.concat(parts)
    if not isinstance(message, Batch):
        return message
    extra = message.with_tag(np.full(len(message), code, np.uint16)).with_value(
        message.value * 0.5 + 3
    )
    both = Batch.concat([extra, message])
    order = np.argsort(np.tile(np.arange(len(message)), 2), kind="stable")
    return both.where(order)


def bad_stays_bad(cls: type[Node[Any]], index: int, script: Script) -> None:
    """8. No good row leaves in a bad one's place, and no NaN leaves as good."""
    with _at(cls, script):
        run = runs.whole(cls, script)
        bad, good = set(), set()
        for op in script.ops:
            if isinstance(op.message, Batch):
                for tag, ts, _, status in op.message.rows():
                    (bad if status >= quality.BAD else good).add((run.ctx.tags.name(tag), ts))
        for port, messages in run.bench.out.items():
            for message in messages:
                if isinstance(message, Batch):
                    _check_batch(port, message, run, bad - good)


def _check_batch(port: str, batch: Batch, run: runs.Run, bad: set[tuple[str, int]]) -> None:
    for tag, ts, value, status in batch.rows():
        name = run.ctx.tags.name(tag)
        assert np.isfinite(value) or status >= quality.BAD, f"{name} {value} left {port!r} as good"
        if (name.partition("#")[0], ts) in bad:
            assert status >= quality.UNCERTAIN, f"{name} was bad at {ts} and left {port!r} as good"


def bad_does_not_poison(cls: type[Node[Any]], index: int, script: Script) -> None:
    """8b. After bad rows a node comes back: what a clean start gives, it gives too."""
    with _at(cls, script):
        ops = [op for op in script.ops if isinstance(op.message, Batch | Windows)]
        ill = [Op(0, op.port, _broken(op.message)) for op in ops if op.port == ops[0].port][:6]
        clean = runs.start(cls, script).play(_healthy(script.ops)).finish()
        poisoned = runs.start(cls, script).play([*ill, *_healthy(script.ops)]).finish()
        port = cls.outputs[0].name  # Side ports, such as `late`, tell of rows, not of values.
        half = script.ops[-1].now // 2
        fine = {row[0] for row in _good(clean, port) if row[1] >= half}
        still = {row[0] for row in _good(poisoned, port) if row[1] >= half}
        assert fine <= still, f"bad rows silenced {sorted(fine - still)} on {port!r} for good"


def _good(run: runs.Run, port: str) -> list[runs.Row]:
    """Good rows of a samples port."""
    if not run.bench.out[port] or not isinstance(run.bench.out[port][0], Batch):
        return []
    return [r for r in run.rows()[port] if r[3] < quality.UNCERTAIN and r[2] != "nan"]


def _healthy(ops: tuple[Op, ...]) -> list[Op]:
    found = []
    for op in ops:
        message: Any = op.message
        if isinstance(message, Batch):
            message = _mended(message)
        elif isinstance(message, Windows):
            message = Windows(
                message.tag, message.start, message.end, message.offset, _mended(message.rows)
            )
        found.append(Op(op.now, op.port, frozen(message)))
    return found


def _mended(batch: Batch) -> Batch:
    value = np.where(np.isfinite(batch.value), batch.value, 1.0)
    return Batch(batch.tag, batch.ts, value, np.zeros(len(batch), np.uint32))


def _broken(message: Any) -> Any:
    batch = message.rows if isinstance(message, Windows) else message
    status = np.full(len(batch), quality.BAD, np.uint32)
    nan = np.full(len(batch), np.nan)
    rows = Batch(batch.tag, np.zeros(len(batch), np.int64), nan, status)
    if isinstance(message, Windows):
        zero = np.zeros(len(message), np.int64)
        rows = Windows(message.tag, zero, zero + 1, message.offset, rows)  # type: ignore[assignment]  # frozen alike
    return frozen(rows)


def disorder_is_survived(cls: type[Node[Any]], index: int, script: Script) -> None:
    """9. Rows in any order, time that stands still and times that are equal: no exception."""
    with _at(cls, script):
        rng = np.random.default_rng(script.seed)
        ops = runs.cut(script.ops, None)
        last = script.ops[-1].now
        shuffled = [Op(last, ops[i].port, ops[i].message) for i in rng.permutation(len(ops))]
        runs.start(cls, script).play(shuffled).finish()


def extremes_are_survived(cls: type[Node[Any]], index: int, script: Script) -> None:
    """10. NaN, infinities, the largest numbers and 5,000 rows at once: no exception or warning."""
    with _at(cls, script):
        run = runs.start(cls, script)
        whole = [op for op in script.ops if op.port == cls.inputs[0].name]
        now = script.ops[-1].now
        wild = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, FLOAT32_MAX, -FLOAT32_MAX, 1e-300])
        for op in whole[:8]:
            message: Any = scripts.copy(op.message)
            batch = message.rows if isinstance(message, Windows) else message
            if isinstance(batch, Batch):
                values = np.resize(wild, len(batch))
                spoilt = Batch.columns(batch.tag, batch.ts, values)
                message = (
                    spoilt
                    if batch is message
                    else Windows(message.tag, message.start, message.end, message.offset, spoilt)
                )
            run.play([Op(max(now, op.now), op.port, frozen(message))])
        run.play([Op(now, whole[0].port, frozen(_many(whole[0].message)))]).finish()
        for port, messages in run.bench.out.items():
            for message in messages:
                if isinstance(message, Batch):
                    _check_batch(port, message, run, set())
                notation.show(message, run.ctx.tags)


def _many(message: Any) -> Any:
    """Some thousand rows from a few."""
    if isinstance(message, Batch):
        index = np.resize(np.arange(len(message)), 5_000)
        big = message.where(index)
        step = np.arange(5_000) // len(message) * 1_000_000
        return Batch(big.tag, big.ts + step, big.value, big.quality)
    if isinstance(message, Windows):
        return Windows.concat([part(message, 0, size(message))] * max(1, 500 // size(message)))
    return tuple(message) * max(1, 500 // len(message))


def kept_state_is_understood(cls: type[Node[Any]], index: int, script: Script) -> None:
    """12. State that a node keeps when it is edited is taken, and goes on without a doubt:
    no window comes twice that would not have, and no alarm is raised that is open already."""
    with _at(cls, script):
        half = len(script.ops) // 2
        old = runs.start(cls, script).play(script.ops[:half])
        usual = runs.restarted(old).play(script.ops[half:]).finish()
        edits = list(_edits(cls, index))
        np.random.default_rng(script.seed).shuffle(edits)  # type: ignore[arg-type]  # a list too
        for config in edits[:4]:
            example = dataclasses.replace(script.example, config=config)
            new = runs.Run(cls, dataclasses.replace(script, example=example), runs.twin(old))
            if not new.bench.node.keeps(old.bench.node.config):
                continue
            new.bench.node.restore(runs.stored(old.bench.node.snapshot()))
            new.play(script.ops[half:]).finish()
            for port in cls.outputs:
                lists = (run.bench.out[port.name] for run in (old, usual, new))
                _goes_on(port.carries, *lists, config)


def _edits(cls: type[Node[Any]], index: int) -> Iterator[dict[str, Any]]:
    """Valid configs near that of an example: another example's, or one option another one."""
    written = dict(cls.examples[index].config)
    near = [dict(example.config) for example in cls.examples]
    whole = cls.Config.model_validate(written)
    for name in cls.Config.model_fields:
        value = getattr(whole, name)
        if isinstance(value, bool):
            near.append({**written, name: not value})
        elif isinstance(value, int | float):
            others = (value * 2, value / 2) if value else (3600 if name.endswith("_s") else 1,)
            near += [{**written, name: other} for other in others]
    for config in near:
        try:
            cls.Config.model_validate(config)
        except ValueError:
            continue
        yield config


def _windows(messages: list[Windows]) -> set[tuple[Any, ...]]:
    return {(w.tag[i], w.start[i], w.end[i]) for w in messages for i in range(len(w))}


def _goes_on(
    carries: str, before: list[Any], usual: list[Any], after: list[Any], config: dict[str, Any]
) -> None:
    """What came before an edit and after it make one whole; `usual` came without an edit."""
    if carries == "windows":
        seen = _windows(before)
        again = (seen & _windows(after)) - _windows(usual)
        assert not again, f"a window comes twice with {config}"
    if carries == "alarms":
        events = [event for message in before for event in message]
        last = {event.alarm: event for event in events}
        for event in (event for message in after for event in message):
            known = last.get(event.alarm)
            if known is not None:
                assert event.occurrence >= known.occurrence, f"{event} starts over with {config}"
                is_again = event.change == "raised" and known.change == "raised"
                assert not is_again, f"{event} is open already with {config}"
            last[event.alarm] = event


LAWS: dict[str, Law] = {
    law.__name__: law
    for law in (
        batching_is_invisible,
        restart_is_invisible,
        restart_tells_nonsense,
        inputs_are_untouched,
        inputs_are_not_kept,
        deterministic,
        empty_changes_nothing,
        tags_do_not_disturb,
        bad_stays_bad,
        bad_does_not_poison,
        disorder_is_survived,
        extremes_are_survived,
        kept_state_is_understood,
    )
}

__all__ = ["LAWS", "Event", "examples_hold"]

"""What must hold after a simulated day, whatever befell the gateway.

The measure of all is the journal: what was committed, run once through a fresh graph without
any interruption, says what must have come out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.data.alarm import AlarmEvent, AlarmState, Overlay
from gateway.data.event import Event
from gateway.data.tag import TagTable
from gateway.engine.bookkeeping import flow_books
from gateway.engine.codec import unpack_inputs
from gateway.engine.feeder import FRESH_S
from gateway.engine.graph import Graph
from gateway.engine.health import OWN
from gateway.engine.runtime import Runtime
from gateway.engine.sim_nodes import rows_of
from gateway.engine.sim_world import Receiver, Row, World
from gateway.engine.store_ledger import Ledger
from gateway.engine.turn import ends_of
from gateway.engine.wiring import DEPLOYED
from gateway.flow.document import Document
from gateway.flow.node import Message

SHOWN_MAX: Final = 3


def problems(world: World, ledger: Ledger, runtime: Runtime, document: Document) -> list[str]:
    """What does not hold; empty when all is well."""
    said = _Said()
    numbers = [seq for _, seq, _ in ledger.records]
    said.unless(numbers == list(range(1, len(numbers) + 1)), "The journal has gaps or repeats.")
    truth = Truth(ledger, runtime, document)
    for name, device in world.devices.items():
        said.unless(
            not device.pending, f"{name}: {len(device.pending)} readings never acknowledged."
        )
        safe = {row[:3] for _, _, row in world.receivers["raw"].got}
        safe |= {row[:3] for row in truth.refused(world.receivers["raw"], "raw")}
        lost = [row for row in device.acknowledged if (*row[:2], repr(row[2])) not in safe]
        said.unless(not lost, f"{name}: {len(lost)} acknowledged rows were lost", lost)
    said.all(_books(runtime))
    said.all(_answers(runtime, truth))
    for name, receiver in world.receivers.items():
        if name not in runtime.runners[document.name].egresses:
            continue
        delivery = runtime.runners[document.name].egresses[name].sink.delivery
        if delivery == "every":
            said.all(_every(name, receiver, truth, ledger))
        elif delivery == "fresh":
            said.all(_fresh(name, receiver, truth))
    said.all(_states(runtime, truth))
    books = flow_books(runtime.runners[document.name])
    said.unless(not books["unbalanced"], "The books do not balance", [books])
    return said.lines


class _Said:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def unless(self, good: bool, text: str, shown: Sequence[Any] = ()) -> None:
        if not good:
            self.lines.append(text + (f": {list(shown)[:SHOWN_MAX]}" if shown else ""))

    def all(self, lines: Iterator[str]) -> None:
        self.lines += lines


class Truth:
    """The journal, run once through a fresh graph."""

    def __init__(self, ledger: Ledger, runtime: Runtime, document: Document) -> None:
        runner = runtime.runners[document.name]
        tags = TagTable(runtime.tags.limit)
        tags.load(runtime.tags.dump())
        self.graph = Graph(document, tags)
        self.messages: dict[str, list[tuple[float, list[Row]]]] = {}
        """By sink: the true time of the commit [s] and the rows of every message."""
        self.alarms: list[AlarmEvent] = []
        self.regressed: list[str] = []
        self.asked: list[tuple[str, Message]] = []
        """Answers as they came back, in order."""
        marks: dict[str, NDArray[Any]] = {}
        for i, (at_s, _, block) in enumerate(ledger.records):
            inputs, now = unpack_inputs(block)
            if inputs and inputs[0][:2] == DEPLOYED:
                self._deployed(inputs[0][2], ledger, tags)
                marks.clear()
            self.asked += [(node, message) for node, _, message in inputs if node == "ask"]
            self._take(self.graph.step(inputs, now), at_s, tags)
            if i % 10 == 0:
                self._watch(marks)
        self._take(self.graph.wake(runner.graph.now), float("inf"), tags)

    def _deployed(self, marker: Message, ledger: Ledger, tags: TagTable) -> None:
        """From here on another revision of the flow ran."""
        assert isinstance(marker, tuple)
        (event,) = marker
        assert isinstance(event, Event)
        graph = Graph(Document.parse(ledger.revisions[event.data["revision"]]), tags)
        taken = graph.adopt(self.graph)
        newest = {one.alarm: one for one in self.alarms}
        opened = [one for one in newest.values() if one.is_open or one.overlay is not Overlay.NONE]
        self.alarms += ends_of(opened, graph.name, taken.kept, event.ts)
        self.graph = graph

    def _take(self, result: Any, at_s: float, tags: TagTable) -> None:
        for node, _, message in result.outputs:
            self.messages.setdefault(node, []).append((at_s, rows_of(message, tags)))
        self.alarms += [event for _, events in result.alarms for event in events]

    def _watch(self, marks: dict[str, NDArray[Any]]) -> None:
        for name, node in self.graph.transforms().items():
            mark = node.snapshot().get("watermark")
            if mark is None:
                continue
            if name in marks and (mark[: len(marks[name])] < marks[name]).any():
                self.regressed.append(name)
            marks[name] = mark

    def refused(self, receiver: Receiver, sink: str) -> list[Row]:
        """The poison rows; their neighbours are found out and written."""
        rows = [row for _, listed in self.messages.get(sink, ()) for row in listed]
        return [row for row in rows if row in receiver.poison]


def _every(name: str, receiver: Receiver, truth: Truth, ledger: Ledger) -> Iterator[str]:
    """Each life goes on where the one before was, at worst where the stored cursor was."""
    wanted: list[Row] = []
    ends = [0]
    for _, rows in truth.messages.get(name, ()):
        wanted += [row for row in rows if row not in receiver.poison]
        ends.append(len(wanted))
    lives: dict[int, list[Row]] = {}
    for life, _, row in receiver.got:
        lives.setdefault(life, []).append(row)
    done = 0
    for life, got in sorted(lives.items()):
        cursor = ledger.at_death[life - 1].get(name, 0) if life else 0
        start = next(
            (s for s in range(done, -1, -1) if wanted[s : s + len(got)] == got),
            None,
        )
        if start is None:
            yield f"{name}: life {life} wrote what the journal does not give, such as {got[:1]}."
            return
        if start < min(ends[min(cursor, len(ends) - 1)], done):
            yield f"{name}: life {life} wrote again what a stored cursor says was taken."
        done = max(done, start + len(got))
    if done < len(wanted):
        yield f"{name}: {len(wanted) - done} rows were never written, such as {wanted[done]}."


def _books(runtime: Runtime) -> Iterator[str]:
    """Every row that was made for a sink or worker was taken, buried, dropped or waits."""
    for runner in runtime.runners.values():
        for name, box in runner.outboxes().items():
            if missing := box.books.unbalanced(box.rows):
                yield f"{name}: the books do not balance by {missing} rows: {box.mark()}."


def _answers(runtime: Runtime, truth: Truth) -> Iterator[str]:
    """Each question was answered once, in order."""
    tags = runtime.tags
    wanted = [row[:2] for _, rows in truth.messages.get("ask", ()) for row in rows]
    got = [row[:2] for _, message in truth.asked for row in rows_of(message, tags)]
    if got != wanted:
        yield f"{len(wanted)} questions have {len(got)} answers."


def _fresh(name: str, receiver: Receiver, truth: Truth) -> Iterator[str]:
    """Nothing twice and nothing late."""
    born = {row: at_s for at_s, rows in truth.messages.get(name, ()) for row in rows}
    seen: set[Row] = set()
    for _, at_s, row in receiver.got:
        if row in seen:
            yield f"{name}: {row} was written twice."
        if row not in born:
            yield f"{name}: {row} was written, but the journal does not give it."
        elif at_s - born[row] > FRESH_S + 1.0:
            yield f"{name}: {row} was written {at_s - born[row]:.1f} s late."
        seen.add(row)


def _item(event: AlarmEvent) -> tuple[object, ...]:
    return (event.alarm, event.ts, event.change, event.occurrence, event.state.value)


def _is_own(event: AlarmEvent) -> bool:
    """True for an alarm about the gateway itself, which another journal gives."""
    return event.alarm.startswith(f"{OWN}/")


def _states(runtime: Runtime, truth: Truth) -> Iterator[str]:
    """The state at the end is that of a life without interruptions, bit for bit."""
    (runner,) = runtime.runners.values()
    if truth.regressed:
        yield f"A watermark went back in {sorted(set(truth.regressed))}."
    is_state, should = runner.graph.snapshot(), truth.graph.snapshot()
    for node, arrays in should.items():
        for key, array in arrays.items():
            other = is_state[node][key]
            with contextlib.suppress(TypeError):
                if array.dtype.kind == "f":
                    array, other = array.view(np.uint64), other.view(np.uint64)
            if not np.array_equal(array, other):
                yield f"{node}: the state {key!r} differs from that of an uninterrupted run."
    history = [event for event in runtime.book.history() if not _is_own(event)]
    told, due = ([_item(e) for e in events] for events in (history, truth.alarms))
    if told != list(dict.fromkeys(due)):
        odd = sorted(set(told) ^ set(due), key=repr)
        odd = odd or [pair for pair in zip(told, due, strict=False) if pair[0] != pair[1]]
        yield f"The alarm history is not that of the journal: {odd[:SHOWN_MAX]}."
    opened: dict[str, AlarmEvent] = {}
    for event in truth.alarms:
        opened[event.alarm] = event
        if event.state is AlarmState.NORM and event.overlay is Overlay.NONE:
            del opened[event.alarm]
    book = {event.alarm: event for event in runtime.book.open() if not _is_own(event)}
    if {k: e.occurrence for k, e in book.items()} != {k: e.occurrence for k, e in opened.items()}:
        yield f"The book has {sorted(book)} open, the nodes {sorted(opened)}."

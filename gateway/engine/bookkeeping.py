"""Bookkeeping: every row that came into a flow is somewhere, and we can say where.

The books of what goes out belong to the outboxes (`books`). Here are those of what comes in, and
the sum over a whole flow, which must be nothing unaccounted for at every instant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gateway.engine.arrived import Arrived
from gateway.engine.graph import Graph
from gateway.engine.inbox import Inbox
from gateway.engine.outbox import Outbox, node_of_box, of_node
from gateway.engine.traffic import gives, takes
from gateway.engine.wiring import Input, rows
from gateway.flow.node import Node

if TYPE_CHECKING:
    from gateway.engine.runner import FlowRunner


@dataclass(slots=True)
class InputBook:
    """Rows of one node that comes into the flow: a source, a worker's answers, a person's act.

    Args:
        read: Rows it brought.
        at_door: Rows that wait for room in the inbox.
        in_inbox: Rows that wait there.
        in_hand: Rows that are being committed.
        journalled: Rows that are in the journal; in a flow without one, that went into a step.
        refused: Rows that cannot be stored; they are dead letters.
        given_back: Rows nobody took before their source ended; it was told of none of them.
        lost: Rows that an error of ours has cost.
    """

    read: int = 0
    at_door: int = 0
    in_inbox: int = 0
    in_hand: int = 0
    journalled: int = 0
    refused: int = 0
    given_back: int = 0
    lost: int = 0

    @property
    def waiting(self) -> int:
        """Rows that are not yet safe."""
        return self.at_door + self.in_inbox + self.in_hand

    @property
    def unbalanced(self) -> int:
        """Rows nobody can account for; anything but 0 is a fault of ours."""
        gone = self.journalled + self.refused + self.given_back + self.lost
        return self.read - gone - self.waiting


class Intake(Inbox[Arrived]):
    """The inbox of a flow, with a book for each node that puts something in.

    Args:
        rows_max: How many rows may wait.
    """

    def __init__(self, rows_max: int) -> None:
        super().__init__(rows_max)
        self.books: dict[str, InputBook] = {}
        self._hand: Sequence[Arrived] = ()
        self.is_held: Callable[[], bool] = lambda: False
        """Whether sources must wait, because a worker has as many questions as it may."""

    def holds_up(self, entry: Arrived) -> bool:
        return entry.ingress is not None and self.is_held()

    def book(self, node: str) -> InputBook:
        """The book of a node; a new one when it has brought nothing yet."""
        return self.books.setdefault(node, InputBook())

    async def put(self, entry: Arrived, rows: int) -> None:
        book, size = self.book(entry.node), _size(entry)
        book.read += size
        book.at_door += size
        is_in = False
        try:
            await super().put(entry, rows)
            is_in = True
        finally:
            book.at_door -= size
            if is_in:
                book.in_inbox += size
            else:
                book.given_back += size

    def put_now(self, entry: Arrived, rows: int) -> None:
        book, size = self.book(entry.node), _size(entry)
        book.read += size
        book.in_inbox += size
        super().put_now(entry, rows)

    async def take(self, rows_max: int, timeout_s: float | None = None) -> list[Arrived]:
        for book in self.books.values():  # Whoever asks for more has failed with what he had.
            book.lost += book.in_hand
            book.in_hand = 0
        for entry in self._hand:
            if entry.again is not None:
                entry.again.fail("An error of ours kept it from its node; the log says which.")
        self._hand = entries = await super().take(rows_max, timeout_s)
        for entry in entries:
            book, size = self.book(entry.node), _size(entry)
            book.in_inbox -= size
            book.in_hand += size
        return entries

    def admitted(
        self, entries: Sequence[Arrived], classes: Mapping[str, type[Node[Any]]]
    ) -> list[Arrived]:
        """All but what a person gives to a node that is gone; who gave it is told."""
        found = []
        for entry in entries:
            again = entry.again
            if again is None or all(_fits(classes, entry, port) for port, _ in entry.outputs):
                found.append(entry)
                continue
            book, size = self.book(entry.node), _size(entry)
            book.in_hand -= size
            book.given_back += size
            again.fail(f"{entry.node} is gone from the flow.")
        return found

    def refused(self, item: Input) -> None:
        """Something that was taken cannot be stored."""
        self.book(item[0]).refused += rows(item[2])
        self.book(item[0]).in_hand -= rows(item[2])

    def journalled(self, inputs: Sequence[Input], entries: Sequence[Arrived]) -> None:
        """What was taken is safe, namely these inputs of these entries."""
        self._hand = ()
        for book in self.books.values():
            book.in_hand = 0
        for node, _, message in inputs:
            if node:  # What the engine says itself was brought by nobody.
                self.book(node).journalled += rows(message)
        for entry in entries:
            if entry.again is not None:
                entry.again.done()


def _fits(classes: Mapping[str, type[Node[Any]]], entry: Arrived, port: str) -> bool:
    """A letter goes to its node; what a person makes up may also be what a source would bring."""
    is_letter = entry.again is not None and entry.again.decision is not None
    return takes(classes, entry.node, port) or (not is_letter and gives(classes, entry.node, port))


def _size(entry: Arrived) -> int:
    return sum(rows(message) for _, message in entry.outputs)


def base_of(graph: Graph, outboxes: Mapping[str, Outbox]) -> dict[str, int]:
    """What each outbox was offered before this graph began to count."""
    reached = graph.traffic.reached()
    offered: Counter[str] = Counter()
    for name, box in outboxes.items():
        offered[node_of_box(name)] += box.books.offered
    return {node: count - reached[node] for node, count in offered.items()}


# ---------------------------------------------------------------------- the books of a flow


def flow_books(runner: FlowRunner) -> dict[str, Any]:
    """The books of a flow as plain values; `unbalanced` must be 0 at every instant.

    It costs some microseconds a node and waits for nothing.
    """
    inputs = _inputs(runner)
    wires = _wires(runner)
    outlets = _outlets(runner)
    parts = [abs(part["unbalanced"]) for part in (*inputs, *wires, *outlets)]
    return {
        "since": runner.since,
        "unbalanced": sum(parts),
        "inputs": inputs,
        "wires": wires,
        "outlets": outlets,
    }


def _inputs(runner: FlowRunner) -> list[dict[str, Any]]:
    unwired: Counter[str] = Counter()
    for (node, _), size in runner.graph.traffic.unwired.items():
        unwired[node] += size
    classes = runner.graph.classes
    found = []
    for node, book in runner.inbox.books.items():
        kind = classes[node].kind if node in classes else "gone"
        found.append(
            {
                "node": node,
                "kind": "person" if kind in ("transform", "sink") else kind,
                **asdict(book),
                "waiting": book.waiting,
                "unwired": unwired[node],
                "unbalanced": book.unbalanced,
            }
        )
    return found


def _wires(runner: FlowRunner) -> list[dict[str, Any]]:
    """The wires that end at a transform: what reached it was worked on, or was dropped."""
    found = []
    for (source, port, target, target_port), count in runner.graph.traffic.wires.items():
        if runner.graph.classes[target].kind == "transform":
            found.append(
                {
                    "from": f"{source}.{port}",
                    "to": f"{target}.{target_port}",
                    "rows": count.rows,
                    "done": count.done,
                    "dropped": count.reasons(),
                    "unbalanced": count.rows - count.done - count.dropped,
                }
            )
    return found


def _outlets(runner: FlowRunner) -> list[dict[str, Any]]:
    reached = runner.graph.traffic.reached()
    boxes = runner.outboxes()
    found = []
    for node in dict.fromkeys(map(node_of_box, boxes)):
        mine = list(of_node(boxes, node).values())
        books = [box.books for box in mine]
        egress = runner.egresses.get(node)
        offered = sum(book.offered for book in books)
        # What the wires brought and what the outbox was offered are counted apart.
        astray = runner.base.get(node, 0) + reached[node] - offered
        found.append(
            {
                "node": node,
                "kind": "worker" if egress is None else "sink",
                "offered": offered,
                "delivered": sum(book.delivered for book in books),
                "dead": sum(book.dead for book in books),
                "dropped": dict(+sum((book.dropped for book in books), Counter())),
                "queued": sum(box.rows for box in mine),
                "bytes": sum(box.bytes for box in mine),
                "backlog": sum(box.backlog_rows for box in mine),
                "delivery": "every" if egress is None else egress.sink.delivery,
                "when_full": mine[0].options.when_full,
                "bytes_max": sum(box.options.bytes_max for box in mine),
                "unbalanced": sum(abs(box.books.unbalanced(box.rows)) for box in mine)
                + abs(astray),
            }
        )
    return found

"""A reading is bounded in rows, however many of them a message has; nothing is lost by it."""

from __future__ import annotations

from typing import Any

import orjson

from nodes.mqtt._intake import Intake, Owed, Part, Receipt
from nodes.mqtt._pace import READ_ROWS_MAX, Pace


def part(first: int, n: int, receipt: Receipt | None) -> Part:
    topics = [b"t%d" % i for i in range(first, first + n)]
    return Part(1_000_000, topics, [b"x" * 7] * n, 10 * n, receipt=receipt)


def test_one_row_a_message_and_a_hundred() -> None:
    pace = Pace()
    pace.took([part(0, 100, None)], 100)
    assert pace.messages_max == READ_ROWS_MAX
    pace.took([part(0, 100, None)], 10_000)
    assert pace.messages_max == READ_ROWS_MAX // 100
    pace.passed_over = 10_000
    pace.took([part(0, 100, None)], 0)
    assert pace.messages_max == READ_ROWS_MAX // 100, "what was left out was decoded too"
    pace.took([part(0, 1, None)], 10**6)
    assert pace.messages_max == 1


async def test_a_part_is_taken_in_pieces_and_acknowledged_once_all_are_safe() -> None:
    intake, owed = Intake("x", ["#"], lambda topic: True), Owed()
    left: list[tuple[int, int]] = []
    intake.taken = lambda p: left.append((len(p.topics), p.size))
    for first, n in ((0, 7), (7, 2)):
        receipt = Receipt(list(range(first, first + n)), 1)
        owed.add(receipt)
        intake.put(part(first, n, receipt))
    taken = []
    while intake.queue:
        taken.append(await intake.take(3))
    assert [[len(p.topics) for p in parts] for parts in taken] == [[3], [3], [1, 2]]
    topics = [topic for parts in taken for p in parts for topic in p.topics]
    assert topics == [b"t%d" % i for i in range(9)]
    assert sum(rows for rows, _ in left) == 9
    assert sum(size for _, size in left) == 90, "as many bytes leave as came"
    stamps = [p.arrival - (len(p.topics) - 1 - i) for p in taken[0] + taken[1] for i in range(3)]
    assert stamps == list(range(1_000_000 - 6, 1_000_000)), "rows without a time keep theirs"
    assert [owed.settle(parts) for parts in taken] == [[], [], list(range(9))]


async def test_a_message_of_many_values_makes_small_readings(
    bed: Any, broker: Any, send: Any, collect: Any
) -> None:
    source = bed.source(topics=["dev/{d}"], tag="dev/{d}", payload="json", fields="*")
    await bed.connection(broker.url).open()
    await source.connect()
    found = collect(source)
    document = orjson.dumps({f"m{i}": i for i in range(400)})
    await send(broker, [("dev/1", document)] * 200)
    await found.read(200 * 400, commit=True)
    assert max(map(len, found.batches[1:])) <= READ_ROWS_MAX

"""Make a test of what was seen: recorded input and what the flow gives for it, as a flow test.

The expectation is what a fresh flow gives, since that is what a test runs; where the flow that
ran gave something else, because it remembered what was before, that is said. Pure but for the
reading of records, which the caller does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final

from gateway.data.batch import Batch
from gateway.data.tag import TagTable
from gateway.data.windows import Windows
from gateway.engine.flowtest import Played, play, run_test
from gateway.engine.replay import Player, unnumbered
from gateway.engine.wiring import Input, Result
from gateway.errors import ConfigError, LimitError
from gateway.flow import notation
from gateway.flow.document import Document
from gateway.flow.entries import FlowTest, flow_test_data
from gateway.flow.node import Message

GIVEN_ROWS_MAX: Final = 500
"""A test is read by people; and the whole flow is sent with each save."""
EXPECT_ROWS_MAX: Final = 200
"""Of one end."""
_ORIGINS: Final = tuple(s * 10**9 for s in (1, 60, 3_600, 86_400))
"""Where time zero may be: at the last full second, minute, hour or day (UTC) [ns]."""
End = tuple[str, str]


@dataclass(slots=True)
class Seen:
    """What came into a flow in a span of time, and what it gave.

    Args:
        tags: The table of the flow that ran.
        given: Messages by the port they came by, in order.
        gave: Messages by the port they left or the sink they reached.
        skipped: What cannot be in a test, with why.
    """

    tags: TagTable
    given: dict[End, list[Message]] = field(default_factory=dict)
    gave: dict[End, list[Message]] = field(default_factory=dict)
    skipped: dict[str, None] = field(default_factory=dict)

    def take(self, inputs: Iterable[Input], document: Document) -> None:
        """One step came in."""
        wired = {(wire.source, wire.source_port) for wire in document.wires}
        for node, port, message in unnumbered(list(inputs)):
            cls = document.class_of(node) if node in document.nodes else None
            if not node:
                self.skipped["The gateway was stopped or the flow was edited in that time."] = None
            elif cls is None:
                self.skipped[f"{node} is no node of this text: its rows are left out."] = None
            elif cls.kind == "sink":
                self.skipped[f"What was handed to the sink {node} is left out."] = None
            elif port != "status" or (node, port) in wired:
                self.given.setdefault((node, port), []).append(message)

    def left(self, result: Result) -> None:
        """And that is what the flow gave in it."""
        for node, port, message in result.outputs:
            self.gave.setdefault((node, port), []).append(message)

    def rows(self) -> int:
        """How many came in."""
        return sum(len(message) for some in self.given.values() for message in some)

    def first(self) -> int:
        """The earliest time of what came in [ns]."""
        times = []
        for some in self.given.values():
            for message in some:
                if isinstance(message, Batch):
                    times.append(int(message.ts.min()))
                elif isinstance(message, Windows):
                    times.append(int(message.start.min()))
                else:
                    times += [item.ts for item in message]
        return min(times)


def watched(document: Document, nodes: Collection[str] = ()) -> list[End]:
    """The ports of which a test says what leaves them.

    Args:
        document: The flow, expanded.
        nodes: Those that are asked for; none means what sinks get and all alarms.

    Raises:
        ConfigError: One is no node.
    """
    for node in nodes:
        if node not in document.nodes:
            raise ConfigError(f"There is no node {node!r}.")
    found: list[End] = []
    for node in document.nodes:
        cls = document.class_of(node)
        if cls is None or document.nodes[node].disabled or (nodes and node not in nodes):
            continue
        ports = cls.inputs if cls.kind == "sink" else cls.outputs
        for port in ports:
            is_alarms = port.carries == "alarms"
            if nodes or (is_alarms if cls.kind != "sink" else not is_alarms):
                found.append((node, port.name))
    return found


@dataclass(frozen=True)
class Made:
    """A test, and what is to be known of it.

    Args:
        test: It.
        failures: Why it does not pass; empty when it does.
        differs: Ends of which the flow that ran gave something else.
        said: Sentences.
    """

    test: FlowTest
    failures: tuple[str, ...]
    differs: tuple[str, ...]
    said: tuple[str, ...]

    def data(self, document: Document) -> dict[str, Any]:
        """As plain values, with the text of the flow that has it.

        Args:
            document: The flow as it is written.
        """
        whole = replace(document, tests=(*document.tests, self.test))
        return {
            "flow": document.name,
            "title": self.test.title,
            "test": flow_test_data(self.test),
            "text": whole.text(),
            "passed": not self.failures,
            "failures": list(self.failures),
            "differs": list(self.differs),
            "said": list(self.said),
        }


def make(document: Document, seen: Seen, ends: Collection[End], end: int, title: str) -> Made:
    """A test of what was seen, run once so that it is known to pass.

    Args:
        document: The flow it is for, expanded and its variables replaced.
        seen: What came in and what the flow gave.
        ends: Ports of which it says what leaves them.
        end: When the span ended [ns]; timers up to then fire.
        title: What it is called.

    Raises:
        ConfigError: Nothing came in.
        LimitError: Too much came in.
    """
    if not seen.given:
        raise ConfigError("Nothing came in in that time.", hint="Choose another time.")
    if seen.rows() > GIVEN_ROWS_MAX:
        text = f"{seen.rows():,} rows came in: take a shorter time."
        raise LimitError("given_rows_max", GIVEN_ROWS_MAX, text)
    said = list(seen.skipped)
    first = seen.first()
    wanted = _played(document, seen, first // _ORIGINS[-1] * _ORIGINS[-1], end, title, exact=True)
    for size in _ORIGINS:
        origin = first // size * size
        test, played = _played(document, seen, origin, end, title)
        if all(played.text(one) == _text_from(wanted[1], one, origin) for one in ends):
            break
    else:
        said.append("Windows or times of day fall otherwise than they did: tests begin in 1970.")
    expect: dict[str, str] = {}
    for one in ends:
        text, name = played.text(one), _name(document, one, is_given=False)
        count = sum(len(message) for message in played.messages.get(one, ()))
        if count > EXPECT_ROWS_MAX:
            said.append(f"{name} gave {count:,} rows, which nobody reads: it is left out.")
        elif text or one[1] == "alarms":
            if run_test(document, replace(test, expect={name: text})):
                said.append(f"{name} cannot be written as a test, and is left out.")
            else:
                expect[name] = text
    test = replace(test, expect=expect)
    differs = [
        _name(document, one, is_given=False)
        for one in ends
        if _lived(seen, one, origin) != played.text(one)
    ]
    return Made(test, tuple(run_test(document, test)), tuple(differs), tuple(said))


def _played(
    document: Document, seen: Seen, origin: int, end: int, title: str, *, exact: bool = False
) -> tuple[FlowTest, Played]:
    """The test that begins at an origin [ns], and what the flow gives in it."""
    until = -(-max(end - origin, 0) // 10**9)
    test = FlowTest(
        title=title,
        given={
            _name(document, one, is_given=True): text_of(some, seen.tags, origin)
            for one, some in seen.given.items()
        },
        expect={},
        until=f"{until}s",
        tags=_facts(seen),
    )
    return test, play(document, test, shift=origin if exact else 0)


def _text_from(played: Played, end: End, origin: int) -> str:
    """What was played at its true time, with times from another origin [ns]."""
    return replace(played, shift=origin).text(end)


def _lived(seen: Seen, end: End, origin: int) -> str:
    """What the flow that ran gave."""
    whole = notation.concat(seen.gave.get(end, []))
    if whole is None:
        return ""
    return notation.show(notation.moved(whole, -origin), seen.tags)


def text_of(messages: list[Message], tags: TagTable, origin: int) -> str:
    """Messages of one port as a test gives them; rows that came late keep their place."""
    whole = notation.concat(messages)
    assert whole is not None
    whole = notation.moved(whole, -origin)
    if not isinstance(whole, Batch) or bool((whole.ts[1:] >= whole.ts[:-1]).all()):
        return notation.show(whole, tags)
    runs = groupby(range(len(whole)), key=lambda i: int(whole.tag[i]))
    lines = []
    for _, run in runs:
        index = list(run)
        lines.append(notation.show(whole.where(slice(index[0], index[-1] + 1)), tags))
    return "~ " + "\n".join(lines)


def _name(document: Document, end: End, *, is_given: bool) -> str:
    """A port as a test names it: without its name where that says nothing."""
    node, port = end
    cls = document.class_of(node)
    assert cls is not None
    outer = cls.kind in ("source", "worker") if is_given else cls.kind != "sink"
    ports = cls.outputs if outer else cls.inputs
    is_plain = port in ("in", "out") and bool(ports) and ports[0].name == port
    return node if is_plain else f"{node}.{port}"


def _facts(seen: Seen) -> Mapping[str, Mapping[str, Any]]:
    """What is known of the tags that came in, where it is more than their name."""
    found: dict[str, dict[str, Any]] = {}
    for some in seen.given.values():
        for message in some:
            if not isinstance(message, Batch):
                continue
            for code in dict.fromkeys(message.tag.tolist()):
                tag = seen.tags[code]
                known: dict[str, Any] = {"unit": tag.unit} if tag.unit else {}
                for name, value in (("low", tag.low), ("high", tag.high)):
                    if value == value:
                        known[name] = int(value) if value.is_integer() else value
                if tag.kind != "gauge":
                    known["kind"] = tag.kind
                if known:
                    found[tag.name] = known
    return found


def watch(
    player: Player,
    document: Document,
    steps: Iterable[tuple[list[Input], int]],
    start: int,
    end: int,
) -> Seen:
    """Run records up to the end of a span, and note what came and what left within it [ns]."""
    seen = Seen(player.tags)
    for inputs, now in steps:
        if now >= end:
            break
        result = player.step(inputs, now)
        if now >= start:
            seen.take(inputs, document)
            seen.left(result)
    return seen


__all__ = ["EXPECT_ROWS_MAX", "GIVEN_ROWS_MAX", "Made", "Seen", "make", "watch", "watched"]

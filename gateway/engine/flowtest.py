"""Flow tests: an engineer's flow carries its own proof, run in virtual time.

The very graph that runs in the plant gets the rows a test gives, at the times they carry, and
timers fire when they are due. An hour takes milliseconds, because nothing waits.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from typing import Any, Final

from gateway.data.table import parse_time
from gateway.data.tag import Tag, TagTable
from gateway.engine.clock import SystemClock
from gateway.engine.graph import Graph, Input, Result
from gateway.errors import ConfigError
from gateway.flow import notation
from gateway.flow.document import Document, FlowTest
from gateway.flow.findings import valid_config
from gateway.flow.harness import instants
from gateway.flow.node import Message, Node, Port

TAGS_MAX: Final = 1_000  # Chosen: a test is written by hand; every node has an array of this size.


@dataclass(frozen=True)
class Outcome:
    """How one test of one flow ended.

    Args:
        flow: The flow's name.
        file: Its file.
        line: Where the test begins.
        title: The test's title.
        failures: What differs or is wrong, a text each; empty when it passed.
        seconds: How long it took [s].
    """

    flow: str
    file: str
    line: int
    title: str
    failures: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """True when all that was expected came, and nothing else."""
        return not self.failures


@dataclass
class Played:
    """What left each port and reached each sink, in order.

    Args:
        tags: The tags of the run.
        shift: When it began [ns].
    """

    tags: TagTable
    shift: int = 0
    messages: dict[tuple[str, str], list[Message]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, result: Result, sinks: set[str]) -> None:
        reached = [item for item in result.outputs if item[0] in sinks]
        for node, port, message in [*result.trace, *reached]:
            self.messages.setdefault((node, port), []).append(message)
        self.faults += [f"Node {f.node!r} failed: {f.text.rstrip('.')}." for f in result.faults]

    def text(self, end: tuple[str, str]) -> str:
        """What left or reached a port, times from the beginning; empty for nothing."""
        whole = notation.concat(self.messages.get(end, []))
        if whole is None:
            return ""
        return notation.show(notation.moved(whole, -self.shift), self.tags)


def run_tests(document: Document, title: str = "") -> list[Outcome]:
    """Run the tests inside a flow.

    Args:
        document: The flow, its variables replaced.
        title: Run only tests whose title contains this.
    """
    clock = SystemClock()
    outcomes = []
    for i, test in enumerate(document.tests):
        if title.lower() not in test.title.lower():
            continue
        began = clock.monotonic()
        try:
            failures = tuple(run_test(document, test))
        except (ConfigError, ValueError) as error:
            failures = (str(error),)
        outcomes.append(
            Outcome(
                document.name,
                document.file,
                document.line("tests", i),
                test.title,
                failures,
                clock.monotonic() - began,
            )
        )
    return outcomes


def run_test(document: Document, test: FlowTest) -> list[str]:
    """What is wrong with one test; empty when it passes.

    Raises:
        ConfigError: The flow or the test names what is not there.
        ValueError: A text of the test cannot be read.
    """
    document = document.with_config(test.config)
    played = play(document, test)
    failures = list(played.faults)
    for end, text in test.expect.items():
        failures += _differences(document, end, text, played)
    return failures


def play(document: Document, test: FlowTest, *, shift: int = 0) -> Played:
    """Run what a test gives.

    Args:
        document: The flow, with the options of the test.
        test: What is given, until when, and the tags.
        shift: The time at which the test begins [ns]; 0 as tests run.

    Raises:
        ConfigError: The flow or the test names what is not there.
        ValueError: A text of the test cannot be read.
    """
    for node, entry in document.nodes.items():
        if (cls := document.class_of(node)) is not None and not entry.disabled:
            valid_config(cls.Config, entry.config, partial(document.where, "nodes", node))
    tags = TagTable(TAGS_MAX)
    for name, facts in test.tags.items():
        try:
            tags.add(Tag(name, **facts))
        except TypeError as error:
            raise ConfigError(
                f"The facts about tag {name!r} are wrong: {error}.",
                hint="There is unit, low, high, kind and about.",
            ) from error
    graph = Graph(document, tags, trace=True)
    graph.now = shift
    sinks = {node for node, cls in graph.classes.items() if not cls.outputs or cls.kind == "sink"}
    played = Played(tags, shift)
    for now, inputs in _inputs(document, test.given, tags):
        later = [(node, port, notation.moved(message, shift)) for node, port, message in inputs]
        played.add(graph.step(later if shift else inputs, now + shift), sinks)
    if test.until is not None:
        played.add(graph.wake(parse_time(test.until) + shift), sinks)
    return played


def _inputs(
    document: Document, given: Mapping[str, str], tags: TagTable
) -> list[tuple[int, list[Input]]]:
    """What a test gives, as one step an instant; rows that are late turn no time back."""
    found: list[tuple[int, Input]] = []
    for end, text in given.items():
        node, cls = _node(document, end)
        side = "outputs" if cls.kind in ("source", "worker") else "inputs"
        if cls.kind == "sink":
            raise ConfigError(f"{node!r} is a sink, so nothing can be given to it.")
        port = _port(cls, end, side)
        latest = 0
        for message, ts in instants(notation.parse(text, port.carries, tags)):
            latest = max(latest, ts)
            found.append((latest, (node, port.name, message)))
    steps: list[tuple[int, list[Input]]] = []
    for now, item in sorted(found, key=lambda pair: pair[0]):
        if not steps or steps[-1][0] != now:
            steps.append((now, []))
        steps[-1][1].append(item)
    return steps


def _differences(document: Document, end: str, text: str, played: Played) -> list[str]:
    node, cls = _node(document, end)
    port = _port(cls, end, "inputs" if cls.kind == "sink" else "outputs")
    found = played.text((node, port.name))
    wanted = notation.normal(text, port.carries)
    if found == wanted:
        return []
    place = f"{node}.{port.name}"
    lines = difflib.unified_diff(
        wanted.splitlines(), found.splitlines(), "expected", "came", lineterm="", n=1
    )
    return [f"{place} differs:\n" + "\n".join(lines)]


def _node(document: Document, end: str) -> tuple[str, type[Node[Any]]]:
    node = end.partition(".")[0]
    cls = document.class_of(node) if node in document.nodes else None
    if cls is None:
        raise ConfigError(
            f"The test names {node!r}, which is no node of this flow.",
            hint=f"There is {', '.join(document.nodes)}.",
        )
    return node, cls


def _port(cls: type[Node[Any]], end: str, side: str) -> Port:
    ports: Sequence[Port] = getattr(cls, side)
    wanted = end.partition(".")[2]
    for port in ports:
        if wanted in ("", port.name):
            return port
    known = ", ".join(port.name for port in ports) or "none"
    hint = f"Its outputs are: {known}." if side == "outputs" else f"Its inputs are: {known}."
    raise ConfigError(f"{end!r}: there is no such port.", hint=hint)


def junit(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as JUnit XML, which every CI system shows.

    Source: the de-facto schema of Ant and Surefire, https://llg.cubic.org/docs/junit/.
    """
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    failed = sum(not o.passed for o in outcomes)
    seconds = sum(o.seconds for o in outcomes)
    counts = f'tests="{len(outcomes)}" failures="{failed}" errors="0" time="{seconds:.3f}"'
    lines.append(f'<testsuites name="genba" {counts}>')
    for flow in dict.fromkeys(o.flow for o in outcomes):
        cases = [o for o in outcomes if o.flow == flow]
        failed = sum(not o.passed for o in cases)
        seconds = sum(o.seconds for o in cases)
        counts = f'tests="{len(cases)}" failures="{failed}" errors="0" time="{seconds:.3f}"'
        lines.append(f'  <testsuite name="{_xml(flow)}" {counts}>')
        lines += [_case(outcome) for outcome in cases]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _case(outcome: Outcome) -> str:
    head = (
        f'    <testcase classname="{_xml(outcome.flow)}" name="{_xml(outcome.title)}" '
        f'file="{_xml(outcome.file)}" line="{outcome.line}" time="{outcome.seconds:.3f}"'
    )
    if outcome.passed:
        return f"{head}/>"
    text = "\n".join(outcome.failures)
    first = _xml(text.splitlines()[0])
    return f'{head}>\n      <failure message="{first}">{_xml(text)}</failure>\n    </testcase>'


def _xml(text: str) -> str:
    """Text for XML 1.0, which has no way to write most control characters."""
    return escape("".join(c if c.isprintable() or c in "\n\t" else "?" for c in text))


__all__ = ["Outcome", "Played", "junit", "play", "run_test", "run_tests"]

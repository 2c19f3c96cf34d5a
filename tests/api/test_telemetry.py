"""Telemetry: what a real collector reads, and that one which is away costs nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from gateway import Batch, Event, TagTable
from gateway.api import otlp, telemetry
from gateway.api.client import Client
from gateway.api.exposition import metrics_text
from gateway.api.exposition_names import BY_NAME
from gateway.api.telemetry import Telemetry, TelemetryOptions
from gateway.data.tasks import Tasks
from gateway.engine.clock import SystemClock
from gateway.engine.graph import Graph
from gateway.engine.runner import FlowRunner
from gateway.engine.runtime import Runtime
from gateway.engine.spans import SPANS_MAX, Spans, name_number
from gateway.engine.spans import Span as Ours
from gateway.engine.timed import TimedGraph
from gateway.flow.document import Document
from tests.api.collector import Collector, collecting, values
from tests.api.serving import served
from tests.engine.gear import Script, flow, lent, samples, started, until
from tests.engine.gear import values as written

FLOW = flow(
    """src: {type: script.source}
    near: {type: filter.deadband, band: 0.5}
    out: {type: script.sink}
    ask: {type: script.worker}""",
    "src -> near -> out, near -> ask -> out",
)


@asynccontextmanager
async def told(
    folder: Path, url: str, ratio: float = 1.0, *, headers: str = "", interval_s: float = 0.05
) -> AsyncIterator[tuple[Runtime, Telemetry, Script]]:
    """A gateway that tells a collector."""
    tasks = Tasks("test")
    spans = Spans(ratio, SystemClock(), "here") if ratio else None
    with lent(Script()) as script:
        runtime = await started(FLOW, folder, spans=spans)
        teller = Telemetry(runtime, TelemetryOptions(url, headers, None, ratio, interval_s))
        task = tasks.start("telemetry", teller.run())
        try:
            yield runtime, teller, script
        finally:
            await tasks.stop()
            await runtime.stop()
            assert task.cancelled(), "it runs until it is told to end"


async def feed(runtime: Runtime, script: Script, count: int, first: int = 0) -> None:
    """Batches of two rows, one after the other, each its own step; the second row is near."""
    for number in range(first, first + count):
        rows = samples(runtime, f"A {number}s {number} | {number}.5s {number}.1")
        script.readings.put_nowait(rows)
        await until(lambda n=number: float(n) in written(script))


def of_flow(collector: Collector, name: str = "test") -> list[Span]:
    return [s for s in collector.spans() if values(s.attributes)["genba.flow"] == name]


def taken(collector: Collector) -> int:
    """Rows that the spans of the sink tell of."""
    spans = (s for s in of_flow(collector) if s.name == "test/out")
    return sum(values(s.attributes)["genba.rows_in"] for s in spans)


async def test_a_collector_reads_a_span_for_each_node_and_batch(tmp_path: Path) -> None:
    with collecting() as collector:
        async with told(tmp_path, collector.url) as (runtime, _, script):
            await feed(runtime, script, 3)
            await until(lambda: sum(s.name == "near" for s in of_flow(collector)) == 3)
            await until(lambda: sum(s.name == "test/ask" for s in of_flow(collector)) == 3)
            await until(lambda: taken(collector) >= 6)
            revision = runtime.runners["test"].revision
        spans = of_flow(collector)
        resource = values(collector.traces[0].resource_spans[0].resource.attributes)
    assert resource["service.name"] == "genba"
    assert resource["host.name"] == socket.gethostname()
    assert resource["service.version"]
    by_trace: dict[bytes, list[Span]] = {}
    for span in spans:
        assert len(span.trace_id) == 16
        assert len(span.span_id) == 8
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
        by_trace.setdefault(span.trace_id, []).append(span)
    assert len({(s.trace_id, s.span_id) for s in spans}) == len(spans)
    steps = [group for group in by_trace.values() if any(s.name == "near" for s in group)]
    assert len(steps) == 3
    numbers = []
    for group in steps:
        whole = next(s for s in group if not s.parent_span_id)
        about = values(whole.attributes)
        numbers.append(about["genba.batch"])
        assert (whole.name, about["genba.revision"]) == ("test", revision)
        nodes = {s.name: s for s in group if s.parent_span_id}
        # What a source says of its own state goes to the alarm that is in every flow.
        assert {"src", "near"} <= set(nodes) <= {"src", "near", "communication"}
        for name, span in nodes.items():
            mine = values(span.attributes)
            assert span.parent_span_id == whole.span_id
            assert mine["genba.node"] == name
            assert mine["genba.batch"] == about["genba.batch"]
            assert whole.start_time_unix_nano <= span.start_time_unix_nano
            assert span.end_time_unix_nano <= whole.end_time_unix_nano
        # What the source says of its own state may come with the samples.
        assert 2 <= values(nodes["src"].attributes)["genba.rows_out"] == about["genba.rows"] <= 3
        near = values(nodes["near"].attributes)
        assert near["genba.type"] == "filter.deadband"
        assert (near["genba.calls"], near["genba.rows_in"], near["genba.rows_out"]) == (1, 2, 1)
    assert len(set(numbers)) == 3
    sinks = [s for s in spans if s.name == "test/out"]
    assert {s.kind for s in sinks} == {Span.SPAN_KIND_PRODUCER}
    assert all(values(s.attributes)["genba.message"] > 0 for s in sinks)
    asked = [values(s.attributes) for s in spans if s.name == "test/ask"]
    assert [one["genba.rows_in"] for one in asked] == [1, 1, 1]


async def test_the_metrics_are_those_of_the_other_page(tmp_path: Path) -> None:
    with collecting() as collector:
        async with told(tmp_path, collector.url) as (runtime, teller, script):
            await feed(runtime, script, 2)
            await until(lambda: teller.sent > 4)
            async with served(runtime) as url:
                page = await asyncio.to_thread(Client(url).metrics)
            seen = len(collector.metrics)
            await until(lambda: len(collector.metrics) > seen + 1)
            found = collector.newest()
            mine = metrics_text(runtime)
    for name, metric in found.items():
        known = BY_NAME[name]
        assert f"# HELP {name} {known.about}" in page
        assert metric.description == known.about
        assert metric.WhichOneof("data") == ("sum" if known.kind == "counter" else "gauge")
        if known.kind == "counter":
            assert metric.sum.is_monotonic
            assert metric.sum.aggregation_temporality == 2
            assert all(p.start_time_unix_nano == runtime.since for p in metric.sum.data_points)
        points = metric.sum.data_points if known.kind == "counter" else metric.gauge.data_points
        for point in points:
            assert tuple(values(point.attributes)) == known.labels
            assert point.time_unix_nano > runtime.since
    told_names = {line.split()[2] for line in page.splitlines() if line.startswith("# HELP")}
    filled = {
        line.split("{")[0].split()[0] for line in page.splitlines() if not line.startswith("#")
    }
    assert set(found) == told_names & filled
    rows = {
        tuple(values(p.attributes).values()): p.as_int
        for p in found["genba_input_rows_total"].sum.data_points
    }
    count = rows["test", "src", "journalled"]
    assert count >= 4
    assert f'genba_input_rows_total{{flow="test",node="src",what="journalled"}} {count}' in mine
    assert found["genba_journal_bytes"].unit == "By"


def test_a_node_that_fails_is_an_error() -> None:
    with lent(Script()):
        graph = TimedGraph(FLOW, TagTable(10))
        now = 2_000_000_000 * 10**9
        with graph.watched(SystemClock()) as done:
            result = graph.step((("src", "out", (Event(now, "no batch", {}),)),), now)
    assert "_call" not in vars(graph), "the next step runs the plain code"
    assert result.faults[0].node == "near"
    assert done["near"].error == result.faults[0].text
    assert (done["near"].rows_in, done["near"].rows_out) == (1, 0)
    span = Ours(b"t" * 16, b"s" * 8, b"", "x", "internal", 1, 2, {"a": 1.5}, "ValueError: no")
    request = otlp.traces({"service.name": "genba"}, "1", [span])
    read = ExportTraceServiceRequest.FromString(request).resource_spans[0].scope_spans[0]
    assert read.scope.name == "genba"
    assert read.spans[0].status.code == Status.STATUS_CODE_ERROR
    assert read.spans[0].status.message == "ValueError: no"
    assert values(read.spans[0].attributes) == {"a": 1.5}


def test_which_batches_are_drawn_is_a_matter_of_their_numbers() -> None:
    clock = SystemClock()
    spans = Spans(0.01, clock, "a")
    number = name_number("line/press")
    drawn = [n for n in range(100_000) if spans.is_drawn(number, n)]
    assert 900 < len(drawn) < 1_100
    assert drawn == [n for n in range(100_000) if Spans(0.01, clock, "b").is_drawn(number, n)]
    assert all(Spans(1.0, clock).is_drawn(number, n) for n in range(1_000))
    assert not any(Spans(0.0, clock).is_drawn(number, n) for n in range(1_000))
    assert np.diff(drawn).max() < 2_000, "no part of the day is without"
    assert spans.trace_of("line", 7) == Spans(1.0, clock, "a").trace_of("line", 7)
    assert spans.trace_of("line", 7) != Spans(1.0, clock, "b").trace_of("line", 7)


async def test_what_is_not_traced_is_made_of_the_plain_classes(tmp_path: Path) -> None:
    with lent(Script()):
        runtime = await started(FLOW, tmp_path)
        try:
            runner = runtime.runners["test"]
            assert type(runner) is FlowRunner
            assert type(runner.graph) is Graph
            assert {type(one).__name__ for one in runner.workers.values()} == {"WorkerDriver"}
            assert "genba_spans_total" not in metrics_text(runtime)
        finally:
            await runtime.stop()


def test_a_watched_step_gives_the_same() -> None:
    text = """flow: same
version: 1
nodes:
  src: {type: test.inject, rows: "a 0s 1"}
  near: {type: filter.deadband, band: 0.5}
  window: {type: window.tumbling, size_s: 10}
  level: {type: feature.statistics}
wires: [src -> near -> window -> level]
"""
    found: list[Any] = []
    for is_watched in (False, True):
        table = TagTable(10)
        table.code("a")
        graph = TimedGraph(Document.parse(text), table, trace=True)
        seen = []
        for number in range(50):
            ts = np.array([(1_000_000_000 + number) * 10**9])
            batch = Batch.columns(np.zeros(1, np.uint16), ts, np.array([float(number)])).freeze()
            if is_watched:
                with graph.watched(SystemClock()):
                    result = graph.step((("src", "out", batch),), int(ts[0]))
            else:
                result = graph.step((("src", "out", batch),), int(ts[0]))
            seen.append([(node, port, repr(message)) for node, port, message in result.trace])
        found.append((seen, repr(graph.snapshot())))
    assert found[0] == found[1]


# ---------------------------------------------------------------------- a bad collector


async def test_a_collector_that_is_away_costs_spans_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "PAUSE_MAX_S", 0.1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with told(tmp_path, f"http://127.0.0.1:{port}") as (runtime, teller, script):
        await feed(runtime, script, 2)
        await until(lambda: teller.trouble)
        assert "cannot be reached" in teller.trouble
        await feed(runtime, script, 2, 10)
        lines = [text for _, _, where, text in runtime.lines.kept if where == "telemetry"]
        assert len(lines) == 1, "said once"
        assert runtime.spans is not None
        waited = len(runtime.spans.waiting)
        assert waited > 0
        with collecting(port) as collector:
            await until(lambda: not teller.trouble)
            await until(lambda: of_flow(collector))
            await until(lambda: runtime.spans is not None and runtime.spans.sent > 0)
            assert len(collector.spans()) >= waited, "what had waited came"
        lines = [text for _, _, where, text in runtime.lines.kept if where == "telemetry"]
        assert "takes telemetry again" in lines[1]


async def test_a_collector_that_never_answers_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "REQUEST_S", 0.3)
    with collecting() as collector:
        collector.slow.clear()
        async with told(tmp_path, collector.url) as (runtime, teller, script):
            await until(lambda: collector.asked)
            await feed(runtime, script, 3)
            assert len(collector.asked) <= 2, "one request at a time"
            await until(lambda: teller.trouble)
            assert runtime.status()["unbalanced"] == 0
        collector.slow.set()


def test_what_waits_has_an_end() -> None:
    spans = Spans(1.0, SystemClock())
    for number in range(SPANS_MAX + 100):
        spans.add(Ours(b"", b"", b"", str(number), "internal", 0))
    assert len(spans.waiting) == SPANS_MAX
    assert spans.dropped == 100
    assert spans.waiting[0].name == "100", "the oldest go"
    assert spans.is_many.is_set()
    assert len(spans.take(10)) == 10


@pytest.mark.parametrize(
    ("code", "headers", "said"),
    [
        (503, {"Retry-After": "7"}, "answers 503"),
        (401, {}, "Are the headers right?"),
        (404, {}, "answers 404 for /v1/metrics"),
        (307, {"Location": "http://127.0.0.1:9/"}, "answers 307"),
    ],
)
async def test_what_a_collector_says_is_said(
    tmp_path: Path, code: int, headers: dict[str, str], said: str
) -> None:
    with collecting() as collector:
        collector.code, collector.headers = code, headers
        async with told(tmp_path, collector.url) as (runtime, teller, _):
            await until(lambda: teller.trouble)
            assert said in teller.trouble
            line = next(t for _, _, where, t in runtime.lines.kept if where == "telemetry")
            assert ("Next try in 7 s" in line) == (code == 503)


async def test_refusals_headers_and_endless_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENBA_SECRET_OTLP", "Authorization=Bearer%20abc, x-tenant=press")
    with collecting() as collector:
        collector.refuses = 1
        async with told(tmp_path, collector.url, headers="otlp") as (runtime, _, script):
            await feed(runtime, script, 1)
            await until(lambda: runtime.spans is not None and runtime.spans.dropped)
            assert {h["authorization"] for _, h in collector.asked} == {"Bearer abc"}
            assert {h["x-tenant"] for _, h in collector.asked} == {"press"}
    with collecting() as collector:
        collector.noise = b"x" * (telemetry.ANSWER_BYTES_MAX + 1)
        async with told(tmp_path, collector.url) as (_, teller, _):
            await until(lambda: teller.trouble)
            assert "answers more than" in teller.trouble


async def test_headers_that_are_not_set_are_said(tmp_path: Path) -> None:
    with collecting() as collector:
        async with told(tmp_path, collector.url, headers="absent") as (_, teller, _):
            await until(lambda: teller.trouble)
            assert "genba secrets set absent" in teller.trouble
        assert not collector.asked, "nothing went without them"


async def test_the_end_tells_what_is_left(tmp_path: Path) -> None:
    with collecting() as collector:
        async with told(tmp_path, collector.url) as (runtime, teller, script):
            await until(lambda: teller.sent)
            teller._options = TelemetryOptions(collector.url, interval_s=60.0)
            seen = len(collector.metrics)
            await until(lambda: len(collector.metrics) > seen)
            await asyncio.sleep(0)
            await feed(runtime, script, 1)
            # Whether a round or the end tells it: it has been told when all has ended.
        assert any(s.name == "near" for s in of_flow(collector))


def test_no_drawn_batch_is_passed_over() -> None:
    for ratio in (0.0, 0.0005, 0.01, 0.3, 1.0):
        spans = Spans(ratio, SystemClock())
        for name in (0, name_number("line")):
            found, batch = [], 0
            while (batch := spans.next_drawn(name, batch)) < 5_000:
                found += [batch] if spans.is_drawn(name, batch) else []
                batch += 1
            assert found == [n for n in range(5_000) if spans.is_drawn(name, n)]

"""Counters: what `/metrics` says, its help page and the dashboard for Grafana agree."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import Event, Reading, Rejected
from gateway.api.client import Client
from gateway.api.exposition_names import BY_NAME, METRICS, metrics_table
from gateway.cli import docs
from gateway.engine import store_writer
from gateway.engine.store_records import letters
from tests.api.serving import served
from tests.engine.gear import NS, Script, flow, lent, samples, started, until

FLOW = flow(
    "src: {type: script.source}\nout: {type: script.sink}", "src -> out, src.status -> out.events"
)
LINE = re.compile(r"^(genba_\w+)(?:\{(.*)\})? (\S+)$")


@pytest.fixture
async def exposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The counters of a gateway in which everything has happened once."""
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(Script()) as script:
        runtime = await started(FLOW, tmp_path)
        async with served(runtime) as url:
            script.poison = lambda message: Rejected("No.")
            now = runtime.clock.now()
            data = {"cause": "poll_missed", "from": now - 5 * NS, "to": now - 2 * NS, "unit": 3}
            gap = (Event(now, "source/gap", data),)
            rows = samples(runtime, "A 0s 1")
            await script.readings.put(Reading({"status": gap, "out": rows}))
            async with asyncio.timeout(10):
                while not await letters(runtime.store):
                    await asyncio.sleep(0.005)
            await until(lambda: runtime.store.commits > 0)
            await runtime.runners["test"].checkpoint()
            yield await asyncio.to_thread(Client(url).metrics)
        await runtime.stop()


def test_a_name_stands_once() -> None:
    assert len(BY_NAME) == len(METRICS)
    for one in METRICS:
        assert re.fullmatch(r"genba_[a-z0-9_]+", one.name)
        assert one.name.endswith("_total") == (one.kind == "counter"), one.name


async def test_what_is_told_is_what_is_documented(exposed: str) -> None:
    seen = {}
    for line in exposed.splitlines():
        if line.startswith("# HELP "):
            name, _, about = line[7:].partition(" ")
            assert about == BY_NAME[name].about
            seen[name] = BY_NAME[name]
        elif line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            assert kind == BY_NAME[name].kind
        else:
            match = LINE.match(line)
            assert match, line
            labels = re.findall(r'(\w+)="(?:[^"\\]|\\.)*"', match[2] or "")
            assert tuple(labels) == BY_NAME[match[1]].labels, line
            float(match[3])
    missing = set(BY_NAME) - set(seen)
    # Those are told where trends are kept, alarms explained, batches traced.
    assert all(
        name.startswith(("genba_history_", "genba_explanations_", "genba_spans_"))
        for name in missing
    )


def test_every_name_is_in_the_code() -> None:
    """A name that nobody tells any more may not stay on the page."""
    folder = Path(docs.__file__).parents[1] / "api"
    code = "".join((folder / f"exposition{one}.py").read_text() for one in ("", "_models"))
    assert set(re.findall(r'"(genba_\w+)"', code)) == set(BY_NAME)


def test_the_page_is_fresh() -> None:
    page = (docs.HELP / "metrics.md").read_text("utf-8")
    assert page == docs.guides()["metrics.md"], "Run `genba docs --write`."
    assert metrics_table() in page


def test_the_dashboard_asks_for_what_there_is() -> None:
    board = json.loads(docs.page(docs.GRAFANA))
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) >= 10
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [
        one["query"]["query"] for one in board["templating"]["list"] if one["type"] == "query"
    ]
    for text in asked:
        names = re.findall(r"genba_\w+", text)
        assert names, text
        for name in names:
            assert name in BY_NAME, text
            assert ("rate(" in text) == (BY_NAME[name].kind == "counter") or "label_values" in text
        assert text.count("(") == text.count(")")
        for name, labels in re.findall(r"(genba_\w+)\{([^}]*)\}", text):
            used = set(re.findall(r"(\w+)=~?", labels))
            assert used <= {"instance", *BY_NAME[name].labels}, text
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24

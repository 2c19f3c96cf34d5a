"""Log lines: one an event, with flow, node and batch, for people, collectors and journald."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from gateway.cli._logging import JsonLine, TextLine, goes_to_journal
from gateway.engine.place import Placed, about, of_batch
from tests.engine.gear import Script, flow, lent, samples, started, until

LOG = logging.getLogger("genba.test")


class Kept(logging.Handler):
    """What was logged, as lines of a form."""

    def __init__(self, form: logging.Formatter) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(form)
        self.addFilter(Placed())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def logged(form: logging.Formatter) -> list[str]:
    """An error with what led to it, in a step, and a line outside of one."""
    handler = Kept(form)
    LOG.addHandler(handler)
    try:
        with of_batch("press", 12):
            try:
                raise ValueError("no\nnumber")
            except ValueError:
                LOG.exception("It failed.", extra=about("press", "limit"))
        LOG.warning("Later.", extra=about("press", "mail", 7))
    finally:
        LOG.removeHandler(handler)
    return handler.lines


def test_json_has_flow_node_and_batch_on_one_line() -> None:
    first, second = (json.loads(line) for line in logged(JsonLine()))
    assert (first["flow"], first["node"], first["batch"]) == ("press", "limit", 12)
    assert "ValueError" in first["error"]
    assert (second["node"], second["message_number"]) == ("mail", 7)
    assert "batch" not in second, "it was not said in a step"
    assert all("\n" not in line for line in logged(JsonLine()))


def test_text_is_for_people() -> None:
    first, second = logged(TextLine())
    assert first.splitlines()[0].endswith("ERROR genba.test: It failed. [batch 12]")
    assert first.splitlines()[-1] == "number"
    assert second.endswith("WARNING genba.test: Later.")


@pytest.mark.parametrize("form", [TextLine, JsonLine])
def test_journald_gets_one_line_with_its_priority(form: type[TextLine | JsonLine]) -> None:
    first, second = logged(form(is_journal=True))
    assert first.startswith("<3>")
    assert second.startswith("<4>")
    assert len(first.splitlines()) == 1, "each line would be a record of its own"


def test_whether_it_goes_to_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file:
        found = os.fstat(file.fileno())
        mine = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert goes_to_journal(mine, file.fileno())
        assert not goes_to_journal({"JOURNAL_STREAM": "1:2"}, file.fileno())
        assert not goes_to_journal({}, file.fileno())


async def test_a_node_that_fails_is_logged_with_its_batch(tmp_path: Path) -> None:
    nodes = "src: {type: script.source}\nnear: {type: filter.deadband, band: 1}"
    handler = Kept(JsonLine())
    logging.getLogger("genba").addHandler(handler)
    try:
        with lent(Script()) as script:
            runtime = await started(flow(nodes, "src -> near"), tmp_path)
            graph = runtime.runners["test"].graph
            graph.transforms()["near"].process = lambda message, port: 1 / 0  # type: ignore[method-assign,assign,return-value]  # a fault of ours
            script.readings.put_nowait(samples(runtime, "A 0s 1"))
            await until(lambda: any("near failed" in line for line in handler.lines))
            seq = runtime.runners["test"].seq
            await runtime.stop()
    finally:
        logging.getLogger("genba").removeHandler(handler)
    found = next(json.loads(line) for line in handler.lines if "near failed" in line)
    assert (found["flow"], found["node"], found["batch"]) == ("test", "near", seq)

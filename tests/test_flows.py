"""The flows we ship: they lint clean, are in canonical form, and their tests pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.run import load
from gateway.engine.flowtest import run_tests
from gateway.flow.document import Document
from gateway.flow.lint import lint_file
from gateway.flow.variables import resolve

FOLDER = Path(__file__).resolve().parent.parent / "flows"
FLOWS = sorted([*FOLDER.glob("*.flow.yaml"), *FOLDER.glob("examples/*.yaml")])


def test_there_are_flows() -> None:
    assert FLOWS
    names = [Document.load(path).name for path in FLOWS]
    assert len(set(names)) == len(names)


def test_the_examples_are_not_run_with_the_others() -> None:
    documents, problems = load([FOLDER], {})
    assert not problems
    assert {d.file for d in documents} == {path.name for path in FOLDER.glob("*.flow.yaml")}
    examples, problems = load([FOLDER / "examples"], {})
    assert not problems
    assert len(examples) >= 10, "each of them can run"


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.stem)
def test_a_shipped_flow(path: Path) -> None:
    assert [str(finding) for finding in lint_file(path)] == []
    document = Document.load(path)
    assert document.text() == path.read_text("utf-8"), "run `genba lint --write`"
    whole = document.with_values(lambda value: resolve(value, {}))
    failures = [f for outcome in run_tests(whole) for f in outcome.failures]
    assert not failures, "\n".join(failures)
    assert document.tests, "a shipped flow carries its own proof"

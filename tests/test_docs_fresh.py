"""The help pages of the nodes say what the nodes say."""

from __future__ import annotations

from pathlib import Path

from gateway.cli import docs
from gateway.flow import registry
from gateway.flow.document import Document


def test_pages_are_fresh() -> None:
    assert not docs.stale(), "Run `genba docs --write`."


def test_there_is_a_page_a_node() -> None:
    assert {f"{name}.md" for name in registry.names()} | {"index.md"} == docs.pages().keys()


def test_a_change_is_seen_and_written(tmp_path: Path) -> None:
    assert docs.write_pages(tmp_path)
    assert docs.stale(tmp_path) == []
    (tmp_path / "index.md").write_text("old", "utf-8")
    (tmp_path / "gone.node.md").write_text("old", "utf-8")
    assert docs.stale(tmp_path) == ["gone.node.md", "index.md"]
    assert docs.write_pages(tmp_path) == ["gone.node.md", "index.md"]
    assert not (tmp_path / "gone.node.md").exists()


def test_examples_on_pages_are_flows() -> None:
    """Every YAML block on a node's page can be read as part of a flow."""
    for name, text in docs.pages().items():
        for block in text.split("```yaml\n")[1:]:
            part = block.partition("```")[0]
            assert Document.parse(f"flow: page\n{part}", name).text()


def test_guides_show_flows_that_work() -> None:
    """The first flow of the guide lints clean and its test passes."""
    from gateway.engine.flowtest import run_tests
    from gateway.flow.lint import lint

    text = docs.page("start").split("```yaml\n")[1].partition("```")[0]
    document = Document.parse(text, "first.yaml")
    assert not [str(f) for f in lint(document) if f.severity == "error"]
    outcomes = run_tests(document)
    assert [o.failures for o in outcomes] == [()]
    assert document.text() == text, document.text()

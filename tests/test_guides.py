"""The guides: every name, command and flow in them is one that exists and works."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from gateway.cli import docs
from gateway.cli.main import COMMANDS
from gateway.flow import registry
from gateway.flow.document import Document
from gateway.flow.expression import CONSTANTS, FUNCTIONS
from gateway.flow.findings import config_problems
from gateway.flow.lint import lint

ROOT = Path(__file__).resolve().parent.parent
GUIDES = sorted(docs.HELP.glob("*.md"))
TEXTS = {path.stem: path.read_text("utf-8") for path in GUIDES}
TEXTS |= {f"ja/{p.stem}": p.read_text("utf-8") for p in sorted((docs.HELP / "ja").glob("*.md"))}
TEXTS["README"] = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("guide", TEXTS)
def test_every_node_that_is_named_exists(guide: str) -> None:
    families = {name.partition(".")[0] for name in registry.names()}
    named = set(re.findall(r"`([a-z]+\.[a-z_]+)`|type: ([a-z]+\.[a-z_]+)", TEXTS[guide]))
    wanted = {a or b for a, b in named}
    unknown = {n for n in wanted if n.partition(".")[0] in families} - set(registry.names())
    assert not unknown - {"filter.yaml", "high.alarms"}


@pytest.mark.parametrize("guide", TEXTS)
def test_every_command_that_is_named_exists(guide: str) -> None:
    named = set(re.findall(r"(?:`|^|/bin/)genba ([a-z]+)", TEXTS[guide], re.MULTILINE))
    assert named <= COMMANDS.keys()
    for topic in re.findall(r"genba docs ([a-z][a-z_.]*[a-z])", TEXTS[guide]):
        assert docs.page(topic)


@pytest.mark.parametrize("guide", TEXTS)
def test_every_flow_and_part_of_one_can_be_read_and_its_options_are_right(guide: str) -> None:
    for block in TEXTS[guide].split("```yaml\n")[1:]:
        text = dedent(block.partition("```")[0])  # One in a list is indented.
        document = Document.parse(
            text if text.startswith("flow:") else f"flow: part\n{text}"
        ).expanded()
        for entry in (*document.nodes.values(), *document.connections.values()):
            assert config_problems(registry.node_class(entry.type).Config, entry.config) == []
        if text.startswith("flow:"):
            assert [str(f) for f in lint(document) if f.severity == "error"] == []


def test_all_guides_are_listed_and_reachable(capsys: pytest.CaptureFixture[str]) -> None:
    from gateway.cli.main import main

    assert main(["docs"]) == 0
    listed = capsys.readouterr().out
    for path in GUIDES:
        title = path.read_text("utf-8").splitlines()[0].removeprefix("# ")
        assert re.search(rf"^  {path.stem} +{re.escape(title)}", listed, re.MULTILINE)
        assert docs.page(path.stem).startswith(f"# {title}\n")
        assert path.stem in TEXTS["start"] or path.stem == "start", "the first page leads on"


def test_the_list_of_functions_is_that_of_the_language() -> None:
    text = TEXTS["expressions"]
    assert text == docs.guides()["expressions.md"], "Run `genba docs --write`."
    for name, (_, _, _, sentence) in FUNCTIONS.items():
        assert re.search(rf"^\| `{name}\(.*\)` \| {re.escape(sentence[:12])}", text, re.MULTILINE)
    row = next(line for line in text.splitlines() if line.startswith("| Constants"))
    assert set(re.findall(r"`(\w+)`", row)) == CONSTANTS.keys()


def test_a_stale_list_of_functions_is_written_anew(tmp_path: Path) -> None:
    for path in GUIDES:
        (tmp_path / path.name).write_text(path.read_text("utf-8"), "utf-8")
    assert docs.write_guides(tmp_path) == []
    file = tmp_path / "expressions.md"
    file.write_text(file.read_text("utf-8").replace("| `abs(x)`", "| `old(x)`"), "utf-8")
    assert docs.write_guides(tmp_path) == ["expressions.md"]
    assert file.read_text("utf-8") == TEXTS["expressions"]


def test_the_table_of_examples_is_complete() -> None:
    named = set(re.findall(r"^\| `([a-z-]+)` \|", TEXTS["examples"], re.MULTILINE))
    found = {p.name.removesuffix(".flow.yaml") for p in (ROOT / "flows/examples").iterdir()}
    assert named == found


def test_a_family_and_a_slip_get_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    from gateway.cli.main import main

    for topic, says in (
        ("filter", "`genba nodes filter.` lists this family"),
        ("alarm", "`genba nodes alarm.`"),
        ("windws", "Did you mean windows"),
        ("qqqq", "`genba docs` lists the guides"),
    ):
        assert main(["docs", topic]) == 1
        assert says in capsys.readouterr().err

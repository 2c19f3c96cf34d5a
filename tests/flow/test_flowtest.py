"""Tests inside flows: they pass, they fail with a difference, and an hour costs nothing."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.engine.flowtest import junit, run_tests
from gateway.flow.document import Document

FLOW = """\
flow: press
nodes:
  sim: {type: simulate.source, tag: a}
  clean: {type: filter.deadband, band: 0.2}
  win: {type: window.tumbling, size_s: 3600}
  stats: {type: feature.statistics, features: [mean]}
  high: {type: alarm.limit, hi: 75, deadband: 2, on_delay_s: 1800}
  log: {type: log.sink}
wires:
  - sim -> clean -> high
  - clean -> win -> stats
  - high.alarms -> log
tests:
"""
HOUR = """\
  - title: A window of an hour and a delay of half an hour
    given: {sim: a 0s 1 | 600s 80 | 1200s 81 | 3600s 5}
    expect:
      stats: a#mean 3600s 54 | 7200s 5
      high: 2400s a HI raised UNACK 81 75\\n3600s a HI returned RTNUN 5 75
      log.alarms: 2400s a HI raised UNACK 81 75\\n3600s a HI returned RTNUN 5 75
      clean: a 0s 1.0 | 600s 80.00 | 1200s 81 | 3600s 5
    until: 2h
"""


def outcomes(tests: str) -> list[tuple[str, str]]:
    document = Document.parse(FLOW + tests.replace("\\n", "\n        "), "press.yaml")
    return [(o.title, "\n".join(o.failures)) for o in run_tests(document)]


def quoted(text: str) -> str:
    """Expectations of two lines as YAML."""
    lines = []
    for line in text.splitlines():
        head, colon, value = line.partition(": ")
        lines.append(f'{head}: "{value}"' if colon and "\\n" in value else line)
    return "\n".join(lines) + "\n"


def test_an_hour_passes_in_virtual_time() -> None:
    [outcome] = run_tests(Document.parse(FLOW + quoted(HOUR), "press.yaml"))
    assert outcome.failures == ()
    assert outcome.passed
    assert outcome.line == 14


@pytest.mark.parametrize(
    ("test", "says"),
    [
        ("given: {clean: a 0s 1}, expect: {clean: a 0s 2}", "-a 0s 2\n+a 0s 1"),
        ("given: {clean: a 0s 1}, expect: {clean: ''}", "+a 0s 1"),
        ("given: {clean: a 0s 1}, expect: {high: 1s a HI raised UNACK 1 1}", "-1s a HI raised"),
        ("given: {klean: a 0s 1}, expect: {}", "'klean', which is no node"),
        ("given: {clean.out: a 0s 1}, expect: {}", "no such port. Its inputs are: in."),
        ("given: {clean: a 0s 1}, expect: {clean.x: ''}", "no such port. Its outputs are: out."),
        ("given: {log: a 0s 1}, expect: {}", "is a sink"),
        ("given: {clean: a 0 1}, expect: {}", "is no time"),
        (
            "given: {}, expect: {}, config: {clean: {band: 0}}",
            "nodes.clean.band: 0 must be greater",
        ),
        ("given: {}, expect: {}, tags: {a: {units: bar}}", "The facts about tag 'a' are wrong"),
        ("given: {}, expect: {}, until: soon", "is no time"),
    ],
)
def test_it_fails_with_a_reason(test: str, says: str) -> None:
    [(_, failures)] = outcomes("  - {title: t, " + test + "}\n")
    assert says in failures


def test_facts_and_options_of_one_test() -> None:
    tests = """\
  - title: Percent
    given: {clean: a 0s 50 | 1s 51 | 2s 52.5}
    expect: {clean: a 0s 50 | 2s 52.5}
    tags: {a: {low: 0, high: 200}}
    config: {clean: {band: 1, kind: percent}}
  - title: Without
    given: {clean: a 0s 50 | 1s 51}
    expect: {clean: a 0s 50 | 1s 51, high: ''}
"""
    assert outcomes(tests) == [("Percent", ""), ("Without", "")]


def test_a_faulty_node_fails_the_test() -> None:
    text = FLOW.replace("{type: filter.deadband, band: 0.2}", "{type: test.fault, above: 1}")
    tests = "  - {title: t, given: {clean: a 0s 1 | 1s 2}, expect: {clean: a 0s 1}}\n"
    [outcome] = run_tests(Document.parse(text + tests))
    assert outcome.failures == (
        "Node 'clean' failed: FaultError: clean was told to fail above 1.0.",
    )


def test_junit_is_xml_with_the_counts() -> None:
    document = Document.parse(
        FLOW
        + "  - {title: 'good <&>', given: {clean: a 0s 1}, expect: {clean: a 0s 1}}\n"
        + "  - {title: bad, given: {clean: a 0s 1}, expect: {clean: a 0s 2}}\n",
        "press.yaml",
    )
    root = ET.fromstring(junit(run_tests(document)))
    assert root.attrib["tests"] == "2"
    assert root.attrib["failures"] == "1"
    cases = root.findall("./testsuite/testcase")
    assert [case.attrib["name"] for case in cases] == ["good <&>", "bad"]
    failure = cases[1].find("failure")
    assert failure is not None
    assert "+a 0s 1" in (failure.text or "")
    assert cases[1].attrib["file"] == "press.yaml"


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "press.yaml"
    file.write_text(FLOW + "  - {title: good, given: {clean: a 0s 1}, expect: {clean: a 0s 1}}\n")
    report = tmp_path / "report.xml"
    assert main(["test", str(tmp_path), "--junit", str(report)]) == 0
    assert "1 test, 0 failed" in capsys.readouterr().out
    assert ET.parse(report).getroot().attrib["failures"] == "0"
    assert main(["test", str(file), "-k", "other"]) == 1
    assert "No test's title contains 'other'." in capsys.readouterr().out
    assert main(["lint", str(file)]) == 0
    assert main(["lint", str(file), "--strict"]) == 1, "nothing takes what stats gives"
    file.write_text(file.read_text().replace("band: 0.2", "bnad: 0.2"))
    assert main(["lint", str(file)]) == 1
    assert "press.yaml:4: error: clean.bnad" in capsys.readouterr().out
    assert main(["test", str(file)]) == 1, "what cannot run is not tested"
    assert "press.yaml:4: error: clean.bnad" in capsys.readouterr().out
    assert main(["lint", str(tmp_path / "absent.yaml")]) == 1
    assert "There is no file" in capsys.readouterr().err


def test_lint_says_what_run_would_not_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two flows of one name, and a file that `genba run` would pass over in its folder."""
    for name in ("a.flow.yaml", "b.flow.yaml"):
        (tmp_path / name).write_text("flow: twin\nnodes: {log: {type: log.sink}}\n", "utf-8")
    (tmp_path / "c.yaml").write_text("flow: c\n", "utf-8")
    assert main(["lint", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "b.flow.yaml:1: error: flow: This flow is called 'twin', as is that of " in out
    assert "c.yaml:1: warning: `genba run` takes only files named *.flow.yaml" in out
    assert main(["lint", str(tmp_path), "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert {row["file"] for row in rows} == {str(p) for p in tmp_path.iterdir()}


def test_lint_writes_the_canonical_form(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("nodes: {}\nflow: a\n")
    assert main(["lint", str(file), "--write"]) == 0
    assert file.read_text() == "flow: a\nversion: 1\n\nnodes: {}\n"


def test_nodes_and_docs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nodes", "filter"]) == 0
    assert "filter.deadband" in capsys.readouterr().out
    assert main(["nodes", "--json", "filter.deadband"]) == 0
    assert '"name": "filter.deadband"' in capsys.readouterr().out
    assert main(["nodes", "nothing_like_it"]) == 1
    assert main(["docs"]) == 0
    assert "flow_file" in capsys.readouterr().out
    assert main(["docs", "concepts"]) == 0
    assert "# Concepts" in capsys.readouterr().out
    assert main(["docs", "filter.deadband"]) == 0
    assert "## Options" in capsys.readouterr().out
    assert main(["docs", "flow_fil"]) == 1
    assert "Did you mean flow_file or flow_editor?" in capsys.readouterr().err

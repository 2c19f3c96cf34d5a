"""Lint of scores: an alarm that can never be raised is said before it runs."""

from __future__ import annotations

import pytest

from gateway.flow.document import Document
from gateway.flow.lint import lint

FLOW = """\
flow: scores
nodes:
  sim: {{type: simulate.source, tag: a}}
  sigma: {{type: detect.sigma{output}}}
  slow: {{type: filter.rate, every_s: 1}}
  alarm: {{type: alarm.score, limit: 3{feature}}}
  out: {{type: log.sink}}
wires:
  - sim -> {way}
  - alarm -> out.alarms
"""
CASES = {
    "of another name": ("sigma -> alarm", "", "", "Write `feature: sigma`."),
    "over a filter": ("sigma -> slow -> alarm", "", "", "Write `feature: sigma`."),
    "renamed": ("sigma -> alarm", ", output: odd", ", feature: sigma", "Write `feature: odd`."),
    "the right name": ("sigma -> alarm", "", ", feature: sigma", ""),
    "named like the default": ("sigma -> alarm", ", output: score", "", ""),
    "from elsewhere, who knows": ("slow -> alarm", "", "", ""),
}


@pytest.mark.parametrize("way,output,feature,hint", CASES.values(), ids=CASES)
def test_scores_that_nobody_makes(way: str, output: str, feature: str, hint: str) -> None:
    document = Document.parse(FLOW.format(way=way, output=output, feature=feature), "f.yaml")
    found = [(f.severity, f.node, f.hint) for f in lint(document) if f.field == "feature"]
    assert found == ([("warning", "alarm", hint)] if hint else [])

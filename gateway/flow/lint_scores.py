"""Lint of scores: an alarm that waits for scores which no detector before it makes.

Such a flow runs without a complaint and its alarm is never raised, which nobody notices before
the day it would have been needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.flow.document import Document
from gateway.flow.findings import Finding

_WATCHER: Final = "alarm.score"
_DETECTORS: Final = "detect"
_PASS: Final = ("filter", "link")
"""Families that let the tags through under the names they came with."""


def score_findings(document: Document, configs: Mapping[str, Any]) -> Iterator[Finding]:
    """Findings about score alarms; `configs` are the validated ones, by node."""
    for node, entry in document.nodes.items():
        if entry.type != _WATCHER or entry.disabled or node not in configs:
            continue
        wanted = configs[node].feature
        made = _made_before(document, node, configs)
        if made and wanted not in made:
            text = (
                f"No detector before it makes scores called {wanted!r}: this alarm is never raised."
            )
            hint = f"Write `feature: {' or '.join(sorted(made))}`."
            line = document.line("nodes", node, "feature")
            yield Finding("warning", document.file, line, node, "feature", text, hint)


def _made_before(document: Document, node: str, configs: Mapping[str, Any]) -> set[str]:
    """What the scores that reach a node are called; nothing where that cannot be known."""
    before: dict[str, list[str]] = {}
    for wire in document.wires:
        before.setdefault(wire.target, []).append(wire.source)
    found: set[str] = set()
    seen, todo = {node}, [node]
    while todo:
        for name in before.get(todo.pop(), ()):
            if name in seen or name not in document.nodes:
                continue
            seen.add(name)
            entry = document.nodes[name]
            family = entry.type.partition(".")[0]
            if family in _PASS or entry.bypassed:
                todo.append(name)
            elif family != _DETECTORS or name not in configs:
                return set()
            elif not entry.disabled:
                found.add(str(configs[name].output))
    return found


__all__ = ["score_findings"]

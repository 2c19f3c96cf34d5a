"""View: an explanation as plain values for the API, a screen and an export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from gateway.engine.explain_progress import Progress
from gateway.engine.store_explain import Explained
from models.explainer.knowledge import SOURCES, entries
from models.explainer.text import Language

CHOICES_MAX: Final = 40
"""Causes that an operator can choose from when it was something else."""


def shown(progress: Progress, language: Language) -> dict[str, Any]:
    """How far the explanation of an alarm is, and what there is of it."""
    row = progress.explained
    draft = progress.drafts.get(language)
    found: dict[str, Any] = {
        "alarm": progress.key[0],
        "occurrence": progress.key[1],
        "state": progress.state,
        "note": progress.note,
        "language": language,
        "version": progress.version,
        "text": None,
        "draft": draft.to_json() if draft is not None else None,
        "members": [],
        "sheet": {},
        "causes": [],
        "choices": [],
        "cases": [],
        "judgement": None,
        "made": 0,
        "took_s": 0.0,
    }
    if row is None:
        return found
    return found | {
        "text": row.texts.get(language),
        "members": [list(key) for key in row.members],
        "sheet": row.sheet,
        "causes": [{**cause_row(name, language), "weight": weight} for name, weight in row.causes],
        "choices": list(_choices(row, language)),
        "cases": case_rows(progress, language),
        "judgement": asdict(row.judgement) if row.judgement is not None else None,
        "made": row.made,
        "took_s": row.took_s,
    }


def cause_row(name: str, language: Language) -> dict[str, Any]:
    """A cause in words, with the first check and where both are from."""
    entry = entries().get(name)
    if entry is None:  # Of another version.
        return {"id": name, "name": name, "check": "", "sources": []}
    sources = [SOURCES[key] for key in entry.sources]
    return {
        "id": name,
        "name": entry.names[language],
        "check": entry.checks[language],
        "sources": sources,
    }


def _choices(row: Explained, language: Language) -> Iterator[dict[str, str]]:
    """Causes that it may have been: those that were weighed, then all of such a thing."""
    asset = _asset(row.sheet)
    ranked = [name for name, _ in row.causes]
    fitting = [name for name, entry in entries().items() if asset in entry.assets]
    for name in list(dict.fromkeys([*ranked, *fitting]))[:CHOICES_MAX]:
        yield {"id": name, "name": cause_row(name, language)["name"]}


def _asset(sheet: Mapping[str, Any]) -> str:
    try:
        return str(sheet["move"]["signal"]["asset"])
    except (KeyError, TypeError):
        return ""


def case_rows(progress: Progress, language: Language) -> list[dict[str, Any]]:
    """Past cases like this one, with what operators said of them."""
    row = progress.explained
    if row is None:
        return []
    return [
        {**case, "name": cause_row(case["cause"], language)["name"] if case["cause"] else ""}
        for case in row.sheet.get("cases", ())
    ]


def export_row(row: Explained) -> dict[str, Any]:
    """An explanation as a line of an export for training."""
    return {
        "alarm": row.alarm,
        "occurrence": row.occurrence,
        "ts": row.ts,
        "made": row.made,
        "sheet": row.sheet,
        "texts": row.texts,
        "causes": [list(one) for one in row.causes],
        "judgement": asdict(row.judgement) if row.judgement is not None else None,
    }


__all__ = ["case_rows", "cause_row", "export_row", "shown"]

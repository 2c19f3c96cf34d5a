"""Ready flows: those that come with the product, to begin with."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any, Final

from gateway.errors import ConfigError
from gateway.flow.document import Document

_log = logging.getLogger("genba.flows")
FOLDER: Final = Path(__file__).resolve().parents[2] / "flows" / "examples"
SUFFIX: Final = ".flow.yaml"
FIRST: Final = (
    *("websocket-model-console", "factory-shift", "market-feed", "service-errors"),
    "support-urgent",
)
"""Shown before the others: the pipeline that the project began with, and its four users'."""


@cache
def ready() -> tuple[dict[str, Any], ...]:
    """Each with its sentence, how many tests it has, and its text; those of `FIRST` first."""
    rows = []
    for path in sorted(FOLDER.glob(f"*{SUFFIX}")):
        try:
            text = path.read_text("utf-8")
            document = Document.parse(text, path.name)
        except (ConfigError, OSError, UnicodeDecodeError) as error:
            _log.error("A ready flow is left out: %s", error)
            continue
        rows.append(
            {
                "flow": document.name,
                "about": document.about,
                "nodes": [entry.type for entry in document.nodes.values()],
                "tests": len(document.tests),
                "text": text,
            }
        )
    places = {name: place for place, name in enumerate(FIRST)}
    return tuple(sorted(rows, key=lambda row: (places.get(row["flow"], len(FIRST)), row["flow"])))


__all__ = ["ready"]

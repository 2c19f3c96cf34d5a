"""Figures of a fault run, from which `ui/help/reliability.md` is written."""

from __future__ import annotations

import json
import os
from pathlib import Path


def record(name: str, **numbers: float | int | str) -> None:
    """Append what a test has counted to the file that GENBA_FIGURES names; else do nothing."""
    if path := os.environ.get("GENBA_FIGURES"):
        with Path(path).open("a", encoding="utf-8") as out:
            out.write(json.dumps({"name": name, **numbers}) + "\n")

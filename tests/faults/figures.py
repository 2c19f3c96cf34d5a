"""Figures of a run of the fault tests, for the page that tells what was proven.

With GENBA_FIGURES=FILE every call appends one line of JSON to that file; without it nothing
is kept.
"""

from __future__ import annotations

import json
import os
from pathlib import Path


def record(name: str, **numbers: float | str) -> None:
    """Append what a test found: ``record("power_cuts", cuts=10_000, lost=0)``."""
    print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in numbers.items()))
    if path := os.environ.get("GENBA_FIGURES"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"name": name, **numbers}) + "\n")


def read(path: Path) -> list[dict[str, float | str]]:
    """What `record` wrote."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]

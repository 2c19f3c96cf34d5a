"""Figures of a fault run, from which `ui/help/reliability.md` is written."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path


def record(name: str, **numbers: float | int | str) -> None:
    """Append what a test has counted to the file that GENBA_FIGURES names; else do nothing."""
    if path := os.environ.get("GENBA_FIGURES"):
        row = {"name": name, "run": f"{_form()}, {_revision()}", **numbers}
        with Path(path).open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")


def _form() -> str:
    return "long" if os.environ.get("GENBA_TORTURE") else "short"


@functools.cache
def _revision() -> str:
    """What was tested, so that a page of several runs says which figure is of which."""
    words = ["git", "describe", "--always", "--dirty", "--abbrev=7"]
    try:
        done = subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.decode().strip()

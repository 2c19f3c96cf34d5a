"""Figures: what a fault test measured, for the page that publishes the last run."""

from __future__ import annotations

import json
import os
from pathlib import Path


def record(name: str, **numbers: float | str) -> None:
    """Append what was measured, as a line of JSON, to the file that ``GENBA_FIGURES`` names.

    Without that variable nothing is kept; the test prints its figures anyway.
    """
    if path := os.environ.get("GENBA_FIGURES"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"name": name, **numbers}, sort_keys=True) + "\n")

"""Writes the help page with the figures of a fault run: ``python -m tests.faults.report FILE``.

FILE is what GENBA_FIGURES named during ``make torture``. A figure that was recorded several
times in the run is added up where it counts something and kept at its worst where it measures.
The file may hold several runs; each line says of which form and revision it is.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "ui" / "help" / "reliability.md"
WORST = ("_s", "_ms", "_mb", "percent", "share", "latency")
FIRST = ("seed", "point", "mutant", "fault", "hours", "cause", "ballast", "keepalive", "rss")
TEMPLATE = Path(__file__).with_name("report.md")


def merged(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The figures by name."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        kept = found.setdefault(str(row["name"]), {})
        for key, value in row.items():
            if key == "name":
                continue
            if key == "run":
                runs = str(kept.get(key, value)).split("; ")
                kept[key] = "; ".join(dict.fromkeys([*runs, str(value)]))
                continue
            old = kept.get(key)
            is_first = key.startswith(FIRST) and key != "seeds"
            if old is None or is_first or not isinstance(value, int | float):
                kept[key] = value if old is None else old
            elif any(word in key for word in WORST):
                kept[key] = max(old, value)
            else:
                kept[key] = old + value
    return found


def page(figures: Mapping[str, Mapping[str, Any]], date: str) -> str:
    """The help page."""
    python = platform.python_version()
    machine = f"Linux {platform.machine()}, {os.cpu_count()} cores, Python {python}"
    rows = [
        f"| {name.replace('_', ' ')} | {_numbers(numbers)} | {numbers.get('run', '')} |"
        for name, numbers in sorted(figures.items())
    ]
    text = TEMPLATE.read_text("utf-8")
    return text.format(date=date, machine=machine, rows="\n".join(rows))


def _numbers(numbers: Mapping[str, Any]) -> str:
    return ", ".join(_shown(key, value) for key, value in numbers.items() if key != "run")


def _shown(key: str, value: Any) -> str:
    if not isinstance(value, int | float) or key == "seed":
        return f"{key.replace('_', ' ')} {value}"
    words = f"{key.removesuffix('_s')} [s]" if key.endswith("_s") else key
    words = f"{key.removesuffix('_per_s')} a second" if key.endswith("_per_s") else words
    words = "a second" if key == "per_s" else words
    number = f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
    return f"{words.replace('_', ' ')} {number}"


def main() -> None:
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text("utf-8").splitlines()]
    date = os.environ.get("GENBA_DATE", "today")
    PAGE.write_text(page(merged(rows), date), "utf-8")
    sys.stdout.write(f"{PAGE} has {len(rows)} figures.\n")


if __name__ == "__main__":
    main()

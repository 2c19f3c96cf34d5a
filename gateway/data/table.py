"""Samples as text: the notation of every example and of every test inside a flow.

``TT101 0s 20.0 | 1s 20.5 | 2s 20.6 bad`` is three samples of one tag; a line a tag, or
``; `` between tags. Times are seconds unless they say ms, min, h or d. The rows are in
the order of their times, and of the text where times are equal; a leading ``~`` keeps the
order of the text, for samples that arrive late.
"""

from __future__ import annotations

import re

from gateway.data import quality as q
from gateway.data.batch import Batch
from gateway.data.tag import TagTable

_UNITS = {"ms": 1e6, "s": 1e9, "min": 60e9, "h": 3600e9, "d": 86400e9}
_TIME = re.compile(r"(-?\d+(?:\.\d+)?)(ms|s|min|h|d)\Z")


def parse_time(text: str) -> int:
    """Nanoseconds of ``1.5s``, ``10min``, ``200ms``, ``2h`` or ``1d``.

    Raises:
        ValueError: The text is no time.

    >>> parse_time("1.5s"), parse_time("2h")
    (1500000000, 7200000000000)
    """
    found = _TIME.match(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no time. Write a number and ms, s, min, h or d, like 1.5s.")
    return round(float(found[1]) * _UNITS[found[2]])


def format_time(ns: int) -> str:
    """The shortest text in seconds: 1.5s, 3600s.

    >>> format_time(1500000000), format_time(60000000000)
    ('1.5s', '60s')
    """
    return f"{ns / 1e9:.9f}".rstrip("0").rstrip(".") + "s"


def parse(text: str, tags: TagTable, *, origin: int = 0) -> Batch:
    """Samples of a table; new tags are made.

    Args:
        text: The table.
        tags: Where names become codes.
        origin: What ``0s`` is [ns].

    Raises:
        ValueError: A cell cannot be read; the message quotes it.
    """
    keep_order = text.lstrip().startswith("~")
    rows: list[tuple[int, int, float, int]] = []
    for line in re.split(r"[\n;]", text.replace("~", "", 1) if keep_order else text):
        if not line.strip():
            continue
        name, _, cells = line.strip().partition(" ")
        code = tags.code(name)
        for cell in cells.split("|"):
            parts = cell.split()
            if len(parts) < 2 or len(parts) > 3:
                raise ValueError(
                    f"{cell.strip()!r} is no sample. Write time, value, quality: 2s 20.6 bad"
                )
            status = q.code(parts[2]) if len(parts) == 3 else q.GOOD
            rows.append((code, origin + parse_time(parts[0]), float(parts[1]), status))
    if not keep_order:
        rows.sort(key=lambda row: row[1])
    return Batch.of(rows)


def show(batch: Batch, tags: TagTable, *, origin: int = 0) -> str:
    """The table of a batch, a line a tag in order of first arrival; `parse` reads it back."""
    lines: dict[int, list[str]] = {}
    for tag, ts, value, status in batch.rows():
        word = "" if status == q.GOOD else " " + _quality_word(status)
        cell = f"{format_time(ts - origin)} {number(value)}{word}"
        lines.setdefault(tag, []).append(cell)
    return "\n".join(f"{tags.name(tag)} {' | '.join(cells)}" for tag, cells in lines.items())


def number(value: float) -> str:
    """A number as short as it can be without losing what matters: 20, 20.6, 0.333333."""
    return f"{value:.9g}"


def amount(value: float, unit: str = "") -> str:
    """A number with its unit, as every alarm text writes it: six digits, no more than a sensor has.

    A UCUM annotation is read without its braces, and the unit 1 is not read.

    >>> amount(76.2, "Cel"), amount(10 / 3, "1"), amount(-0.0, "bar"), amount(8.0, "{sd}")
    ('76.2 Cel', '3.33333', '0 bar', '8 sd')
    """
    text = f"{value + 0.0:.6g}"  # so that -0.0 reads 0
    word = unit_word(unit)
    return f"{text} {word}" if word else text


def unit_word(unit: str) -> str:
    """A unit as people read it: an annotation without its braces, and nothing for 1.

    >>> unit_word("{sd}"), unit_word("1"), unit_word("mm/s")
    ('sd', '', 'mm/s')
    """
    return "" if unit == "1" else re.sub(r"[{}]", "", unit)


def _quality_word(status: int) -> str:
    word = q.name(status)
    return word.lower() if word in ("Bad", "Uncertain") else word

"""Text on its way to a terminal."""

from __future__ import annotations

from datetime import UTC, datetime


def printable(text: str) -> str:
    """Without control characters: a device chose these words, and a terminal obeys some.

    >>> printable("a\\x1b[2Jb")
    'a�[2Jb'
    """
    return "".join(c if c.isprintable() else "�" for c in text)


def local_time(ns: int, *, fine: bool = False) -> str:
    """A time on this machine's clock; `fine` adds milliseconds."""
    at = datetime.fromtimestamp(ns // 10**9, UTC).astimezone()
    text = f"{at:%Y-%m-%d %H:%M:%S}"
    return f"{text}.{ns % 10**9 // 10**6:03d}" if fine else text


def size(count: float) -> str:
    """Bytes as people read them.

    >>> size(0), size(999), size(1_234_567), size(5.1e9)
    ('0 B', '999 B', '1.2 MB', '5.1 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def span(ns: int) -> str:
    """How long, in the two units that matter.

    >>> span(250_000_000), span(42 * 10**9), span(3_725 * 10**9), span(200_000 * 10**9)
    ('0.2 s', '42 s', '1 h 2 min', '2 d 7 h')
    """
    seconds = ns / 1e9
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    for unit, length, small, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} {seconds % length // part:.0f} {small}"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s" if seconds >= 60 else f"{seconds:.0f} s"


def several(count: int, noun: str) -> str:
    """A number with its noun.

    >>> several(1, "row"), several(2_000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"

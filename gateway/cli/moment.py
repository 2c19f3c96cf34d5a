"""Points in time as people type them: ``-1h``, ``yesterday 14:00``, ``2026-11-25T14:00``."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from gateway.data.table import parse_time
from gateway.errors import ConfigError

_DAYS = {"today": 0, "yesterday": -1}
_NS = 1_000_000_000
HINT = "Write -1h, 14:30, yesterday 14:30, 2026-11-25 14:30 or, in UTC, 2026-11-25T14:30Z."


def moment(text: str, now: int, start: int | None = None) -> int:
    """The time [ns since 1970-01-01 UTC] that a text names; without a zone it is local.

    Args:
        text: ``now``; ``-1h`` before now; ``+10min`` after `start`; ``14:30`` today;
            ``yesterday``; ``yesterday 14:30``; a date, or a date and a time, with or without a
            zone (ISO 8601).
        now: The time now [ns].
        start: What ``+10min`` counts from [ns]; without it such a text is refused.

    Raises:
        ConfigError: The text is no time.
    """
    words = text.strip().lower()
    if words == "now":
        return now
    try:
        if words.startswith("-"):
            return now + parse_time(words)
        if words.startswith("+") and start is not None:
            return start + parse_time(words[1:])
        return _of_calendar(text.strip(), words, now)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{text!r} is no time.", hint=HINT) from error


def _of_calendar(text: str, words: str, now: int) -> int:
    today = datetime.fromtimestamp(now / _NS, UTC).astimezone().date()
    day, _, clock = words.partition(" ")
    if day in _DAYS:
        return _ns(_local(today + timedelta(days=_DAYS[day]), clock.strip() or "00:00"))
    if re.match(r"\d{1,2}:", words):
        return _ns(_local(today, words))
    return _ns(datetime.fromisoformat(text.upper()))


def _local(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock if clock[1:2] != ":" else f"0{clock}"))


def _ns(at: datetime) -> int:
    """A time that names no zone is the wall clock of this machine."""
    since = at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * _NS + since.microseconds * 1_000


def show(ns: int, *, places: int = 0) -> str:
    """A time as people here read it: local, with parts of a second when asked.

    Args:
        ns: The time [ns since 1970-01-01 UTC].
        places: Decimal places of the seconds, at most 9.
    """
    seconds, rest = divmod(ns, _NS)
    at = datetime.fromtimestamp(seconds, UTC).astimezone()
    part = f".{rest // 10 ** (9 - places):0{places}d}" if places else ""
    return f"{at:%Y-%m-%d %H:%M:%S}{part}"

"""Log lines: one line an event on standard error, as text, as JSON, or for journald.

Source: sd-daemon(3) (the priority at the beginning of a line), systemd.exec(5) ($JOURNAL_STREAM).
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from gateway.engine.place import Placed, fields

_NOISY: Final = ("asyncua", "pymodbus", "uvicorn", "asyncio", "httpx")
_PRIORITY: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4))
_INFO, _DEBUG = 6, 7


def log_to_stderr(level: str = "INFO", form: str = "text") -> None:
    """One line an event on standard error, where systemd and a pipe both find it.

    Args:
        level: What is logged from.
        form: ``text``, or ``json`` for one object a line.
    """
    logging.basicConfig(level=level, stream=sys.stderr)
    is_journal = goes_to_journal(os.environ)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLine(is_journal) if form == "json" else TextLine(is_journal))
        handler.addFilter(Placed())
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def goes_to_journal(environ: Mapping[str, str], descriptor: int = 2) -> bool:
    """Whether what is written to standard error goes to journald."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


def _mark(record: logging.LogRecord) -> str:
    """The priority for journald, which takes it off again."""
    number = next((n for level, n in _PRIORITY if record.levelno >= level), _INFO)
    return f"<{number if record.levelno >= logging.INFO else _DEBUG}>"


class TextLine(logging.Formatter):
    """For people; the batch in whose step it was said stands at the end.

    Args:
        is_journal: Journald has the time itself, takes a priority, and a line break there would
            begin another record.
    """

    def __init__(self, is_journal: bool = False) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._is_journal = is_journal

    def format(self, record: logging.LogRecord) -> str:
        batch = getattr(record, "batch", 0)
        end = f" [batch {batch}]" if batch else ""
        if not self._is_journal:
            head, newline, rest = super().format(record).partition("\n")
            return head + end + newline + rest
        text = f"{record.levelname} {record.name}: {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return _mark(record) + " | ".join(text.splitlines()) + end


class JsonLine(logging.Formatter):
    """Each record as one JSON object on one line.

    Args:
        is_journal: See `TextLine`.
    """

    def __init__(self, is_journal: bool = False) -> None:
        super().__init__()
        self._is_journal = is_journal

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            **fields(record),
            "text": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        text = json.dumps(line, ensure_ascii=False)
        return _mark(record) + text if self._is_journal else text


__all__ = ["JsonLine", "TextLine", "goes_to_journal", "log_to_stderr"]

"""Letters: the mails that records become, each with an id that a second sending has again."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Final
from zoneinfo import ZoneInfo

from gateway import Record, Template
from nodes._notify import line_of, sentence

LINES_MAX: Final = 500
"""Lines of one digest; what is more is counted in its last line."""
BODY_CHARS_MAX: Final = 200_000
SUBJECT_CHARS_MAX: Final = 200
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_UNFIT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_POLICY: Final = SMTP.clone(raise_on_defect=False)


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail.

    Args:
        key: Of its record, or of all records of a digest; the same when it is sent again.
        keys: Of all records in it.
        mail: What is sent.
    """

    key: str
    keys: tuple[str, ...]
    mail: EmailMessage


class Writer:
    """Makes mails of records.

    Args:
        sender: Address, with a name or without.
        to: Addresses.
        subject: Template of a mail of one record; empty for our own words.
        body: Likewise.
        zone: Of the times in the texts.
    """

    def __init__(
        self, sender: str, to: tuple[str, ...], subject: str, body: str, zone: ZoneInfo
    ) -> None:
        self._sender = sender
        self._to = to
        self._domain = parseaddr(sender)[1].rpartition("@")[2]
        self._subject = Template(subject)
        self._body = Template(body)
        self._zone = zone

    def single(self, record: Record, now: int) -> Letter:
        """A mail of one record."""
        fields = {**record.data, "time": self._local(int(record.data["ts"]))}
        subject = self._subject.fill(fields) if self._subject.text else f"Genba: {line_of(record)}"
        body = self._body.fill(fields) if self._body.text else self._table(record)
        return self._letter(record.key, [record], subject, body, now)

    def digest(self, found: list[Record], now: int) -> Letter:
        """One mail of many records: a line each."""
        lines = [f"{self._local(int(r.data['ts']))}  {line_of(r)}" for r in found[:LINES_MAX]]
        if len(found) > LINES_MAX:
            lines.append(f"... and {len(found) - LINES_MAX} more. See the gateway's own list.")
        flow, node = found[0].data["flow"], found[0].data["node"]
        body = "\n".join([f"{sentence(found)} from {flow}/{node}:", "", *lines, ""])
        key = hashlib.blake2b("\n".join(r.key for r in found).encode(), digest_size=16)
        return self._letter(key.hexdigest(), found, f"Genba: {sentence(found)}", body, now)

    def _letter(self, key: str, found: list[Record], subject: str, body: str, now: int) -> Letter:
        mail = EmailMessage(policy=_POLICY)
        mail["From"] = self._sender
        mail["To"] = ", ".join(self._to)
        mail["Subject"] = one_line(subject)
        mail["Date"] = format_datetime(datetime.fromtimestamp(now // 10**9, self._zone))
        mail["Message-ID"] = f"<{key}@{self._domain}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers.
        if any(r.data.get("priority") == "urgent" for r in found):
            mail["Importance"] = "high"
        mail.set_content(_UNFIT.sub(" ", body)[:BODY_CHARS_MAX], charset="utf-8")
        return Letter(key, tuple(r.key for r in found), mail)

    def _table(self, record: Record) -> str:
        """All fields of a record, a line each."""
        fields = {**record.data, "time": self._local(int(record.data["ts"]))}
        head = f"{line_of(record)}\n\n"
        return head + "".join(
            Template(f"{name}: {{{name}}}\n").fill(fields)
            for name in fields
            if name not in ("kind", "ts") and fields[name] not in ("", None)
        )

    def _local(self, ts: int) -> str:
        try:
            return f"{datetime.fromtimestamp(ts // 10**9, self._zone):%Y-%m-%d %H:%M:%S %Z}"
        except (ValueError, OverflowError, OSError):
            return str(ts)


def one_line(text: str) -> str:
    """A text that is a header and cannot become two.

    >>> one_line("Hot\\r\\nBcc: all@example.com")
    'Hot Bcc: all@example.com'
    """
    return _CONTROLS.sub(" ", text).strip()[:SUBJECT_CHARS_MAX]


__all__ = ["Letter", "Writer", "one_line"]

"""Fields: what may stand in the options of mails."""

from __future__ import annotations

import re
from email.utils import parseaddr
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, StringConstraints

from gateway import PositiveSeconds, Seconds
from nodes._notify import check_template

_ADDRESS = re.compile(r"[^\s@<>,;\"\x00-\x1f]{1,64}@[^\s@<>,;\"\x00-\x1f]{1,255}\Z")


def _address(text: str) -> str:
    if any(ord(c) < 32 for c in text) or not _ADDRESS.match(parseaddr(text)[1]):
        raise ValueError(f"{text!r} is no mail address; write name@example.com")
    return text


def _plain_address(text: str) -> str:
    if not _ADDRESS.match(text):
        raise ValueError(f"{text!r} is no mail address; write name@example.com")
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {text!r}; write one like Asia/Tokyo") from None
    return text


Address = Annotated[str, AfterValidator(_address)]
"""A mail address, with a name before it or without."""
PlainAddress = Annotated[str, AfterValidator(_plain_address)]
ZoneName = Annotated[str, AfterValidator(_zone)]
Words = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(check_template)]
"""A template with the fields of a record."""

# What few have to set; a form folds it away.
_FOLDED: Final[dict[str, Any]] = {"advanced": True}
CaFile = Annotated[
    str,
    Field(
        json_schema_extra=_FOLDED,
        description="File with the authority that signed the server's certificate, in PEM; "
        "empty trusts those of this machine.",
    ),
]
Burst = Annotated[
    int,
    Field(
        ge=1,
        le=1_000,
        json_schema_extra=_FOLDED,
        description="So many mails at once; what is more becomes one mail.",
    ),
]
EverySeconds = Annotated[
    Seconds,
    Field(
        le=86_400,
        json_schema_extra=_FOLDED,
        description="After a burst one mail each time, with all of that time.",
    ),
]
TimeoutSeconds = Annotated[
    PositiveSeconds,
    Field(le=120, json_schema_extra=_FOLDED, description="Longest wait for an answer."),
]
RetrySeconds = Annotated[
    PositiveSeconds,
    Field(
        le=3_600,
        json_schema_extra=_FOLDED,
        description="Least wait when the server says: later (greylisting).",
    ),
]

__all__ = [
    "Address",
    "Burst",
    "CaFile",
    "EverySeconds",
    "PlainAddress",
    "RetrySeconds",
    "TimeoutSeconds",
    "Words",
    "ZoneName",
]

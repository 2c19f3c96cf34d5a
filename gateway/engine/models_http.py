"""What an HTTP client of models must know: certificates, errors in words, how long to wait."""

from __future__ import annotations

import json
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpx

from gateway.engine.models_wire import Events, Heard, said
from gateway.errors import ConfigError, Disconnected, Rejected

RETRY_AFTER_MAX_S: Final = 3_600.0
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024


async def streamed(answer: httpx.Response, heard: Heard) -> None:
    """Take an answer that comes piece by piece; errors as in `Heard.event`."""
    events = Events(heard.where)
    size = 0
    async for part in answer.aiter_bytes():
        size += len(part)
        if size > 4 * ANSWER_BYTES_MAX:
            raise Rejected(f"{heard.where} answers without an end.")
        for data in events.feed(part):
            heard.event(data)
        if heard.is_whole:
            return
    for data in events.rest():
        heard.event(data)
    if not heard.is_whole and not heard.finish:
        raise Disconnected(f"{heard.where} broke off after {len(heard.parts)} pieces.")


async def body(answer: httpx.Response, bytes_max: int, where: str) -> bytes:
    """What stands in an answer.

    Raises:
        Rejected: It is larger than any we know.
    """
    found = bytearray()
    async for part in answer.aiter_bytes():
        found += part
        if len(found) > bytes_max:
            raise Rejected(f"{where} answers more than {bytes_max} bytes.")
    return bytes(found)


def bare(text: str) -> str:
    """The JSON alone, without a fence or words around it."""
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    end = max(text.rfind("}"), text.rfind("]")) + 1
    return text[min(starts) : end] if starts and end > min(starts) else text.strip()


def trust(path: Path | None) -> ssl.SSLContext:
    """What certificates of servers are checked with.

    Raises:
        ConfigError: The file is no authority.
    """
    try:
        context = ssl.create_default_context(cafile=str(path) if path else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{path} is no certificate of an authority: {error}.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def trouble(where: str, error: httpx.HTTPError) -> ConfigError | Disconnected:
    """An error of the transport as what it means."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ConfigError(
                f"The certificate of {where} does not count: {cause.verify_message}. Nothing was "
                "sent.",
                hint="Set `ca` to the certificate of the authority that signed it.",
            )
        cause = cause.__cause__ or cause.__context__
    return Disconnected(f"{where} cannot be reached: {str(error) or type(error).__name__}.")


def words(body: bytes) -> str:
    """A server's words about what is wrong; its JSON has them inside."""
    heard = body.decode("utf-8", "replace")
    with suppress(ValueError, RecursionError):
        return said(json.loads(heard))
    return said(heard)


def retry_after_s(text: str, now: int) -> float:
    """How long a server asks to wait [s]; 0 where it does not say, an hour at most.

    >>> retry_after_s("1.5", 0), retry_after_s("Thu, 01 Jan 1970 00:00:30 GMT", 10 * 10**9)
    (1.5, 20.0)
    """
    text = text.strip()
    if text.replace(".", "", 1).isdecimal() and text.isascii() and len(text) < 10:
        return min(float(text), RETRY_AFTER_MAX_S)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    wait_s = (at - datetime.fromtimestamp(now / 1e9, UTC)).total_seconds()
    return min(max(wait_s, 0.0), RETRY_AFTER_MAX_S)


__all__ = [
    "ANSWER_BYTES_MAX",
    "bare",
    "body",
    "retry_after_s",
    "streamed",
    "trouble",
    "trust",
    "words",
]

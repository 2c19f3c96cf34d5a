"""Web: requests to a server that was looked up and allowed, without surprises.

Not a family: `http`, `slack` and `websocket` stand on it. Redirects are not followed, proxies of
the environment not asked, certificates always checked, answers bounded; the connection goes to
the address that was checked, so a name that changes meanwhile changes nothing.

Source: RFC 9110, 10.2.3 (Retry-After), 15 (status codes); RFC 6585, 4 (429).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Final
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, Field, StringConstraints

from gateway import ConfigError, Context, Disconnected, Rejected, web

RETRY_AFTER_MAX_S: Final = 3_600.0
LATER: Final = (408, 425, 429)
"""Of the 4xx those that mean: try again."""
_FORBIDDEN: Final = ("host", "content-length", "transfer-encoding", "connection")
_WORDS_MAX: Final = 200


def _url(schemes: tuple[str, ...], text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in schemes or not parts.hostname or any(c <= " " for c in text):
        raise ValueError(f"{text!r} is no address; write {schemes[0]}://name/path")
    if parts.username or parts.password:
        raise ValueError("a password does not stand in an address; name a secret instead")
    if not (parts.port or 1) > 0:
        raise ValueError(f"{text!r} has no port that can be")
    return text


HttpUrl = Annotated[
    str,
    StringConstraints(max_length=2_000),
    AfterValidator(lambda text: _url(("https", "http"), text)),
]
SocketUrl = Annotated[
    str,
    StringConstraints(max_length=2_000),
    AfterValidator(lambda text: _url(("wss", "ws"), text)),
]


def _header(items: dict[str, str]) -> dict[str, str]:
    for name, value in items.items():
        is_token = name and all(c.isalnum() or c in "-_" for c in name) and name.isascii()
        if not is_token or name.lower() in _FORBIDDEN:
            raise ValueError(f"{name!r} cannot be set as a header")
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"the header {name} has characters that cannot be sent")
    return items


Headers = Annotated[dict[str, str], Field(max_length=50), AfterValidator(_header)]


@dataclass(frozen=True, slots=True)
class Place:
    """A server as it is reached now.

    Args:
        host: Its name, for certificate and Host.
        address: The address that was checked.
        port: Its port.
        is_tls: Whether the way is encrypted.
    """

    host: str
    address: str
    port: int
    is_tls: bool


async def place_of(ctx: Context, url: str) -> Place:
    """Where an address leads, looked up and allowed.

    Raises:
        ConfigError: It may not be reached.
        Disconnected: The name is not known.
    """
    parts = urlsplit(url)
    is_tls = parts.scheme in ("https", "wss")
    port = parts.port or (443 if is_tls else 80)
    host = str(parts.hostname)
    addresses = await ctx.resolve(host, port)
    return Place(host, addresses[0], port, is_tls)


def trust(ctx: Context, ca: str) -> ssl.SSLContext:
    """What certificates of servers are checked with.

    Raises:
        ConfigError: The file is no authority.
    """
    path = ctx.data_dir / ca if ca else None
    try:
        context = ssl.create_default_context(cafile=str(path) if path else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{path} is no certificate of an authority: {error}.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Web:
    """Requests to one server.

    Args:
        ctx: Of the node.
        url: Where to; fixed, so that no input chooses the server.
        ca: File of an authority; empty for those of this machine.
        timeout_s: Longest wait for one step [s].
    """

    def __init__(self, ctx: Context, url: str, ca: str, timeout_s: float) -> None:
        self._ctx = ctx
        self._url = httpx.URL(url)
        self._timeout_s = timeout_s
        self._client = web.client(
            verify=trust(ctx, ca),
            timeout=httpx.Timeout(timeout_s),
            limits=httpx.Limits(max_connections=4, max_keepalive_connections=1),
        )

    async def send(
        self,
        method: str,
        headers: Mapping[str, str],
        content: bytes | None = None,
        *,
        bytes_max: int = 65_536,
        read_s: float | None = None,
    ) -> Reply:
        """One request.

        Args:
            method: Of HTTP.
            headers: Beside those that belong to every request.
            content: The body.
            bytes_max: The largest answer.
            read_s: Longest wait for the answer [s], where it may take long.

        Raises:
            Disconnected: No answer.
            ConfigError: The certificate does not count, or the place may not be reached.
            Rejected: The answer is too large.
        """
        place = await place_of(self._ctx, str(self._url))
        request = self._client.build_request(
            method,
            self._url.copy_with(host=place.address),
            headers={"Host": self._url.netloc.decode("ascii"), **headers},
            content=content,
            extensions={"sni_hostname": place.host} if place.is_tls else {},
            timeout=httpx.Timeout(self._timeout_s, read=read_s or self._timeout_s),
        )
        name = f"{place.host}:{place.port}"
        try:
            answer = await self._client.send(request, stream=True)
            try:
                body = bytearray()
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > bytes_max:
                        raise Rejected(f"{name} answers more than {bytes_max} bytes.")
            finally:
                await answer.aclose()
        except httpx.TimeoutException as error:
            raise Disconnected(f"No answer from {name} for {self._timeout_s:g} s.") from error
        except httpx.HTTPError as error:
            raise _trouble(name, error) from error
        return Reply(answer.status_code, answer.headers, bytes(body))

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()


def _trouble(name: str, error: httpx.HTTPError) -> ConfigError | Disconnected:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ConfigError(
                f"The certificate of {name} does not count: {cause.verify_message}. Nothing was "
                "sent.",
                hint="Set `ca` to the certificate of the authority that signed it.",
            )
        cause = cause.__cause__ or cause.__context__
    return Disconnected(f"{name} cannot be reached: {str(error) or type(error).__name__}.")


def judge(reply: Reply, url: str, now: int) -> None:
    """What an answer to something we sent means.

    Args:
        reply: The answer.
        url: Where it came from.
        now: The time [ns], for a Retry-After that is a date.

    Raises:
        Disconnected: Later.
        Rejected: Never.
        ConfigError: It is elsewhere now.
    """
    status = reply.status
    if 200 <= status < 300:
        return
    host = urlsplit(url).netloc
    said = words(reply.body)
    if 300 <= status < 400:
        there = words(reply.headers.get("location", "elsewhere").encode())
        raise ConfigError(
            f"{host} says that it is at {there} now ({status}); that is not followed.",
            hint="Write the new address, if it is right.",
        )
    if status in LATER or status >= 500:
        wait_s = retry_after_s(reply.headers.get("retry-after", ""), now)
        raise Disconnected(f"{host} says later ({status}): {said}", retry_after_s=wait_s)
    raise Rejected(f"{host} refuses it ({status}): {said}")


def retry_after_s(text: str, now: int) -> float:
    """How long a server asks to wait [s]; 0 where it does not say, an hour at most.

    >>> retry_after_s("120", 0), retry_after_s("Thu, 01 Jan 1970 00:00:30 GMT", 10 * 10**9)
    (120.0, 20.0)
    """
    text = text.strip()
    if text.isdecimal() and len(text) < 10:
        return min(float(text), RETRY_AFTER_MAX_S)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    wait_s = (at - datetime.fromtimestamp(now / 1e9, UTC)).total_seconds()
    return min(max(wait_s, 0.0), RETRY_AFTER_MAX_S)


def words(body: bytes) -> str:
    """A server's words on one line; they come from outside, so they are bounded."""
    text = body[: 4 * _WORDS_MAX].decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_WORDS_MAX]


__all__ = ["Headers", "HttpUrl", "Place", "Reply", "SocketUrl", "Web", "judge", "place_of", "trust"]

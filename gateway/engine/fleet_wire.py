"""Fleet wire: one request to another gateway over TLS, where each shows the other who it is.

The other one is known by the fingerprint of its certificate or by an authority, and that is
looked at before anything of ours is sent. It may want to see our certificate as well. Each
request is a connection of its own, so that one who is slow keeps nobody waiting.

Source: RFC 8446 (TLS 1.3); RFC 9112 (HTTP/1.1), read and written by h11.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h11
import orjson

from gateway.engine.fleet_book import Peer
from gateway.errors import ConfigError, Disconnected, GatewayError, Rejected

ANSWER_BYTES_MAX: Final = 512 * 1024
ASK_S: Final = 8.0
_AWAY: Final = (429, 502, 503, 504)
_UNHEARD: Final = (
    "it ended the connection before it answered. Most often it does not trust the certificate of "
    "this gateway; an administrator there does with `genba fleet trust`"
)
_PART_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Shown:
    """What we show: our certificate with its key, and the token that the other one gave us."""

    certificate: Path
    key: Path
    token: str


async def ask(
    peer: Peer,
    shown: Shown,
    method: str,
    path: str,
    body: Any = None,
    *,
    timeout_s: float = ASK_S,
) -> Any:
    """One request; the answer is parsed.

    Args:
        peer: The other gateway.
        shown: What we show.
        method: Of HTTP.
        path: Such as ``/api/fleet/self``.
        body: Sent as JSON.
        timeout_s: How long all of it may take [s].

    Raises:
        Disconnected: It does not answer, or not in time.
        ConfigError: One of both is not who the other expects.
        Rejected: It refuses; the message is its own.
    """
    data = None if body is None else orjson.dumps(body)
    where = f"{peer.name} ({peer.address[0]}:{peer.address[1]})"
    try:
        async with asyncio.timeout(timeout_s):
            status, text = await _asked(peer, shown, method, path, data)
    except TimeoutError as error:
        raise Disconnected(f"{where} did not answer within {timeout_s:g} s.") from error
    except GatewayError:
        raise
    except ssl.SSLCertVerificationError as error:
        raise ConfigError(
            f"The certificate of {where} does not count: {error.verify_message}. Nothing was sent.",
            hint="Its authority or its fingerprint in the list of gateways is another.",
        ) from error
    except ssl.SSLError as error:
        raise _refused(where, error) from error
    except (OSError, h11.RemoteProtocolError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Disconnected(f"{where} cannot be reached: {reason}.") from error
    if status >= 400:
        words = text.decode("utf-8", "replace").strip()[:500]
        if status in _AWAY:
            raise Disconnected(f"{where} cannot answer now: {words or status}")
        raise Rejected(words or f"{where} answered {status}.")
    try:
        return orjson.loads(text)
    except ValueError as error:
        raise Rejected(f"What answers at {where} is no gateway.") from error


def _refused(where: str, error: ssl.SSLError) -> GatewayError:
    """A handshake that failed: most often it does not trust our certificate."""
    reason = error.reason or str(error)
    if "ALERT" in reason.upper():
        return ConfigError(
            f"{where} does not take the certificate of this gateway ({reason.lower()}).",
            hint="An administrator there trusts it with `genba fleet trust`.",
        )
    return Disconnected(f"{where} speaks no TLS that we understand ({reason.lower()}).")


async def _asked(
    peer: Peer, shown: Shown, method: str, path: str, data: bytes | None
) -> tuple[int, bytes]:
    host, port = peer.address
    context = await asyncio.to_thread(_context, peer, shown)
    name = host if peer.authority else ""
    reader, writer = await asyncio.open_connection(
        host, port, ssl=context, server_hostname=name, limit=_PART_BYTES
    )
    try:
        if peer.pin:
            _must_be(peer, writer)
        line = h11.Connection(h11.CLIENT)
        headers = [
            ("Host", f"{host}:{port}"),
            ("Authorization", f"Bearer {shown.token}"),
            ("Connection", "close"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(data or b""))),
        ]
        request = h11.Request(method=method, target=path, headers=headers)
        parts = [line.send(request), line.send(h11.Data(data=data or b""))]
        parts.append(line.send(h11.EndOfMessage()))
        writer.write(b"".join(part for part in parts if part))
        await writer.drain()
        return await _answer(reader, line)
    finally:
        writer.transport.abort()  # All was said; a farewell could only keep us waiting.
        with suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


def _context(peer: Peer, shown: Shown) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(shown.certificate, shown.key)
        if peer.authority:
            context.load_verify_locations(cadata=peer.authority)
        else:  # Its fingerprint says more than any signature on it; see `_must_be`.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"The certificate of this gateway cannot be used: {error}.") from error
    return context


def _must_be(peer: Peer, writer: asyncio.StreamWriter) -> None:
    """The certificate must be the one that was pinned.

    Raises:
        ConfigError: It is another: nothing was sent.
    """
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
    pin = hashlib.sha256(found).hexdigest().upper()
    if not hmac.compare_digest(pin, peer.pin):
        raise ConfigError(
            f"{peer.name} shows another certificate than the one that is expected of it. Nothing "
            "was sent.",
            hint=f"If it was renewed, compare and set its fingerprint anew: {pin}.",
        )


async def _answer(reader: asyncio.StreamReader, line: h11.Connection) -> tuple[int, bytes]:
    status, found = 0, bytearray()
    while True:
        event = line.next_event()
        if event is h11.NEED_DATA:
            part = await reader.read(_PART_BYTES)
            if not part and not status:  # In TLS 1.3 a client that is refused hears it now.
                raise ConnectionResetError(_UNHEARD)
            line.receive_data(part)
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            found += event.data
            if len(found) > ANSWER_BYTES_MAX:
                raise Rejected(f"The answer has more than {ANSWER_BYTES_MAX} bytes.")
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(found)
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionResetError(_UNHEARD)


__all__ = ["ASK_S", "Shown", "ask"]

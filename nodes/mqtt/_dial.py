"""Where the broker is and how to reach it: addresses, TLS, and what went wrong in words."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gateway import ConfigError, Disconnected


@dataclass(frozen=True, slots=True)
class Address:
    """A broker's address.

    Args:
        host: Name or IP address.
        port: TCP port.
        tls: Whether it is encrypted.
    """

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_url(url: str) -> Address:
    """The address behind ``mqtt://host:port`` or ``mqtts://host:port``.

    Raises:
        ValueError: It is no such URL.

    >>> str(parse_url("mqtts://broker")), parse_url("mqtt://10.0.0.5:1884").tls
    ('broker:8883', False)
    """
    parts = urlsplit(url)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path.strip("/"):
        raise ValueError(f"{url!r} is no broker. Write mqtt://host:1883 or mqtts://host:8883.")
    if parts.username is not None:
        raise ValueError("Write user and password into `username` and `password`, not the URL.")
    tls = parts.scheme == "mqtts"
    return Address(parts.hostname, parts.port or (8883 if tls else 1883), tls)


@dataclass(frozen=True, slots=True)
class Trust:
    """Files for TLS.

    Args:
        ca: Certificates we trust, PEM; None takes the system's.
        cert: Our certificate, PEM.
        key: Its private key, PEM.
        verify: Whether the broker's certificate and name are checked.
        seen: Told of the broker's certificate, DER, after a handshake.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    verify: bool = True
    seen: Callable[[bytes], None] | None = None

    def context(self) -> ssl.SSLContext:
        """The TLS context.

        Raises:
            ConfigError: A file is absent or cannot be used.
        """
        for path in (self.ca, self.cert, self.key):
            if path is not None and not path.is_file():
                raise ConfigError(f"There is no file {path}.", hint="Put it there or correct it.")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            if self.ca is not None:
                context.load_verify_locations(self.ca)
            else:
                context.load_default_certs()
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(
                f"The certificate or key files cannot be used: {error}.",
                hint="They must be PEM files, and the key must belong to the certificate.",
            ) from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


async def dial(
    make: Callable[[], asyncio.BaseProtocol], address: Address, trust: Trust
) -> asyncio.BaseProtocol:
    """Open the socket, TLS included.

    Raises:
        Disconnected: Nobody answers.
        ConfigError: The certificate is not to be trusted.
    """
    loop = asyncio.get_running_loop()
    context = trust.context() if address.tls else None
    try:
        transport, protocol = await loop.create_connection(
            make,
            address.host,
            address.port,
            ssl=context,
            server_hostname=address.host if context else None,
            ssl_handshake_timeout=10.0 if context else None,
        )
    except (ssl.SSLError, OSError) as error:
        raise explained(error, address) from error
    shown = transport.get_extra_info("ssl_object") if context else None
    if shown is not None and trust.seen is not None:
        trust.seen(shown.getpeercert(binary_form=True) or b"")
    return protocol


def explained(error: BaseException, address: Address) -> Disconnected | ConfigError:
    """An error of the socket, in words for people."""
    text = str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConfigError(
            f"The certificate of {address} is not to be trusted: {error.verify_message}.",
            hint="Check the file under `ca`, the host name in `url` and the clock.",
        )
    if isinstance(error, ssl.SSLError) and "CERTIFICATE" in text.upper():
        return ConfigError(
            f"{address} refuses our certificate, or wants one and got none: {error.reason}.",
            hint="Check `cert` and `key`.",
        )
    if isinstance(error, ssl.SSLError | ConnectionResetError) and address.tls:
        return Disconnected(
            f"No TLS with {address}: {text}. Does that port speak TLS? Else use mqtt://."
        )
    if isinstance(error, socket.gaierror):
        return Disconnected(f"The name {address.host} is not known: {error.strerror}.")
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in text:
        return Disconnected(f"Nobody answers at {address}. Is the broker running?")
    return Disconnected(f"No connection to {address}: {text or type(error).__name__}.")


def ended_early(
    error: BaseException | None, address: Address, reason: str
) -> Disconnected | ConfigError:
    """A connection that ended before the broker had answered."""
    if error is not None:
        return explained(error, address)
    return Disconnected(f"{address} ended the connection before it answered. {reason}")

"""Turns what asyncua raises into what a person or the engine can act on."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable
from typing import Final, TypeVar

from gateway import ConfigError, Disconnected, GatewayError, Rejected
from nodes.opcua._ua import ua

T = TypeVar("T")
_CODES = ua.StatusCodes
_USER: Final = frozenset(
    {_CODES.BadUserAccessDenied, _CODES.BadIdentityTokenInvalid, _CODES.BadIdentityTokenRejected}
)
_CERTIFICATE: Final = frozenset(
    {
        _CODES.BadSecurityChecksFailed,
        _CODES.BadCertificateInvalid,
        _CODES.BadCertificateTimeInvalid,
        _CODES.BadCertificateUriInvalid,
        _CODES.BadCertificateUseNotAllowed,
        _CODES.BadCertificateUntrusted,
        _CODES.BadCertificateRevoked,
        _CODES.BadCertificateChainIncomplete,
        _CODES.BadCertificatePolicyCheckFailed,
        _CODES.BadCertificateRevocationUnknown,
    }
)
_FULL: Final = frozenset(
    {
        _CODES.BadTooManySessions,
        _CODES.BadMaxConnectionsReached,
        _CODES.BadTooManySubscriptions,
        _CODES.BadTcpServerTooBusy,
        _CODES.BadServerTooBusy,
        _CODES.BadTcpNotEnoughResources,
        _CODES.BadOutOfMemory,
    }
)
_RETRY_FULL_S: Final = 30.0  # A session that nobody closed lives about that long.


_UNREADABLE: Final = (
    ua.UaError,
    AssertionError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    struct.error,
)


def name_of(status: int) -> str:
    """The StatusCode's name, such as BadNodeIdUnknown."""
    return str(ua.StatusCode(ua.UInt32(status & 0xFFFF0000)).name)


def explain(status: int) -> str:
    """The StatusCode's name and what it says, in one piece."""
    code = ua.StatusCode(ua.UInt32(status & 0xFFFF0000))
    return f"{code.name} ({code.doc.rstrip('.')})"


def refused_certificate(address: str, own: str) -> ConfigError:
    """The server does not know our certificate, so it hangs up."""
    return ConfigError(
        f"The server at {address} refused the certificate of this gateway.",
        hint=f"Trust it on the server: the file is {own}; many servers have put it into a "
        "folder named rejected, from which it is moved to trusted.",
    )


def translate_open(error: BaseException, address: str, user: str, own: str) -> GatewayError:
    """What went wrong while opening a session, for a person.

    Args:
        error: What asyncua raised.
        address: Host and port.
        user: Who logged in, in words.
        own: The gateway's certificate file; empty without security.
    """
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, ua.UaStatusCodeError):
        return _open_status(int(error.code), address, user, own)
    if isinstance(error, AssertionError) and own:
        # asyncua asserts that an answer to OpenSecureChannel came; it did not.
        return refused_certificate(address, own)
    if isinstance(error, socket.gaierror):
        return Disconnected(
            f"The name in {address} is not known here. Check the url and the name server."
        )
    if isinstance(error, ConnectionRefusedError):
        return Disconnected(
            f"Nothing listens at {address}. Is the OPC UA server started and the port right?"
        )
    if isinstance(error, TimeoutError):
        return Disconnected(f"No answer from {address}. Is it switched on and the cable in?")
    if isinstance(error, ConnectionError):
        return Disconnected(
            f"{address} closed the connection while it was opened. Is it an OPC UA server?"
        )
    if isinstance(error, OSError):
        return Disconnected(f"{address} cannot be reached: {error.strerror or error}.")
    return Disconnected(f"{address} answered what is not OPC UA: {type(error).__name__} {error}.")


def _open_status(status: int, address: str, user: str, own: str) -> GatewayError:
    if status in _USER:
        return ConfigError(
            f"The server at {address} refused {user}: {name_of(status)}.",
            hint="Check the user, its secret, and that the server lets this user log in.",
        )
    if status in _CERTIFICATE and own:
        refused = refused_certificate(address, own)
        return ConfigError(f"{refused.text[:-1]}: {name_of(status)}.", hint=refused.hint)
    if status in _FULL:
        return Disconnected(
            f"The server at {address} has no room for another session: {name_of(status)}. "
            "Close clients that are no longer needed.",
            retry_after_s=_RETRY_FULL_S,
        )
    return Disconnected(f"The server at {address} refused the session: {explain(status)}.")


async def ask(address: str, what: str, work: Awaitable[T]) -> T:
    """Wait for an answer of an open session; what goes wrong is Disconnected or Rejected.

    Args:
        address: Host and port, for the message.
        what: What was asked, such as "reading 12 nodes".
        work: The request.

    Raises:
        Disconnected: The link or the session is gone.
        Rejected: The server answered, and said no.
    """
    try:
        return await work
    except TimeoutError as error:
        raise Disconnected(f"No answer from {address} while {what}.") from error
    except OSError as error:
        raise Disconnected(f"The link to {address} was lost while {what}.") from error
    except ua.UaStatusCodeError as error:
        status = int(error.code)
        if status in _GONE:
            raise Disconnected(
                f"The session with {address} ended while {what}: {name_of(status)}."
            ) from error
        raise Rejected(f"{address} refused {what}: {explain(status)}.") from error
    except _UNREADABLE as error:
        raise Disconnected(
            f"{address} answered {what} with what cannot be read: {type(error).__name__} {error}."
        ) from error


_GONE: Final = frozenset(
    {
        _CODES.BadSessionIdInvalid,
        _CODES.BadSessionClosed,
        _CODES.BadSessionNotActivated,
        _CODES.BadSecureChannelClosed,
        _CODES.BadSecureChannelIdInvalid,
        _CODES.BadConnectionClosed,
        _CODES.BadServerHalted,
        _CODES.BadShutdown,
        _CODES.BadTimeout,
        _CODES.BadNoSubscription,
        _CODES.BadSubscriptionIdInvalid,
        _CODES.BadTcpServerTooBusy,
        _CODES.BadTcpInternalError,
        _CODES.BadCommunicationError,
        _CODES.BadNotConnected,
        _CODES.BadServerNotConnected,
    }
)

__all__ = ["ask", "explain", "name_of", "refused_certificate", "translate_open"]

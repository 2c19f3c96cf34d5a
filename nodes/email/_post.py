"""Post: one visit to an SMTP server, in a thread, with every answer in words.

The standard library's client is used: it does what is needed (STARTTLS, login, one answer for
each recipient), and a mail a minute is no work that would want another library.

Source: RFC 5321, 4.2 (what 4yz and 5yz mean); RFC 3207 (STARTTLS); RFC 8314, 3.3 (TLS at once).
"""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Final, Literal

from gateway import ConfigError, Disconnected

Security = Literal["starttls", "tls", "none"]
LOGIN_RETRY_S: Final = 300.0
"""A wrong password is not tried more often: servers lock accounts for that."""
_NOT_NOW: Final = "{host} does not take mail now ({code}): {text}"


@dataclass(slots=True)
class Receipt:
    """What became of one mail.

    Args:
        taken: Recipients for whom the server took it.
        refused: Recipients it refuses for good, with its words.
        later: Recipients it refuses for now, with its words.
    """

    taken: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    later: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Office:
    """Where mails are handed in.

    Args:
        host, port: Of the server.
        security: How the way is protected.
        tls: What is trusted; None without TLS.
        user, password: For the login; empty for none.
        timeout_s: The longest wait for one answer [s].
        retry_s: The least wait when the server says: later [s].
    """

    host: str
    port: int
    security: Security
    tls: ssl.SSLContext | None
    user: str
    password: str
    timeout_s: float
    retry_s: float


class Visit:
    """One session with the server; all methods block and belong into a thread.

    Raises:
        Disconnected: The server is away, or takes nothing for now.
        ConfigError: Its certificate does not count, or it offers no TLS or no login.
    """

    def __init__(self, office: Office) -> None:
        self._office = office
        self._smtp: smtplib.SMTP | None = None

    def open(self) -> None:
        """Connect, turn TLS on and log in."""
        self._told(self._open)

    def _open(self) -> None:
        office = self._office
        if office.security == "tls":
            self._smtp = smtplib.SMTP_SSL(
                office.host, office.port, timeout=office.timeout_s, context=office.tls
            )
        else:
            self._smtp = smtplib.SMTP(office.host, office.port, timeout=office.timeout_s)
        self._smtp.ehlo_or_helo_if_needed()
        if office.security == "starttls":
            try:
                self._smtp.starttls(context=office.tls)
            except smtplib.SMTPNotSupportedError:
                raise ConfigError(
                    f"{office.host} offers no STARTTLS: nothing was sent in clear.",
                    hint="Take `security: tls` with port 465, or another server.",
                ) from None
        if office.user:
            self._login(self._smtp)

    def _login(self, smtp: smtplib.SMTP) -> None:
        office = self._office
        try:
            smtp.login(office.user, office.password)
        except smtplib.SMTPAuthenticationError as error:
            if error.smtp_code < 500:
                raise
            raise Disconnected(
                f"{office.host} refuses the login of {office.user}: {_words(error.smtp_error)}. "
                "Check `user` and the secret.",
                retry_after_s=LOGIN_RETRY_S,
            ) from None
        except smtplib.SMTPNotSupportedError:
            raise ConfigError(
                f"{office.host} offers no login.", hint="Leave `user` out, or check the port."
            ) from None

    def hand_in(self, mail: EmailMessage, sender: str, to: Sequence[str]) -> Receipt:
        """Hand in one mail and learn what became of it for each recipient."""
        receipt = Receipt()
        self._told(lambda: self._hand_in(mail, sender, to, receipt))
        return receipt

    def _hand_in(
        self, mail: EmailMessage, sender: str, to: Sequence[str], receipt: Receipt
    ) -> None:
        smtp = self._smtp
        assert smtp is not None, "open comes first"
        try:
            refused = smtp.send_message(mail, sender, list(to))
            receipt.taken |= set(to) - refused.keys()
            _sort(receipt, refused)
        except smtplib.SMTPRecipientsRefused as error:
            _sort(receipt, error.recipients)
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            if error.smtp_code == 421:
                raise
            _sort(receipt, dict.fromkeys(to, (error.smtp_code, error.smtp_error)))
        except smtplib.SMTPNotSupportedError:
            text = "the server takes no addresses beyond ASCII (SMTPUTF8)"
            receipt.refused |= dict.fromkeys(to, text)

    def close(self) -> None:
        """Say goodbye, as far as the server still listens."""
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            with suppress(OSError, smtplib.SMTPException):
                smtp.quit()
            smtp.close()

    def abort(self) -> None:
        """End at once what blocks in another thread."""
        smtp = self._smtp
        if smtp is not None and smtp.sock is not None:
            with suppress(OSError):
                smtp.sock.shutdown(socket.SHUT_RDWR)

    def _told(self, step: Callable[[], None]) -> None:
        office = self._office
        place = f"{office.host}:{office.port}"
        try:
            step()
        except ssl.SSLCertVerificationError as error:
            raise ConfigError(
                f"The certificate of {place} does not count: {error.verify_message}. Nothing was "
                "sent.",
                hint="Set `ca` to the certificate of the authority that signed it.",
            ) from error
        except ssl.SSLError as error:
            raise ConfigError(
                f"No TLS with {place}: {error.reason or error}.",
                hint="Port 465 is `security: tls`, port 587 is `security: starttls`.",
            ) from error
        except smtplib.SMTPResponseException as error:
            raise self._later(error) from error
        except (smtplib.SMTPServerDisconnected, TimeoutError) as error:
            if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
                text = f"No answer from {place} for {office.timeout_s:g} s."
            else:
                text = f"{place} closed the connection."
            raise Disconnected(text) from error
        except OSError as error:
            why = error.strerror or str(error)
            raise Disconnected(f"{place} cannot be reached: {why}. Is it up?") from error

    def _later(self, error: smtplib.SMTPResponseException) -> Disconnected:
        text = _NOT_NOW.format(
            host=self._office.host, code=error.smtp_code, text=_words(error.smtp_error)
        )
        return Disconnected(text, retry_after_s=self._office.retry_s)


def _sort(receipt: Receipt, answers: Mapping[str, tuple[int, bytes | str]]) -> None:
    """5yz is for good, all else for now (RFC 5321, 4.2.1)."""
    for address, (code, text) in answers.items():
        said = f"{code} {_words(text)}"
        (receipt.refused if 500 <= code < 600 else receipt.later)[address] = said


def _words(text: bytes | str) -> str:
    """A server's words on one line; they come from outside, so they are bounded."""
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return " ".join("".join(c if c.isprintable() else " " for c in said).split())[:300]


__all__ = ["Office", "Receipt", "Security", "Visit"]

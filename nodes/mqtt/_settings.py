"""What a session needs to know, and what a refusal by the broker means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway import ConfigError, Disconnected
from nodes.mqtt._codec import Hello, Welcome
from nodes.mqtt._dial import Address, Trust


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a session needs to know.

    Args:
        address: Where the broker is.
        trust: Files for TLS.
        hello: What CONNECT says.
        version: ``5`` or ``3.1.1``.
        packet_bytes_max: Messages over this are passed over but for their start.
        now: The wall clock [ns].
        stray: Told of topics nobody here wants, and how many messages came on them.
    """

    address: Address
    trust: Trust
    hello: Hello
    version: str
    packet_bytes_max: int
    now: Callable[[], int]
    stray: Callable[[str, int], None]


def check(welcome: Welcome, settings: Settings) -> None:
    """Turn a refusal into the error a person can act on.

    Source: MQTT 5.0, 3.2.2.2 Connect Reason Code.

    Raises:
        ConfigError: User, password, version or client id are not accepted.
        Disconnected: The broker is not ready.
    """
    where = str(settings.address)
    if welcome.code in (0x86, 0x87, 0x8A, 0x8C):
        raise ConfigError(
            f"{where} refuses us: {welcome.text}.", hint="Check `username` and `password`."
        )
    if welcome.code in (0x84, 0x85):
        raise ConfigError(
            f"{where} refuses us: {welcome.text}.", hint="Check `version` and `client_id`."
        )
    if welcome.code:
        raise Disconnected(f"{where} refuses us for now: {welcome.text}.")

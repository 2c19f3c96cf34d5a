"""Browsing: how a connection is tried out before it is used, and shows what is behind it.

A connection says itself what can be asked of it, so the screens need not know any protocol and
a connection in one file of a stranger has the same buttons as ours. Each default is of use: any
connection can be tried out, since any can be opened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from gateway.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a trial, as a person reads it.

    Args:
        name: What was tried: name, tcp, session, certificate, login, read.
        text: What came of it, and what to do where it failed.
        state: ok, warning (it goes on, but look at it) or failed (nothing comes after it).
    """

    name: str
    text: str
    state: Literal["ok", "warning", "failed"] = "ok"


@dataclass(frozen=True, slots=True)
class Found:
    """One thing behind a connection: a node, a topic, a register.

    Args:
        name: For people.
        kind: folder, variable, method, topic or register.
        path: What `browse` is asked with to look below it; empty where nothing is below.
        address: What the tag of a source has as its address; empty where it is no value.
        type: Data type or format, in the words of the device.
        value: The newest value as a JSON value.
        unit: Its unit, as the device writes it.
        quality: Its quality in words; empty for no value.
        facts: What else the family knows, such as a register in each byte order.
    """

    name: str
    kind: str
    path: str = ""
    address: str = ""
    type: str = ""
    value: Any = None
    unit: str = ""
    quality: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of ours, of the other side, or of an authority that is trusted.

    Args:
        whose: own, server or authority.
        subject: The name in it.
        fingerprint: SHA-256 in pairs of hexadecimal digits, as devices show it.
        begins: From when it is good [ns].
        ends: Until when [ns].
        state: own, trusted, rejected, or empty where nobody decides.
        file: Where it lies, for people.
    """

    whose: Literal["own", "server", "authority"]
    subject: str
    fingerprint: str
    begins: int
    ends: int
    state: Literal["own", "trusted", "rejected", ""] = ""
    file: str = ""


class Inspected:
    """What can be asked of a connection besides carrying data; a family overrides what it knows."""

    browses: ClassVar[str] = ""
    """What `browse` shows and how its `path` is written, in a sentence; empty: nothing."""
    config: Any
    is_trial: bool = False
    """True while it is only tried out: it takes nobody's place and leaves nothing behind."""

    async def open(self) -> None:
        """Open it. Raises Disconnected (tried again with back-off) or ConfigError."""
        raise NotImplementedError

    def place(self) -> tuple[str, int] | None:
        """Host and TCP port, which a trial looks up and knocks at before it opens.

        Port 0 only looks the name up, for devices that take one connection at a time. None is
        for what is no network. Without a word it is what the option `url` or `address` says.
        """
        text = getattr(self.config, "url", None) or getattr(self.config, "address", None)
        try:
            parts = urlsplit(text) if isinstance(text, str) else None
            return (parts.hostname, parts.port or 0) if parts and parts.hostname else None
        except ValueError:
            return None

    async def check(self) -> AsyncIterator[Step]:
        """Try it out, step by step; called instead of `open`, and `close` comes after it.

        It ends by itself, within seconds. A step that failed is the last. What it raises is
        shown as a failed step. Nothing may be written to the device.
        """
        await self.open()
        yield Step("session", "It can be opened.")

    def browse(self, path: str) -> AsyncIterator[Found]:
        """What is below a path, as it is found; "" is the top. Called while it is open.

        It must not disturb the device or those who use this connection: small requests with
        pauses, and an end of its own. The engine stops it after a number of finds or seconds,
        or when nobody looks any more. Raises Rejected, Disconnected or ConfigError.
        """
        raise ConfigError("This kind of connection cannot be browsed.")

    @classmethod
    def places(cls) -> Sequence[Found]:
        """What this machine has that such a connection could lead to; runs in a thread.

        Each `address` is what the option with ``places`` in its schema would say.
        """
        return ()

    def certificates(self) -> Sequence[Certificate]:
        """Ours and those the other side has shown; may read files, so it runs in a thread."""
        return ()

    def decide(self, fingerprint: str, *, trusted: bool) -> str:
        """Trust or reject a certificate of `certificates`; runs in a thread.

        Returns: what was done and from when it counts, in a sentence.

        Raises:
            ConfigError: There is none of this fingerprint.
        """
        raise ConfigError("This kind of connection keeps no list of certificates.")


__all__ = ["Certificate", "Found", "Inspected", "Step"]

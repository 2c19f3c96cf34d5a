"""Destinations: where nodes of the web may send to and read from.

A flow is text that an engineer writes, and a gateway stands in two networks. So that no flow
reaches what only this machine should (its own API, a cloud's metadata), a name is looked up here,
every address it has is checked, and the node connects to a checked address, not to the name: who
answers DNS cannot answer twice.

Source: OWASP Server-Side Request Forgery Prevention Cheat Sheet; CWE-918; RFC 6890.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

from gateway.data.whole import write_whole
from gateway.errors import ConfigError, Disconnected, LimitError

IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
ENTRIES_MAX: Final = 500
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\Z")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_METADATA: Final = {
    ipaddress.ip_address("100.100.100.200"),
    ipaddress.ip_address("fd00:ec2::254"),
    ipaddress.ip_address("168.63.129.16"),
}
"""Services that tell a machine in a cloud its secrets, beside 169.254.169.254."""


class Destinations:
    """What an administrator allows; kept in a file beside the state.

    Without an entry every address is allowed but special ones: this machine itself, link-local,
    metadata services, multicast. An entry allows a special one too: ``name``, ``name:port``, an
    address or a network such as ``10.0.0.0/24``. With `only`, nothing but the entries is allowed.

    Args:
        path: The file; absent is empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.only = False
        self.entries: list[str] = []
        with suppress(FileNotFoundError):
            self._load(path.read_text("utf-8"))

    def _load(self, text: str) -> None:
        try:
            found: Any = json.loads(text)
            entries, only = [checked(str(e)) for e in found["allowed"]], bool(found["only"])
        except (ValueError, KeyError, TypeError, ConfigError):
            entries, only = [], True  # Damaged: nothing is allowed until somebody says again.
        self.entries, self.only = entries, only

    # ------------------------------------------------------------------ what people do

    def allow(self, entry: str) -> None:
        """Allow one more.

        Raises:
            ConfigError: It is no destination.
            LimitError: There are too many.
        """
        entry = checked(entry)
        if len(self.entries) >= ENTRIES_MAX:
            raise LimitError("entries_max", ENTRIES_MAX, "Allow a network instead.")
        if entry not in self.entries:
            self._store([*self.entries, entry], self.only)

    def forbid(self, entry: str) -> bool:
        """Take one back; False when it was not there."""
        if entry not in self.entries:
            return False
        self._store([e for e in self.entries if e != entry], self.only)
        return True

    def set_only(self, only: bool) -> None:
        """Allow nothing but the entries, or everything that is not special as well."""
        self._store(self.entries, only)

    def _store(self, entries: list[str], only: bool) -> None:
        self._path.parent.mkdir(exist_ok=True)
        write_whole(self._path, json.dumps({"allowed": entries, "only": only}, indent=1))
        self.entries, self.only = entries, only

    # ------------------------------------------------------------------ what nodes ask

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a destination that may be reached, looked up now.

        Raises:
            ConfigError: None of them may.
            Disconnected: The name is not known now.
        """
        name = host.strip("[]").lower().rstrip(".")
        loop = asyncio.get_running_loop()
        try:
            rows = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Disconnected(f"The name {name} is not known: {error}.") from error
        found = list(dict.fromkeys(str(row[4][0]) for row in rows))
        refused = [(a, why) for a in found if (why := self._refused(name, port, a))]
        if len(refused) == len(found):
            address, why = refused[0] if refused else (name, "has no address")
            raise ConfigError(
                f"{name}:{port} may not be reached: {address} {why}.",
                hint=f"An administrator allows it with `genba destinations allow {name}:{port}`.",
            )
        return [a for a in found if a not in dict(refused)]

    def _refused(self, name: str, port: int, address: str) -> str:
        """Why an address may not be reached; empty when it may."""
        ip = real(ipaddress.ip_address(address.partition("%")[0]))
        if any(_fits(entry, name, port, ip) for entry in self.entries):
            return ""
        if self.only:
            return "is not among the destinations that are allowed"
        return special(ip)


def checked(entry: str) -> str:
    """An entry as it is kept.

    Raises:
        ConfigError: It is none.

    >>> checked("Hooks.Example.com:443"), checked("10.1.2.3/24")
    ('hooks.example.com:443', '10.1.2.0/24')
    """
    text = entry.strip().lower()
    with suppress(ValueError):
        return str(ipaddress.ip_network(text, strict=False)) if "/" in text else _address(text)
    name, colon, port = text.rpartition(":")
    if not colon:
        name, port = text, ""
    is_port = not colon or (port.isdecimal() and 0 < int(port) < 65_536)
    bare = name.strip("[]")
    is_name = len(name) < 254 and (_NAME.match(name) is not None or (":" in bare and _is_ip(bare)))
    if not is_name or not is_port:
        raise ConfigError(
            f"{entry!r} is no destination.",
            hint="Write a name, name:port, an address or a network such as 10.0.0.0/24.",
        )
    return f"{bare if ':' not in bare else f'[{bare}]'}{colon}{port}"


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _fits(entry: str, name: str, port: int, ip: IP) -> bool:
    if "/" in entry:
        return ip in ipaddress.ip_network(entry)
    if entry in (name, f"{name}:{port}", f"[{name}]:{port}"):
        return True
    return entry == str(ip)


def real(ip: IP) -> IP:
    """The address that is really reached: an IPv4 address may be dressed as IPv6.

    >>> [str(real(ipaddress.ip_address(text))) for text in ("::ffff:127.0.0.1", "64:ff9b::7f00:1")]
    ['127.0.0.1', '127.0.0.1']
    """
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        return inner or ip
    return ip


def special(ip: IP) -> str:
    """Why an address is none that a flow may reach by itself; empty when it is."""
    if ip.is_loopback or ip.is_unspecified or _is_own(ip):
        return "is this machine itself"
    if ip.is_link_local or ip in _METADATA:
        return "is a link-local address or a metadata service"
    if ip.is_multicast or (isinstance(ip, ipaddress.IPv4Address) and int(ip) >= 0xF0000000):
        return "is no address of one machine"
    return ""


def _is_own(ip: IP) -> bool:
    """Whether this machine has the address: only then can a socket be bound to it."""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(ip), 0))
    except OSError:
        return False
    return True


__all__ = ["Destinations", "checked", "real", "special"]

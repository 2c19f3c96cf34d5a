"""Fleet book: which other gateways this one looks at, and whom it lets push flows to it.

Both lists are files beside the state, changed by an administrator. What a gateway shows to get
in elsewhere, its tokens and its key to sign with, are secrets and stand in neither.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from gateway.engine import fleet_file, signing
from gateway.errors import ConfigError, LimitError

Ring: TypeAlias = Literal["canary", "ring1", "ring2", "ring3"]
RINGS: Final[tuple[Ring, ...]] = get_args(Ring)
"""In the order in which they are served; the same words as in the inventory of Ansible."""
PEERS_MAX: Final = 200
TRUSTED_MAX: Final = 50
SIGNING_SECRET: Final = "fleet.key"  # noqa: S105 - the name of a secret
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
_PIN: Final = re.compile(r"[0-9A-F]{64}\Z")


@dataclass(frozen=True, slots=True)
class Peer:
    """Another gateway.

    Args:
        name: What it is called here.
        url: Where it answers other gateways, such as ``https://10.0.0.5:8789``.
        pin: SHA-256 of its certificate; empty where an authority says who it is.
        authority: The certificate of that authority, PEM.
        ring: When it gets flows that are pushed: the canary first.
        groups: Names under which flows are pushed to it.
        screens: Where its screens are, for a link; empty is the same host.
    """

    name: str
    url: str
    pin: str = ""
    authority: str = ""
    ring: Ring = "ring1"
    groups: tuple[str, ...] = ()
    screens: str = ""

    @property
    def secret(self) -> str:
        """Name of the secret that holds the token it gave us."""
        return f"fleet.{self.name}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 443


def checked(data: dict[str, Any]) -> Peer:
    """A gateway as it is kept.

    Raises:
        ConfigError: Something about it cannot be.
    """
    name, url = str(data["name"]), str(data["url"]).rstrip("/")
    if not _NAME.match(name) or f"fleet.{name}" == SIGNING_SECRET:
        raise ConfigError(
            f"{name!r} is no name of a gateway.", hint="Use lower case, digits and _ . - only."
        )
    groups = tuple(sorted({str(one) for one in data.get("groups") or ()}))
    if bad := next((one for one in groups if not _NAME.match(one)), None):
        raise ConfigError(f"{bad!r} is no name of a group.", hint="Write it like press_line.")
    ring = data.get("ring") or "ring1"
    if ring not in RINGS:
        raise ConfigError(f"{ring!r} is no ring.", hint=f"There is {', '.join(RINGS)}.")
    pin = str(data.get("pin") or "").replace(":", "").replace(" ", "").upper()
    authority = str(data.get("authority") or "").strip()
    if bool(pin) == bool(authority):
        raise ConfigError(
            "Say how this gateway is known: by its fingerprint or by an authority, one of both.",
            hint="`genba tls` on it prints the fingerprint.",
        )
    if pin and not _PIN.match(pin):
        raise ConfigError("A fingerprint is the SHA-256 of a certificate: 64 hexadecimal digits.")
    if authority:
        certificate(authority)
    screens = str(data.get("screens") or "").rstrip("/")
    _must_be_https(url)
    if screens:
        _must_be_https(screens)
    return Peer(name, url, pin, authority, ring, groups, screens)


def _must_be_https(url: str) -> None:
    hint = "Write it like https://10.0.0.5:8789."
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme == "https" and parts.hostname and (parts.port or 443)
    except ValueError:
        is_whole = False
    if not is_whole or parts.path or parts.query or parts.username or any(map(str.isspace, url)):
        raise ConfigError(f"{url!r} is no address of a gateway.", hint=hint)


def certificate(pem: str) -> x509.Certificate:
    """A certificate.

    Raises:
        ConfigError: It is none.
    """
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise ConfigError(f"This is no certificate in PEM form: {error}.") from error


class Peers:
    """The other gateways that this one looks at.

    Args:
        path: The file; absent is empty.

    Raises:
        ConfigError: The file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        found = fleet_file.load(path) or []
        self.all: dict[str, Peer] = {row["name"]: checked(row) for row in found}

    def put(self, peer: Peer) -> None:
        """Add one, or put it in the place of the one with its name.

        Raises:
            LimitError: There are too many.
            ConfigError: It cannot be stored.
        """
        if peer.name not in self.all and len(self.all) >= PEERS_MAX:
            raise LimitError("peers_max", PEERS_MAX, "Remove gateways that are gone.")
        self._store({**self.all, peer.name: peer})

    def remove(self, name: str) -> bool:
        """Forget one; False when it was not there."""
        if name not in self.all:
            return False
        self._store({key: peer for key, peer in self.all.items() if key != name})
        return True

    def members(self, group: str) -> list[Peer]:
        """Those of a group, or of all with ``*``, by name."""
        found = (self.all[name] for name in sorted(self.all))
        return [peer for peer in found if group == "*" or group in peer.groups]

    def _store(self, peers: dict[str, Peer]) -> None:
        fleet_file.store(self._path, [asdict(peer) for peer in peers.values()])
        self.all = peers


class Trust:
    """Who may look at this gateway over the door of the fleet, and whose flows it takes.

    Args:
        folder: Of the files; absent ones trust nobody.

    Raises:
        ConfigError: The file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "trust.json"
        self._bundle = folder / BUNDLE
        found = fleet_file.load(self._path) or {}
        self.centres: dict[str, str] = dict(found.get("centres", {}))
        """Certificates of gateways, or of the authority that signs theirs, by name."""
        self.keys: dict[str, str] = dict(found.get("keys", {}))
        """Public keys whose flows are taken, by name."""

    def change(self, kind: Literal["centres", "keys"], name: str, pem: str | None) -> bool:
        """Trust one more, or with None one less; False when it was not there.

        Raises:
            ConfigError: It is no certificate, or no key.
            LimitError: There are too many.
        """
        held = dict(self.centres if kind == "centres" else self.keys)
        if pem is None:
            if held.pop(name, None) is None:
                return False
        else:
            if not _NAME.match(name):
                hint = "Use lower case, digits and _ . - only."
                raise ConfigError(f"{name!r} is no name.", hint=hint)
            held[name] = _whole(kind, pem)
            if len(held) > TRUSTED_MAX:
                raise LimitError("trusted_max", TRUSTED_MAX, "Trust an authority instead.")
        new = {"centres": self.centres, "keys": self.keys, kind: held}
        fleet_file.store(self._path, new)
        fleet_file.write(self._bundle, "".join(new["centres"].values()).encode())
        self.centres, self.keys = new["centres"], new["keys"]
        return True

    def centre_of(self, sha256: str) -> str:
        """Name of the gateway with this certificate; empty when an authority vouches for it."""
        for name, pem in self.centres.items():
            if fingerprint(pem) == sha256:
                return name
        return ""

    def shown(self) -> dict[str, list[dict[str, Any]]]:
        """Both lists, for people."""
        centres = []
        for name, pem in sorted(self.centres.items()):
            found = certificate(pem)
            centres.append(
                {
                    "name": name,
                    "subject": found.subject.rfc4514_string(),
                    "sha256": found.fingerprint(hashes.SHA256()).hex(":").upper(),
                    "to": int(found.not_valid_after_utc.timestamp()) * 10**9,
                }
            )
        keys = [
            {"name": name, "id": signing.key_id(signing.public_key(pem.encode()))}
            for name, pem in sorted(self.keys.items())
        ]
        return {"centres": centres, "keys": keys}


BUNDLE: Final = "centres.pem"
"""What the door of the fleet checks certificates with; made of the list."""


def fingerprint(pem: str) -> str:
    """SHA-256 of a certificate, without colons."""
    return certificate(pem).fingerprint(hashes.SHA256()).hex().upper()


def _whole(kind: str, pem: str) -> str:
    if kind == "centres":
        certificate(pem)
    else:
        signing.public_key(pem.encode())
    return pem.strip() + "\n"


__all__ = ["BUNDLE", "RINGS", "SIGNING_SECRET", "Peer", "Peers", "Ring", "Trust", "checked"]

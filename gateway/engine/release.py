"""Releases: the signature at the end of a release file, and where releases are kept.

A release is the single binary with one line behind it: who signed, and an Ed25519 signature over
the SHA-512 of all before. So it is one file to carry, it can still be run by hand, and one bit
that differs is found before anything of it is run.

Source: RFC 8032 (Ed25519).
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from gateway.errors import ConfigError, Rejected

BASE: Final = Path("/opt/genba")
KEYS: Final = Path("/etc/genba/keys")
_MARK: Final = b"\nGENBA-SIGNATURE-1 "
_LINE: Final = re.compile(rb"\nGENBA-SIGNATURE-1 ([0-9a-f]{16}) ([A-Za-z0-9+/]{86}==)\n\Z")
_LENGTH: Final = len(_MARK) + 16 + 1 + 88 + 1
_DOMAIN: Final = b"genba release 1\n"
"""What is signed begins with this, so that a signature of something else is none of a release."""
_NAME: Final = re.compile(r"^name=([0-9][0-9A-Za-z.+]*-[0-9a-f]{8})$", re.MULTILINE)
_HEAD_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Release:
    """A release file whose signature is right.

    Args:
        path: The file.
        name: Version and the beginning of its checksum; the folder it unpacks into.
        key: Name of the key that signed it.
    """

    path: Path
    name: str
    key: str


def new_key(path: Path) -> Path:
    """Make a key to sign with at `path`; returns the file with its public part.

    Raises:
        ConfigError: There is one already, or it cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(private)
    except FileExistsError as error:
        raise ConfigError(f"There is a key {path} already; nothing was done.") from error
    public_path = path.with_suffix(".pub")
    public_path.write_bytes(public)
    return public_path


def sign(path: Path, key_path: Path) -> None:
    """Put a signature behind a file, in the place of one that is there.

    Raises:
        ConfigError: The key cannot be read.
    """
    try:
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        assert isinstance(key, Ed25519PrivateKey), "of another kind"
    except (OSError, ValueError, AssertionError) as error:
        raise ConfigError(f"This is no key to sign with: {error}.", where=str(key_path)) from error
    length = _signed_length(path)
    signature = base64.b64encode(key.sign(_DOMAIN + _digest(path, length)))
    with path.open("r+b") as out:
        out.truncate(length)
        out.seek(length)
        out.write(_MARK + _id(key.public_key()).encode() + b" " + signature + b"\n")
        out.flush()
        os.fsync(out.fileno())


def verified(path: Path, keys: Iterable[Path]) -> Release:
    """A release file that one of these keys has signed.

    Raises:
        Rejected: It is none, is damaged, or nobody whom this gateway trusts has signed it.
        ConfigError: It cannot be read.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            file.seek(max(0, size - _LENGTH))
            line = _LINE.search(file.read())
    except OSError as error:
        raise ConfigError(f"It cannot be read: {error.strerror}.", where=str(path)) from error
    name = _NAME.search(head.decode("utf-8", "replace"))
    if not head.startswith(b"#!/bin/sh\n# Genba ") or name is None:
        raise Rejected(f"{path} is no release of Genba.")
    if line is None:
        raise Rejected(f"{path} is not signed, or it was cut. Nothing of it was run.")
    for key_path in keys:
        try:
            key = serialization.load_pem_public_key(key_path.read_bytes())
        except (OSError, ValueError):
            continue
        if not isinstance(key, Ed25519PublicKey) or _id(key) != line[1].decode():
            continue
        try:
            key.verify(base64.b64decode(line[2]), _DOMAIN + _digest(path, size - _LENGTH))
        except InvalidSignature:
            raise Rejected(f"{path} was altered after it was signed. Copy it again.") from None
        return Release(path, name[1], key_path.stem)
    raise Rejected(
        f"{path} is signed with the key {line[1].decode()}, which this gateway does not trust. "
        f"An administrator trusts a key by putting its .pub file into {KEYS}."
    )


def _signed_length(path: Path) -> int:
    """How long the file is without a signature [bytes]."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _LENGTH))
        return size - _LENGTH if _LINE.search(file.read()) else size


def _digest(path: Path, length: int) -> bytes:
    found = hashlib.sha512()
    with path.open("rb") as file:
        while length > 0 and (part := file.read(min(length, 1 << 20))):
            found.update(part)
            length -= len(part)
    return found.digest()


def _id(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]

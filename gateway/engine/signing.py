"""Signing: Ed25519 keys, for releases and for flows that come from another gateway.

What is signed always begins with words of its own, so that a signature of one thing is none of
another, whoever holds the key.

Source: RFC 8032 (Ed25519).
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from gateway.errors import ConfigError


def made() -> tuple[bytes, bytes]:
    """A new key and its public part, as PEM."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private, public_pem(key.public_key())


def private_key(pem: bytes, where: str) -> Ed25519PrivateKey:
    """A key to sign with.

    Raises:
        ConfigError: It is none; `where` says which was read.
    """
    try:
        key = serialization.load_pem_private_key(pem, None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("of another kind")
    except (ValueError, TypeError) as error:
        raise ConfigError(f"This is no key to sign with: {error}.", where=where) from error
    return key


def public_key(pem: bytes) -> Ed25519PublicKey:
    """A key to verify with.

    Raises:
        ConfigError: It is none.
    """
    try:
        key = serialization.load_pem_public_key(pem)
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError("of another kind")
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"This is no public key: {error}.",
            hint="`genba sign key` and `genba fleet key` say it.",
        ) from error
    return key


def public_pem(key: Ed25519PublicKey) -> bytes:
    """A public key as text."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def key_id(key: Ed25519PublicKey) -> str:
    """What a key is known by: 16 hexadecimal digits of its SHA-256."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


__all__ = ["key_id", "made", "private_key", "public_key", "public_pem"]

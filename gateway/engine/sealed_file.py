"""Sealed file: a stream of bytes under a passphrase, whole or not at all.

The key is made from the passphrase by scrypt. Pieces of 1 MB are sealed with AES-256-GCM; the
number of a piece and whether it is the last are part of what is sealed, so that a file that was
cut, or whose pieces were exchanged, is found before its last byte is believed.

Source: Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance (CRYPTO 2015), construction STREAM; RFC 7914 (scrypt).
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import ConfigError

PIECE_BYTES: Final = 1 << 20
HEAD_BYTES_MAX: Final = 64 * 1024
_MAGIC: Final = b"genba-sealed-file-1\n"
_N, _R, _P = 1 << 16, 8, 1
_WRONG: Final = "The passphrase is not the one it was made with, or the file is damaged or cut."


def seal(data: Iterable[bytes], passphrase: str, about: dict[str, Any]) -> Iterator[bytes]:
    """The sealed form of a stream, as it comes.

    Args:
        data: The stream, in pieces of any size.
        passphrase: 12 characters or more.
        about: What the head tells everybody; it is protected but not secret.

    Raises:
        ConfigError: The passphrase is too short.
    """
    if len(passphrase) < 12:
        raise ConfigError("A passphrase has 12 characters or more.")
    salt = os.urandom(16)
    head = json.dumps({**about, "salt": salt.hex(), "n": _N, "r": _R, "p": _P}).encode()
    box, bound = AESGCM(_key(passphrase, salt, _N, _R, _P)), hashlib.sha256(head).digest()
    yield _MAGIC + struct.pack(">I", len(head)) + head
    number, held = 0, b""
    for part in _pieces(data):
        if held:
            yield _sealed(box, bound, number, held, is_last=False)
            number += 1
        held = part
    yield _sealed(box, bound, number, held, is_last=True)


def about(file: BinaryIO) -> dict[str, Any]:
    """What the head of a sealed file tells; not to be believed before `unseal` has ended.

    Raises:
        ConfigError: It is no sealed file.
    """
    return dict(json.loads(_head(file)))


def unseal(file: BinaryIO, passphrase: str) -> Iterator[bytes]:
    """The stream that was sealed. Nothing of it may be used before all of it came.

    Raises:
        ConfigError: The passphrase is wrong, or the file is no sealed file, damaged or cut.
    """
    head = _head(file)
    try:
        told = json.loads(head)
        salt, n, r, p = bytes.fromhex(told["salt"]), int(told["n"]), int(told["r"]), int(told["p"])
        if n > 1 << 20 or r > 16 or p > 4:  # More would be an attack on memory.
            raise ValueError(n)
        box = AESGCM(_key(passphrase, salt, n, r, p))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(_WRONG) from error
    bound, number = hashlib.sha256(head).digest(), 0
    while True:
        size = file.read(4)
        if len(size) < 4:
            raise ConfigError(_WRONG)
        (length,) = struct.unpack(">I", size)
        is_last, length = bool(length >> 31), length & 0x7FFFFFFF
        if length > PIECE_BYTES + 16:
            raise ConfigError(_WRONG)
        try:
            yield box.decrypt(_nonce(number, is_last), file.read(length), bound)
        except InvalidTag as error:
            raise ConfigError(_WRONG) from error
        if is_last:
            break
        number += 1
    if file.read(1):
        raise ConfigError(_WRONG)


def _head(file: BinaryIO) -> bytes:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ConfigError("This is no backup of Genba.")
    size = file.read(4)
    (length,) = struct.unpack(">I", size) if len(size) == 4 else (1 << 31,)
    head = file.read(length) if length <= HEAD_BYTES_MAX else b""
    if len(head) != length:
        raise ConfigError("This is no backup of Genba, or one that was cut.")
    return head


def _pieces(data: Iterable[bytes]) -> Iterator[bytes]:
    waiting = bytearray()
    for part in data:
        waiting += part
        while len(waiting) >= PIECE_BYTES:
            yield bytes(waiting[:PIECE_BYTES])
            del waiting[:PIECE_BYTES]
    if waiting:
        yield bytes(waiting)


def _sealed(box: AESGCM, bound: bytes, number: int, part: bytes, *, is_last: bool) -> bytes:
    text = box.encrypt(_nonce(number, is_last), part, bound)
    return struct.pack(">I", len(text) | (is_last << 31)) + text


def _nonce(number: int, is_last: bool) -> bytes:
    """Never twice under one key: each file has a salt of its own."""
    return struct.pack(">QI", number, int(is_last))


def _key(passphrase: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=n, r=r, p=p, maxmem=256 << 20, dklen=32)


__all__ = ["PIECE_BYTES", "about", "seal", "unseal"]

"""Secrets: passwords and keys that flows name and never hold; at rest they are encrypted.

Each is a file of its own, sealed with a key of this device under its own name, so that one file
cannot take another's place. The key is a systemd credential where there is one, else a file
beside them that only the gateway's user can read: a copy of the state, a backup or a support
bundle without that key says nothing. Against who is root on the running device nothing helps.

Source: NIST SP 800-38D (AES-GCM); IEC 62443-4-2:2019, CR 4.1 (confidentiality at rest).
"""

from __future__ import annotations

import hmac
import logging
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.data.whole import write_whole
from gateway.errors import ConfigError
from gateway.flow.config import Secret

_log = logging.getLogger("genba.secrets")
SEALED: Final = ".sealed"
KEY: Final = ".key"
CREDENTIAL: Final = "genba-secrets-key"
VALUE_BYTES_MAX: Final = 64 * 1024
INSTALLED: Final = (
    Path("/var/lib/genba/secrets"),
    Path("/etc/credstore") / CREDENTIAL,
)
"""The folder of an installed gateway, and where root keeps its key: not beside the secrets."""
_MAGIC: Final = b"genba-sealed-1\0"
_NONCE_BYTES: Final = 12
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")


@dataclass(frozen=True)
class Known:
    """A secret without its value.

    Args:
        name: Its name.
        where: environment, credential or folder; only one in the folder can be changed here.
        changed: When it was [ns]; 0 where that is not known.
    """

    name: str
    where: str
    changed: int


class Secrets:
    """Where secrets come from: the environment, systemd credentials, a folder of our own.

    Args:
        folder: Of the sealed files, readable only by the gateway.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, ref: Secret) -> str:
        """The secret behind a reference.

        Raises:
            ConfigError: It is set nowhere, or what is there cannot be opened.
        """
        name = ref.secret
        variable = "GENBA_SECRET_" + re.sub(r"[^A-Za-z0-9]", "_", name).upper()
        if variable in os.environ:
            return os.environ[variable]
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        if credentials and (path := Path(credentials) / name).is_file():
            return path.read_text().rstrip("\n")
        if _NAME.match(name):
            self._take_in(name)
            with suppress(FileNotFoundError):
                return self._opened(name)
        raise ConfigError(
            f"The secret {name!r} is not set.",
            hint=f"Set it with `genba secrets set {name}`, or in the variable {variable}.",
        )

    def is_same(self, name: str, value: str) -> bool:
        """Whether the folder's secret has this value already."""
        try:
            return hmac.compare_digest(self._opened(name).encode(), value.encode())
        except (ConfigError, OSError):
            return False

    def put(self, name: str, value: str) -> None:
        """Set a secret; the old value is gone.

        Raises:
            ConfigError: The name or the value cannot be, or the folder cannot be written.
        """
        if not _NAME.match(name):
            raise ConfigError(
                f"{name!r} is no name of a secret.", hint="Use letters, digits and _ . - only."
            )
        data = value.encode()
        if not data or len(data) > VALUE_BYTES_MAX:
            raise ConfigError(f"A secret has 1 to {VALUE_BYTES_MAX} bytes.")
        nonce = os.urandom(_NONCE_BYTES)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sealed = AESGCM(self._key()).encrypt(nonce, data, _MAGIC + name.encode())
            write_whole(self._folder / (name + SEALED), _MAGIC + nonce + sealed, 0o600)
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(
                f"The secret cannot be stored: {error.strerror}.", where=str(self._folder)
            ) from error

    def remove(self, name: str) -> bool:
        """Forget a secret of the folder; returns whether there was one."""
        found = False
        for path in (self._folder / (name + SEALED), self._folder / name):
            if _NAME.match(name) and path.exists():
                path.unlink()
                found = True
        return found

    def known(self) -> list[Known]:
        """Every secret that is set, by name, without values."""
        found = {}
        if self._folder.is_dir():
            for path in sorted(self._folder.iterdir()):
                name = path.name.removesuffix(SEALED)
                if _NAME.match(name) and path.is_file():
                    found[name] = Known(name, "folder", path.stat().st_mtime_ns)
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        if credentials and Path(credentials).is_dir():
            for path in Path(credentials).iterdir():
                if path.name != CREDENTIAL:
                    found[path.name] = Known(path.name, "credential", 0)
        for variable in os.environ:
            if variable.startswith("GENBA_SECRET_"):
                found[variable[13:].lower()] = Known(variable[13:].lower(), "environment", 0)
        return [found[name] for name in sorted(found)]

    def values(self) -> list[str]:
        """Every value that can be opened here, so that it can be kept out of a text.

        Nothing is changed: no key is made, and no file is sealed.
        """
        found = [text for name, text in os.environ.items() if name.startswith("GENBA_SECRET_")]
        has_key = self.key_path().exists()
        for path in sorted(self._folder.glob("*")):
            with suppress(ConfigError, OSError, UnicodeDecodeError):
                if path.name.endswith(SEALED) and has_key:
                    found.append(self._opened(path.name.removesuffix(SEALED)))
                elif path.name != KEY and path.is_file():
                    found.append(path.read_text("utf-8").rstrip("\n"))
        return found

    def _take_in(self, name: str) -> None:
        """Seal a file that somebody has put here as it is."""
        plain = self._folder / name
        if not plain.is_file():
            return
        try:
            self.put(name, plain.read_text().rstrip("\n"))
            _log.info("The secret %s was sealed; the file with its text is gone.", name)
        except (ConfigError, UnicodeDecodeError) as error:
            raise ConfigError(f"The secret {name!r} cannot be sealed: {error}") from error

    def _opened(self, name: str) -> str:
        path = self._folder / (name + SEALED)
        data = path.read_bytes()
        start = len(_MAGIC) + _NONCE_BYTES
        try:
            if not data.startswith(_MAGIC):
                raise InvalidTag
            nonce, sealed, bound = data[len(_MAGIC) : start], data[start:], _MAGIC + name.encode()
            beside = self._folder / KEY
            try:
                return AESGCM(self._key()).decrypt(nonce, sealed, bound).decode()
            except InvalidTag:  # From a backup, say, of a device whose key came with it.
                if self.key_path() == beside or not beside.is_file():
                    raise
                found = AESGCM(_whole(beside)).decrypt(nonce, sealed, bound).decode()
            self.put(name, found)
            _log.info("The secret %s is sealed with the key of this device now.", name)
            return found
        except InvalidTag as error:
            raise ConfigError(
                f"The secret {name!r} cannot be opened: it was sealed with another key, is that "
                "of another name, or is damaged.",
                where=str(path),
                hint=f"Set it anew with `genba secrets set {name}`.",
            ) from error

    def _key(self) -> bytes:
        """The key of this device; made when there is none."""
        path = self.key_path()
        if not path.exists():
            write_whole(path, AESGCM.generate_key(256), 0o600)
        return _whole(path)

    def key_path(self) -> Path:
        """Where the key is: what systemd lends us, else root's, else beside the secrets."""
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        if credentials and (path := Path(credentials) / CREDENTIAL).is_file():
            return path
        folder, installed = INSTALLED
        with suppress(OSError):
            if self._folder == folder and installed.is_file() and os.access(installed, os.R_OK):
                return installed
        return self._folder / KEY


def _whole(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != 32:
        raise ConfigError("The key of the secrets has not 32 bytes.", where=str(path))
    return key


__all__ = ["CREDENTIAL", "KEY", "Known", "Secrets"]

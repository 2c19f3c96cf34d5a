"""Scrubbing: a text without the secrets in it, for eyes outside of the plant.

Two nets, one behind the other: what looks like a secret by its form or by the name beside it, and
every secret that this process can read, wherever it stands.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from gateway.engine.secrets import Secrets

GONE: Final = "***"
_WORD: Final = (
    r"pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|authori[sz]ation|cookie|"
    r"credential|private[_-]?key|access[_-]?key|claim[_-]?code|psk|session"
)
_NAMED: Final = re.compile(rf"(?:{_WORD})", re.I)
_KEY: Final = re.compile(r"(?:^|[_-])key$", re.I)
_PAIR: Final = re.compile(
    rf"""(?ix) ( [\w-]* (?:{_WORD}) [\w-]* ["']? \s* [:=] \s* )
    ( "(?:[^"\\]|\\.)*" | '[^']*' | (?:bearer|basic|digest)\s+\S+ | [^\s,;&}}\])]+ )"""
)
_HEADER: Final = re.compile(
    r"""(?i)\b((?:set-)?cookie|(?:proxy-)?authorization)(\s*:\s*)[^\n"'{]+"""
)
_URL: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@]*@")
_URL_SLASH: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s@\"']*@(?=[\w.-]+)")
_SCHEME: Final = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_OURS: Final = re.compile(r"genba_(?:local_)?[A-Za-z0-9_-]{20,}")
_JWT: Final = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.S
)
_CLAIM: Final = re.compile(r"(?i)(with this code, within \d+ minutes: )\S+")
_WEBHOOK: Final = re.compile(r"(https?://hooks\.[^\s/]+/)[^\s\"']+")
_NUMBER: Final = re.compile(r"pass|pwd|secret|psk|\bpin\b", re.I)
_SHORT: Final = 6
_SHORTEST: Final = 4
"""A secret of fewer characters is found by its name only: elsewhere it is just a word."""
_FILE_MAX: Final = 100_000
_READ: Final = ("*.token", "**/*.key", "**/*private*.pem")


def scrub(text: str, known: Iterable[str] = ()) -> str:
    """A text without what looks like a secret, and without those that are known.

    >>> scrub("mqtt://anna:hunter2@10.0.0.5 password: 'a b' Authorization: Bearer abcdef.123")
    'mqtt://***@10.0.0.5 password: *** Authorization: ***'
    """
    text = _PEM.sub(GONE, without(text, known))
    text = _CLAIM.sub(rf"\1{GONE}", text)
    text = _URL.sub(rf"\1{GONE}@", text)
    text = _URL_SLASH.sub(rf"\1:{GONE}@", text)
    text = _WEBHOOK.sub(rf"\1{GONE}", text)
    text = _HEADER.sub(rf"\1\2{GONE}", text)
    text = _PAIR.sub(rf"\1{GONE}", text)
    text = _SCHEME.sub(rf"\1 {GONE}", text)
    return _JWT.sub(GONE, _OURS.sub(GONE, text))


def without(text: str, known: Iterable[str]) -> str:
    """A text without secrets that are known; nothing else of it changes."""
    for value in known:
        text = text.replace(value, GONE)
    return text


def scrubbed(value: Any, known: Iterable[str] = ()) -> Any:
    """Plain values without secrets: what stands under a name such as ``password`` is gone whole."""
    if isinstance(value, Mapping):
        return {
            scrub(str(key), known): GONE if _is_secret(str(key), item) else scrubbed(item, known)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [scrubbed(item, known) for item in value]
    return scrub(value, known) if isinstance(value, str) else value


def _is_secret(key: str, value: Any) -> bool:
    """Whether what stands under a name is a secret; entries of a table are looked at singly."""
    if isinstance(value, bool | Mapping) or value is None:
        return False
    if isinstance(value, int | float):  # 123456 is a password, but 512 tokens are none.
        return bool(_NUMBER.search(key))
    return bool(_NAMED.search(key) or _KEY.search(key))


def known_secrets(state: Path) -> list[str]:
    """Secrets that this process can read, longest first: tokens, keys, values of the environment.

    Args:
        state: Folder of the gateway's state.
    """
    found = {value for name, value in os.environ.items() if _NAMED.search(name)}
    for pattern in _READ:
        for path in state.glob(pattern):
            try:
                if path.is_file() and path.stat().st_size <= _FILE_MAX:
                    found |= {line.strip() for line in path.read_text("utf-8").splitlines()}
            except (OSError, UnicodeDecodeError):
                continue
    # The port in the file of the token is no secret, nor is a folder in the environment.
    secret = {
        one
        for one in found
        if len(one) >= _SHORT and not one.isdigit() and not one.startswith(("-----", "/"))
    }
    for value in Secrets(state / "secrets").values():
        secret |= {value, *(line.strip() for line in value.splitlines())}
    secret = {one for one in secret if len(one) >= _SHORTEST}
    secret |= {form for one in secret for form in (quote(one, safe=""), json.dumps(one)[1:-1])}
    return sorted(secret, key=len, reverse=True)

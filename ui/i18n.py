"""Languages: one gettext catalogue for what Python and the browser say; English is the key."""

from __future__ import annotations

import gettext
import io
from collections.abc import Mapping
from functools import cache
from typing import Final
from weakref import WeakKeyDictionary

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from nicegui import Client, context
from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from gateway.flow.said import sayings
from ui.assets import HERE

LANGUAGES: Final = {"en": "English", "ja": "日本語"}
COOKIE: Final = "genba-language"
_of_client: WeakKeyDictionary[Client, str] = WeakKeyDictionary()


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    path = HERE / "locale" / language / "LC_MESSAGES" / "genba.po"
    if not path.exists():
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


@cache
def texts(language: str) -> Mapping[str, str]:
    """Every text of a language by its English, for the browser."""
    found = getattr(_catalogue(language), "_catalog", {})
    return {k: v for k, v in found.items() if isinstance(k, str) and k and v}


def language_of(headers: Headers) -> str:
    """The language somebody chose on this device, else the first their browser asks for."""
    kept = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
    if kept in LANGUAGES:
        return kept
    for part in headers.get("accept-language", "").split(","):
        code = part.strip()[:2].lower()
        if code in LANGUAGES:
            return code
    return "en"


def language() -> str:
    """The language of the page whose code runs now."""
    client = context.client
    if client not in _of_client:
        _of_client[client] = language_of(client.request.headers)
    return _of_client[client]


def translated(language: str, text: str, **values: object) -> str:
    """A text in a language; names in braces are filled in afterwards."""
    found = _catalogue(language).gettext(text)
    return found.format(**values) if values else found


def told(error: object) -> str:
    """What the gateway says in English, such as why it refuses, in the language of the page."""
    return sayings(language()).of(str(error))


def _(text: str, **values: object) -> str:
    """A text in the language of the page."""
    return translated(language(), text, **values)


__all__ = [
    "COOKIE",
    "LANGUAGES",
    "_",
    "language",
    "language_of",
    "texts",
    "told",
    "translated",
]

"""What the screens say is in the catalogue of every language, and the build is of the sources."""

from __future__ import annotations

import re

import pytest

from ui import locale
from ui.assets import FONTS, built, sources_hash
from ui.i18n import LANGUAGES, texts, translated

FIELD = re.compile(r"\{(\w+)[^}]*\}")
OTHERS = [language for language in LANGUAGES if language != "en"]


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated(language: str) -> None:
    said = {str(message.id) for message in locale.collected() if message.id}
    known = texts(language)
    missing = sorted(said - known.keys())
    assert not missing, f"Run `python -m ui.locale` and translate: {missing}"
    stale = sorted(known.keys() - said)
    assert not stale, f"Nobody says these any more; run `python -m ui.locale`: {stale}"


@pytest.mark.parametrize("language", OTHERS)
def test_translations_fill_in_the_same(language: str) -> None:
    for text, other in texts(language).items():
        assert set(FIELD.findall(text)) == set(FIELD.findall(other)), (text, other)
    assert translated("ja", "Log out") == "ログアウト"
    assert translated("en", "Log out") == "Log out"


def test_the_build_is_of_these_sources() -> None:
    assert built().name == sources_hash(), "Run `node build.mjs` in ui/frontend."


def test_nothing_is_asked_of_another_host() -> None:
    """Neither code, style nor fonts name another origin that a browser would ask."""
    loads = re.compile(rb"""(?:url\(|import\s*\(?|from|src=|href=)\s*["']?https?://""")
    for path in (*built().rglob("*"), *FONTS.glob("*.css")):
        if path.suffix in (".js", ".css"):
            assert not loads.search(path.read_bytes()), path

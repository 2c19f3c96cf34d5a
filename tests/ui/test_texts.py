"""What the screens say is in the catalogue of every language, and the build is of the sources."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from gateway.flow.said import pairs
from ui import locale
from ui.assets import FONTS, built, sources_hash
from ui.i18n import LANGUAGES, texts, translated
from ui.pages.help import pages

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
def test_every_sentence_of_the_gateway_is_translated(language: str) -> None:
    """Reasons of alarms, what lint says, what devices are up to, and shipped flows."""
    said = {str(message.id) for message in locale.collected_said() if message.id}
    known = pairs(language)
    missing = sorted(said - known.keys())
    assert not missing, f"Run `python -m ui.locale` and translate: {missing}"
    stale = sorted(known.keys() - said)
    assert not stale, f"Nobody says these any more; run `python -m ui.locale`: {stale}"


@pytest.mark.parametrize("language", OTHERS)
def test_no_translation_changes_a_number(language: str) -> None:
    """Each field stands once, and each number of the English too; "two" may be written as 2."""
    words = ("0", "1", "2", "3", "4", "5", "10", "15", "30")  # 30 s is half a minute.
    for text, other in pairs(language).items():
        assert sorted(FIELD.findall(text)) == sorted(FIELD.findall(other)), (text, other)
        numbers = [Counter(re.findall(r"\d+", FIELD.sub("", one))) for one in (text, other)]
        assert not numbers[0] - numbers[1], (text, other)
        assert {*(numbers[1] - numbers[0])} <= {*words}, (text, other)


def test_help_is_in_the_language_or_says_that_it_is_not() -> None:
    english, japanese = pages("en"), pages("ja")
    assert english.keys() == japanese.keys()
    assert all(is_own for _, is_own in english.values())
    own = {name for name, (_, is_own) in japanese.items() if is_own}
    assert {"alarms", "explanations", "dashboards", "history", "screens", "concepts"} <= own
    assert "replay" not in own
    for name in own:
        both = [path.read_text("utf-8") for path, _ in pages_of(name)]
        assert both[0].count("```yaml") == both[1].count("```yaml"), name
        assert [text.splitlines()[0][:2] for text in both] == ["# ", "# "]


def pages_of(name: str) -> tuple[tuple[Path, bool], tuple[Path, bool]]:
    return pages("en")[name], pages("ja")[name]


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

"""Amounts as people write them, and the reading of them again."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.explainer import amounts
from models.explainer._numerals import is_left, with_digits
from models.explainer.text import LANGUAGES, Explanation, Piece, Sentence, tame


@given(st.floats(-1e300, 1e300))
def test_a_number_keeps_three_digits(number):
    shown = float(amounts.number_text(number).replace(",", ""))
    assert math.isclose(shown, number, rel_tol=0.0051, abs_tol=1e-300)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_two_numbers_are_told_apart(one, other):
    places = amounts.places_apart(one, other)
    assert 0 <= places <= 6
    if abs(one - other) > 2e-6:
        assert amounts.number_text(one, places) != amounts.number_text(other, places) or (
            max(abs(one), abs(other)) < 1e-4
        )


@pytest.mark.parametrize("language", LANGUAGES)
@given(seconds=st.floats(0, 1e8))
@settings(max_examples=200, deadline=None)
def test_a_duration_has_a_text(language, seconds):
    text = amounts.duration_text(seconds, language)
    assert text
    assert text[0].isdigit()
    assert amounts.duration_text(-seconds, language) == text


@given(ts=st.integers(-(2**63), 2**63 - 1), now=st.integers(-(2**63), 2**63 - 1))
@settings(deadline=None)
def test_any_time_has_a_text(ts, now):
    for language in LANGUAGES:
        for zone in ("UTC", "Asia/Tokyo", "America/St_Johns", "", "../etc/passwd"):
            assert ":" in amounts.time_text(ts, now, language, zone)


@given(st.text(max_size=60))
def test_a_unit_is_harmless(code):
    shown = amounts.unit_text(code)
    assert len(shown) <= amounts.UNIT_CHARS_MAX
    assert "{" not in shown
    assert "}" not in shown
    assert shown == tame(shown)


@given(st.text(max_size=500))
def test_tame_is_one_harmless_line(text):
    found = tame(text)
    assert len(found) <= 120
    assert all(char == " " or char.isprintable() for char in found)
    assert tame(found) == found


@pytest.mark.parametrize(
    ("text", "language", "digits"),
    [
        ("twenty-one bar", "en", "21 bar"),
        ("one hundred and five minutes", "en", "105 minutes"),
        ("two thousand three hundred", "en", "2300"),
        ("one minute", "en", "1 minute"),
        ("one of them", "en", "one of them"),
        ("二十五分", "ja", "25分"),
        ("千二百回", "ja", "1200回"),
        ("三万件", "ja", "30000件"),
        ("一部", "ja", "一部"),
        ("十分に", "ja", "十分に"),
        ("１２．５％", "ja", "12.5%"),
    ],
)
def test_spelled_numbers(text, language, digits):
    assert with_digits(text, language) == digits


@pytest.mark.parametrize(
    "text", ["5", "twice as much", "half", "٣", "²", "Ⅷ", "a dozen", "doubled"]
)
def test_a_number_that_is_left(text):
    assert is_left(text, "en")


@pytest.mark.parametrize("text", ["半分", "数回", "二つ", "5", "５", "倍増", "③"])
def test_a_japanese_number_that_is_left(text):
    assert is_left(text, "ja")


def test_json_of_an_explanation():
    one = Explanation("ja", (Sentence("what", (Piece("x", "tag", "t", 5),), False),), "m", "why")
    assert Explanation.from_json(one.to_json()) == one
    assert not one.is_checked
    for bad in ({}, {"sentences": [{}]}, {"sentences": 5, "causes": []}):
        with pytest.raises(ValueError, match="no explanation"):
            Explanation.from_json(bad)

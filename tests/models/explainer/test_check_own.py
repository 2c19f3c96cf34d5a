"""What our own model writes: a sentence of the grammar that is true here stands, others go."""

from __future__ import annotations

import random

import pytest

from models.explainer import check, phrases, slots
from models.explainer.text import LANGUAGES
from tests.models.explainer.sheets import sheet


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_valid_text_comes_through_whole(language):
    for seed in range(200):
        one = sheet(seed)
        words = slots.of(one, None, language).words
        text = phrases.sample(words, random.Random(seed))
        found = check.read(one, language, text, by="genba")
        assert found is not None
        assert found.by == "genba"
        assert found.dropped == 0
        assert found.is_checked
        assert len(found.sentences) == text.count("\n") + 1


def test_a_sentence_that_is_not_true_here_is_replaced():
    one = sheet(7)
    words = slots.of(one, None, "en").words
    lines = phrases.sample(words, random.Random(7)).split("\n")
    lines[-1] = "First, {nothing}."
    found = check.read(one, "en", "\n".join(lines))
    assert found is not None
    assert found.dropped == 1
    assert "nothing" not in found.plain()
    assert any(sentence.role == "check" for sentence in found.sentences)


def test_nothing_is_left_of_nonsense():
    for text in ("", "hello", "{value}", "a" * 10_000, "\x00\x1b[31m", "{tag}\n" * 50):
        assert check.read(sheet(1), "en", text) is None

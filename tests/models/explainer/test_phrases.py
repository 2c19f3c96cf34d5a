"""The grammar: every sentence has its facts, every text drawn from it is valid, both languages."""

from __future__ import annotations

import random

import pytest

from models.explainer import phrases, slots, template
from models.explainer.text import LANGUAGES
from tests.models.explainer.sheets import sheet

SEEDS = range(500)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_true_sentence_can_be_filled(language):
    used = set()
    for seed in SEEDS:
        found = slots.of(sheet(seed), None, language)
        for phrase in phrases.true_ones(found.words):
            assert set(phrase.slots) <= set(found.values), (seed, phrase)
            used.add(phrase)
    unused = [one.text for one in phrases.inventory(language) if one not in used]
    assert len(unused) <= 0.08 * len(phrases.inventory(language)), unused


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_drawn_are_valid_and_varied(language):
    texts = set()
    for seed in SEEDS:
        words = slots.of(sheet(seed), None, language).words
        text = phrases.sample(words, random.Random(seed))
        assert phrases.is_valid(words, text)
        assert not any(char.isdigit() for char in text)
        texts.add(text)
    assert len(texts) > 0.95 * len(SEEDS)


def test_a_text_with_other_words_or_order_is_not_valid():
    words = slots.of(sheet(3), None, "en").words
    text = phrases.sample(words, random.Random(1))
    lines = text.split("\n")
    assert not phrases.is_valid(words, "\n".join(reversed(lines)))
    assert not phrases.is_valid(words, "\n".join(lines[:-1]))
    assert not phrases.is_valid(words, text + "\n" + lines[-1])
    assert not phrases.is_valid(words, text.replace("{tag}", "{limit}"))
    assert not phrases.is_valid(words, "")


def test_the_first_variants_say_the_same_in_both_languages():
    first = [
        {one.block: one for one in phrases.inventory(lang) if one.variant == 0}
        for lang in LANGUAGES
    ]
    assert first[0].keys() == first[1].keys()
    for block, one in first[0].items():
        assert sorted(set(one.slots) - WAYS) == sorted(set(first[1][block].slots) - WAYS), one.text


WAYS = {"up", "upward", "rose", "risen", "rising", "high", "higher", "above", "upper", "tag"}


def test_the_template_says_the_same_facts_in_both_languages():
    for seed in SEEDS:
        texts = [template.explain(sheet(seed), lang) for lang in LANGUAGES]
        facts = [
            [
                {(p.slot, p.tag, p.ts) for p in one.pieces if p.slot and p.slot not in WAYS}
                for one in text.sentences
            ]
            for text in texts
        ]
        assert facts[0] == facts[1]
        assert [one.role for one in texts[0].sentences] == [one.role for one in texts[1].sentences]
        assert 3 <= len(texts[0].sentences) <= 6

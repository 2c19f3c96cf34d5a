"""The model that ships: what the file is, and what it writes. Needs no library of the training."""

from __future__ import annotations

import hashlib
import math
import re
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from models.explainer import check, phrases, slots
from models.explainer.training import corpus, reader

MODEL = Path(reader.__file__).parent.parent / "genba.gguf"
CARD = MODEL.with_name("CARD.md")
BYTES_MAX = 12_000_000
AGAIN = "The words changed, so the model must be trained again: make model."
MARKED = 0.08
"""Share of texts in which a sentence may be shown as not verified: the check cannot read all that
is no sentence of ours. It was 22 of 600 when this was written."""
SAMPLES = 300
"""Prompts that are tried here, half of each set; the card's figures are from more."""


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    """What the file says of itself."""
    return reader.read(MODEL)


@pytest.fixture(scope="module")
def author() -> Any:
    """The model, loaded."""
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    from models.explainer.training.author import Author

    return Author(MODEL)


def test_the_card_is_of_this_file() -> None:
    data = MODEL.read_bytes()
    assert len(data) <= BYTES_MAX
    text = CARD.read_text("utf-8")
    assert hashlib.sha256(data).hexdigest() in text, "The card is of another file: make model."
    assert f"{len(data):,} bytes" in text


def test_it_knows_the_words_and_slots_there_are(facts: dict[str, Any]) -> None:
    assert facts[reader.WORDS_KEY] == list(slots.VOCABULARY), AGAIN
    assert facts[reader.SLOTS_KEY] == list(slots.NAMES), AGAIN
    tokens = set(facts["tokenizer.ggml.tokens"])
    assert {f"{{{name}}}" for name in slots.NAMES} <= tokens


def test_no_token_can_write_a_digit(facts: dict[str, Any]) -> None:
    words = {f" {word}" for word in slots.VOCABULARY}
    tokens = [one for one in facts["tokenizer.ggml.tokens"] if one not in words]
    assert not [one for one in tokens if re.search(r"\d", one)]


def test_it_carries_licence_name_and_a_template_for_system_messages(facts: dict[str, Any]) -> None:
    assert facts["general.license"] == "Apache-2.0"
    assert facts["general.name"] == "Genba explainer"
    template = facts["tokenizer.chat_template"]
    assert "message['content'][:0]" in template


@pytest.mark.parametrize("part", ["test", "kept"])
def test_its_texts_are_as_valid_as_the_card_says(author: Any, part: corpus.Part) -> None:
    """On new facts, and on combinations and names it was not trained on; both languages."""
    cases = list(islice(corpus.cases(part, 11), SAMPLES // 2))
    texts = [author.write(case.words) for case in cases]
    assert not [one.text for one in texts if re.search(r"\d", one.text)]
    assert all(one.is_ended for one in texts)
    for language, promised in zip(("en", "ja"), _promised(part), strict=True):
        valid = [
            phrases.is_valid(case.words, one.text)
            for case, one in zip(cases, texts, strict=True)
            if case.language == language
        ]
        chance = 3 * math.sqrt(promised * (1 - promised) / len(valid)) + 1 / len(valid)
        share = sum(valid) / len(valid)
        assert share >= promised - chance, f"{share:.1%} {language}, {promised:.1%} in the card"
    marked = 0
    for case, one in zip(cases, texts, strict=True):
        shown = check.read(case.sheet, case.language, one.text)
        marked += shown is not None and not shown.is_checked
    assert marked <= MARKED * len(cases), f"{marked} texts have a sentence that is not verified."


def test_the_same_words_give_the_same_text(author: Any) -> None:
    first, *others = islice(corpus.cases("test", 12), 6)
    text = author.write(first.words).text
    for other in others:
        author.write(other.words)
    assert author.write(first.words).text == text


def _promised(part: corpus.Part) -> list[float]:
    """The card's rates of valid texts for English and Japanese."""
    rows = re.findall(r"^\| Valid: .*", CARD.read_text("utf-8"), re.M)
    row = rows[0 if part == "test" else 1]
    return [float(cell) / 100 for cell in re.findall(r"([\d.]+)%", row)[:2]]

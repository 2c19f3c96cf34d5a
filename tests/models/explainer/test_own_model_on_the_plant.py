"""The model that ships, on the faults of the simulated plant, which nobody imagined for it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

from models.explainer import check, facts, phrases, slots
from models.explainer.text import LANGUAGES
from models.explainer.training import reader
from models.explainer.training.author import Author
from tests.models.explainer.plant_truth import Played

MODEL = Path(reader.__file__).parent.parent / "genba.gguf"
SHARE = 0.85
"""Below the card's rate for the plant, which is of other seeds."""


@pytest.mark.slow
def test_each_fault_is_explained_in_both_languages() -> None:
    author, valid, texts = Author(MODEL), 0, 0
    played = Played(7, 500.0)
    assert len(played.alarms) >= 10
    for alarm in played.alarms:
        sheet = facts.sheet(played.evidence(alarm))
        for language in LANGUAGES:
            words = slots.of(sheet, None, language).words
            text = author.write(words).text
            valid += phrases.is_valid(words, text)
            texts += 1
            shown = check.read(sheet, language, text)
            assert shown is not None, f"Too little is left of it:\n{text}\n{' '.join(words)}"
    assert valid >= SHARE * texts

"""What the explainer's grammar lets through, whatever a model would rather write.

The models here are drawn at random, so that any token may be the likeliest, and some want nothing
but digits, braces and what steers a terminal or a screen. The grammar is the real one, in the
library itself, asked in the way the worker asks.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.explainer import check, knowledge, phrases, prompt
from models.explainer.prompt import Question
from models.explainer.text import LANGUAGES, Language
from models.llm.llama import Llama, Stop
from tests.models.explainer.sheets import sheet
from tests.models.llm import tiny

api = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
PIECES = (
    *("12", " 87.35", "1{", "}2", "{value", "value}", "{value}", "{limit}", "}{", "{value}9"),
    *("{nonsense}", "{{value}}", "\\u0031", '{"a": 1}', "９９", "²", "٣", "Ⅷ", "①", "½", "\x1b[2J"),
    *("\u202e", "\u200b", "\x00", "\r", "\t", "the", " is at ", "温度", "が高い", "。", "\n", "e"),
)
BYTES = [f"<0x{n:02X}>" for n in range(256)]
DIGITS = [f"<0x{n:02X}>" for n in b"0123456789{}\\"]
SEEDS = range(6)
NUMBERS = ("Nd", "Nl", "No")


def wants_of(seed: int) -> list[str]:
    """What a model of this seed would write: nothing special, digits and braces, or anything."""
    if seed % 3 == 0:
        return []
    if seed % 3 == 1:
        return [*DIGITS, *PIECES[:21]]
    every = [*BYTES, *PIECES]
    return [every[at] for at in np.random.default_rng(seed).permutation(len(every))[:60]]


@cache
def question(seed: int, language: Language, is_own: bool) -> Question:
    return prompt.ask(sheet(seed), language, is_own_model=is_own)


@pytest.fixture(scope="module", params=SEEDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("grammar") / "tiny.gguf"
    wants = wants_of(request.param)
    tiny.write(path, context=512, seed=request.param, pieces=PIECES, wants=wants)
    return Llama(str(path), 512, 1, Stop())


def written(model: Llama, grammar: str, temperature: float, seed: int) -> str:
    ask = {"messages": [["user", "What?"]], "tokens_max": 120, "grammar": grammar}
    return model.answer({**ask, "temperature": temperature, "seed": seed}, lambda text: None)


def strangers(text: str, names: set[str], *, is_cut: bool) -> Iterator[str]:
    """What may not be in a text, told without the grammar."""
    if is_cut and text.rfind("{") > text.rfind("}"):
        begun = text[text.rfind("{") :]
        text = text[: text.rfind("{")]
        if not any(f"{{{name}}}".startswith(begun) for name in names):
            yield begun
    plain = re.sub(r"\{(\w+)\}", lambda slot: "" if slot[1] in names else slot[0], text)
    for char in plain:
        kind = unicodedata.category(char)
        if kind in NUMBERS or (kind.startswith("C") and char != "\n") or char in "{}\\<>`|@$%^~[]":
            yield char


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("is_own", [True, False])
@pytest.mark.parametrize("temperature", [0.0, 1.0, 50.0])
def test_nothing_outside_it_is_ever_written(
    model: Llama, language: Language, is_own: bool, temperature: float
) -> None:
    for seed in range(3):
        asked = question(seed, language, is_own)
        names = set(re.findall(r'"([a-z_]+)"', asked.grammar.partition("name ::=")[2]))
        text = written(model, asked.grammar, temperature, seed)
        assert text
        assert not list(strangers(text, names, is_cut=model.is_cut)), repr(text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_check_leaves_of_it_has_no_number_that_is_not_a_fact(
    model: Llama, language: Language
) -> None:
    for seed in range(3):
        text = written(model, question(seed, language, False).grammar, 1.0, seed)
        found = check.read(sheet(seed), language, text, is_own_model=False)
        for sentence in found.sentences if found is not None else ():
            for piece in sentence.pieces:
                assert piece.slot or not re.search(r"\d", piece.text), sentence.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_number_of_any_script_fits(tmp_path: Path, language: Language) -> None:
    """Each character there is that is a number, one by one."""
    model = Llama(str(tiny.write(tmp_path / "tiny.gguf")), 64, 1, Stop())._llama
    grammar = prompt.free_grammar(["value"], language).encode()
    sampler = api.llama_sampler_init_grammar(model._model.vocab, grammar, b"root")
    count = 0
    for char in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(char) in NUMBERS:
            count += 1
            api.llama_sampler_reset(sampler)
            assert not _fits(model, sampler, char), f"U+{ord(char):04X}"
    assert count > 1_500
    for char in "a{" + ("温" if language == "ja" else "Z"):
        api.llama_sampler_reset(sampler)
        assert _fits(model, sampler, char), char
    api.llama_sampler_free(sampler)


def _fits(model: Any, sampler: Any, text: str) -> bool:
    """Whether an answer may begin with a text, asked byte by byte."""
    for byte in text.encode():
        one = (api.llama_token_data * 1)()
        one[0].id = len(tiny.MARKS) + byte
        array = api.llama_token_data_array(one, 1, -1, False)
        api.llama_sampler_apply(sampler, array)
        if one[0].logit == float("-inf"):
            return False
        api.llama_sampler_accept(sampler, one[0].id)
    return True


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_of_ours_fits(language: Language) -> None:
    inside = re.search(r"slot \| \[(.*)\]\)\+", prompt.free_grammar(["value"], language))
    assert inside is not None
    allowed = re.compile(f"[{inside[1]}]*")
    for one in phrases.inventory(language):
        assert allowed.fullmatch(re.sub(r"\{\w+\}", "", one.text)), one.text
    for entry in knowledge.entries().values():
        assert allowed.fullmatch(entry.names[language]), entry.names
        assert allowed.fullmatch(entry.checks[language]), entry.checks


def test_a_form_of_json_would_let_numbers_through(tmp_path: Path) -> None:
    """Why it is no JSON: a text in JSON may hold any character, and each in two spellings."""
    path = tiny.write(tmp_path / "tiny.gguf", pieces=PIECES, wants=wants_of(1), context=512)
    model = Llama(str(path), 512, 1, Stop())
    items = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    schema = {"type": "object", "properties": {"sentences": items}, "required": ["sentences"]}
    ask = {"messages": [["user", "What?"]], "tokens_max": 120, "temperature": 0.0, "seed": 1}
    text = model.answer({**ask, "schema": schema}, lambda text: None)
    assert re.match(r'\s*\{\s*"sentences"', text)
    assert re.search(r"\d", text)

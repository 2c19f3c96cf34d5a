"""A grammar that is asked about drawn tokens only: what it holds, and that it changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from models.explainer import prompt, slots
from models.explainer.training import corpus
from models.llm.held import Held
from models.llm.llama import Llama, Refused, Stop
from models.llm.told import Told
from tests.models.explainer.test_own_model import MODEL
from tests.models.llm import tiny

api = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
GRAMMARS = (
    'root ::= "a" [0-9] "b"',
    'root ::= ("zz" | "q" [0-9]+) "."',
    "root ::= [^0-9]+",
    'root ::= "現" "場" [ぁ-ん]+',
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    path = tiny.write(tmp_path_factory.mktemp("held") / "tiny.gguf")
    yield Llama(str(path), 256, 1, Stop())


def _ask(grammar: str, **more: Any) -> dict[str, Any]:
    asked = {"messages": [["user", "What?"]], "tokens_max": 24, "temperature": 0.0, "seed": 3}
    return {**asked, "grammar": grammar, **more}


def _first(model: Llama, ask: dict[str, Any]) -> str:
    """The same answer with llama-cpp-python's own way: the grammar before each draw."""
    tokens, stops = model._prompt(ask["messages"])
    grammar = api.LlamaGrammar.from_string(ask["grammar"], verbose=False)
    how = {"temperature": 0.0, "seed": 3, "repeat_penalty": 1.0, "max_tokens": 24}
    found = model._llama.create_completion(tokens, stop=stops, grammar=grammar, **how)
    return str(found["choices"][0]["text"])


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_a_greedy_answer_is_that_of_asking_about_every_token(model: Llama, grammar: str) -> None:
    ask = _ask(grammar)
    assert model.answer(ask, lambda text: None) == _first(model, ask)


@pytest.mark.parametrize("seed", range(6))
def test_chance_stays_within_the_grammar(model: Llama, seed: int) -> None:
    grammar = 'root ::= [a-c] [a-c] [0-9] ("x" | "yz")'
    text = model.answer(_ask(grammar, temperature=1.5, seed=seed), lambda text: None)
    assert re.fullmatch(r"[a-c]{2}\d(x|yz)", text)


def test_the_next_answer_is_free_again_also_after_one_that_was_refused(model: Llama) -> None:
    free = model.answer(_ask(""), lambda text: None)
    for grammar in (GRAMMARS[0], "((("):
        if grammar == "(((":
            with pytest.raises(Refused, match="grammar"):
                model.answer(_ask(grammar), lambda text: None)
        else:
            model.answer(_ask(grammar), lambda text: None)
        assert model.answer(_ask(""), lambda text: None) == free


def test_our_own_model_is_never_held_up_by_its_grammar(monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes within it by itself, so no token but the drawn ones is ever looked at."""
    asked: list[int] = []
    plain = Held._ask

    def counted(self: Held, sampler: Any, tokens: Any) -> Any:
        asked.append(len(tokens))
        return plain(self, sampler, tokens)

    monkeypatch.setattr(Held, "_ask", counted)
    own = Llama(str(MODEL), 512, 1, Stop())
    for case in islice(corpus.cases("test", 31), 6):
        messages = [["user", prompt.own_text(case.words)]]
        grammar = prompt.free_grammar(slots.NAMES, "ja" if "lang.ja" in case.words else "en")
        ask = _ask(grammar, messages=messages, tokens_max=200)
        assert own.answer(ask, lambda text: None)
    assert set(asked) == {1}


def test_characters_of_several_tokens_come_whole_and_marks_that_end_do_not() -> None:
    text = "現場: 3 µm ± 😀 <en> ok<end> never"
    for size in (1, 2, 3, 5, 100):
        told, data = Told(["<end>", "</s>"]), text.encode()
        parts = [told.take(data[at : at + size]) for at in range(0, len(data), size)]
        assert "".join(parts) == "現場: 3 µm ± 😀 <en> ok"
        assert told.is_ended
    told = Told(["<end>"])
    assert told.take(b"a\xff\xc2") + told.take(b"\xb5<e") + told.rest() == "aµ<e"

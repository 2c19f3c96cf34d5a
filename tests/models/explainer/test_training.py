"""How our model is made, end to end on a language of a few sentences: needs the extra `train`."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from models.explainer.training import reader

pytest.importorskip("torch", reason="torch is not installed; pip install genba[train]")
pytest.importorskip("tokenizers", reason="tokenizers is not installed; pip install genba[train]")
pytest.importorskip("gguf", reason="gguf is not installed; pip install genba[train]")

import torch

from models.explainer.training import convert, train
from models.explainer.training.corpus import Pair
from models.explainer.training.net import Size
from models.explainer.training.tokenizer import END, Tokenizer, whole_tokens

WORDS = ("lang.en", "lang.ja", "shape.drift", "shape.step", "shape.steps", "dir.up", "dir.down")
SLOTS = ("value", "tag")
TEXTS = {
    "lang.en shape.drift": "{tag} drifted slowly and is now at {value}.",
    "lang.en shape.step": "{tag} jumped to {value}. Look at it.",
    "lang.ja shape.drift": "{tag}が緩やかに変化し、現在{value}です。",
    "lang.ja shape.step": "{tag}が急変し、{value}になりました。",
}
PLAN = train.Plan(steps=160, say_every=40, batch=8)
ABOUT = convert.About("0", "A test.", WORDS, SLOTS)


def _pairs(count: int) -> list[Pair]:
    rng = Random(1)
    keys = rng.choices(list(TEXTS), k=count)
    return [Pair(f"{key} {rng.choice(('dir.up', 'dir.down'))}", TEXTS[key]) for key in keys]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    texts = [pair.text for pair in _pairs(60)]
    return Tokenizer.learn(texts, whole_tokens(WORDS, SLOTS), 300)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """A folder with a model that knows the four sentences."""
    folder = tmp_path_factory.mktemp("trained")
    tokenizer.save(folder / "tokenizer.json")
    size = Size(len(tokenizer), width=64, layers=2, heads=4, hidden=96)
    progress = train.train(folder, _pairs(400), _pairs(40), size, PLAN)
    assert progress.step == PLAN.steps
    assert progress.valid < 0.05, "The four sentences are learned."
    return folder


def test_a_word_and_a_slot_are_one_token_each(tokenizer: Tokenizer) -> None:
    (prompt,) = tokenizer.encode(["lang.en shape.steps dir.up"])
    assert [tokenizer.tokens()[one] for one in prompt] == ["lang.en", " shape.steps", " dir.up"]
    (text,) = tokenizer.encode([TEXTS["lang.ja shape.drift"]])
    assert tokenizer.id("{tag}") == text[0]
    assert tokenizer.decode(text) == TEXTS["lang.ja shape.drift"]


def test_no_token_has_a_digit(tokenizer: Tokenizer) -> None:
    assert not [one for one in tokenizer.tokens() if any(char.isdigit() for char in one)]


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    size = Size(len(tokenizer), width=32, layers=1, heads=2, hidden=32)
    folders = [tmp_path / "straight", tmp_path / "stopped"]
    for folder in folders:
        folder.mkdir()
        tokenizer.save(folder / "tokenizer.json")
    train.train(folders[0], _pairs(100), _pairs(8), size, PLAN)
    _stop_at(folders[1], size, 80)
    train.train(folders[1], _pairs(100), _pairs(8), size, PLAN)
    straight, stopped = (train.load(folder).state_dict() for folder in folders)
    assert all(torch.allclose(straight[name], stopped[name], atol=1e-6) for name in straight)


def _stop_at(folder: Path, size: Size, step: int) -> None:
    """Run until just before the checkpoint after `step`, as a power cut would."""

    class Cut(RuntimeError):
        pass

    original, calls = train.measure, 0

    def measure(*args: object, **kwargs: object) -> float:
        nonlocal calls
        calls += 1
        if calls > step // PLAN.say_every:
            raise Cut
        return original(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came

    train.measure = measure
    try:
        with pytest.raises(Cut):
            train.train(folder, _pairs(100), _pairs(8), size, PLAN)
    finally:
        train.measure = original
    assert train.progress_of(folder).step == step


def test_another_size_does_not_go_on(trained: Path, tokenizer: Tokenizer) -> None:
    size = Size(len(tokenizer), width=32, layers=1, heads=2, hidden=32)
    with pytest.raises(ValueError, match="of another size"):
        train.train(trained, _pairs(8), _pairs(8), size, PLAN)


def test_the_file_says_what_it_is(trained: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "it.gguf"
    convert.write(path, train.load(trained), tokenizer, "Q8_0", ABOUT)
    found = reader.read(path)
    assert found["general.license"] == "Apache-2.0"
    assert found["general.name"] == "Genba explainer"
    assert (found[reader.WORDS_KEY], found[reader.SLOTS_KEY]) == (list(WORDS), list(SLOTS))
    assert found["tokenizer.ggml.tokens"][found["tokenizer.ggml.eos_token_id"]] == END
    large = tmp_path / "large.gguf"
    convert.write(large, train.load(trained), tokenizer, "F32", ABOUT)
    assert path.stat().st_size < large.stat().st_size / 2


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "it.gguf"
    for content in (b"", b"GGUF", b"ZZZZ" + b"\0" * 40, b"GGUF\3\0\0\0" + b"\xff" * 40):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="GGUF"):
            reader.read(path)


def test_llama_computes_the_same(trained: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    from models.explainer.training import parity

    net = train.load(trained)
    for kind, apart in (("F32", 0.02), ("Q8_0", 0.5)):
        path = tmp_path / f"{kind}.gguf"
        convert.write(path, net, tokenizer, kind, ABOUT)  # type: ignore[arg-type]  # both are kinds
        found = parity.compare(net, tokenizer, path, _pairs(6))
        assert found.tokens_differ == 0
        assert found.diff_max < apart
        assert found.agree > 0.97
    model = llama_cpp.Llama(str(path), n_ctx=128, n_threads=1, verbose=False)
    said = model.create_chat_completion(
        [
            {"role": "system", "content": "Nobody reads this."},
            {"role": "user", "content": "lang.ja shape.step dir.up"},
        ],
        temperature=0.0,
        max_tokens=40,
    )
    assert said["choices"][0]["message"]["content"] == TEXTS["lang.ja shape.step"]
    assert said["usage"]["prompt_tokens"] == 5  # <s>, three words and <out>; no system message.

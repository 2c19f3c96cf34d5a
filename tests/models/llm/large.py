"""A model of the form that small instruct models have, its numbers drawn at random.

Nobody has taught it anything, so what it writes is chance; but it is as long to load, as heavy and
as slow as one that was taught, has a tokenizer of the usual kind (bytes, merges, digits, pieces of
words, marks) and a template of the usual kind. Half a billion numbers are written in seconds.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tests.models.llm import tiny

HELP = Path(tiny.__file__).parents[3] / "ui" / "help"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_Q8_0, _F32 = 8, 0
_ROWS_AT_ONCE = 4_096


@dataclass(frozen=True)
class Form:
    """Sizes of a model: the names are those of the GGUF format."""

    width: int
    layers: int
    heads: int
    heads_kv: int
    hidden: int
    words: int
    context: int = 2048

    @property
    def parameters(self) -> int:
        kv = self.width // self.heads * self.heads_kv
        layer = 2 * self.width * (self.width + kv) + 3 * self.width * self.hidden + 2 * self.width
        return self.words * self.width + self.layers * layer + self.width


HALF = Form(896, 24, 14, 2, 4864, 151_936)
"""0.49 billion. Source: config.json of Qwen2.5-0.5B-Instruct, with the layers of llama."""
SMALL = Form(128, 2, 4, 2, 256, 12_000)


def write(path: Path, form: Form, seed: int = 7) -> Path:
    """Write a model, 8 bits a weight, and return its path."""
    words, merges = vocabulary(form.words, seed)
    facts: dict[str, Any] = {
        "general.architecture": "llama",
        "general.name": "large at random",
        "llama.context_length": ("u32", form.context),
        "llama.embedding_length": ("u32", form.width),
        "llama.block_count": ("u32", form.layers),
        "llama.feed_forward_length": ("u32", form.hidden),
        "llama.attention.head_count": ("u32", form.heads),
        "llama.attention.head_count_kv": ("u32", form.heads_kv),
        "llama.attention.layer_norm_rms_epsilon": ("f32", 1e-6),
        "llama.rope.dimension_count": ("u32", form.width // form.heads),
        "llama.rope.freq_base": ("f32", 1e6),
        "llama.vocab_size": ("u32", form.words),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.token_type": ("i32", [3 if one in MARKS else 1 for one in words]),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.eos_token_id": ("u32", words.index(MARKS[2])),
        "tokenizer.ggml.bos_token_id": ("u32", words.index(MARKS[0])),
        "tokenizer.ggml.add_bos_token": ("bool", False),
        "tokenizer.chat_template": TEMPLATE,
    }
    shapes = dict(_shapes(form))
    with path.open("wb") as out:
        out.write(_head(facts, shapes))
        rng = np.random.default_rng(seed)
        for shape in shapes.values():
            _numbers(out, rng, shape)
            out.write(bytes(-out.tell() % 32))
    return path


# ---------------------------------------------------------------- words


def vocabulary(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Words and merges: bytes, every word of the help pages by its beginnings, and chance.

    The words by chance are reached by no merge, so no question has them; but a model may write
    them. They are what a grammar is hardest tried by: digits, braces and words in one token.
    """
    signs = _signs()
    words = list(signs.values())
    known = set(words)
    merges: list[str] = []
    found: Counter[str] = Counter()
    for page in sorted(HELP.rglob("*.md")):
        found.update(re.findall(r" ?[^\W\d_]+", page.read_text("utf-8")))
    for text, _ in found.most_common():
        spelled = "".join(signs[byte] for byte in text.encode())
        for end in range(2, len(spelled) + 1):
            left, right = spelled[: end - 1], spelled[end - 1]
            if spelled[:end] not in known and len(words) < count // 2:
                known.add(spelled[:end])
                words.append(spelled[:end])
                merges.append(f"{left} {right}")
    rng = np.random.default_rng(seed)
    parts = ["{", "}", " ", "0", "1", "87.35", "９", "²", "\\u003", "value", "limit", "の", "。"]
    parts += [text for text, _ in found.most_common(400)]
    while len(words) < count - len(MARKS):
        text = "".join(parts[at] for at in rng.integers(0, len(parts), 3))
        spelled = "".join(signs[byte] for byte in text.encode())
        if spelled not in known:
            known.add(spelled)
            words.append(spelled)
    return [*words, *MARKS], merges


def _signs() -> dict[int, str]:
    """How a byte is written in a vocabulary of this kind. Source: encoder.py of GPT-2."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {
        byte: chr(256 + at) for at, byte in enumerate(others)
    }


# ---------------------------------------------------------------- numbers


def _shapes(form: Form) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, kv = form.width, form.width // form.heads * form.heads_kv
    yield "token_embd.weight", (form.words, width)
    yield "output_norm.weight", (width,)
    for n in range(form.layers):
        name = f"blk.{n}."
        yield f"{name}attn_norm.weight", (width,)
        yield f"{name}attn_q.weight", (width, width)
        yield f"{name}attn_k.weight", (kv, width)
        yield f"{name}attn_v.weight", (kv, width)
        yield f"{name}attn_output.weight", (width, width)
        yield f"{name}ffn_norm.weight", (width,)
        yield f"{name}ffn_gate.weight", (form.hidden, width)
        yield f"{name}ffn_up.weight", (form.hidden, width)
        yield f"{name}ffn_down.weight", (width, form.hidden)


def _head(facts: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(facts))
    head += b"".join(tiny._text(name) + tiny._value(value) for name, value in facts.items())
    at = 0
    for name, shape in shapes.items():
        kind = _F32 if len(shape) == 1 else _Q8_0
        head += tiny._text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape[::-1])
        head += struct.pack("<IQ", kind, at)
        size = 4 * shape[0] if kind == _F32 else shape[0] * shape[1] // 32 * 34
        at += size + -size % 32
    return head + bytes(-len(head) % 32)


def _numbers(out: BinaryIO, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    """Ones for a norm; else blocks of 32 numbers of 8 bits and one scale, about 0.02 large."""
    if len(shape) == 1:
        out.write(np.ones(shape, np.float32).tobytes())
        return
    for begin in range(0, shape[0], _ROWS_AT_ONCE):
        count = min(_ROWS_AT_ONCE, shape[0] - begin) * shape[1] // 32
        blocks = np.empty(count, [("scale", "<f2"), ("number", "i1", 32)])
        blocks["scale"] = 0.02 / 73
        blocks["number"] = rng.integers(-127, 128, (count, 32), np.int8)
        out.write(blocks.tobytes())


__all__ = ["HALF", "MARKS", "SMALL", "Form", "write"]

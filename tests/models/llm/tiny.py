"""A model of a few thousand numbers drawn at random, written as a GGUF file by hand.

Its words are single bytes and a few marks, so it can be asked anything; what it answers is
nonsense, but always the same, and a grammar holds it as it holds any other.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
MARKS = ("<unk>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
_KINDS = {"u32": (4, "I"), "i32": (5, "i"), "f32": (6, "f"), "bool": (7, "?")}


def write(
    path: Path,
    *,
    layers: int = 1,
    width: int = 32,
    context: int = 256,
    template: str | None = TEMPLATE,
    changes: dict[str, Any] | None = None,
    seed: int = 5,
    pieces: Sequence[str] = (),
    wants: Sequence[str] = (),
) -> Path:
    """Write a model and return its path.

    Args:
        path: The file.
        layers: How many there are.
        width: Numbers in a vector; a multiple of 32.
        context: Tokens it says it was made for.
        template: How a conversation is written; None leaves it out.
        changes: Facts to put in the place of the right ones.
        seed: Of the numbers.
        pieces: More words than marks and bytes.
        wants: Words that it writes before all others, wherever it may.
    """
    words = [*MARKS, *(f"<0x{n:02X}>" for n in range(256)), *pieces]
    kinds = [2, *([3] * (len(MARKS) - 1)), *([6] * 256), *([1] * len(pieces))]
    facts: dict[str, Any] = {
        "general.architecture": "llama",
        "general.name": "tiny at random",
        "llama.context_length": ("u32", context),
        "llama.embedding_length": ("u32", width),
        "llama.block_count": ("u32", layers),
        "llama.feed_forward_length": ("u32", 2 * width),
        "llama.attention.head_count": ("u32", 2),
        "llama.attention.head_count_kv": ("u32", 2),
        "llama.attention.layer_norm_rms_epsilon": ("f32", 1e-5),
        "llama.rope.dimension_count": ("u32", width // 2),
        "llama.vocab_size": ("u32", len(words)),
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.scores": ("f32", [0.0] * len(words)),
        "tokenizer.ggml.token_type": ("i32", kinds),
        "tokenizer.ggml.bos_token_id": ("u32", 1),
        "tokenizer.ggml.eos_token_id": ("u32", 2),
        "tokenizer.ggml.unknown_token_id": ("u32", 0),
        "tokenizer.ggml.add_bos_token": ("bool", True),
        "tokenizer.ggml.add_space_prefix": ("bool", False),
    }
    if template is not None:
        facts["tokenizer.chat_template"] = template
    facts |= changes or {}
    tensors = _tensors(layers, width, len(words), seed)
    if wants:  # All words look one way, and those that are wanted lie there.
        tensors["token_embd.weight"][:, 0] = 20.0
        tensors["output.weight"][[words.index(word) for word in wants], 0] = 20.0
    path.write_bytes(_file(facts, tensors))
    return path


def _tensors(layers: int, width: int, words: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(0.0, 0.3, shape).astype(np.float32)

    found = {"token_embd.weight": drawn(words, width), "output.weight": drawn(words, width)}
    found["output_norm.weight"] = np.ones(width, np.float32)
    for n in range(layers):
        name = f"blk.{n}."
        for norm in ("attn_norm", "ffn_norm"):
            found[f"{name}{norm}.weight"] = np.ones(width, np.float32)
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            found[f"{name}{part}.weight"] = drawn(width, width)
        found[f"{name}ffn_gate.weight"] = drawn(2 * width, width)
        found[f"{name}ffn_up.weight"] = drawn(2 * width, width)
        found[f"{name}ffn_down.weight"] = drawn(width, 2 * width)
    return found


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if isinstance(value, list):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))
    kind, inner = value
    number, form = _KINDS[kind]
    if isinstance(inner, list):
        data = struct.pack(f"<{len(inner)}{form}", *inner)
        return struct.pack("<IIQ", 9, number, len(inner)) + data
    return struct.pack(f"<I{form}", number, inner)


def _file(facts: dict[str, Any], tensors: dict[str, np.ndarray]) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(facts))
    head += b"".join(_text(name) + _value(value) for name, value in facts.items())
    at, data = 0, b""
    for name, array in tensors.items():
        shape = array.shape[::-1]
        head += _text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", 0, at)
        part = array.tobytes()
        part += bytes(-len(part) % 32)
        data += part
        at += len(part)
    return head + bytes(-len(head) % 32) + data

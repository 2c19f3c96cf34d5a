"""Convert: checkpoint and tokenizer to one GGUF file that llama.cpp loads.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Q8_0 keeps 8 bits a weight in
blocks of 32 with one scale each; fewer bits save nothing that matters at this size and cost a tiny
net its wits (a probe: Q4_0 agreed with the trainer in 93 % of the positions, Q8_0 in all).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quants

from models.explainer.training.net import Net
from models.explainer.training.reader import SLOTS_KEY, WORDS_KEY
from models.explainer.training.tokenizer import (
    ANSWER,
    CONTROL,
    END,
    PAD,
    PRE,
    START,
    Tokenizer,
    whole_tokens,
)

Kind = Literal["F32", "Q8_0"]
_FILE_TYPE: Final = {"F32": 0, "Q8_0": 7}
"""`general.file_type`: mostly which kind of weights."""

TEMPLATE: Final = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ message['content'] }}"
    "{% else %}{{ message['content'][:0] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}" + ANSWER + "{% endif %}"
)
"""A system message is accepted and left out, so that one list of messages serves this model and
large ones. It must be named: where a template ignores it, llama.cpp puts it before the user's."""


@dataclass(frozen=True, slots=True)
class About:
    """What the file says of itself.

    Args:
        version: Of the model.
        description: One sentence.
        words: The closed vocabulary of prompts it was trained on.
        slots: The slots it may write.
    """

    version: str
    description: str
    words: Sequence[str]
    slots: Sequence[str]


def write(path: Path, net: Net, tokenizer: Tokenizer, kind: Kind, about: About) -> str:
    """Write the file; returns its SHA-256 in hex."""
    writer = GGUFWriter(str(path), "llama")
    _describe(writer, about)
    _dimensions(writer, net, kind)
    _vocabulary(writer, tokenizer, whole_tokens(about.words, about.slots))
    for name, weights in _tensors(net):
        _put(writer, name, weights, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _describe(writer: Any, about: About) -> None:
    writer.add_name("Genba explainer")
    writer.add_version(about.version)
    writer.add_description(about.description)
    writer.add_author("The Genba authors")
    writer.add_license("Apache-2.0")
    writer.add_languages(["en", "ja"])
    writer.add_array(WORDS_KEY, list(about.words))
    writer.add_array(SLOTS_KEY, list(about.slots))


def _dimensions(writer: Any, net: Net, kind: Kind) -> None:
    size = net.size
    writer.add_context_length(size.context)
    writer.add_embedding_length(size.width)
    writer.add_block_count(size.layers)
    writer.add_feed_forward_length(size.hidden)
    writer.add_head_count(size.heads)
    writer.add_head_count_kv(size.heads)
    writer.add_rope_dimension_count(size.width // size.heads)
    writer.add_rope_freq_base(size.theta)
    writer.add_layer_norm_rms_eps(size.epsilon)
    writer.add_vocab_size(size.vocabulary)
    writer.add_file_type(_FILE_TYPE[kind])


def _vocabulary(writer: Any, tokenizer: Tokenizer, whole: Sequence[str]) -> None:
    """Words and slots are user defined, not control tokens: those are not printed."""
    tokens = tokenizer.tokens()
    kinds = dict.fromkeys(CONTROL, TokenType.CONTROL) | dict.fromkeys(whole, TokenType.USER_DEFINED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE)
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.get(token, TokenType.NORMAL) for token in tokens])
    writer.add_token_merges(tokenizer.merges())
    writer.add_bos_token_id(tokenizer.id(START))
    writer.add_eos_token_id(tokenizer.id(END))
    writer.add_pad_token_id(tokenizer.id(PAD))
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)


def _tensors(net: Net) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Weights under llama.cpp's names; without ``output.weight`` it takes the embedding's."""
    state = {name: weight.float().numpy() for name, weight in net.state_dict().items()}
    width, hidden = net.size.width, net.size.hidden
    yield "token_embd.weight", state["embedding.weight"]
    yield "output_norm.weight", state["norm.weight"]
    for at in range(net.size.layers):
        ours, theirs = f"blocks.{at}.", f"blk.{at}."
        qkv, gate_up = state[ours + "qkv.weight"], state[ours + "gate_up.weight"]
        yield theirs + "attn_norm.weight", state[ours + "attn_norm.weight"]
        yield theirs + "attn_q.weight", qkv[:width]
        yield theirs + "attn_k.weight", qkv[width : 2 * width]
        yield theirs + "attn_v.weight", qkv[2 * width :]
        yield theirs + "attn_output.weight", state[ours + "out.weight"]
        yield theirs + "ffn_norm.weight", state[ours + "ffn_norm.weight"]
        yield theirs + "ffn_gate.weight", gate_up[:hidden]
        yield theirs + "ffn_up.weight", gate_up[hidden:]
        yield theirs + "ffn_down.weight", state[ours + "down.weight"]


def _put(writer: Any, name: str, weights: np.ndarray[Any, Any], kind: Kind) -> None:
    weights = np.ascontiguousarray(weights, np.float32)
    if weights.ndim == 1 or kind == "F32":
        writer.add_tensor(name, weights)
        return
    packed = GGMLQuantizationType.Q8_0
    writer.add_tensor(name, quants.quantize(weights, packed), raw_dtype=packed)

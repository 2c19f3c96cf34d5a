"""Parity: does llama.cpp compute from the file what torch computes from the checkpoint?

Compared are the numbers of the tokens and the logits at every position of prompts with their
texts. A wrong rotary order, a lost weight or another tokenizer shows here and nowhere else: the
texts of such a model only get a little worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.explainer.training.corpus import Pair
from models.explainer.training.net import Net
from models.explainer.training.tokenizer import ANSWER, END, START, Tokenizer


@dataclass(frozen=True, slots=True)
class Parity:
    """How far apart the two are.

    Args:
        texts: How many pairs were compared.
        positions: How many logits rows (of the whole vocabulary each).
        tokens_differ: Pairs that the two tokenizers cut differently.
        diff_max: Largest difference of a logit.
        diff_mean: Mean difference.
        agree: Share of positions with the same likeliest token.
        divergence: Mean Kullback-Leibler divergence of the file's next-token distribution [nat].
    """

    texts: int
    positions: int
    tokens_differ: int
    diff_max: float
    diff_mean: float
    agree: float
    divergence: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def compare(net: Net, tokenizer: Tokenizer, path: Path, pairs: Sequence[Pair]) -> Parity:
    """Compare a file with the net it was made from.

    Raises:
        ImportError: llama-cpp-python is not installed.
    """
    from llama_cpp import Llama

    room = net.size.context
    how = {"n_ctx": room, "n_batch": room, "n_threads": 1, "logits_all": True, "verbose": False}
    model = Llama(str(path), **how)
    differ, largest, means, agree, divergence, positions = 0, 0.0, [], [], [], 0
    for pair in pairs:
        text = START + pair.prompt + ANSWER + pair.text + END
        tokens = tokenizer.encode([text])[0]
        differ += tokens != model.tokenize(text.encode(), add_bos=False, special=True)
        with torch.no_grad():
            ours = net(torch.tensor([tokens]))[0].numpy()
        model.reset()
        model.eval(tokens)
        theirs = np.asarray(model.scores[: len(tokens)])
        apart = np.abs(ours - theirs)
        largest = max(largest, float(apart.max()))
        means.append(apart.mean())
        agree.append((ours.argmax(1) == theirs.argmax(1)).mean())
        divergence.append(_divergence(ours, theirs))
        positions += len(tokens)
    return Parity(
        len(pairs),
        positions,
        differ,
        largest,
        float(np.mean(means)),
        float(np.mean(agree)),
        float(np.mean(divergence)),
    )


def _divergence(ours: Any, theirs: Any) -> float:
    """Mean over positions of KL(ours ‖ theirs) [nat]; logits (n, vocabulary)."""
    first, second = _log_softmax(ours), _log_softmax(theirs)
    return float((np.exp(first) * (first - second)).sum(1).mean())


def _log_softmax(logits: Any) -> Any:
    high = logits - logits.max(1, keepdims=True)
    return high - np.log(np.exp(high).sum(1, keepdims=True))

"""Net: a small transformer of the llama architecture, as llama.cpp computes it.

Pre-norm blocks with RMSNorm (Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467), rotary
positions (Su et al. 2021, https://arxiv.org/abs/2104.09864), SwiGLU (Shazeer 2020,
https://arxiv.org/abs/2002.05202) and a head that shares its weights with the embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Size:
    """How large the net is.

    Args:
        vocabulary: How many tokens there are.
        width: Of the residual stream; a multiple of 32, as the blocks of Q8_0 are.
        layers: How many blocks.
        heads: Of attention; each is width/heads wide.
        hidden: Width between the two halves of the feed-forward part; a multiple of 32.
        context: The longest sequence [tokens].
        epsilon: Keeps the norm from dividing by zero.
        theta: Base of the rotary wavelengths.
    """

    vocabulary: int
    width: int = 160
    layers: int = 4
    heads: int = 4
    hidden: int = 448
    context: int = 512
    epsilon: float = 1e-5
    theta: float = 10_000.0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Size:
        """A size that `to_json` wrote."""
        return cls(**data)


class Norm(nn.Module):
    """RMSNorm with a gain per channel."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Rows (..., width) with a mean square of one, times the gain."""
        return functional.rms_norm(x, (x.shape[-1],), self.weight, self.epsilon)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Queries or keys (batch, head, time, width), turned by their position.

    Pairs are neighbours (0,1), (2,3) …: llama.cpp's plain rotary type for the architecture
    ``llama``. With halves instead, as other trainers have it, Q and K would need a permutation
    on the way into the file.
    """
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = (even * cosine - odd * sine, even * sine + odd * cosine)
    return torch.stack(turned, -1).flatten(-2)


class Block(nn.Module):
    """Attention, then the feed-forward part; each adds to the stream."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        width = size.width
        self.heads = size.heads
        self.attn_norm = Norm(width, size.epsilon)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.ffn_norm = Norm(width, size.epsilon)
        self.gate_up = nn.Linear(width, 2 * size.hidden, bias=False)
        self.down = nn.Linear(size.hidden, width, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """The stream (batch, time, width) after this block."""
        batch, time, width = x.shape
        apart = self.qkv(self.attn_norm(x)).view(batch, time, 3, self.heads, width // self.heads)
        query, key, value = apart.permute(2, 0, 3, 1, 4)
        query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, time, width))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, -1)
        return x + self.down(functional.silu(gate) * up)


class Net(nn.Module):
    """The whole: tokens in, logits of the next token out."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.embedding = nn.Embedding(size.vocabulary, size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.norm = Norm(size.width, size.epsilon)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=_spread(name, weight.shape[1]))
        half = size.width // size.heads // 2
        wave = size.theta ** (-torch.arange(half).float() / half)
        angle = torch.outer(torch.arange(size.context).float(), wave)
        self.register_buffer("cosine", angle.cos(), persistent=False)
        self.register_buffer("sine", angle.sin(), persistent=False)

    def forward(self, tokens: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Logits of the next token.

        Args:
            tokens: (batch, time).
            chosen: Mask (batch, time) of the positions to answer for. The head is a large part of
                a small net, and most positions of a prompt teach nothing.

        Returns:
            (batch, time, vocabulary), or (chosen, vocabulary).
        """
        time = tokens.shape[1]
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, self.cosine[:time], self.sine[:time])
        x = self.norm(x)
        if chosen is not None:
            x = x[chosen]
        return functional.linear(x, self.embedding.weight)

    @property
    def parameters_count(self) -> int:
        """How many numbers it has learned."""
        return sum(weight.numel() for weight in self.parameters())


def _spread(name: str, inputs: int) -> float:
    """Standard deviation of the first weights: what adds to the stream starts small."""
    if "embedding" in name:
        return 0.02
    return (0.5 if name.endswith(("out.weight", "down.weight")) else 1.0) / math.sqrt(inputs)

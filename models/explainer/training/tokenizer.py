"""Tokenizer: byte-level BPE of our own, over English and Japanese, in which no token has a digit.

Three things make the sequences short and the file safe:

* The words of a prompt and the slots are whole tokens that training never splits: a word with the
  space before it (`` shape.drift``), a slot with its braces (``{value}``).
* There is no split at spaces, so that a token can be several words (Liu et al. 2025, "SuperBPE",
  https://arxiv.org/abs/2503.13423; llama.cpp calls this pre-tokenizer ``superbpe``, and it keeps
  digits apart, of which we have none).
* The alphabet is the bytes that occur in our corpus instead of all 256. A digit does not occur in
  it, so there is no token with which the model could write one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Fast

PAD: Final = "<pad>"
START: Final = "<s>"
END: Final = "</s>"
ANSWER: Final = "<out>"
CONTROL: Final = (PAD, START, END, ANSWER)
"""Tokens that steer and are never printed. `ANSWER` stands between the prompt and the text."""

PRE: Final = "superbpe"
"""Name of our pre-tokenizer in llama.cpp."""
TOKEN_BYTES_MAX: Final = 30
"""The longest token: about five words of English or ten letters of Japanese. llama-cpp-python reads
a token into 32 bytes and silently drops a longer one."""
FIRST: Final = "lang."
"""How the first word of a prompt starts."""


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """Text to numbers and back."""

    fast: Any

    @classmethod
    def learn(cls, texts: Iterable[str], whole: Sequence[str], vocabulary: int) -> Tokenizer:
        """Learn the merges.

        Args:
            texts: What the model is to write.
            whole: What is one token wherever it stands: words and slots.
            vocabulary: How many tokens there may be in all.
        """
        fast = Fast(models.BPE())
        digits = pre_tokenizers.Split(Regex(r"\p{N}+"), "isolated")
        bytewise = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        fast.pre_tokenizer = pre_tokenizers.Sequence([digits, bytewise])
        fast.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=[AddedToken(one, normalized=False) for one in (*CONTROL, *whole)],
            initial_alphabet=[],
            max_token_length=TOKEN_BYTES_MAX,
            show_progress=False,
        )
        fast.train_from_iterator(_pieces(texts, whole), trainer)
        return cls(fast)

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """One that `save` wrote."""
        return cls(Fast.from_file(str(path)))

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        self.fast.save(str(path))

    def __len__(self) -> int:
        """How many tokens there are."""
        return int(self.fast.get_vocab_size())

    def id(self, token: str) -> int:
        """The number of one token.

        Raises:
            KeyError: There is no such token.
        """
        found = self.fast.token_to_id(token)
        if found is None:
            raise KeyError(token)
        return int(found)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Numbers of several texts."""
        return [list(one.ids) for one in self.fast.encode_batch_fast(list(texts))]

    def decode(self, numbers: Sequence[int]) -> str:
        """The text, without the control tokens, as llama.cpp prints it."""
        hidden = {self.id(name) for name in CONTROL}
        shown = [number for number in numbers if number not in hidden]
        return str(self.fast.decode(shown, skip_special_tokens=False))

    def tokens(self) -> list[str]:
        """All tokens by number, bytes written as in GPT-2."""
        table = self.fast.get_vocab()
        return sorted(table, key=table.__getitem__)

    def merges(self) -> list[str]:
        """The merges in the order in which they were learned: two tokens with a space between."""
        merges = json.loads(self.fast.to_str())["model"]["merges"]
        return [one if isinstance(one, str) else " ".join(one) for one in merges]


def whole_tokens(words: Sequence[str], slots: Sequence[str]) -> list[str]:
    """What is one token: words as they stand in a prompt, and slots with their braces.

    The first word of a prompt has no space before it, which costs one token more for each that
    can be the first: those of the language.

    >>> whole_tokens(["lang.en", "shape.drift"], ["value"])
    ['lang.en', ' shape.drift', '{value}']
    """
    first = [word for word in words if word.startswith(FIRST)]
    rest = [f" {word}" for word in words if not word.startswith(FIRST)]
    return [*first, *rest, *(f"{{{slot}}}" for slot in slots)]


def _pieces(texts: Iterable[str], whole: Sequence[str]) -> Iterable[str]:
    """The texts between whole tokens, so that no merge is learned across one."""
    marks = re.compile("|".join(re.escape(one) for one in sorted(whole, key=len, reverse=True)))
    for text in texts:
        yield from (piece for piece in marks.split(text) if piece)

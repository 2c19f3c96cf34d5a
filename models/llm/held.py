"""Held: tokens that are drawn freely and held to a grammar only where they do not fit it.

llama-cpp-python asks a grammar about every token of the vocabulary before each draw. For our own
model that was 87 of 100 ms of an answer; a vocabulary of 150,000 tokens makes it 70 times as long.
Here a token is drawn first, and only that one is looked at. When it does not fit, another is drawn
of those that do. For that the likeliest are asked, and more only until as many fit as the draw
looks at. A greedy draw gives the same token either way.

Source: `common_sampler_sample` in common/sampling.cpp of llama.cpp, with ``grammar_first = false``.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

_NONE: Final = float("-inf")
LOOKED_AT: Final = 40
"""A draw is among the likeliest, so many (`top_k`)."""
_ASKED_FIRST: Final = 4 * LOOKED_AT
_MORE: Final = 8


class Unfit(ValueError):  # noqa: N818 - what it is
    """The grammar is none, or the model has no word that fits it here."""


class Held:
    """One answer's grammar.

    Args:
        api: The module ``llama_cpp``.
        llama: The model, whose draws are held from now until `free`.
        grammar: In GBNF.

    Raises:
        Unfit: It is no grammar.
    """

    def __init__(self, api: Any, llama: Any, grammar: str) -> None:
        self._api = api
        self._llama = llama
        self._grammar = api.llama_sampler_init_grammar(
            llama._model.vocab, grammar.encode(), b"root"
        )
        if not self._grammar:
            raise Unfit("its grammar is none")
        llama.sample = self._sample

    def free(self) -> None:
        """Draw freely again."""
        self._llama.__dict__.pop("sample", None)
        if self._grammar:
            self._api.llama_sampler_free(self._grammar)
            self._grammar = None

    def _sample(self, *, idx: int | None = None, **settings: Any) -> int:
        """Stands for `Llama.sample`, which has made the chain of the answer already.

        Raises:
            Unfit: No token fits.
        """
        api, llama = self._api, self._llama
        context = llama._ctx.ctx
        index = -1 if idx is None else idx - llama.n_tokens
        token = int(llama._sampler.sample(llama._ctx, index))
        if not self._fits(token):
            token = self._another(api.llama_get_logits_ith(context, index))
        api.llama_sampler_accept(self._grammar, token)
        return token

    def _fits(self, token: int) -> bool:
        one = (self._api.llama_token_data * 1)()
        one[0].id = token
        self._ask(self._grammar, one)
        return bool(one[0].logit != _NONE)

    def _another(self, logits: Any) -> int:
        """A token of those that fit, drawn as the first one was.

        Args:
            logits: Of all tokens, where the library has them.
        """
        import numpy as np  # Not before the jail is shut: its threads would be in the way.

        count = self._llama.n_vocab()
        # Without numpy.ctypeslib, which is read from the disk when it is used, and nothing may be.
        start = ctypes.addressof(logits.contents)
        values = np.frombuffer((ctypes.c_float * count).from_address(start), "f4")
        asked = min(_ASKED_FIRST, count)
        while True:
            best = np.argpartition(-values, asked - 1)[:asked]
            every = (self._api.llama_token_data * asked)()
            rows = np.frombuffer(every, [("id", "i4"), ("logit", "f4"), ("p", "f4")])
            rows["id"], rows["logit"] = best, values[best]
            self._ask(self._grammar, every)
            fitting = rows[rows["logit"] != _NONE]
            if len(fitting) >= LOOKED_AT or asked == count:
                break
            asked = min(_MORE * asked, count)
        if not len(fitting):
            raise Unfit("it has no words for the form")
        drawn = (self._api.llama_token_data * len(fitting)).from_buffer_copy(fitting.tobytes())
        found = self._ask(self._llama._sampler.sampler, drawn)
        return int(found.data[found.selected].id)

    def _ask(self, sampler: Any, tokens: Any) -> Any:
        kind = self._api.llama_token_data
        start = ctypes.cast(tokens, ctypes.POINTER(kind))
        found = self._api.llama_token_data_array(start, len(tokens), -1, False)
        self._api.llama_sampler_apply(sampler, ctypes.byref(found))
        return found


__all__ = ["Held", "Unfit"]

"""llama.cpp through llama-cpp-python: one model, one question at a time.

Source: llama-cpp-python 0.3.36; llama.h of llama.cpp (`llama_set_abort_callback`).
"""

from __future__ import annotations

import ctypes
import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from models.llm.held import LOOKED_AT, Held, Unfit
from models.llm.told import Told

_CONTROL: Final = 1 << 3
_BATCH: Final = 64
"""Tokens of a question that are calculated at once. Room for the chances of every word after each
of them is taken twice: with 512 and a vocabulary of 152,000 that was 620 MB. A model of half a
billion reads a question as fast by 64 (4.1 s of processor time for 363 tokens either way)."""
_FORM: Final = "The form of the answer cannot be used"


class Refused(ValueError):  # noqa: N818 - the word for people
    """The model cannot answer this, now or later."""


class Stopped(Exception):  # noqa: N818 - what happened
    """It was stopped before it was done."""


class Stop:
    """A flag that native code looks at between two steps of a calculation.

    llama.cpp calls a function with a pointer, and stops when it returns true. `strlen` of the C
    library is such a function: of an empty text it is 0. So no Python runs for each of the
    thousands of looks, and a calculation stops also while Python waits for the interpreter.
    """

    def __init__(self) -> None:
        self._flag = ctypes.create_string_buffer(2)
        self.look = ctypes.CDLL(None).strlen
        self.at = ctypes.addressof(self._flag)

    def set(self) -> None:
        """Stop as soon as can be."""
        self._flag[0] = b"!"

    def clear(self) -> None:
        """Go on."""
        self._flag[0] = b"\0"

    @property
    def is_set(self) -> bool:
        """Whether it was asked to stop."""
        return self._flag.raw[0] != 0


class Llama:
    """One model in memory.

    Args:
        path: The file.
        context: How many tokens there may be, of question and answer together.
        threads: How many threads calculate.
        stop: What ends a calculation.

    Raises:
        ValueError: The library refuses the file.
    """

    def __init__(self, path: str, context: int, threads: int, stop: Stop) -> None:
        # By name, so that types are the same where it is not installed.
        api: Any = importlib.import_module("llama_cpp")
        self._api = api
        self._llama = api.Llama(
            path,
            n_ctx=context,
            n_batch=min(_BATCH, context),
            n_threads=threads,
            n_threads_batch=threads,
            verbose=False,
        )
        self._stop = stop
        look = ctypes.cast(stop.look, api.ggml_abort_callback)
        api.llama_set_abort_callback(self._llama._ctx.ctx, look, stop.at)
        self._look = look  # The library keeps a bare pointer.
        self._buffer = ctypes.create_string_buffer(64)
        self._write = self._writer()
        self._control = self._control_words()
        self.tokens_in = 0
        self.tokens_out = 0
        self.is_cut = False

    def answer(self, ask: Mapping[str, Any], on_piece: Callable[[str], None]) -> str:
        """The answer to a question, told piece by piece as well.

        Raises:
            Refused: The question is too long, or its grammar is none.
            Stopped: It was stopped.
        """
        tokens, stops = self._prompt(ask["messages"])
        room = self._llama.n_ctx() - len(tokens)
        if room < 1:
            raise Refused(f"The question has {len(tokens)} tokens; {self._llama.n_ctx()} fit.")
        self.tokens_in, self.tokens_out, self.is_cut = len(tokens), 0, False
        wanted = min(int(ask["tokens_max"]), room)
        parts = []
        held = self._held(ask)
        try:
            for text in self._pieces(tokens, stops, wanted, ask):
                if text:
                    parts.append(text)
                    on_piece(text)
        except Unfit as error:
            self._forget()
            raise Refused(f"{_FORM}: {error}.") from error
        except (RuntimeError, StopIteration) as error:
            self._forget()
            if self._stop.is_set:
                raise Stopped from error
            raise
        finally:
            if held is not None:
                held.free()
        if self._stop.is_set:
            raise Stopped
        return "".join(parts)

    def _pieces(
        self, tokens: list[int], stops: Sequence[str], wanted: int, ask: Mapping[str, Any]
    ) -> Iterator[str]:
        llama, told = self._llama, Told(stops)
        llama.set_seed(int(ask["seed"]))
        # The same draw as create_completion's, whose stream is not (see `Told`).
        how = {"top_k": LOOKED_AT, "top_p": 0.95, "min_p": 0.05, "repeat_penalty": 1.0}
        for token in llama.generate(tokens, temp=float(ask["temperature"]), **how):
            if self._stop.is_set:
                return
            self.tokens_out += 1
            if self._api.llama_vocab_is_eog(llama._model.vocab, token):
                break
            yield told.take(self._bytes(token))
            if told.is_ended:
                return
            if self.tokens_out >= wanted:
                self.is_cut = True
                break
        yield told.rest()

    def _bytes(self, token: int) -> bytes:
        """A token as it is written; marks that steer a model are nothing."""
        vocabulary, room = self._llama._model.vocab, len(self._buffer)
        size = self._api.llama_token_to_piece(vocabulary, token, self._buffer, room, 0, False)
        if size < 0:  # It is longer, and this is how long.
            self._buffer = ctypes.create_string_buffer(-size)
            return self._bytes(token)
        return self._buffer.raw[:size]

    def _held(self, ask: Mapping[str, Any]) -> Held | None:
        """What holds the answer to its form; None where it is free."""
        kind = self._api.LlamaGrammar
        try:
            grammar = str(ask.get("grammar") or "")
            if not grammar and ask.get("schema") is not None:
                grammar = kind.from_json_schema(json.dumps(ask["schema"]), verbose=False)._grammar
            return Held(self._api, self._llama, grammar) if grammar else None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Refused(f"{_FORM}: {error}.") from error

    # ------------------------------------------------------------------ the question

    def _prompt(self, messages: Sequence[Sequence[str]]) -> tuple[list[int], list[str]]:
        """The question in tokens, written as the model was taught, and what ends the answer."""
        clean = [{"role": role, "content": self._clean(text)} for role, text in messages]
        text, stops, has_start = self._write(clean)
        tokens = self._llama.tokenize(text.encode(), add_bos=not has_start, special=True)
        return list(tokens), stops

    def _writer(self) -> Callable[[list[dict[str, str]]], tuple[str, list[str], bool]]:
        import jinja2

        template = self._llama.metadata.get("tokenizer.chat_template")
        if template is None:

            def plain(messages: list[dict[str, str]]) -> tuple[str, list[str], bool]:
                return "".join(m["content"] + "\n" for m in messages), [], False

            return plain
        model = self._llama._model
        form = self._api.llama_chat_format.Jinja2ChatFormatter(
            template=template,
            eos_token=model.token_get_text(max(self._llama.token_eos(), 0)),
            bos_token=model.token_get_text(max(self._llama.token_bos(), 0)),
        )

        trouble = (
            jinja2.TemplateError,
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        )

        def written(messages: list[dict[str, str]]) -> tuple[str, list[str], bool]:
            try:
                done = form(messages=messages)
            except trouble as error:  # The template is the file's, not ours.
                raise Refused(f"The model's own template fails: {error}.") from error
            stops = [done.stop] if isinstance(done.stop, str) else list(done.stop or [])
            return done.prompt, [s for s in stops if s], bool(done.added_special)

        return written

    def _control_words(self) -> tuple[str, ...]:
        """How the model's own marks are written; in a message they are no marks."""
        model = self._llama._model
        found = (
            model.token_get_text(token)
            for token in range(self._llama.n_vocab())
            if int(model.token_get_attr(token)) & _CONTROL
        )
        return tuple(sorted({text for text in found if len(text) > 2}, key=len, reverse=True))

    def _clean(self, text: str) -> str:
        before = ""
        while before != text:  # What is left when one is gone may be another.
            before = text
            for word in self._control:
                text = text.replace(word, "")
        return text

    def _forget(self) -> None:
        """After a calculation that broke off nothing that is remembered is right."""
        self._llama.reset()
        self._llama._ctx.kv_cache_clear()


__all__ = ["Llama", "Refused", "Stop", "Stopped"]

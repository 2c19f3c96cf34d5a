"""Author: the shipped file at work, asked just as the gateway asks it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.explainer import prompt

CONTEXT: Final = 512
TOKENS_MAX: Final = 200
"""The longest text of the corpus has half as many."""


@dataclass(frozen=True, slots=True)
class Written:
    """What came back.

    Args:
        text: As the model wrote it: slots, one sentence a line.
        is_ended: False when it was cut off at `TOKENS_MAX`.
        tokens: How many it wrote.
        cpu_s: What it took this process.
    """

    text: str
    is_ended: bool
    tokens: int
    cpu_s: float


class Author:
    """One loaded model on one thread, greedy: the same words give the same text.

    Raises:
        ImportError: llama-cpp-python is not installed.
        ValueError: The file cannot be loaded.
    """

    def __init__(self, path: Path) -> None:
        from llama_cpp import Llama

        how: dict[str, Any] = {"n_ctx": CONTEXT, "n_threads": 1, "n_threads_batch": 1}
        self._llama = Llama(str(path), verbose=False, **how)

    def write(self, words: Sequence[str]) -> Written:
        """A text for a prompt."""
        messages = [{"role": "user", "content": prompt.own_text(words)}]
        before = time.process_time()
        answer = self._llama.create_chat_completion(
            messages, temperature=0.0, repeat_penalty=1.0, max_tokens=TOKENS_MAX
        )
        took = time.process_time() - before
        choice = answer["choices"][0]
        text = str(choice["message"]["content"])
        ended = choice["finish_reason"] == "stop"
        return Written(text, ended, int(answer["usage"]["completion_tokens"]), took)

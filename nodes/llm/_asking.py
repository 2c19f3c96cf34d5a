"""Asking: one question to the models of a node, with its deadline, its tries and its cost."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, Final

from gateway import Ask, ConfigError, Context, Disconnected, Generated, Rejected
from nodes.llm._answer import read, schema_of
from nodes.llm._chunks import Chunks
from nodes.llm._config import GenerateConfig
from nodes.llm._prompts import Question

SHARE: Final = 0.6
"""Of the time that is left, while another model could be asked after this one."""
TRIED_MAX: Final = 1_000
"""Events whose tries are remembered; who is forgotten starts to count anew."""


class Asking:
    """Asks the models in their order.

    Args:
        config: Of the node.
        ctx: Of the node.
    """

    def __init__(self, config: GenerateConfig, ctx: Context) -> None:
        self.config = config
        self.ctx = ctx
        self._schema = schema_of(config.fields, config.json_schema)
        self._tried: OrderedDict[str, int] = OrderedDict()

    async def within_tries(
        self, key: str, question: Question, chunks: Chunks | None
    ) -> tuple[Generated, Any]:
        """Ask all models; the engine asks again later, until the tries are spent."""
        try:
            found = await self._asked(key, question, chunks)
        except Disconnected as error:
            times = self._tried.pop(key, 0) + 1
            if self.config.tries and times >= self.config.tries:
                raise Rejected(
                    f"No model answered {times} times. The last said: {error}"
                ) from error
            self._tried[key] = times
            if len(self._tried) > TRIED_MAX:
                self._tried.popitem(last=False)
            self.ctx.count("tried_again")
            raise
        except Rejected:
            self._tried.pop(key, None)
            raise
        self._tried.pop(key, None)
        return found

    async def _asked(
        self, key: str, question: Question, chunks: Chunks | None
    ) -> tuple[Generated, Any]:
        """The first answer of the models in their order, and its value."""
        clock = self.ctx.clock
        end_s = clock.monotonic() + self.config.deadline_s
        troubles: list[Exception] = []
        models = self.config.models or [""]
        for number, model in enumerate(models, 1):
            left_s = end_s - clock.monotonic()
            share_s = left_s if number == len(models) else left_s * SHARE
            try:
                found = await self._ask(self._ask_of(key, question, model, share_s), chunks)
                value = read(found.text, self.config.fields) if self._schema else found.text
            except (Disconnected, Rejected, ConfigError) as error:
                troubles.append(error)
                self.ctx.count("without_answer")
                continue
            if troubles:
                self.ctx.count("fallbacks")
            self._count(found)
            return found, value
        for kind in (Disconnected, ConfigError):
            if found_trouble := next((one for one in troubles if isinstance(one, kind)), None):
                raise found_trouble
        raise troubles[-1]

    async def _ask(self, ask: Ask, chunks: Chunks | None) -> Generated:
        try:
            async with asyncio.timeout(ask.deadline_s):
                return await (chunks.generate(ask) if chunks else self.ctx.generate(ask))
        except TimeoutError:
            name = ask.model or "the model"
            raise Disconnected(f"No answer from {name} within {ask.deadline_s:.0f} s.") from None

    def _ask_of(self, key: str, question: Question, model: str, left_s: float) -> Ask:
        config = self.config
        return Ask(
            config.task,
            question.messages,
            model=model,
            language=config.language,
            schema=self._schema,
            tokens_max=config.tokens_max,
            deadline_s=left_s,
            temperature=config.temperature,
            seed=config.seed,
            priority=config.priority,
            is_private=config.private,
            key=key,
        )

    def _count(self, found: Generated) -> None:
        count = self.ctx.count
        count("tokens_in", found.tokens_in)
        count("tokens_out", found.tokens_out)
        count("took_ms", round(found.took_s * 1e3))
        count("cost_millionths", round(found.cost * 1e6))
        count("cached", int(found.is_cached))


def facts_of(key: str, question: Question, found: Generated) -> dict[str, Any]:
    """What is told of an answer beside it."""
    return {
        "event": key,
        "prompt": question.prompt,
        "model": found.model,
        "reason": found.reason,
        "tokens_in": found.tokens_in,
        "tokens_out": found.tokens_out,
        "cost": found.cost,
        "first_s": round(found.first_s, 3),
        "took_s": round(found.took_s, 3),
        "cached": found.is_cached,
    }


__all__ = ["Asking", "facts_of"]

"""Model pool: takes a question, finds a model that may answer it, and has it answered.

The rules say who is asked in which order; one that fails is followed by the next, and the answer
says why it came from where it came. Nothing here holds up an alarm: whoever asks has a text of
its own for when no model answers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from gateway.data.tasks import Tasks
from gateway.engine.models_answer import Answer, Answerer
from gateway.engine.models_book import ModelBook
from gateway.engine.models_choice import Choice, choose
from gateway.engine.models_limits import cost_of
from gateway.engine.models_local import LocalRunner, identity
from gateway.engine.models_server import ServerRunner
from gateway.engine.models_tally import Tallies
from gateway.engine.store import Store
from gateway.engine.store_answers import Answers, Stored
from gateway.engine.store_records import audit
from gateway.errors import ConfigError, Disconnected, GatewayError, Rejected
from gateway.flow.config import Secret
from gateway.flow.generate import Ask, Generated, OnChunk
from gateway.flow.jsonschema import check_schema, parsed
from gateway.flow.models import LocalModel, Model
from gateway.flow.node import Clock

_log = logging.getLogger("genba.models")
SHARE: Final = 0.6
"""Of the time that is left, while another model could be asked after this one."""
QUESTION_CHARS_MAX: Final = 1_000_000
Say = Callable[[str, str, str], None]


class ModelPool:
    """All models of a gateway.

    Args:
        state: Folder of the state.
        clock: The time.
        store: Where the audit is.
        secret: The secret behind a reference.
        resolve: Looks up a destination that may be reached.
        say: Tells people: level, where, what.
    """

    def __init__(
        self,
        state: Path,
        clock: Clock,
        store: Store,
        secret: Callable[[Secret], str],
        resolve: Callable[[str, int], Awaitable[list[str]]],
        say: Say,
    ) -> None:
        async def recorded(actor: str, action: str, detail: Mapping[str, Any]) -> None:
            await audit(store, clock.now(), actor, action, detail)

        self._state = state
        self._clock = clock
        self._secret = secret
        self._resolve = resolve
        self._say = say
        self._tasks = Tasks("models")
        self.book = ModelBook(state, recorded, self._changed)
        self.answers = Answers(state / "answers.db", lambda text: say("warning", "models", text))
        self.tallies = Tallies(self.answers, clock)
        self._runners: dict[str, tuple[Model, Answerer]] = {}
        self._down: set[str] = set()

    # ------------------------------------------------------------------ questions

    async def generate(self, ask: Ask, on_chunk: OnChunk | None = None) -> Generated:
        """An answer.

        Args:
            ask: The question.
            on_chunk: Told pieces as they come. They are provisional: when a model fails on the
                way, the next one's answer comes whole, and `Generated.text` is what counts.

        Raises:
            ConfigError: No model may answer this.
            Rejected: The models refuse it.
            Disconnected: None can just now, or there is no time left.
        """
        if sum(len(text) for _, text in ask.messages) > QUESTION_CHARS_MAX:
            raise Rejected(f"The question has more than {QUESTION_CHARS_MAX} characters.")
        if ask.schema is not None:
            check_schema(ask.schema)
        began = self._clock.monotonic()
        await self.tallies.load()
        choice = self.choice(ask)
        if not choice.names:
            raise choice.refusal()
        told = _Told(on_chunk)
        failed: list[tuple[str, GatewayError]] = []
        for number, name in enumerate(choice.names, 1):
            left_s = began + ask.deadline_s - self._clock.monotonic()
            if left_s <= 0:
                break
            is_last = number == len(choice.names)
            try:
                async with asyncio.timeout(left_s if is_last else left_s * SHARE):
                    found = await self._one(name, ask, told, began, left_s)
                found = replace(found, reason=_reason(choice, failed, found))
                level = logging.INFO if failed else logging.DEBUG
                _log.log(level, "%s: %s answered: %s", ask.key or ask.task, name, found.reason)
                return found
            except TimeoutError:
                text = f"The model {name} has not answered in {ask.deadline_s:g} s (deadline_s)."
                failed.append((name, Disconnected(text)))
                self.tallies.count(name, "late")
            except (ConfigError, Rejected, Disconnected) as error:
                failed.append((name, error))
                self.tallies.count(name, type(error).__name__.lower())
            told.is_void = told.is_void or told.began is not None
            _log.info("%s does not answer %s: %s", name, ask.key or ask.task, failed[-1][1])
        raise _together(choice, failed, ask)

    async def _one(
        self, name: str, ask: Ask, told: _Told, began: float, left_s: float
    ) -> Generated:
        model = self.book.found.models[name]
        key = self._key(name, model, ask)
        if (stored := await self.answers.get(key, self._clock.now())) is not None:
            self.tallies.count(name, "cached")
            told(stored.text)
            took_s = self._clock.monotonic() - began
            return Generated(
                stored.text,
                name,
                tokens_in=stored.tokens_in,
                tokens_out=stored.tokens_out,
                first_s=took_s,
                took_s=took_s,
                is_cached=True,
            )
        answer = await self._asked(name, model, ask, told, left_s)
        if ask.schema is not None and (wrong := parsed(answer.text, ask.schema)[1]):
            raise Rejected(f"The model {name} does not answer in the form asked for: {wrong}.")
        cost = cost_of(model, answer.tokens_in, answer.tokens_out)
        took_s = self._clock.monotonic() - began
        first_s = (told.began or self._clock.monotonic()) - began
        await self.tallies.settle(name, answer, cost, first_s, took_s)
        kept = Stored(name, answer.text, answer.tokens_in, answer.tokens_out)
        await self.answers.put(key, kept, self._clock.now())
        return Generated(
            answer.text,
            name,
            answer.note + (" (cut at tokens_max)" if answer.is_cut else ""),
            answer.tokens_in,
            answer.tokens_out,
            cost,
            first_s,
            took_s,
        )

    async def _asked(self, name: str, model: Model, ask: Ask, told: _Told, left_s: float) -> Answer:
        """One model's answer, with what it will cost put by meanwhile."""
        self.tallies.count(name, "asked")

        def piece(text: str) -> None:
            if told.began is None:
                told.began = self._clock.monotonic()
            told(text)

        try:
            with self.tallies.put_by(name, model, ask):
                answer = await self._runner(name, model).answer(ask, piece, left_s)
        except (ConfigError, Disconnected) as error:
            self._went(name, str(error))
            raise
        self._went(name, "")
        return answer

    def choice(self, ask: Ask) -> Choice:
        """Who would be asked this now, in order, and why the others would not."""
        return choose(self.book.found, ask, self.tallies.known(self.book.found, ask))

    async def warm(self, ask: Ask) -> None:
        """Have the model ready that would be asked this; it costs nobody time who waits."""
        choice = self.choice(ask)
        if choice.names:
            name = choice.names[0]
            await self._runner(name, self.book.found.models[name]).warm()

    # ------------------------------------------------------------------ models

    def _runner(self, name: str, model: Model) -> Answerer:
        entry = self._runners.get(name)
        if entry is None or entry[0] != model:
            if entry is not None:
                self._tasks.start(f"close/{name}", entry[1].close())
            entry = self._runners[name] = (model, self._made(name, model))
        return entry[1]

    def _made(self, name: str, model: Model) -> Answerer:
        if isinstance(model, LocalModel):
            return LocalRunner(name, model, self.book.folder, self._clock)
        return ServerRunner(name, model, self._resolve, self._secret, self._state, self._clock)

    def _changed(self) -> None:
        """The list is another: what is not in it any more ends."""
        for name, (model, runner) in list(self._runners.items()):
            if self.book.found.models.get(name) != model:
                del self._runners[name]
                self._tasks.start(f"close/{name}", runner.close())
        self._down &= set(self.book.found.models)

    def _went(self, name: str, trouble: str) -> None:
        """A model that goes away is said once, and that it is back."""
        if trouble and name not in self._down:
            self._down.add(name)
            self._say("warning", f"models/{name}", trouble)
        elif not trouble and name in self._down:
            self._down.discard(name)
            self._say("info", f"models/{name}", f"The model {name} answers again.")

    def _key(self, name: str, model: Model, ask: Ask) -> bytes:
        """The question with all that the answer depends on."""
        who = identity(model)
        parts = [who, ask.messages, ask.schema, ask.grammar, ask.tokens_max, ask.temperature]
        text = json.dumps([name, *parts, ask.seed], sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=24).digest()

    def rows(self) -> list[dict[str, Any]]:
        """Every model with how it is, for a screen."""
        runners = {name: runner for name, (_, runner) in self._runners.items()}
        return self.tallies.rows(self.book.found, runners)

    async def stop(self) -> None:
        """End all models."""
        runners, self._runners = self._runners, {}
        await asyncio.gather(*(runner.close() for _, runner in runners.values()))
        for task in self._tasks.running():  # What was used today is written down.
            await asyncio.wait([task], timeout=2.0)
        await self._tasks.stop()
        await self.answers.close()


class _Told:
    """Hands pieces on; one who fails at them hears no more, and the answer goes on."""

    def __init__(self, on_chunk: OnChunk | None) -> None:
        self._on_chunk = on_chunk
        self.began: float | None = None
        self.is_void = False

    def __call__(self, text: str) -> None:
        if self._on_chunk is None or self.is_void:
            return
        try:
            self._on_chunk(text)
        except Exception:  # noqa: BLE001 - whoever it is, the answer goes on
            self.is_void = True
            _log.exception("Who was to be told pieces of an answer failed.")


def _reason(choice: Choice, failed: list[tuple[str, GatewayError]], found: Generated) -> str:
    parts = [choice.why]
    parts += [f"{name} is out: {why}" for name, why in choice.out.items()]
    parts += [f"{name} failed: {error}" for name, error in failed]
    parts += [found.reason.strip()] if found.reason.strip() else []
    return "; ".join(parts)


def _together(choice: Choice, failed: list[tuple[str, GatewayError]], ask: Ask) -> GatewayError:
    """Why none of them answered, as the kind of error that fits most."""
    if ask.model and failed:
        return failed[0][1]  # Who names a model knows which one it is.
    reasons = "; ".join(f"{name}: {error}" for name, error in failed) or "there is no time left"
    text = f"No model has answered ({choice.why}): {reasons}"
    waits = [e for _, e in failed if isinstance(e, Disconnected)]
    if waits or not failed:
        return Disconnected(text, retry_after_s=min((e.retry_after_s for e in waits), default=0.0))
    if all(isinstance(e, ConfigError) for _, e in failed):
        return ConfigError(text, hint="genba models list")
    return Rejected(text)


__all__ = ["ModelPool"]

"""Writes: has a model say what the template has said already, and takes it only when it is right.

One alarm at a time, the most urgent first. The model gets words of a closed vocabulary and writes
slots; what it wrote is checked against the facts before anybody sees it as an explanation. It is
cancelled when the alarm is over and when it takes too long.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.data.tasks import Tasks
from gateway.engine.alarmbook import PRIORITIES
from gateway.engine.executor import ThreadExecutor
from gateway.engine.explain_draft import draft
from gateway.engine.explain_make import Job, Made
from gateway.engine.explain_progress import Board
from gateway.engine.explain_queue import Queue
from gateway.engine.explain_reasons import Code, with_reason
from gateway.engine.store_explain import Explained, Key, keep
from gateway.errors import ConfigError, Disconnected, GatewayError
from gateway.flow.generate import Ask
from gateway.flow.models import OWN, LocalModel
from models.explainer import check, prompt, slots
from models.explainer.text import LANGUAGES, Explanation, Language, Piece

if TYPE_CHECKING:
    from gateway.engine.runtime import Runtime

WAITING_MAX: Final = 50
"""Explanations that may wait for a model; the others keep the template's text."""
WARM_S_MAX: Final = 60.0
"""A large model takes so long to be read from the disk."""
SLACK_S: Final = 0.5
"""A model that does not notice its deadline is left alone so long after it."""
TOKENS_MAX: Final = 200
"""Of an explanation; a longer one is no explanation for an operator."""


class ModelDesk:
    """Explanations that wait for a model, and the one that is being written.

    Args:
        runtime: The gateway.
        board: Where it is shown.
        deadline_s: See `ExplainOptions`.
        counts: by_model; by_template where none was asked; cancelled, late, unchecked, no_model
            and unanswered where the template's text stayed.
        zone: IANA name of the time zone of the texts.
    """

    def __init__(
        self, runtime: Runtime, board: Board, deadline_s: float, counts: Counter[str], zone: str
    ) -> None:
        self._runtime = runtime
        self._board = board
        self._deadline_s = deadline_s
        self._counts = counts
        self._zone = zone
        self._queue = Queue(WAITING_MAX)
        self._jobs: dict[Key, Job] = {}
        self._over: set[Key] = set()
        self._now: tuple[Key, asyncio.Task[Explanation]] | None = None
        self._executor = ThreadExecutor("genba-explain-text")
        self._tasks = Tasks("explain/model")
        self._ready = asyncio.Event()

    def prepared(self, made: Made) -> Made:
        """What was found out, with the reason at the texts where no model is asked at all."""
        why: Code = "usual" if self._deadline_s else "off"
        texts = {
            one: text if self._asks(one) else with_reason(text, one, why)
            for one, text in made.texts.items()
        }
        return replace(made, texts=texts)

    def _asks(self, language: Language) -> bool:
        """Whether a model writes in this language: only where somebody has said so by a rule.

        A reader liked the template as well as our own model (models/explainer/CARD.md).
        """
        ask = Ask("explain", (), language=language)
        return bool(self._deadline_s) and self._runtime.models.choice(ask).is_ruled

    def put(self, job: Job) -> None:
        """Let a model write about it when it is its turn."""
        key = job.row.key
        if not any(map(self._asks, LANGUAGES)):
            self._counts["by_template"] += 1
            self._board.set(key, "done", explained=job.row)
            return
        self._jobs[key] = job
        self._over.discard(key)
        self._board.set(key, "writing", explained=job.row)
        dropped = self._queue.put(job.wish)
        if dropped is not None and (left := self._jobs.pop(dropped.key, None)) is not None:
            self._leave(left, "busy")
        self._ready.set()

    def expect(self) -> None:
        """An alarm was raised: have the model ready by the time its facts are there."""
        if any(map(self._asks, LANGUAGES)) and not len(self._tasks):
            self._tasks.start("warm", self._warm())

    async def _warm(self) -> None:
        for language in filter(self._asks, LANGUAGES):
            ask = Ask("explain", (), language=language)
            with suppress(GatewayError, TimeoutError):  # It is said when it is asked.
                async with asyncio.timeout(WARM_S_MAX):
                    await self._runtime.models.warm(ask)

    def over(self, key: Key) -> None:
        """The alarm is over: what a model would say of it comes too late."""
        if key in self._jobs:
            self._over.add(key)
        if self._now is not None and self._now[0] == key:
            self._now[1].cancel()

    @property
    def waiting(self) -> int:
        """Explanations that wait for a model."""
        return len(self._queue)

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            while True:
                await self._ready.wait()
                wish = self._queue.first()
                if wish is None:
                    self._ready.clear()
                    continue
                self._queue.remove(wish.key)
                job = self._jobs.get(wish.key)
                if job is not None:
                    await self._write(job)
                    self._jobs.pop(wish.key, None)
                    self._over.discard(wish.key)
        finally:
            await self._tasks.stop()
            self._executor.close()

    # ------------------------------------------------------------------ one explanation

    async def _write(self, job: Job) -> None:
        key, texts, row = job.row.key, dict(job.made.texts), job.row
        for language in self._board.languages(key):
            texts[language] = await self._in_language(job, language)
            row = self._current(job, texts)
            self._board.set(key, "writing", explained=row)  # Nobody waits for another language.
        self._board.set(key, "done", explained=row)
        self._tasks.start("keep", self._keep(row))  # Nor for the disk.

    async def _keep(self, row: Explained) -> None:
        with suppress(Disconnected):
            await keep(self._runtime.store, row)
            return
        self._counts["not_stored"] += 1

    def _current(self, job: Job, texts: dict[Language, Explanation]) -> Explained:
        """The row as it is by now, with these texts."""
        progress = self._board.get(job.row.key)
        row = progress.explained if progress is not None else None
        row = row if row is not None and row.key == job.row.key else job.row
        return replace(row, texts={one: text.to_json() for one, text in texts.items()})

    async def _in_language(self, job: Job, language: Language) -> Explanation:
        """What the model says, or the template's text with the reason why it is that."""
        key = job.row.key
        if not self._asks(language):
            return job.made.texts[language]
        writing = self._tasks.start("write", self._outcome(job, language))
        self._now = (key, writing)
        if key in self._over and not job.wish.is_asked:
            writing.cancel()
        try:
            # Shielded, since whoever cancels us would else cancel it, and we would take that for
            # the end of the alarm and go on.
            found: Explanation = await asyncio.shield(writing)
            return found
        except asyncio.CancelledError:
            if not writing.cancelled():  # Not it, but the whole of us.
                writing.cancel()
                raise
            said = with_reason(job.made.texts[language], language, "over")
            return self._count("cancelled", said)
        finally:
            self._now = None

    async def _outcome(self, job: Job, language: Language) -> Explanation:
        """The same, unless it is cancelled."""
        said = partial(with_reason, job.made.texts[language], language)
        try:
            found = await self._generate(job, language)
        except TimeoutError:
            return self._count("late", said("late", f"{self._deadline_s:g}"))
        except ConfigError as error:
            return self._count("no_model", said("none", error))
        except GatewayError as error:
            return self._count("unanswered", said("away", error))
        if found is None:
            return self._count("unchecked", said("unchecked"))
        return self._count("by_model", found)

    async def _generate(self, job: Job, language: Language) -> Explanation | None:
        """What the first model that answers writes, checked; None when too little is right.

        Raises:
            TimeoutError: It took too long.
            ConfigError: No model may answer this.
            Rejected: The models refuse it.
            Disconnected: None can just now.
        """
        pool, clock = self._runtime.models, self._runtime.clock
        ends_s = clock.monotonic() + self._deadline_s
        ask = self._ask(job, language)
        choice = pool.choice(ask)
        if not choice.names:
            raise choice.refusal()
        failed: GatewayError | None = None
        async with asyncio.timeout(self._deadline_s + SLACK_S):
            for name in choice.names:
                left_s = ends_s - clock.monotonic()
                if failed is not None and left_s < SLACK_S:
                    break
                try:
                    return await self._by(name, job, replace(ask, model=name, deadline_s=left_s))
                except GatewayError as error:
                    failed = error
        assert failed is not None
        if ends_s <= clock.monotonic():
            raise TimeoutError
        raise failed

    def _ask(self, job: Job, language: Language) -> Ask:
        """The question without its words, which depend on who is asked."""
        key, urgency = job.row.key, PRIORITIES.index(job.wish.event.priority)
        return Ask(
            "explain",
            (),
            language=language,
            tokens_max=TOKENS_MAX,
            deadline_s=self._deadline_s,
            priority=10 * job.wish.is_asked + urgency,
            key=f"{key[0]}#{key[1]}/{language}",
        )

    async def _by(self, name: str, job: Job, ask: Ask) -> Explanation | None:
        """What one model writes."""
        sheet, causes, key = job.made.sheet, job.made.causes, job.row.key
        language: Language = "ja" if ask.language == "ja" else "en"
        model = self._runtime.models.book.found.models.get(name)
        is_own = isinstance(model, LocalModel) and model.file == OWN

        def prepare() -> tuple[prompt.Question, Mapping[str, Piece]]:
            question = prompt.ask(sheet, language, is_own_model=is_own, causes=causes)
            return question, slots.of(sheet, causes, language, zone=self._zone).values

        question, values = await self._executor.run(prepare)
        raw: list[str] = []

        def on_chunk(piece: str) -> None:
            raw.append(piece)
            self._board.draft(key, draft("".join(raw), language, values, name))

        asked = replace(ask, messages=question.messages, grammar=question.grammar)
        answer = await self._runtime.models.generate(asked, on_chunk)
        read = partial(check.read, sheet, language, answer.text, is_own_model=is_own)
        done = partial(read, causes=causes, zone=self._zone, by=answer.model, reason="")
        return await self._executor.run(done)

    def _leave(self, job: Job, why: Code) -> None:
        """The template's text stays; after a restart it is without the reason."""
        texts = {one: with_reason(text, one, why) for one, text in job.made.texts.items()}
        self._counts["by_template"] += 1
        self._board.set(job.row.key, "done", explained=self._current(job, texts))

    def _count(self, what: str, text: Explanation) -> Explanation:
        self._counts[what] += 1
        return text


__all__ = ["ModelDesk"]

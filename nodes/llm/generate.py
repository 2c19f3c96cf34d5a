"""Ask a language model about each event."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import orjson

from gateway import (
    MISSING,
    Alarms,
    Context,
    Event,
    Events,
    Example,
    Give,
    JsonPath,
    Outputs,
    Port,
    Rejected,
    Worker,
    key_of,
    records,
)
from nodes._events import ALARMS, IN, events_of
from nodes.llm import _library
from nodes.llm._asking import Asking, facts_of
from nodes.llm._chunks import Chunks
from nodes.llm._config import GenerateConfig
from nodes.llm._prompts import FOLDER, Prompt
from nodes.llm._template import PromptError


class Generate(Worker[GenerateConfig, Events | Alarms]):
    """Ask a language model about each event: sort it, sum it up, answer it.

    Prompts are Jinja templates over topic, id, time, data and params, with if, for and filters;
    they cannot call or import anything. The first prompt whose rule the event fits is asked, and
    an event that none fits leaves at `rest`. Answers keep the event's time and have an id that is
    made of the event: asked twice, they have the same. A model in this house sees the data, no
    other, unless an administrator allows it. What stands in an event may try to talk the model
    into something: use `fields` with `choices` where an answer decides, and no answer for more.

    Delivery: at least once asked, exactly one answer in the journal. A crash while a model writes
    asks again; pieces at `chunks` then begin anew at seq 0. A replay asks nobody. When no model
    answers the engine asks again, `tries` times in all; then the event is a dead letter, and so
    is one that every model refuses or that the prompt cannot be filled with.
    Back pressure: `parallel` events are asked at once, those of one `key` in order; 4 MB wait,
    then the oldest are dropped and counted. `outbox: {when_full: block}` loses none: then the
    flow's sources wait, down to a socket's sender.
    """

    Config = GenerateConfig
    each: ClassVar[bool] = True
    inputs = (IN, ALARMS)
    outputs = (
        Port("out", "events", "Answers."),
        Port("chunks", "events", "Pieces of answers while they are written; see `chunks`."),
        Port("rest", "events", "Events that no prompt is for."),
    )
    examples = (
        Example(
            "Sort log lines",
            {
                "system": "You sort log lines of a web shop.",
                "prompts": {
                    "sort": {
                        "when": {"topics": ["log/#"]},
                        "user": "Line: {{ data.text | truncate(300) }}",
                    }
                },
                "task": "classify",
                "fields": {"class": {"choices": ["payment", "login", "other"]}},
                "facts": False,
            },
            given='1s log/web {"text": "card refused"}\n2s chat {"text": "hello"}',
            expect={
                "out": '1s log/web {"text": "card refused", "answer": {"class": "payment"}}',
                "rest": '2s chat {"text": "hello"}',
            },
        ),
        Example(
            "Sum up the last hour of alarms",
            {
                "prompt": "Sum up in two sentences:\n{% for one in data.events %}"
                "- {{ one.tag }} {{ one.condition }}\n{% endfor %}",
                "task": "summarise",
                "topic": "summary",
                "keep": False,
                "facts": False,
            },
            given='3600s hour {"events": [{"tag": "oil", "condition": "HI"}]}',
            expect={"out": '3600s summary {"answer": "The oil was too hot once."}'},
        ),
        Example(
            "The mood of a message, by the language it is in",
            {
                "prompts": {
                    "ja": {
                        "when": {"equals": {"lang": "ja"}},
                        "user": "気分を答えてください: {{ data.text }}",
                    },
                    "en": {"user": "How does {{ params.who }} feel? {{ data.text }}"},
                },
                "params": {"who": "the customer"},
                "task": "classify",
                "fields": {"mood": {"choices": ["good", "bad"]}},
                "facts": False,
                "key": "user",
                "parallel": 4,
            },
            given='1s m {"lang": "ja", "text": "最高", "user": 1}\n'
            '2s m {"text": "awful", "user": 2}',
            expect={
                "out": '1s m {"text": "最高", "user": 1, "lang": "ja", '
                '"answer": {"mood": "good"}}\n'
                '2s m {"text": "awful", "user": 2, "answer": {"mood": "bad"}}'
            },
        ),
        Example(
            "What an alarm means, piece by piece",
            {
                "prompt": "{{ data.tag }} is {{ data.value }}: why?",
                "models": ["plant-7b", "small"],
                "chunks": True,
                "keep": False,
                "facts": False,
            },
            given={"alarms": "5s TT101 HI raised UNACK 76.5 75"},
            expect={"out": '5s alarm/raised {"answer": "The pump may be worn."}'},
        ),
    )

    def __init__(self, config: GenerateConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._prompts: list[Prompt] = []
        self._key = JsonPath(config.key) if config.key else None
        self._asking = Asking(config, ctx)

    async def connect(self) -> None:
        """Read the prompts, those in files too."""
        folder = self.ctx.data_dir / FOLDER
        self._prompts = [Prompt(n, config, folder) for n, config in self.config.texts.items()]

    @staticmethod
    def prompts_of(given: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
        """For the library: the prompts of a config with their rules."""
        return list(_library.rows(GenerateConfig.model_validate(given), folder))

    @staticmethod
    def would_ask(
        given: Mapping[str, Any], folder: Path, event: Event, values: Mapping[str, Any]
    ) -> dict[str, Any]:
        """For the library: what an event would be asked about with a config."""
        return _library.preview(GenerateConfig.model_validate(given), folder, event, values)

    @staticmethod
    def fill(text: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """For the library: what a text makes of an event."""
        return _library.of_text(text, {**values, "params": {}})

    @staticmethod
    def check_prompt(text: str) -> None:
        """For the library: whether a text is a prompt.

        Raises:
            ConfigError: It is none.
        """
        _library.checked(text)

    def parallel(self) -> int:
        return self.config.parallel

    def key(self, message: Events | Alarms) -> str:
        (event,) = events_of(message, self.ctx)
        if self._key is None:
            return event.topic
        found = self._key.find(event.data)
        return "" if found is MISSING else str(found)[:255]

    async def handle(self, message: Events | Alarms, port: str) -> Outputs:
        """Answer one event, in one piece."""

        async def nobody(outputs: Outputs) -> None:
            return

        return await self.answer(message, port, nobody)

    async def answer(self, message: Events | Alarms, port: str, give: Give) -> Outputs:
        """Answer one event, and `give` the pieces of the answer."""
        (event,) = events_of(message, self.ctx)
        prompt = next((one for one in self._prompts if one.fits(event)), None)
        if prompt is None:
            self.ctx.count("unmatched")
            return {"rest": (event,)}
        age_s = (self.ctx.clock.now() - event.ts) / 1e9
        if self.config.max_age_s and age_s > self.config.max_age_s:
            self.ctx.count("too_old")
            raise Rejected(f"Not asked: the event is {age_s:.0f} s old (max_age_s).")
        key = _name_of(event, self.ctx)
        try:
            question = prompt.ask(self._values(event), self.config.chars_max)
        except PromptError as error:
            raise Rejected(f"{prompt.name}: {error}") from error
        name = key_of(self.ctx, "answer", key)
        topic = self.config.topic or event.topic
        chunks = Chunks(key, event, topic, name, give, self.ctx) if self.config.chunks else None
        try:
            found, value = await self._asking.within_tries(key, question, chunks)
        except Rejected:
            if chunks is not None:
                await chunks.cut()
            raise
        data = {**event.data} if self.config.keep else {}
        data[self.config.into] = value
        if self.config.facts:
            data["generated"] = facts_of(key, question, found)
        outputs: dict[str, Any] = {"out": (Event(event.ts, topic, data, name),)}
        if chunks is not None:
            outputs["chunks"] = (chunks.last(found.text),)
        return outputs

    def _values(self, event: Event) -> dict[str, Any]:
        (record,) = records((event,), self.ctx)
        fields = {name: record.data[name] for name in ("topic", "id", "time", "data")}
        return {**fields, "params": self.config.params}


def _name_of(event: Event, ctx: Context) -> str:
    """Names an event for ever, for every node alike, so that answers of several find together."""
    options = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    content = event.id.encode() or orjson.dumps(dict(event.data), default=str, option=options)
    whole = b"\x1f".join((event.topic.encode(), str(event.ts).encode(), content))
    return hashlib.blake2b(whole, digest_size=8).hexdigest()


__all__ = ["Generate", "GenerateConfig"]

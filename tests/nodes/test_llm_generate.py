"""llm.generate: prompts, forms of answers, order, tries, fallbacks, pieces, crashes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway import Ask, ConfigError, Disconnected, Event, Generated, OnChunk, Reading, Rejected
from gateway.engine.bookkeeping import flow_books
from gateway.engine.clock import SystemClock
from gateway.engine.store_records import letters
from gateway.flow import harness, notation, registry
from gateway.flow.document import Document
from gateway.flow.port import Port
from gateway.flow.registry import node_class
from nodes.llm._answer import FieldConfig, read, schema_of
from nodes.llm._template import PromptError, PromptTemplate
from tests.engine.gear import Script, kill, lent, started, until
from tests.nodes.llm_server import model_server

CLASS = node_class("llm.generate")
ANSWERS = {
    "Line: card refused": '{"class": "payment"}',
    "Sum up in two sentences:\n- oil HI\n": "The oil was too hot once.",
    "気分を答えてください: 最高": '{"mood": "good"}',
    "How does the customer feel? awful": '{"mood": "bad"}',
    "TT101 is 76.5: why?": "The pump may be worn.",
}


class Bench(harness.BenchContext):
    """A context with a model that knows some answers."""

    def __init__(self, answers: Any = None, **more: Any) -> None:
        super().__init__(clock=SystemClock(), **more)
        self.answers = ANSWERS if answers is None else answers
        self.asks: list[Ask] = []

    async def generate(self, ask: Ask, on_chunk: OnChunk | None = None) -> Generated:
        self.asks.append(ask)
        await asyncio.sleep(0)
        found = self.answers[ask.messages[-1][1]]
        if isinstance(found, list):
            found = found.pop(0)
        if isinstance(found, Exception):
            raise found
        for i in range(0, len(found), 5):
            if on_chunk is not None:
                on_chunk(found[i : i + 5])
        return Generated(found, ask.model or "small", "why", 3, 5, 0.002, 0.1, 0.25)

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> Awaitable[Any]:
        raise AssertionError("It starts nothing.")


async def make(ctx: Bench | None = None, **config: Any) -> Any:
    given = {"prompts": {"p": {"user": "{{ data.text }}"}}, **config}
    node = harness.make(CLASS, given, ctx or Bench())
    await node.connect()
    return node


def say(text: str, **more: Any) -> tuple[Event]:
    return (Event(1, "m", {"text": text, **more}, "1"),)


# ---------------------------------------------------------------------- examples


@pytest.mark.parametrize("index", range(len(CLASS.examples)))
async def test_examples_hold(index: int) -> None:
    """With a model that knows their answers."""
    example = CLASS.examples[index]
    ctx = Bench()
    node = harness.make(CLASS, example.config, ctx)
    await node.connect()
    found: dict[str, list[Event]] = {}
    for arrival in harness.arrivals(CLASS, example.given, ctx.tags):
        for item in arrival.message:
            for port, part in (await node.handle((item,), arrival.port)).items():
                found.setdefault(port, []).extend(part)
    found.pop("chunks", None)
    expect = {
        port: notation.parse(text, "events", ctx.tags) for port, text in example.expect.items()
    }
    shown = {port: [(e.ts, e.topic, dict(e.data)) for e in part] for port, part in found.items()}
    assert shown == {
        port: [(e.ts, e.topic, dict(e.data)) for e in part] for port, part in expect.items()
    }


# ---------------------------------------------------------------------- prompts

VALUES = {
    "data": {"a": 1.5, "l": [0, 1, 2], "s": "hi <|im_end|>\x1b[1m", "d": {"k": None}, "t": True},
    "topic": "t",
    "params": {},
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{{ data.a }} {{ data['a'] }} {{ topic }}", "1.5 1.5 t"),
        ("{{ data.b | default('x') }}", "x"),
        ("{% for i in data.l %}{{ loop.index }}:{{ i }}{{ ',' if not loop.last }}{% endfor %}", ""),
        ("{% for k, v in data.d | items %}{{ k }}={{ v }}{% endfor %}", "k="),
        ("{{ data.l | join('+') }}={{ data.l[1] + 2 * 3 }}", "0+1+2=7"),
        ("{{ data.s }}", "hi < |im_end| > [1m"),
        ("{{ data.l }}{{ data.t }}", "[0,1,2]true"),
        ("{% if data.zz is defined %}a{% else %}b{% endif %}", "b"),
        ("{{ data.s[:2] | upper }}{{ 2.345 | round(1) }}", "HI2.3"),
    ],
)
def test_what_a_prompt_can_do(text: str, shown: str) -> None:
    shown = shown or "1:0,2:1,3:2"
    assert PromptTemplate(text, VALUES).fill(VALUES, 1_000) == shown


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ data.a.__class__ }}", "no '__class__'"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "'call' is not allowed"),
        ("{{ data['__init__'] }}", "no '__init__'; there is a, l"),
        ("{{ data.s.format(1) }}", "'call' is not allowed"),
        ("{{ range(10) }}", "'call' is not allowed"),
        ("{{ self }}", "no 'self'"),
        ("{{ config }}", "no 'config'; there is data, params, topic"),
        ("{% set x = 1 %}", "'assign' is not allowed"),
        ("{% macro m() %}{% endmacro %}", "'macro' is not allowed"),
        ("{% include 'x' %}", "'include' is not allowed"),
        ("{% import 'x' as y %}", "'import' is not allowed"),
        ("{% for data in data.l %}{% endfor %}", "may not call its item data"),
        ("{% for i in data.l recursive %}{% endfor %}", "cannot call itself"),
        ("{{ data | attr('x') }}", "no filter 'attr'"),
        ("{{ data.l | _work }}", "no filter '_work'"),
        ("{{ 'x' * 1000000000 }}", r"\* is for numbers"),
        ("{{ 9 ** 9 }}", "'pow' is not allowed"),
        ("{{ data.s ~ data.s }}", "'concat' is not allowed"),
        ("{{ data.zz }}", "no 'zz'; there is a, l, s, d, t"),
        ("{{ data.zz + 1 }}", "no 'zz'"),
        ("{% for i in data.s %}{% endfor %}", "a loop goes over a list"),
        ("{{ data.s | replace('', 'a') }}", "something to replace"),
        ("{% for i in data.l", "line 1"),
        ("\n\n{{ 1 + }}", "line 3"),
        ("{{ 1 }}" * 401, "more than 400 parts"),
        ("x" * 20_001, "longer than 20000"),
        ("{{ 1 / 0 }}", "division by zero"),
    ],
)
def test_what_a_prompt_cannot_do(text: str, why: str) -> None:
    with pytest.raises(PromptError, match=why):
        PromptTemplate(text, VALUES).fill(VALUES, 1_000)


def test_a_prompt_cannot_grow_or_run_on() -> None:
    many = {"data": {"l": list(range(1_000)), "s": "x" * 5_000}}
    loops = "{% for a in data.l %}{% for b in data.l %}{% endfor %}{% endfor %}"
    with pytest.raises(PromptError, match="more than 2000 turns"):
        PromptTemplate(loops, many).fill(many, 1_000)
    with pytest.raises(PromptError, match=r"longer than 1000 characters \(chars_max\)"):
        PromptTemplate("{{ data.s }}", many).fill(many, 1_000)
    assert PromptTemplate("{{ data.s | truncate(9) }}", many).fill(many, 1_000) == "xxxxxx..."


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"prompts": {"p": {"user": "{{ dat.x }}"}}}, "no 'dat'; there is data, id, params"),
        ({"prompts": {"p": {"user": "a", "file": "b"}}}, "either `user`"),
        ({"prompts": {"p": {}}}, "either `user`"),
        ({"prompts": {}}, "either `prompt`"),
        ({"prompt": "a"}, "either `prompt`"),
        ({"prompt": "{{ x }}", "prompts": {}}, "no 'x'; there is data"),
        ({"system": "{{ x }}"}, "no 'x'; there is data"),
        ({"fields": {"a": {"kind": "number", "choices": ["b"]}}}, "are for texts"),
        ({"fields": {"a": {"low": 1}}}, "are for numbers"),
        ({"fields": {"a": {}}, "json_schema": '{"type": "object"}'}, "either `fields`"),
        ({"json_schema": "{"}, "is no JSON"),
        ({"json_schema": '{"type": "array"}'}, "must be of an object"),
        ({"models": ["a", "a"]}, "named twice"),
        ({"into": "generated"}, "is taken"),
    ],
)
def test_a_wrong_config_is_said(config: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        CLASS.Config.model_validate({"prompts": {"p": {"user": "a"}}, **config})


async def test_a_prompt_in_a_file_has_a_version_that_follows_its_text(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    file = tmp_path / "prompts" / "sort.jinja"
    versions = []
    for text in ("Sort: {{ data.text }}", "Sort this: {{ data.text }}"):
        file.write_text(text)
        ctx = Bench({"Sort: a": "b", "Sort this: a": "b"}, data_dir=tmp_path)
        node = await make(ctx, prompts={"p": {"file": "sort"}})
        (event,) = (await node.handle(say("a"), "in"))["out"]
        versions.append(event.data["generated"]["prompt"])
    assert versions[0] != versions[1]
    assert all(version.startswith("p@") for version in versions)
    file.write_text("{{ nothing }}")
    with pytest.raises(ConfigError, match=r"sort\.jinja: .* no 'nothing'"):
        await make(Bench(data_dir=tmp_path), prompts={"p": {"file": "sort"}})
    file.unlink()
    with pytest.raises(ConfigError, match=r"sort\.jinja cannot be read"):
        await make(Bench(data_dir=tmp_path), prompts={"p": {"file": "sort"}})


async def test_one_prompt_needs_no_name_and_the_node_may_say_what_comes_first() -> None:
    ctx = Bench({"a": "b"})
    node = await make(ctx, prompts={}, prompt="{{ data.text }}", system="Be short.")
    (event,) = (await node.handle(say("a"), "in"))["out"]
    assert ctx.asks[0].messages == (("system", "Be short."), ("user", "a"))
    assert event.data["generated"]["prompt"].startswith("prompt@")
    ctx = Bench({"a": "b"})
    two = {"x": {"when": {"topics": ["x"]}, "user": "x"}, "y": {"system": "S", "user": "a"}}
    node = await make(ctx, prompts=two, system="Be short.")
    await node.handle(say("a"), "in")
    assert ctx.asks[0].messages == (("system", "S"), ("user", "a"))


async def test_an_event_that_lacks_what_is_asked_for_is_refused() -> None:
    node = await make(Bench({}))
    with pytest.raises(Rejected, match=r"p@.*there is no 'text'; there is other"):
        await node.handle((Event(1, "m", {"other": 1}),), "in")


async def test_an_old_event_is_not_asked_about() -> None:
    node = await make(Bench({}), max_age_s=10)
    with pytest.raises(Rejected, match="s old"):
        await node.handle(say("a"), "in")


# ---------------------------------------------------------------------- answers


async def test_the_question_says_all_that_the_engine_must_know() -> None:
    ctx = Bench({"a": '{"n": 3}'})
    node = await make(
        ctx,
        prompts={"p": {"system": "Be short, {{ params.who }}.", "user": "{{ data.text }}"}},
        params={"who": "Mo"},
        fields={"n": {"kind": "integer", "low": 1, "high": 5}},
        models=["big"],
        language="ja",
        private=False,
        seed=4,
    )
    (event,) = (await node.handle(say("a"), "in"))["out"]
    (ask,) = ctx.asks
    assert ask.messages == (("system", "Be short, Mo."), ("user", "a"))
    assert (ask.model, ask.language, ask.is_private, ask.seed) == ("big", "ja", False, 4)
    assert ask.schema == {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1.0, "maximum": 5.0}},
        "required": ["n"],
        "additionalProperties": False,
    }
    assert 0 < ask.deadline_s <= 60
    facts = event.data["generated"]
    assert event.data["answer"] == {"n": 3}
    assert (facts["model"], facts["tokens_out"], facts["cost"], facts["event"]) == (
        "big",
        5,
        0.002,
        ask.key,
    )
    assert ctx.counts["tokens_out"] == 5
    assert ctx.counts["took_ms"] == 250
    assert ctx.counts["cost_millionths"] == 2_000


async def test_one_event_has_one_name_whoever_asks() -> None:
    """Answers of two nodes find each other; each answer has an id of its own."""
    found = []
    for node_id in ("mood", "topic", "mood"):
        node = await make(Bench({"a": "b"}, node_id=node_id))
        (event,) = (await node.handle(say("a"), "in"))["out"]
        found.append((event.data["generated"]["event"], event.id))
    assert len({event for event, _ in found}) == 1
    assert found[0] == found[2]
    assert found[0][1] != found[1][1]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no", "is no JSON"),
        ("[1]", "no JSON object"),
        ("{}", "has no 'a'"),
        ('{"a": "z"}', "a = 'z'"),
        ('{"a": 1}', "a = '1'"),
    ],
)
def test_an_answer_that_does_not_fit_is_none(text: str, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        read(text, {"a": FieldConfig(choices=["x", "y"])})


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("text", "a", 1),
        ("number", 1.5, True),
        ("integer", 2, 1.5),
        ("boolean", False, "no"),
        ("texts", ["a"], "a"),
    ],
)
def test_kinds_of_fields(kind: Any, good: Any, bad: Any) -> None:
    fields = {"a": FieldConfig(kind=kind)}
    assert read(json.dumps({"a": good}), fields) == {"a": good}
    with pytest.raises(Rejected):
        read(json.dumps({"a": bad}), fields)
    assert schema_of(fields, "") is not None


# ---------------------------------------------------------------------- tries and fallbacks


async def test_the_next_model_answers_when_one_does_not() -> None:
    trouble = [Disconnected("Away."), Rejected("Never."), ConfigError("Unknown."), "it"]
    ctx = Bench({"a": trouble})
    node = await make(ctx, models=["one", "two", "three", "four"])
    (event,) = (await node.handle(say("a"), "in"))["out"]
    assert event.data["generated"]["model"] == "four"
    assert [ask.model for ask in ctx.asks] == ["one", "two", "three", "four"]
    assert (ctx.counts["without_answer"], ctx.counts["fallbacks"]) == (3, 1)


async def test_an_answer_of_a_wrong_form_goes_to_the_next_model_and_then_to_the_dead() -> None:
    ctx = Bench({"a": ["no JSON", '{"x": "good"}'], "b": ["no", "no"]})
    fields = {"x": {"choices": ["good"]}}
    node = await make(ctx, models=["one", "two"], fields=fields)
    (event,) = (await node.handle(say("a"), "in"))["out"]
    assert event.data["answer"] == {"x": "good"}
    with pytest.raises(Rejected, match="no JSON"):
        await node.handle(say("b"), "in")


async def test_tries_are_spent_and_then_it_is_dead() -> None:
    ctx = Bench({"a": [Disconnected("Away.")] * 9})
    node = await make(ctx, models=["one", "two"], tries=2)
    with pytest.raises(Disconnected, match="Away"):
        await node.handle(say("a"), "in")
    with pytest.raises(Rejected, match=r"No model answered 2 times\. The last said: Away"):
        await node.handle(say("a"), "in")
    assert len(ctx.asks) == 4
    with pytest.raises(Disconnected):
        await node.handle(say("a"), "in")  # It counts anew: a person has sent it again.
    node = await make(Bench({"a": [Disconnected("Away.")] * 9}), tries=0)
    for _ in range(9):
        with pytest.raises(Disconnected):
            await node.handle(say("a"), "in")


async def test_no_model_may_answer() -> None:
    node = await make(Bench({"a": ConfigError("Nothing leaves the plant.")}))
    with pytest.raises(ConfigError, match="leaves the plant"):
        await node.handle(say("a"), "in")


async def test_a_model_that_hangs_is_given_up_at_the_deadline() -> None:
    class Hanging(Bench):
        async def generate(self, ask: Ask, on_chunk: OnChunk | None = None) -> Generated:
            self.asks.append(ask)
            return await asyncio.get_running_loop().create_future()

    ctx = Hanging()
    node = await make(ctx, deadline_s=0.2, models=["one", "two"])
    with pytest.raises(Disconnected, match="No answer from one within"):
        await node.handle(say("a"), "in")
    assert [ask.model for ask in ctx.asks] == ["one", "two"], "the second has a part of the time"
    assert 0 < ctx.asks[0].deadline_s <= 0.12


# ---------------------------------------------------------------------- pieces


async def pieces_of(ctx: Bench, text: str, **config: Any) -> tuple[list[Any], Any]:
    node = await make(ctx, chunks=True, **config)
    found: list[Any] = []

    async def give(outputs: Any) -> None:
        found.extend(outputs["chunks"])

    try:
        outputs = await node.answer(say(text), "in", give)
    except Rejected as error:
        return found, error
    return [*found, *outputs["chunks"]], outputs["out"][0]


async def test_pieces_make_the_answer() -> None:
    pieces, answer = await pieces_of(Bench({"a": "The pump may be worn."}), "a")
    assert "".join(e.data["text"] for e in pieces) == answer.data["answer"]
    assert [e.data["seq"] for e in pieces] == list(range(len(pieces)))
    assert [e.data["last"] for e in pieces] == [False] * (len(pieces) - 1) + [True]
    assert {e.data["id"] for e in pieces} == {answer.data["generated"]["event"]}
    at = 0
    for event in pieces:
        assert event.data["at"] == at
        at += len(event.data["text"])
    assert len({e.id for e in pieces}) == len(pieces)


class Wordy(Bench):
    """Says something before it fails, or says it in other words in the end."""

    async def generate(self, ask: Ask, on_chunk: OnChunk | None = None) -> Generated:
        assert on_chunk is not None
        on_chunk("It is")
        await asyncio.sleep(0.01)
        return await super().generate(ask, None)


async def test_another_model_begins_anew_and_no_answer_ends_what_was_begun() -> None:
    ctx = Wordy({"a": [Disconnected("Cut."), "It was so."]})
    pieces, answer = await pieces_of(ctx, "a", models=["one", "two"])
    assert [(e.data["seq"], e.data["text"]) for e in pieces] == [
        (0, "It is"),
        (0, "It is"),
        (0, "It was so."),
    ], "the answer counts, not what was said on the way"
    assert answer.data["answer"] == "It was so."
    pieces, error = await pieces_of(Wordy({"a": Rejected("Never.")}), "a")
    assert isinstance(error, Rejected)
    assert pieces[-1].data == {
        "id": pieces[0].data["id"],
        "seq": 1,
        "at": 5,
        "text": "",
        "last": True,
        "cut": True,
    }


# ---------------------------------------------------------------------- in the engine


@pytest.fixture
def script() -> Iterator[Script]:
    with lent(Script()) as found:
        base = found.nodes()["script.source"]
        ports = (Port("out", "events", "Questions."), Port("status", "events", "How it is."))
        registry.LENT["script.events"] = type("Asker", (base,), {"outputs": ports})
        yield found


def asking(more: str) -> Document:
    return Document.parse(
        "flow: test\nversion: 1\nnodes:\n  src: {type: script.events}\n"
        "  ask:\n    type: llm.generate\n    facts: false\n    chunks: true\n"
        '    prompts: {p: {user: "{{ data.text }}"}}\n'
        f"{more}"
        "  out: {type: script.sink}\n"
        "wires: [src -> ask, ask.out -> out.events, ask.chunks -> out.events]\n"
    )


async def send(script: Script, *events: Event) -> None:
    await script.readings.put(Reading({"out": tuple(events)}))


def answered(script: Script) -> list[Event]:
    events: list[Any] = [e for _, message in script.written for e in message]
    return [e for e in events if "answer" in e.data]


async def test_order_per_key_and_several_at_once_over_http(script: Script, tmp_path: Path) -> None:
    async with model_server() as server:
        server.lend(tmp_path, price_in=100.0)
        server.word_s = 0.01
        runtime = await started(asking("    key: user\n    parallel: 3\n"), tmp_path)
        events = [Event(i, "m", {"text": f"t{i}", "user": i % 4}, str(i)) for i in range(24)]
        await send(script, *events)
        await until(lambda: len(answered(script)) == 24)
        assert server.most == 3
        for user in range(4):
            mine = [e.ts for e in answered(script) if e.data["user"] == user]
            assert mine == sorted(mine)
        counts = runtime.runners["test"].statuses["ask"].counts
        assert (counts["answered"], counts["tokens_in"]) == (24, 24 * 7)
        assert counts["cost_millionths"] == 24 * 7 * 100
        await runtime.stop()


async def test_the_link_is_cut_in_the_middle_of_an_answer(script: Script, tmp_path: Path) -> None:
    """It is asked again, begins anew, and there is one answer; a replay asks nobody."""
    async with model_server(lambda messages: "one two three four") as server:
        server.lend(tmp_path)
        server.cut_after, server.word_s = 3, 0.15
        runtime = await started(asking(""), tmp_path)
        await send(script, Event(1, "m", {"text": "a"}, "1"))
        await until(lambda: len(server.asked) == 1 and server.now == 0)
        server.cut_after = -1
        await until(lambda: answered(script))
        events: list[Any] = [e for _, message in script.written for e in message]
        pieces = [e.data for e in events if "seq" in e.data]
        starts = [i for i, piece in enumerate(pieces) if piece["seq"] == 0]
        assert len(starts) == 2
        whole = pieces[starts[1] :]
        assert "".join(piece["text"] for piece in whole) == "one two three four"
        assert whole[-1]["last"]
        assert len(answered(script)) == 1
        await kill(runtime)
        before = len(server.asked)
        runtime = await started(asking(""), tmp_path)
        await asyncio.sleep(0.3)
        assert len(server.asked) == before, "it is answered: nobody is asked"
        assert not flow_books(runtime.runners["test"])["unbalanced"]
        await runtime.stop()


async def test_a_crash_in_the_middle_of_an_answer(script: Script, tmp_path: Path) -> None:
    async with model_server(lambda messages: "one two three four") as server:
        server.lend(tmp_path)
        server.word_s = 0.2
        runtime = await started(asking(""), tmp_path)
        await send(script, Event(1, "m", {"text": "a"}, "1"))
        await until(lambda: script.written)
        assert not answered(script)
        await kill(runtime)
        server.word_s = 0.0
        runtime = await started(asking(""), tmp_path)
        await until(lambda: answered(script))
        events: list[Any] = [e for _, message in script.written for e in message]
        pieces = [e.data for e in events if "seq" in e.data]
        last = max(i for i, piece in enumerate(pieces) if piece["seq"] == 0)
        assert "".join(piece["text"] for piece in pieces[last:]) == "one two three four"
        assert len({e.id for e in answered(script)}) == 1
        await runtime.stop()


async def test_tries_then_a_dead_letter(script: Script, tmp_path: Path) -> None:
    async with model_server() as server:
        server.lend(tmp_path)
        server.trouble = [503, 503, 400, 0]
        runtime = await started(asking("    tries: 2\n"), tmp_path)
        await send(script, *(Event(i, "m", {"text": f"t{i}"}, str(i)) for i in range(3)))
        await until(lambda: len(answered(script)) == 1)
        assert [e.ts for e in answered(script)] == [2]
        errors = [row["error"] for row in await letters(runtime.store)]
        assert len(errors) == 2
        assert any("No model answered 2 times. The last said:" in error for error in errors)
        assert any("(400)" in error and "times" not in error for error in errors)
        await until(lambda: not flow_books(runtime.runners["test"])["outlets"][0]["queued"])
        assert not flow_books(runtime.runners["test"])["unbalanced"]
        await runtime.stop()


def test_what_a_model_says_can_be_in_a_flow_test() -> None:
    document = asking("")
    assert document.class_of("ask") is CLASS

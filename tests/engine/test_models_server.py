"""The client of OpenAI-compatible servers, against a real server on a socket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway import ConfigError, Disconnected, Rejected
from gateway.engine.models_wire import Events
from tests.cancels import cancelled_twice
from tests.engine.llm_server import chunk, gives, hangs, says, sends, serving, streams
from tests.engine.models_gear import ask, gear, server

SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["error", "info"]}, "n": {"type": "integer"}},
    "required": ["kind"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("split", [0, 1, 7])
async def test_pieces_come_as_they_are_made(tmp_path: Path, split: int) -> None:
    async with gear(tmp_path) as g, serving(streams("Hel", "lo ", "現場", split=split)) as s:
        await g.set({"a": server(s.url, key="k")})
        g.secrets.put("k", "sesame")
        pieces: list[str] = []
        found = await g.pool.generate(ask("Who?", tokens_max=9, seed=4), pieces.append)
        assert found.text == "Hello 現場" == "".join(pieces)
        assert pieces == ["Hel", "lo ", "現場"]
        assert (found.model, found.tokens_in, found.tokens_out) == ("a", 11, 7)
        assert s.headers[0]["Authorization"] == "Bearer sesame"
        sent = s.bodies[0]
        assert sent["messages"] == [{"role": "user", "content": "Who?"}]
        assert (sent["max_tokens"], sent["seed"], sent["stream"]) == (9, 4, True)
        assert not {"n", "logprobs", "logit_bias", "response_format"} & set(sent)


async def test_the_key_is_nowhere_but_in_the_request(tmp_path: Path) -> None:
    async with gear(tmp_path) as g, serving(says(401, "bad key")) as s:
        await g.set({"a": server(s.url, key="k")})
        g.secrets.put("k", "sesame-open")
        with pytest.raises(ConfigError, match="does not take the key") as caught:
            await g.pool.generate(ask())
        shown = str(caught.value) + str(g.pool.rows()) + str(g.said) + g.pool.book.text()
        assert "sesame-open" not in shown
        await g.pool.stop()
        for path in tmp_path.rglob("*"):
            if path.is_file():
                assert b"sesame-open" not in path.read_bytes(), path


async def test_options_of_a_provider(tmp_path: Path) -> None:
    other = {"tokens_field": "max_completion_tokens", "takes_seed": False, "is_streaming": False}
    async with gear(tmp_path) as g, serving(gives("whole", usage=(3, 2), finish="length")) as s:
        await g.set({"a": server(s.url, **other)})
        pieces: list[str] = []
        found = await g.pool.generate(ask(tokens_max=5), pieces.append)
        assert (found.text, pieces) == ("whole", ["whole"])
        assert "cut at tokens_max" in found.reason
        assert s.bodies[0]["max_completion_tokens"] == 5
        assert not {"seed", "max_tokens", "stream_options"} & set(s.bodies[0])


@pytest.mark.parametrize(
    ("form", "key"), [("json_schema", "json_schema"), ("json_object", "type"), ("none", None)]
)
async def test_json_is_asked_for_as_the_server_can(
    tmp_path: Path, form: str, key: str | None
) -> None:
    text = '{"kind": "error", "n": 2}'
    async with gear(tmp_path) as g, serving(gives(f"Here:\n```json\n{text}\n```")) as s:
        await g.set({"a": server(s.url, form=form, is_streaming=False)})
        found = await g.pool.generate(ask(schema=SCHEMA))
        assert json.loads(found.text) == {"kind": "error", "n": 2}
        wished = s.bodies[0].get("response_format")
        assert (wished is None) if key is None else (key in wished)
        told = form != "json_schema"
        assert ("fits this schema" in json.dumps(s.bodies[0]["messages"])) == told


async def test_an_answer_of_the_wrong_form_is_sent_back(tmp_path: Path) -> None:
    good = streams('{"kind": ', '"info"}')
    bad = streams('{"kind": "maybe"}')
    async with gear(tmp_path) as g, serving(streams("no JSON"), bad, good) as s:
        await g.set({"a": server(s.url)})
        pieces: list[str] = []
        found = await g.pool.generate(ask(schema=SCHEMA), pieces.append)
        assert json.loads(found.text) == {"kind": "info"}
        assert "sent back 2 times" in found.reason
        assert pieces == ["no JSON"], "What comes after a void piece is not told."
        assert "$.kind is none of" in s.bodies[2]["messages"][-1]["content"]
        assert found.tokens_in == 33, "Every try is counted."


async def test_a_server_that_never_finds_the_form_is_rejected(tmp_path: Path) -> None:
    async with gear(tmp_path) as g, serving(gives("prose")) as s:
        await g.set({"a": server(s.url)})
        with pytest.raises(Rejected, match="form"):
            await g.pool.generate(ask(schema=SCHEMA))
        assert len(s.bodies) == 3


async def test_a_schema_that_cannot_be_checked_is_refused(tmp_path: Path) -> None:
    async with gear(tmp_path) as g, serving(gives("{}")) as s:
        await g.set({"a": server(s.url)})
        with pytest.raises(ConfigError, match="pattern"):
            await g.pool.generate(ask(schema={"type": "string", "pattern": "a+"}))
        assert not s.bodies


async def test_errors_that_pass_are_tried_again(tmp_path: Path) -> None:
    steps = (says(500), says(429, retry_after="0.1"), streams("then"))
    async with gear(tmp_path) as g, serving(*steps) as s:
        await g.set({"a": server(s.url)})
        assert (await g.pool.generate(ask())).text == "then"
        assert len(s.bodies) == 3


async def test_retry_after_beyond_the_deadline_is_not_waited_for(tmp_path: Path) -> None:
    async with gear(tmp_path) as g, serving(says(429, "slow down", retry_after="600")) as s:
        await g.set({"a": server(s.url)})
        with pytest.raises(Disconnected, match="slow down") as caught:
            await g.pool.generate(ask(deadline_s=10))
        assert caught.value.retry_after_s == 600
        with pytest.raises(Disconnected, match="may be asked again in"):
            await g.pool.generate(ask("another"))
        assert len(s.bodies) == 1, "Nobody knocks before the time that was named."


@pytest.mark.parametrize(
    ("step", "error", "match"),
    [
        (says(400, "too long"), Rejected, "too long"),
        (says(404, "no such model"), ConfigError, "no such model"),
        (says(307, "x", location="http://evil/"), ConfigError, "not followed"),
        (sends(b"<html>"), Disconnected, "no JSON"),
        (sends(b"[1]"), Disconnected, "no object"),
        (sends(b'{"choices": [{"message": {"content": null}}]}'), Disconnected, "without a text"),
        (sends(b'{"error": {"message": "GPU on fire"}}'), Disconnected, "GPU on fire"),
        (sends(b"data: {oops\n\n", "text/event-stream"), Disconnected, "no JSON"),
        (sends(chunk("half"), "text/event-stream"), Disconnected, "broke off after 1 pieces"),
        (sends(b"data: " + b"x" * 2_000_000, "text/event-stream"), Disconnected, "line of more"),
        (gives("x" * 300_000), Rejected, "without an end"),
        (gives("x", finish="content_filter"), Rejected, "withholds"),
        (streams("a", "b", "c", cut_after=2), Disconnected, "cannot be reached|broke off"),
    ],
)
async def test_what_servers_do(tmp_path: Path, step: Any, error: type, match: str) -> None:
    async with gear(tmp_path) as g, serving(step) as s:
        await g.set({"a": server(s.url, tries=1)})
        with pytest.raises(error, match=match):
            await g.pool.generate(ask())


async def test_a_stream_that_is_cut_begins_anew_whole(tmp_path: Path) -> None:
    cut, good = streams("wro", "ng", cut_after=1), streams("ri", "ght")
    async with gear(tmp_path) as g, serving(cut, good) as s:
        await g.set({"a": server(s.url)})
        pieces: list[str] = []
        found = await g.pool.generate(ask(), pieces.append)
        assert found.text == "right"
        assert pieces == ["wro"], "Pieces are provisional; the text is what counts."


async def test_silence_ends_at_the_deadline_and_the_server_is_told(tmp_path: Path) -> None:
    async with gear(tmp_path) as g, serving(hangs()) as s:
        await g.set({"a": server(s.url)})
        deadline_s = 0.3
        while not s.bodies:  # On a busy machine the time may be over before it has the question.
            with pytest.raises(Disconnected, match=r"deadline_s|has not answered"):
                await g.pool.generate(ask(deadline_s=deadline_s))
            deadline_s *= 2
        await asyncio.wait_for(s.gone.wait(), 20)


@pytest.mark.parametrize("turns", range(6))
async def test_a_second_cancel_does_not_disturb_the_closing(tmp_path: Path, turns: int) -> None:
    """As when a deadline ends inside another one: httpx alone would keep the connection."""
    async with gear(tmp_path) as g, serving(hangs(), gives("free")) as s:
        await g.set({"a": server(s.url, at_once=1)})
        task = asyncio.ensure_future(g.pool.generate(ask("1", deadline_s=30)))
        while not s.bodies:
            await asyncio.sleep(0.01)
        await cancelled_twice(task, turns)
        await asyncio.wait_for(s.gone.wait(), 20)
        assert (await g.pool.generate(ask("2"))).text == "free"


async def test_who_gives_up_waiting_closes_the_stream(tmp_path: Path) -> None:
    async with gear(tmp_path) as g, serving(streams(*["x"] * 1000, pause_s=0.02)) as s:
        await g.set({"a": server(s.url)})
        begun = asyncio.Event()
        task = asyncio.ensure_future(g.pool.generate(ask(), lambda text: begun.set()))
        await asyncio.wait_for(begun.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(s.gone.wait(), 5)


async def test_only_allowed_destinations_are_reached(tmp_path: Path) -> None:
    async with gear(tmp_path, allows=False) as g, serving(gives("x")) as s:
        await g.set({"a": server(s.url)})
        with pytest.raises(ConfigError, match="may not be reached"):
            await g.pool.generate(ask())
        assert not s.bodies
        g.destinations.allow("127.0.0.1")
        assert (await g.pool.generate(ask())).text == "x"


async def test_a_minute_has_so_many_questions(tmp_path: Path) -> None:
    async with gear(tmp_path) as g, serving(gives("x")) as s:
        await g.set({"a": server(s.url, requests_per_min=2)})
        await g.pool.generate(ask("1"))
        await g.pool.generate(ask("2"))
        with pytest.raises(Disconnected, match=r"may be asked again in [23]\d s"):
            await g.pool.generate(ask("3", deadline_s=5))
        assert len(s.bodies) == 2


async def test_so_many_at_once_and_the_urgent_first(tmp_path: Path) -> None:
    slow = streams("a", pause_s=0.02)
    async with gear(tmp_path) as g, serving(slow) as s:
        await g.set({"a": server(s.url, at_once=1)})
        first = asyncio.ensure_future(g.pool.generate(ask("first")))
        while not s.bodies:
            await asyncio.sleep(0.01)
        others = [
            asyncio.ensure_future(g.pool.generate(ask(f"p{p}", priority=p))) for p in (1, 3, 2)
        ]
        await asyncio.gather(first, *others)
        asked = [body["messages"][0]["content"] for body in s.bodies]
        assert asked == ["first", "p3", "p2", "p1"]


async def test_the_least_urgent_gives_way_when_too_many_wait(tmp_path: Path) -> None:
    async with gear(tmp_path) as g, serving(hangs(), gives("x")) as s:
        await g.set({"a": server(s.url, at_once=1, queue_max=1)})
        first = asyncio.ensure_future(g.pool.generate(ask("first")))
        while not s.bodies:
            await asyncio.sleep(0.01)
        low = asyncio.ensure_future(g.pool.generate(ask("low", priority=1)))
        await asyncio.sleep(0.05)
        with pytest.raises(Disconnected, match="queue_max"):
            await g.pool.generate(ask("lower", priority=1))
        high = asyncio.ensure_future(g.pool.generate(ask("high", priority=2)))
        with pytest.raises(Disconnected, match="gave way"):
            await low
        first.cancel()
        assert (await high).text == "x"


def test_events_are_found_however_bytes_are_cut() -> None:
    data = b": ping\ndata: a\r\n\r\nevent: x\ndata: b\ndata: c\n\ndata:d\n\nid: 4\n\n"
    for size in range(1, len(data)):
        events, found = Events("here"), []
        for at in range(0, len(data), size):
            found += events.feed(data[at : at + size])
        assert found == ["a", "b\nc", "d"]

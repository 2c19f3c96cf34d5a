"""Lines in the terminal, and messages in a channel."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from gateway import ConfigError, Disconnected, Event, Rejected
from gateway.engine.clock import SystemClock
from gateway.engine.metrics import Lines
from gateway.flow import harness
from gateway.flow.registry import node_class
from tests.nodes.test_email import alarm
from tests.nodes.web_server import Site, serving

NS = 10**9


def node(name: str, secret: str = "", **config: Any) -> Any:
    ctx = harness.BenchContext(clock=SystemClock(), secrets={"hook": secret})
    return harness.make(node_class(name), config, ctx)


async def test_lines_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    sink = node("console.sink", line="{topic}: {data.text}", rows_max=2)
    events = tuple(Event(i, "t", {"text": f"\x1b[2Jhi\r\n{i}\u202e"}) for i in range(5))
    await sink.write(events, "events")
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["t:  [2Jhi  0 ", "t:  [2Jhi  1 ", "... and 3 more rows"]
    assert [text for _, text in sink.ctx.said] == lines


async def test_json_for_another_program(capsys: pytest.CaptureFixture[str]) -> None:
    sink = node("console.sink", form="json", to="stdout")
    await sink.write((alarm(),), "alarms")
    found = json.loads(capsys.readouterr().out)
    assert (found["tag"], found["value"]) == ("tag1", 76.25)
    assert not sink.ctx.said


async def test_a_line_has_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    sink = node("console.sink", line="{data.a}", chars_max=20)
    await sink.write((Event(0, "t", {"a": "x" * 10_000}),), "events")
    assert capsys.readouterr().out == "x" * 20 + "...\n"


def piece(key: str, seq: int, text: str, *, last: bool = False, **more: Any) -> Event:
    data = {"id": key, "seq": seq, "text": text, "last": last, **more}
    return Event(1, "answer", data, f"{key}/{seq}")


async def test_pieces_of_an_answer_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    sink = node("console.sink", chars_max=20)
    await sink.write((piece("a", 0, "The "), piece("b", 0, "An")), "chunks")
    await sink.write((piece("a", 1, "pump\x1b["),), "chunks")
    assert capsys.readouterr().out == "", "the terminal gets whole lines"
    await sink.write((piece("a", 0, "No, "), piece("a", 1, "the fan", last=True)), "chunks")
    await sink.write((piece("b", 1, "d", last=True, cut=True),), "chunks")
    await sink.write((piece("c", 0, "x" * 50, last=True),), "chunks")
    shown = [text for _, text in sink.ctx.said]
    assert shown[:5] == ["The ", "An", "The pump [", "No, ", "No, the fan"]
    assert shown[5:] == ["And [cut off]", "x" * 20 + "..."]
    assert capsys.readouterr().out.splitlines() == [shown[4], *shown[5:]]


def test_lines_grow_in_their_place_and_are_bounded() -> None:
    lines = Lines()
    lines.add(1, "info", "f/a", "one")
    lines.grow(2, "f/c", "The", "k", is_over=False)
    lines.add(3, "info", "f/a", "two")
    seen = lines.version
    lines.grow(4, "f/c", "The pump", "k", is_over=False)
    assert lines.changed(seen) == [(2, (2, "info", "f/c", "The pump"))]
    lines.grow(5, "f/d", "Other", "k", is_over=True)
    assert [text for _, _, _, text in lines.kept] == ["one", "The pump", "two", "Other"]
    for i in range(500):
        lines.add(6, "info", "f/a", str(i))
    lines.grow(7, "f/c", "The pump is", "k", is_over=True)
    assert lines.kept[-1] == (7, "info", "f/c", "The pump is"), "its line is gone: a new one"
    for i in range(500):
        lines.grow(8, "f/c", "x", str(i), is_over=False)
    assert len(lines.kept) == len(lines.changed(-1)) == 200
    assert len(lines._growing) == 200


# ------------------------------------------------------------------ slack


def texts(site: Site) -> list[str]:
    return [json.loads(heard.body)["text"] for heard in site.heard]


async def test_an_alarm_is_a_message_and_calls_nobody() -> None:
    site = Site()
    async with serving(site) as url:
        sink = node("slack.sink", f"{url}/services/T0/B0/secret", url={"secret": "hook"})
        await sink.connect()
        await sink.write((alarm(text="<!channel> <http://evil|ok> & more"),), "alarms")
        await sink.close()
    assert site.heard[0].path == "/services/T0/B0/secret"
    assert texts(site) == [
        ":warning: high HI raised: tag1 76.25 Cel, limit 75 Cel "
        "(&lt;!channel&gt; &lt;http://evil|ok&gt; &amp; more)"
    ]


async def test_a_flood_is_one_message() -> None:
    site = Site()
    async with serving(site) as url:
        sink = node("slack.sink", url, url={"secret": "hook"}, burst=3)
        await sink.connect()
        await sink.write(tuple(alarm(i) for i in range(500)), "alarms")
        await sink.close()
    (text,) = texts(site)
    assert text.startswith("500 alarms\n")
    assert len(text) < 4_000


async def test_rate_limits_are_honoured_and_the_address_stays_secret() -> None:
    site = Site()
    site.answers = [
        web.Response(status=429, headers={"Retry-After": "30"}),
        web.Response(status=403, text="invalid_token"),
    ]
    async with serving(site) as url:
        sink = node("slack.sink", f"{url}/services/secret", url={"secret": "hook"})
        await sink.connect()
        with pytest.raises(Disconnected) as later:
            await sink.write((alarm(),), "alarms")
        with pytest.raises(Rejected, match="invalid_token") as never:
            await sink.write((alarm(),), "alarms")
        await sink.close()
    assert later.value.retry_after_s == 30
    assert "secret" not in f"{later.value} {never.value}"


@pytest.mark.parametrize("secret", ["", "nonsense", "ftp://x/"])
async def test_a_secret_that_is_no_address_is_said(secret: str) -> None:
    with pytest.raises(ConfigError, match="is no address"):
        await node("slack.sink", secret, url={"secret": "hook"}).connect()

"""Lines in the terminal, and messages in a channel."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from gateway import ConfigError, Disconnected, Event, Rejected
from gateway.engine.clock import SystemClock
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
        ":warning: high HI raised: tag1 76.25 Cel, limit 75 "
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

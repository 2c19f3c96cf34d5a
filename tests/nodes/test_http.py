"""Webhooks out and in, and questions: against real servers, with every way to say no."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from gateway import ConfigError, Disconnected, Event, Reading, Rejected
from gateway.engine.clock import SystemClock
from gateway.engine.runtime import Runtime
from gateway.flow import harness
from gateway.flow.document import Document
from gateway.flow.registry import node_class
from nodes._feed import parsed, time_of
from nodes._web import retry_after_s
from nodes.http._signature import is_signed, sign
from tests.api.serving import served
from tests.engine.gear import Script, lent, started, until
from tests.nodes.test_email import alarm, certificate
from tests.nodes.web_server import Site, serving

NS = 10**9


def node(name: str, **config: Any) -> Any:
    ctx = harness.BenchContext(clock=SystemClock(), secrets={"key": "four horses"})
    return harness.make(node_class(name), config, ctx)


def events(*numbers: int) -> tuple[Event, ...]:
    return tuple(Event(i * NS, f"n/{i}", {"i": i}, f"e{i}") for i in numbers)


# ------------------------------------------------------------------ out


async def test_an_event_is_a_request_with_a_key_and_a_signature() -> None:
    site = Site()
    async with serving(site) as url:
        for _ in range(2):
            sink = node("http.sink", url=f"{url}/a?b=c", sign={"secret": "key"})
            await sink.connect()
            await sink.write(events(1, 2), "events")
            await sink.close()
    first, second, again, _ = site.heard
    assert (first.method, first.path) == ("POST", "/a?b=c")
    assert json.loads(first.body)["data"] == {"i": 1}
    assert first.headers["content-type"] == "application/json"
    assert is_signed("four horses", first.body, first.headers["x-hub-signature-256"])
    assert not is_signed("four horses", first.body + b" ", first.headers["x-hub-signature-256"])
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"]
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


async def test_a_body_of_ones_own_stays_json_whatever_goes_in() -> None:
    site = Site()
    body = '{"text": "{text}", "value": {value}, "limit": {limit}}'
    async with serving(site) as url:
        sink = node("http.sink", url=url, body=body)
        await sink.connect()
        await sink.write((alarm(text='say "hi"\n\\ {value}', limit=float("nan")),), "alarms")
        await sink.close()
    found = json.loads(site.heard[0].body)
    assert found == {"text": 'say "hi"\n\\ {value}', "value": 76.25, "limit": None}


async def test_many_rows_are_one_list() -> None:
    site = Site()
    async with serving(site) as url:
        sink = node("http.sink", url=url, many=True, rows_max=3)
        await sink.connect()
        await sink.write(events(*range(7)), "events")
        await sink.close()
    assert [len(json.loads(heard.body)) for heard in site.heard] == [3, 3, 1]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Rejected),
        (401, Rejected),
        (404, Rejected),
        (422, Rejected),
        (408, Disconnected),
        (425, Disconnected),
        (429, Disconnected),
        (500, Disconnected),
        (503, Disconnected),
        (302, ConfigError),
        (308, ConfigError),
    ],
)
async def test_what_answers_mean(status: int, error: type[Exception]) -> None:
    site = Site()
    headers = {"Location": "http://169.254.169.254/", "Retry-After": "7"}
    site.answers = [web.Response(status=status, headers=headers, text="so\nit is")]
    async with serving(site) as url:
        sink = node("http.sink", url=url)
        await sink.connect()
        with pytest.raises(error) as caught:
            await sink.write(events(1), "events")
        await sink.close()
    assert len(site.heard) == 1, "no redirect is followed"
    if isinstance(caught.value, Disconnected):
        assert caught.value.retry_after_s == 7
        assert "so it is" in str(caught.value)


async def test_what_was_taken_is_not_sent_again() -> None:
    site = Site()
    site.answers = [web.Response(), web.Response(status=503), web.Response()]
    async with serving(site) as url:
        sink = node("http.sink", url=url)
        await sink.connect()
        with pytest.raises(Disconnected):
            await sink.write(events(1, 2, 3), "events")
        await sink.write(events(1, 2, 3), "events")
        await sink.close()
    assert [json.loads(h.body)["data"]["i"] for h in site.heard] == [1, 2, 2, 3]


async def test_a_wrong_certificate_gets_nothing(tmp_path: Path) -> None:
    for host, ca in (("127.0.0.1", False), ("elsewhere.example.com", True)):
        context, pem = certificate(tmp_path, host)
        site = Site()
        async with serving(site, tls=context) as url:
            sink = node("http.sink", url=url, ca=str(pem) if ca else "")
            await sink.connect()
            with pytest.raises(ConfigError, match="does not count"):
                await sink.write(events(1), "events")
            await sink.close()
        assert not site.heard
    context, pem = certificate(tmp_path, "127.0.0.1")
    async with serving(site, tls=context) as url:
        sink = node("http.sink", url=url, ca=str(pem))
        await sink.connect()
        await sink.write(events(1), "events")
        await sink.close()
    assert len(site.heard) == 1


async def test_a_silent_and_a_flooding_server_are_given_up() -> None:
    async def slow(request: web.Request, body: bytes) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    async def flood(request: web.Request, body: bytes) -> web.StreamResponse:
        return web.Response(body=b"x" * 1_000_000)

    site = Site(act=slow)
    async with serving(site) as url:
        sink = node("http.sink", url=url, timeout_s=0.2)
        await sink.connect()
        with pytest.raises(Disconnected, match="No answer"):
            await sink.write(events(1), "events")
        site.act = flood
        with pytest.raises(Rejected, match="more than 65536 bytes"):
            await sink.write(events(2), "events")
        await sink.close()


@pytest.mark.parametrize(
    "config",
    [
        {"url": "file:///etc/passwd"},
        {"url": "http://user:pass@host/"},
        {"url": "http://host:99999/"},
        {"url": "http://a b/"},
        {"url": "http://h/", "headers": {"Host": "x"}},
        {"url": "http://h/", "headers": {"X": "a\r\nY: b"}},
        {"url": "http://h/", "body": "{nonsense}"},
    ],
)
def test_nonsense_is_refused_before_it_runs(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        node("http.sink", **config)


def test_a_retry_after_is_bounded() -> None:
    assert retry_after_s("999999999", 0) == 3600
    assert retry_after_s("9" * 400, 0) == 0
    assert retry_after_s("soon", 0) == 0


# ------------------------------------------------------------------ asking


async def test_polling_takes_what_is_new_and_sends_versions_back() -> None:
    site = Site()
    site.answers = [
        web.json_response(
            {"rows": [{"id": 1, "t": 5, "v": "2.5"}, {"id": 2}]}, headers={"ETag": '"a"'}
        ),
        web.Response(status=304),
        web.json_response({"rows": []}, headers={"Last-Modified": "yesterday"}),
        web.json_response({"rows": []}),
        web.json_response({"rows": [{"v": "x"}]}),
    ]
    async with serving(site) as url:
        source = node(
            "http.poll", url=url, interval_s=0.1, items="rows", id="id", ts="t", values={"A": "v"}
        )
        await source.connect()
        readings = [await source.read() for _ in range(5)]
        await source.close()
    first = readings[0].outputs
    assert (first["events"][0].ts, first["events"][0].id) == (5 * NS, "1")
    assert [(ts, v) for _, ts, v, _ in first["out"].rows()] == [(5 * NS, 2.5)]
    assert [bool(r.outputs) for r in readings] == [True, False, False, False, True]
    asked = [h.headers.get("if-none-match") for h in site.heard]
    assert asked == [None, '"a"', '"a"', None, None]
    assert site.heard[3].headers["if-modified-since"] == "yesterday"


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b'{"a": 1e999}', b'{"a": NaN}', b"\xff{"])
async def test_nonsense_that_is_answered_is_said_and_costs_one_answer(body: bytes) -> None:
    site = Site()
    site.answers = [web.Response(body=body)]
    async with serving(site) as url:
        source = node("http.poll", url=url, interval_s=0.1, values={"A": "a"})
        await source.connect()
        found = (await source.read()).outputs
        await source.read()
        await source.close()
    rows = list(found["out"].rows()) if "out" in found else []
    assert "status" in found or "events" in found
    assert all(v != v for _, _, v, _ in rows)


async def test_a_long_poll_is_held_and_asked_again_at_once() -> None:
    news = asyncio.Event()

    async def hold(request: web.Request, body: bytes) -> web.StreamResponse:
        await news.wait()
        news.clear()
        return web.json_response({"n": len(site.heard)})

    site = Site(act=hold)
    async with serving(site) as url:
        source = node("http.poll", url=url, long_poll_s=5, interval_s=0.1, timeout_s=0.5)
        await source.connect()
        for n in (1, 2):
            reading = asyncio.ensure_future(source.read())
            await until(lambda n=n: len(site.heard) == n)
            await asyncio.sleep(0.6)
            news.set()
            assert (await reading).outputs["events"][0].data == {"n": n}
        await source.close()


def test_times_of_many_kinds() -> None:
    assert time_of("1795204364") == time_of(1795204364) == 1795204364 * NS
    assert time_of(1795204364123456) == 1795204364123456 * 1000
    for wrong in (True, -1, float("nan"), float("inf"), 10**30, "9" * 50, [], {}, None, "1e400"):
        assert time_of(wrong) is None, wrong


def test_text_is_taken_as_text() -> None:
    assert parsed("hello\x00") == {"text": "hello\ufffd"}
    with pytest.raises(ValueError, match="no JSON"):
        parsed(b" {broken")


# ------------------------------------------------------------------ in


@asynccontextmanager
async def hooked(folder: Path, more: str = "auth: none", sink: str = "") -> AsyncIterator[Any]:
    """(runtime, script, client) of a gateway with a webhook."""
    with lent(Script()) as script:
        runtime = await started(hook_flow(more), folder)
        async with served(runtime) as url, httpx.AsyncClient(base_url=url) as client:
            await until(lambda: runtime.doors.find("orders"))
            yield runtime, script, client
            if runtime._is_running:
                await runtime.stop()


def hook_flow(more: str) -> Document:
    return Document.parse(
        "flow: test\nversion: 1\nnodes:\n"
        f"  hook: {{type: http.webhook, path: orders, {more}}}\n"
        "  out: {type: script.sink}\nwires: [hook.events -> out.events]\n"
    )


def taken(script: Script) -> list[Any]:
    return [dict(e.data) for port, m in script.written if port == "events" for e in m]  # type: ignore[union-attr]  # events


async def test_a_call_is_answered_when_the_journal_has_it_and_survives_a_kill(
    tmp_path: Path,
) -> None:
    async with hooked(tmp_path) as (runtime, script, client):
        script.away = True
        for i in range(3):
            assert (await client.post("/hook/orders", json={"i": i})).status_code == 200
        await kill_quietly(runtime)
    with lent(Script()) as script:
        runtime = await started(hook_flow("auth: none"), tmp_path)
        await until(lambda: len(taken(script)) == 3)
        assert taken(script) == [{"i": 0}, {"i": 1}, {"i": 2}]
        await runtime.stop()


async def kill_quietly(runtime: Runtime) -> None:
    """As `kill`, but the server of this test lives on."""
    keep = {t for t in asyncio.all_tasks() if "Server" in repr(t) or "uvicorn" in repr(t)}
    store = runtime.store
    store._db, db = None, store._db
    own = asyncio.current_task()
    tasks = [t for t in asyncio.all_tasks() if t is not own and t not in keep]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    store._executor.close()
    store._unlock()
    assert db is not None
    db.close()
    runtime._is_running = False


async def test_a_disk_that_does_not_answer_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hooked(tmp_path, "auth: none, answer_s: 0.3") as (runtime, script, client):
        slow = asyncio.Event()
        source = runtime.hosts["test"].ingresses["hook"].source
        honest = source.acknowledge

        async def never(token: Any) -> None:
            await slow.wait()
            await honest(token)

        monkeypatch.setattr(source, "acknowledge", never)
        headers = {"Idempotency-Key": "k1"}
        answer = await client.post("/hook/orders", json={"i": 1}, headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        slow.set()
        again = await client.post("/hook/orders", json={"i": 1}, headers=headers)
        assert again.status_code == 200
        await until(lambda: taken(script))
        await asyncio.sleep(0.1)
        assert taken(script) == [{"i": 1}], "the second call is the same one"


async def test_a_key_is_taken_once_also_after_a_restart_and_side_by_side(tmp_path: Path) -> None:
    async with hooked(tmp_path) as (_, script, client):
        calls = [
            client.post("/hook/orders", json={"i": 1}, headers={"Idempotency-Key": "k1"})
            for _ in range(10)
        ]
        assert {a.status_code for a in await asyncio.gather(*calls)} == {200}
        await until(lambda: taken(script))
        assert taken(script) == [{"i": 1}]
    async with hooked(tmp_path) as (_, script, client):
        for key in ("k1", "k2"):
            answer = await client.post(
                "/hook/orders", json={"key": key}, headers={"Idempotency-Key": key}
            )
            assert answer.status_code == 200
            assert ("idempotent-replayed" in answer.headers) is (key == "k1")
        await until(lambda: taken(script))
        assert taken(script)[-1] == {"key": "k2"}
        assert {"key": "k1"} not in taken(script)


async def test_who_does_not_show_the_token_is_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENBA_SECRET_KEY", "four horses")
    async with hooked(tmp_path, "secret: {secret: key}") as (_, script, client):
        for given in ("", "Bearer", "Bearer wrong", "Basic four horses", "Bearer four horse\xe9"):
            headers = {"Authorization": given.encode("latin-1")} if given else {}
            answer = await client.post("/hook/orders", json={}, headers=headers)
            assert answer.status_code == 401, given
        good = {"Authorization": "Bearer four horses"}
        assert (await client.post("/hook/orders", json={}, headers=good)).status_code == 200
        await until(lambda: taken(script))


async def test_a_signature_is_checked_over_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENBA_SECRET_KEY", "four horses")
    more = "auth: signature, secret: {secret: key}, keep_headers: [X-GitHub-Event]"
    async with hooked(tmp_path, more) as (_, script, client):
        body = b'{"a": 1}'
        headers = {"X-Hub-Signature-256": sign("four horses", body), "X-GitHub-Event": "push"}
        wrong = await client.post("/hook/orders", content=body + b" ", headers=headers)
        assert wrong.status_code == 401
        assert (await client.post("/hook/orders", content=body, headers=headers)).is_success
        await until(lambda: taken(script))
        assert taken(script) == [{"a": 1, "headers": {"X-GitHub-Event": "push"}}]


async def test_bodies_are_bounded_and_nonsense_is_refused(tmp_path: Path) -> None:
    async with hooked(tmp_path, "auth: none, body_bytes_max: 1000") as (_, script, client):
        assert (await client.post("/hook/orders", content=b"x" * 1001)).status_code == 413

        async def parts() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b"x" * 100

        assert (await client.post("/hook/orders", content=parts())).status_code == 413
        for body in (b"{", b'{"a": 1' + b"0" * 400 + b"}", b"[" * 900):
            answer = await client.post("/hook/orders", content=body)
            assert answer.status_code in (200, 400), body[:20]
        assert (await client.post("/hook/nothing", json={})).status_code == 404
        assert (await client.get("/hook/orders")).status_code == 405
        assert (await client.post("/hook/orders/../../api/status", json={})).status_code in (
            404,
            405,
        )
        form = await client.post("/hook/orders", data={"a": "1", "b": "two"})
        assert form.is_success
        await until(lambda: {"a": "1", "b": "two"} in taken(script))
        cookie = await client.post(
            "/hook/orders", json={}, headers={"Origin": "http://evil.example"}
        )
        assert cookie.status_code == 403, "a page from elsewhere may not call"


async def test_a_flow_that_is_behind_makes_callers_wait(tmp_path: Path) -> None:
    async with hooked(tmp_path, "auth: none, calls_max: 5, answer_s: 0.3") as (runtime, _, client):
        ingress = runtime.hosts["test"].ingresses["hook"]
        async with runtime.hosts["test"].runner.lock:
            ingress._inbox.rows_max = 1
            calls = [client.post("/hook/orders", json={"i": i}) for i in range(30)]
            found = [a.status_code for a in await asyncio.gather(*calls)]
        assert found.count(503) >= 20
        assert source_is_bounded(ingress.source)


def source_is_bounded(source: Any) -> bool:
    return source._calls.qsize() <= 5


async def test_two_nodes_cannot_have_one_path(tmp_path: Path) -> None:
    async with hooked(tmp_path) as (runtime, _, _client):
        with pytest.raises(ConfigError, match=r"/hook/orders is answered by test/hook"):
            runtime._shop.doors.open("orders", runtime.doors.find("orders"))


# ------------------------------------------------------------------ where one may send to


async def test_a_flow_cannot_reach_this_machine_until_an_administrator_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.engine.egress.CONFIG_RETRY_S", 0.2)
    site = Site()
    async with serving(site) as url:
        text = (
            "flow: test\nversion: 1\nnodes:\n  src: {type: script.source}\n"
            f"  post: {{type: http.sink, url: '{url}/x'}}\nwires: [src.status -> post.events]\n"
        )
        with lent(Script()) as script:
            runtime = await started(Document.parse(text), tmp_path)
            script.readings.put_nowait(Reading({"status": events(1)}))
            post = next(s for s in runtime.statuses if s.node == "post")
            await until(lambda: post.state == "misconfigured")
            assert "is this machine itself" in post.text
            assert f"genba destinations allow 127.0.0.1:{site.port}" in post.text
            assert not site.heard
            async with served(runtime) as api, httpx.AsyncClient(base_url=api) as client:
                assert (await client.get("/api/destinations")).json() == {
                    "allowed": [],
                    "only": False,
                }
            runtime.destinations.allow(f"127.0.0.1:{site.port}")
            await until(lambda: any(b'"i":1' in h.body for h in site.heard), 15)
            await runtime.stop()

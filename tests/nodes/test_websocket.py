"""WebSockets against real servers: what arrives, resuming, pressure, who connects to us."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from gateway import ConfigError, Disconnected, Event
from gateway.engine.clock import SystemClock
from gateway.flow import harness
from gateway.flow.document import Document
from gateway.flow.registry import node_class
from tests.api.serving import served
from tests.engine.gear import Script, kill, lent, started, until
from tests.nodes.test_email import certificate

NS = 10**9
Act = Callable[[ServerConnection], Awaitable[None]]


def node(name: str, position: Any = None, **config: Any) -> Any:
    clock = SystemClock()
    ctx = harness.BenchContext(clock=clock, position=position, secrets={"key": "four horses"})
    return harness.make(node_class(name), config, ctx)


@asynccontextmanager
async def serving(act: Act, port: int = 0, **more: Any) -> AsyncIterator[tuple[str, Server]]:
    async with serve(act, "127.0.0.1", port, close_timeout=0.2, **more) as server:
        scheme = "wss" if "ssl" in more else "ws"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/", server


async def test_messages_are_events_and_samples() -> None:
    heard: list[Any] = []

    async def act(socket: ServerConnection) -> None:
        heard.append(socket.request.headers.get("authorization"))  # type: ignore[union-attr]  # it is open
        heard.append(await socket.recv())
        await socket.send('{"rows": [{"p": 101.5, "t": 5}, {"p": "x", "t": 6}]}')
        await socket.send(b'{"rows": {"p": 1, "t": 7}}')
        await socket.send("{broken")
        await socket.wait_closed()

    async with serving(act) as (url, _):
        source = node(
            "websocket.source",
            url=url,
            token={"secret": "key"},
            subscribe=["hello"],
            items="rows",
            ts="t",
            values={"A": "p"},
        )
        await source.connect()
        events: list[Event] = []
        rows, refused = [], []
        while len(events) < 3 or not refused:
            out = (await source.read()).outputs
            events += out.get("events", ())
            refused += out.get("status", ())
            rows += list(out["out"].rows()) if "out" in out else []
        await source.close()
    assert heard == ["Bearer four horses", "hello"]
    assert [e.ts // NS for e in events] == [5, 6, 7]
    assert [v for _, _, v, q in rows if q == 0] == [101.5, 1.0]
    assert "not understood" in refused[0].data["text"]


@pytest.mark.parametrize(
    ("payload", "message", "data"),
    [
        ("text", "héllo", {"text": "héllo"}),
        ("text", b"\xff", {"text": "\ufffd"}),
        ("binary", b"\x00\x01", {"hex": "0001"}),
        ("json", "[1, 2]", {"value": 1}),
        ("json", "just words", {"text": "just words"}),
    ],
)
async def test_payloads(payload: str, message: Any, data: Any) -> None:
    async def act(socket: ServerConnection) -> None:
        await socket.send(message)
        await socket.wait_closed()

    async with serving(act) as (url, _):
        source = node("websocket.source", url=url, payload=payload)
        await source.connect()
        assert (await source.read()).outputs["events"][0].data == data
        await source.close()


async def test_it_resumes_after_what_the_journal_has(tmp_path: Path) -> None:
    """The server counts; the gateway is killed; what was not sent before is asked for."""
    hellos: list[Any] = []

    async def act(socket: ServerConnection) -> None:
        hellos.append(json.loads(await socket.recv()))
        after = -1
        try:
            async with asyncio.timeout(0.1):
                after = json.loads(await socket.recv())["after"]
        except TimeoutError:
            pass
        for n in range(after + 1, after + 6):
            await socket.send(json.dumps({"n": n}))
        await socket.wait_closed()

    async with serving(act) as (url, _):
        more = (
            f"url: '{url}', id: n, subscribe: ['{{\"op\": \"hello\"}}'], "
            "resume: '{\"after\": {last}}'"
        )
        text = (
            "flow: test\nversion: 1\nnodes:\n"
            f"  src: {{type: websocket.source, {more}}}\n"
            "  out: {type: script.sink}\nwires: [src.events -> out.events]\n"
        )
        found: list[int] = []
        for last in (4, 9):
            with lent(Script()) as script:
                allowed = tmp_path / "destinations" / "allowed.json"
                allowed.parent.mkdir(exist_ok=True)
                allowed.write_text('{"allowed": ["127.0.0.0/8"], "only": false}')
                runtime = await started(Document.parse(text), tmp_path)
                await until(lambda s=script, last=last: last in _numbers(s))
                found += _numbers(script)
                await (kill(runtime) if last == 4 else runtime.stop())
    assert sorted(set(found)) == list(range(10))


def _numbers(script: Script) -> list[int]:
    return [e.data["n"] for _, message in script.written for e in message]  # type: ignore[union-attr]  # events


async def test_pressure_reaches_the_socket() -> None:
    """Nobody reads: the server cannot send more than the buffers on the way hold."""
    sent = 0

    async def act(socket: ServerConnection) -> None:
        nonlocal sent
        try:
            while True:
                await socket.send(json.dumps({"n": sent, "pad": "x" * 10_000}))
                sent += 1
        except ConnectionClosed:
            pass

    async with serving(act, compression=None) as (url, _):
        source = node("websocket.source", url=url, ping_s=0)
        await source.connect()
        await until(lambda: sent > 20)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.3)
        assert sent < 3_000, "30 MB: the buffers of the kernel and of the library"
        numbers: list[int] = []
        while len(numbers) < before + 50:
            numbers += [e.data["n"] for e in (await source.read()).outputs["events"]]
        assert numbers == list(range(len(numbers))), "nothing is lost"
        await source.close()


async def test_a_server_that_goes_says_why_and_comes_back(tmp_path: Path) -> None:
    async def act(socket: ServerConnection) -> None:
        await socket.send("{}")
        await socket.close(1008, "go\naway")

    async with serving(act) as (url, _):
        source = node("websocket.source", url=url)
        await source.connect()
        await source.read()
        with pytest.raises(Disconnected, match=r"closed the socket \(1008: go away\)"):
            await source.read()
        await source.close()
    with pytest.raises(Disconnected, match="cannot be reached"):
        await source.connect()


async def test_a_silent_server_is_left_and_a_large_message_ends_the_socket() -> None:
    async def silent(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with serving(silent) as (url, _):
        source = node("websocket.source", url=url, silent_s=0.2)
        await source.connect()
        with pytest.raises(Disconnected, match=r"No message .* for 0\.2 s"):
            await source.read()
        await source.close()

    async def large(socket: ServerConnection) -> None:
        await socket.send("x" * 2_000)
        await socket.wait_closed()

    async with serving(large) as (url, _):
        source = node("websocket.source", url=url, bytes_max=1_000)
        await source.connect()
        with pytest.raises(Disconnected, match="1009"):
            await source.read()
        await source.close()


async def test_a_wrong_certificate_and_a_wrong_token(tmp_path: Path) -> None:
    async def act(socket: ServerConnection) -> None:
        await socket.send("{}")
        await socket.wait_closed()

    context, pem = certificate(tmp_path, "127.0.0.1")
    async with serving(act, ssl=context) as (url, _):
        with pytest.raises(ConfigError, match="does not count"):
            await node("websocket.source", url=url).connect()
        source = node("websocket.source", url=url, ca=str(pem))
        await source.connect()
        await source.read()
        await source.close()

    async with serving(act, process_request=lambda c, r: c.respond(401, "no")) as (url, _):
        with pytest.raises(ConfigError, match="refuses the socket"):
            await node("websocket.source", url=url).connect()
    async with serving(act, process_request=lambda c, r: c.respond(503, "no")) as (url, _):
        with pytest.raises(Disconnected, match=r"\(503\)"):
            await node("websocket.source", url=url).connect()


# ------------------------------------------------------------------ out


async def test_the_sink_sends_and_knows_when_it_arrived() -> None:
    heard: list[Any] = []

    async def act(socket: ServerConnection) -> None:
        async for message in socket:
            heard.append(message)
            if len(heard) == 2:
                await asyncio.sleep(0.05)
                socket.transport.abort()

    async with serving(act) as (url, _):
        sink = node("websocket.sink", url=url, hello="login")
        await sink.connect()
        await sink.write((Event(NS, "t", {"a": 1}),), "events")
        assert heard[0] == "login"
        assert json.loads(heard[1])["data"] == {"a": 1}
        await asyncio.sleep(0.1)
        with pytest.raises(Disconnected):
            await sink.write((Event(2 * NS, "t", {"a": 2}),), "events")
        await sink.close()
        await sink.connect()
        for _ in range(2):
            await sink.write((Event(2 * NS, "t", {"a": 2}),), "events")
        await sink.close()
    assert heard[2] == "login"
    assert json.loads(heard[3])["data"] == {"a": 2}
    assert heard[3] == heard[4], "the same key"


# ------------------------------------------------------------------ who connects to us


def ours(more: str) -> Document:
    return Document.parse(
        "flow: test\nversion: 1\nnodes:\n"
        f"  in: {{type: websocket.source, path: feed, token: {{secret: key}}{more}}}\n"
        "  out: {type: websocket.sink, path: live, token: {secret: key}}\n"
        "  kept: {type: script.sink}\n"
        "wires: [in.events -> out.events, in.events -> kept.events]\n"
    )


@pytest.fixture
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENBA_SECRET_KEY", "four horses")


@pytest.mark.usefixtures("_key")
async def test_others_send_to_us_and_others_watch(tmp_path: Path) -> None:
    with lent(Script()) as script:
        runtime = await started(ours(""), tmp_path)
        async with served(runtime) as url:
            base = url.replace("http", "ws")
            await until(lambda: runtime.doors.find("live") and runtime.doors.find("feed"))
            login = {"Authorization": "Bearer four horses"}
            async with (
                connect(f"{base}/hook/live?token=four%20horses") as watcher,
                connect(f"{base}/hook/feed", additional_headers=login) as sender,
            ):
                await until(lambda: _watchers(runtime) == 1)
                for i in range(5):
                    await sender.send(json.dumps({"i": i}))
                found = [json.loads(await watcher.recv())["data"]["i"] for _ in range(5)]
                assert found == list(range(5))
            await until(lambda: runtime.doors.lines == 0 and _watchers(runtime) == 0)
            for path in ("live", "feed", "feed?token=wrong"):
                async with connect(f"{base}/hook/{path}") as socket:
                    with pytest.raises(ConnectionClosed, match="1008"):
                        await socket.recv()
            with pytest.raises(Exception, match="404"):
                await connect(f"{base}/hook/nothing")
        await until(lambda: sum(len(m) for _, m in script.written) == 5)
        await runtime.stop()


def _watchers(runtime: Any) -> int:
    return len(runtime.hosts["test"].runner.egresses["out"].sink._watchers)


@pytest.mark.usefixtures("_key")
async def test_one_who_does_not_read_is_cut_off_and_the_others_go_on(tmp_path: Path) -> None:
    with lent(Script()):
        runtime = await started(ours(""), tmp_path)
        async with served(runtime) as url:
            base = url.replace("http", "ws")
            await until(lambda: runtime.doors.find("live"))
            sink = runtime.hosts["test"].runner.egresses["out"].sink
            login = {"Authorization": "Bearer four horses"}
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(
                b"GET /hook/live?token=four%20horses HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            await reader.readline()
            await until(lambda: _watchers(runtime) == 1)
            async with connect(f"{base}/hook/live", additional_headers=login) as watcher:
                await until(lambda: _watchers(runtime) == 2)
                big = "x" * 20_000
                for i in range(3_000):
                    await sink.write((Event(i, "t", {"i": i, "pad": big}),), "events")
                    json.loads(await watcher.recv())
                    if sink.ctx.status.counts["cut_off"]:
                        break
                assert sink.ctx.status.counts["cut_off"] == 1
                assert _watchers(runtime) == 1
            writer.close()
        await runtime.stop()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({}, "either `url`"),
        ({"url": "http://x/"}, "no address"),
        ({"path": "a"}, "needs a `token`"),
        ({"path": "../x", "open_access": True}, "pattern"),
        ({"url": "ws://x/", "resume": "x"}, "needs `id`"),
    ],
)
def test_nonsense_is_refused_before_it_runs(config: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        node("websocket.source", **config)

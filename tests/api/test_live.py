"""Live data over the real server: what each subscription shows, and who gets none."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.api import live, routes_live
from gateway.api.gate import PLAIN_COOKIE
from gateway.api.server import Server
from gateway.engine import store_writer
from gateway.engine.passwords import Cost
from gateway.engine.runtime import Runtime
from tests.engine.gear import Script, flow, lent, samples, started, until, values

NODES = """
src: {type: script.source}
near: {type: filter.deadband, band: 0.5}
high: {type: alarm.limit, hi: 80}
sink: {type: script.sink}
"""
FLOW = flow(NODES, "src -> near -> sink, src -> high, high.alarms -> sink.alarms")
GOOD = "four quiet brown horses"


class Screen:
    """A client, with all it knows by now: frames put together as a page does it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []

    async def ask(self, **what: Any) -> None:
        await self.socket.send(json.dumps(what))

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            frame = json.loads(await self.socket.recv())
        assert isinstance(frame["now"], int)
        self.frames.append(frame)
        return frame

    async def find(self, key: str, fits: Callable[[Any], Any] = lambda part: True) -> Any:
        """The first part of a subscription that fits, from now on."""
        async with asyncio.timeout(10):
            while True:
                frame = await self.next()
                if key in frame and fits(frame[key]):
                    return frame[key]

    async def closed(self) -> tuple[int, str]:
        """Code and sentence with which it is closed."""
        async with asyncio.timeout(15):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed as error:
                assert error.rcvd is not None
                return error.rcvd.code, error.rcvd.reason


class House:
    """A running gateway behind its real server."""

    def __init__(self, runtime: Runtime, server: Server, script: Script) -> None:
        self.runtime = runtime
        self.server = server
        self.script = script
        self.url = f"ws://127.0.0.1:{server.port}/live"

    @asynccontextmanager
    async def screen(
        self, headers: Mapping[str, str] | None = None, **more: Any
    ) -> AsyncIterator[Screen]:
        async with connect(self.url, additional_headers=headers, **more) as found:
            yield Screen(found)

    async def feed(self, text: str) -> None:
        """The source reads this, and it went all the way."""
        before = self.runtime.runners["test"].inbox.book("src").journalled
        self.script.readings.put_nowait(samples(self.runtime, text))
        await until(lambda: self.runtime.runners["test"].inbox.book("src").journalled > before)

    async def login(self, name: str = "anna", password: str = GOOD) -> dict[str, str]:
        """The headers of a browser with a login."""
        origin = self.server.url
        async with httpx.AsyncClient(base_url=origin, headers={"Origin": origin}) as client:
            body = {"name": name, "password": password}
            answer = await client.post("/api/login", json=body)
        assert answer.status_code == 200, answer.text
        return {"Cookie": f"{PLAIN_COOKIE}={answer.cookies[PLAIN_COOKIE]}", "Origin": origin}

    def is_idle(self) -> bool:
        """Nothing is left of anybody who watched."""
        hub = self.server.hub
        runners = self.runtime.runners.values()
        return not (
            hub.clients or hub.topics or len(hub.tasks) or any(len(r.taps) for r in runners)
        )


@asynccontextmanager
async def opened(folder: Path, document: Any = FLOW) -> AsyncIterator[House]:
    with lent(Script()) as script:
        runtime = await started(document, folder)
        server = Server(runtime, 0, cost=Cost(16, 8, 1))
        serving = asyncio.ensure_future(server.run())
        await until(lambda: server._server.started)
        try:
            yield House(runtime, server, script)
        finally:
            server.stop()
            await serving
            await runtime.stop()


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A gateway that nobody has claimed: this machine is an engineer."""
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    async with opened(tmp_path) as house:
        yield house


@pytest.fixture
async def owned(house: House) -> House:
    """A gateway with an administrator."""
    await house.server.accounts.add("test", "anna", GOOD, "administrator")
    return house


async def refused(house: House, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Status and text with which a handshake is refused."""
    with pytest.raises(InvalidStatus) as found:
        async with house.screen(headers):
            pass
    response = found.value.response
    return response.status_code, (response.body or b"").decode()


# ---------------------------------------------------------------------- what is shown


async def test_tags_show_what_changed_and_what_is_not_known(house: House) -> None:
    await house.feed("A 0s 1 | 1s 2; B 0s 5 bad")
    async with house.screen() as screen:
        await screen.ask(sub="k", tags=["B", "nobody", "A"], hz=10)
        first = await screen.find("k")
        t0 = 1_800_000_000_000_000_000
        assert first == {
            "rows": [[0, t0, 5.0, "Bad"], [2, t0 + 10**9, 2.0, "Good"]],
            "unknown": [1],
        }
        await house.feed("A 2s 3")
        assert await screen.find("k") == {"rows": [[2, t0 + 2 * 10**9, 3.0, "Good"]]}
        await house.feed("nobody 3s nan bad")
        assert await screen.find("k") == {"rows": [[1, t0 + 3 * 10**9, None, "Bad"]]}


async def test_lines_come_once_and_grow_in_their_place(house: House) -> None:
    lines = house.runtime.lines
    lines.add(1, "warning", "test/a", "Look.")
    async with house.screen() as screen, house.screen() as other:
        await screen.ask(sub="k", lines=True, hz=10)
        first = (await screen.find("k"))["lines"]
        assert [line[2:] for line in first][-1] == ["warning", "test/a", "Look."]
        lines.grow(2, "test/c", "The", "x", is_over=False)
        ((number, *began),) = (await screen.find("k"))["lines"]
        assert began == [2, "info", "test/c", "The"]
        lines.grow(3, "test/c", "The pump", "x", is_over=True)
        lines.add(4, "info", "test/a", "Next.")
        grown, new = (await screen.find("k"))["lines"]
        assert grown == [number, 2, "info", "test/c", "The pump"]
        assert new == [number + 1, 4, "info", "test/a", "Next."]
        await other.ask(sub="k", lines=True, hz=10)
        assert (await other.find("k"))["lines"][-2:] == [grown, new]


async def test_a_heartbeat_comes_though_nothing_happens(house: House) -> None:
    async with house.screen() as screen:
        frames = [await screen.next() for _ in range(2)]
    assert [list(frame) for frame in frames] == [["now"], ["now"]]
    assert frames[0]["now"] < frames[1]["now"]


async def test_a_flow_shows_nodes_and_wires(house: House) -> None:
    async with house.screen() as screen:
        await screen.ask(sub="f", flow="test", hz=10)
        first = await screen.find("f")
        assert first["whole"]
        assert first["revisions"] == {"test": 1}
        assert set(first["wires"]) == {
            "src.out>near.in",
            "near.out>sink.in",
            "src.out>high.in",
            "high.alarms>sink.alarms",
        }
        assert first["nodes"].keys() >= {"src", "near", "high", "sink"}
        await house.feed("A 0s 1 | 1s 1.1 | 2s 90")
        part = await screen.find("f", lambda p: p["wires"].get("near.out>sink.in"))
        assert "whole" not in part
        assert part["wires"]["near.out>sink.in"]["rows_s"] > 0
        assert part["nodes"]["src"]["rows_s"] > 0
        assert part["nodes"]["near"]["last"][2:] == [90.0, "Good"]
        assert part["nodes"]["near"]["errors"] == 0
        quiet = {"rows_s": 0.0, "queued": 0, "dropped": 0}
        await screen.find("f", lambda p: p["wires"].get("near.out>sink.in") == quiet)
    await until(house.is_idle)


async def test_a_queue_and_an_error_are_seen(house: House) -> None:
    async with house.screen() as screen:
        await screen.ask(sub="f", flow="*", hz=10)
        assert "test/sink" in (await screen.find("f"))["nodes"]
        house.script.slow.clear()
        await house.feed("A 0s 1")
        await house.feed("A 1s 9")
        wire = "test/near.out>sink.in"
        await screen.find("f", lambda p: p["wires"].get(wire, {}).get("queued"))
        house.script.trouble.append(ValueError("no"))
        house.script.slow.set()
        await screen.find("f", lambda p: p["nodes"].get("test/sink", {}).get("errors"))


async def test_a_flow_that_comes_goes_and_is_changed(house: House) -> None:
    other = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out", "more")
    async with house.screen() as screen:
        await screen.ask(sub="f", flow="more", hz=10)
        assert await screen.find("f") == {"unknown": True}
        await house.runtime.deploy(other, "user:anna")
        first = await screen.find("f")
        assert set(first["wires"]) == {"src.out>out.in"}
        again = flow("src: {type: script.source}\nin: {type: script.sink}", "src -> in", "more")
        await house.runtime.deploy(again, "user:anna")
        part = await screen.find("f", lambda p: p.get("whole"))
        assert set(part["wires"]) == {"src.out>in.in"}
        assert "out" not in part["nodes"]
        await house.runtime.remove("more", "user:anna")
        assert await screen.find("f", lambda p: "unknown" in p) == {"unknown": True}


async def test_alarms_come_whole_and_then_by_id(house: House) -> None:
    await house.feed("A 0s 90")
    await until(lambda: len(house.runtime.book))
    async with house.screen() as screen:
        await screen.ask(sub="a", alarms=True)
        (row,) = (await screen.find("a"))["all"]
        event = house.runtime.book.get(row["alarm"])
        assert event is not None
        assert row == {**house.runtime.book.row(event), "hidden": False}
        await house.feed("B 0s 91")
        part = await screen.find("a")
        assert ([r["tag"] for r in part["set"]], part["gone"]) == (["B"], [])
        shelve = {"alarm": row["alarm"], "actor": "user:anna", "for_s": 60, "reason": "test"}
        await house.runtime.act("shelve", shelve)
        part = await screen.find("a")
        assert [(r["alarm"], r["hidden"]) for r in part["set"]] == [(row["alarm"], True)]
        await house.runtime.act("ack", {"alarm": "*", "actor": "user:anna"})
        await house.feed("B 1s 1")
        part = await screen.find("a", lambda p: p["gone"])
        assert part["gone"] == ["test/high:B:HI"]


async def test_the_system_is_shown(house: House) -> None:
    async with house.screen() as screen:
        await screen.ask(sub="s", system=True, hz=10)
        await screen.find("s")
        found = await screen.find("s", lambda p: p["disk"]["free"] is not None)
        assert 0 <= found["cpu"]["engine"] <= 64
        assert 0 <= found["cpu"]["machine"] <= 1
        assert 0 < found["memory"]["engine"] < found["memory"]["total"]
        assert 0 < found["disk"]["free"] < found["disk"]["total"]
        assert found["journal"]["bytes"] > 0
        assert (found["unbalanced"], found["trouble"]) == (0, "")
        assert found["commits_s"] >= 0
        assert found["uptime_s"] > 0


async def test_a_tap_shows_the_newest_rows_that_left_a_port(house: House) -> None:
    async with house.screen() as screen:
        await screen.ask(sub="w", wire=["test", "near", "out"], rows=2)
        assert await screen.find("w") == {"samples": [], "rows": 0, "missed": 0}
        await house.feed("A 0s 1 | 1s 1.1 | 2s 7 | 3s 9 bad")
        t0 = 1_800_000_000_000_000_000
        assert await screen.find("w") == {
            "samples": [["A", t0 + 2 * 10**9, 7.0, "Good"], ["A", t0 + 3 * 10**9, 9.0, "Bad"]],
            "rows": 3,
            "missed": 1,
        }
        edited = flow(NODES.replace("hi: 80", "hi: 70"), "src -> near -> sink, src -> high")
        await house.runtime.deploy(edited, "user:anna")
        await house.feed("A 4s 20")
        part = await screen.find("w")
        assert [row[2] for row in part["samples"]] == [9.0, 20.0]
        gone = flow("src: {type: script.source}\nsink: {type: script.sink}", "src -> sink")
        await house.runtime.deploy(gone, "user:anna")
        assert await screen.find("w") == {"unknown": True}
        await house.runtime.remove("test", "user:anna")
        await house.runtime.deploy(FLOW, "user:anna")
        assert (await screen.find("w"))["samples"]
        await house.feed("A 5s 50")
        assert (await screen.find("w"))["samples"][-1][2] == 50.0
        await screen.ask(sub="a", wire=["test", "high", "alarms"])
        await screen.find("a")
        await house.feed("A 6s 99")
        (item,) = (await screen.find("a"))["items"]
        assert (item["alarm"], item["change"]) == ("test/high:A:HI", "raised")
    await until(house.is_idle)


async def test_a_subscription_takes_the_place_of_one_of_its_name_and_ends(house: House) -> None:
    await house.feed("A 0s 1; B 0s 2")
    async with house.screen() as screen:
        await screen.ask(sub="k", tags=["A"])
        await screen.find("k")
        await screen.ask(sub="k", tags=["B"])
        assert [row[2] for row in (await screen.find("k"))["rows"]] == [2.0]
        assert len(house.server.hub.topics) == 1
        await screen.ask(unsub="k")
        await until(lambda: not house.server.hub.topics)
        await house.feed("B 1s 3")
        assert list(await screen.next()) == ["now"]


async def test_what_several_watch_is_read_once_and_the_same_bytes(house: House) -> None:
    await house.feed("A 0s 1")
    async with house.screen() as one, house.screen() as two:
        for screen in (one, two):
            await screen.ask(sub="k", tags=["A"], hz=10)
            await screen.find("k")
        assert [topic.users for topic in house.server.hub.topics.values()] == [2]
        await house.feed("A 1s 7")
        assert await one.find("k") == await two.find("k")
        assert one.frames[-1] == two.frames[-1], "also the same instant"


# ---------------------------------------------------------------------- who gets none


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
async def test_a_page_from_elsewhere_opens_no_socket(house: House, origin: str) -> None:
    assert await refused(house, {"Origin": origin}) == (
        403,
        "A page from elsewhere may not act here.",
    )
    async with house.screen({"Origin": house.server.url}) as screen:
        await screen.next()


async def test_a_refused_handshake_is_no_error_of_ours(house: House) -> None:
    """It is for the audit; the log would else be for whoever scans the network to fill."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]  # a test
    logging.getLogger("uvicorn.error").addHandler(handler)
    await refused(house, {"Origin": "https://evil.example"})
    await until(lambda: not house.server._server.server_state.tasks)
    logging.getLogger("uvicorn.error").removeHandler(handler)
    assert not said


async def test_another_name_of_this_machine_opens_no_socket(house: House) -> None:
    code, text = await refused(house, {"Host": "evil.example"})
    assert (code, text) == (421, "This API answers to this machine's own name only.")


async def test_without_a_login_no_socket_opens(owned: House) -> None:
    assert await refused(owned) == (401, "Log in first.")
    code, text = await refused(owned, {"Cookie": f"{PLAIN_COOKIE}=abc", "Origin": owned.server.url})
    assert (code, text) == (401, "Log in first: the login has ended or is not known.")
    headers = await owned.login()
    async with owned.screen(headers) as screen:
        await screen.next()
    code, _ = await refused(owned, {"Cookie": headers["Cookie"]})
    assert code == 403, "a browser says where its page is from"
    foreign = {"Cookie": headers["Cookie"], "Origin": "https://evil.example"}
    assert (await refused(owned, foreign))[0] == 403
    token = {"Authorization": f"Bearer {owned.server.access.local_token}"}
    async with owned.screen(token) as screen:
        await screen.next()


async def test_a_login_that_ends_closes_the_socket(
    owned: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes_live, "CHECK_S", 0.2)
    headers = await owned.login()
    async with owned.screen(headers) as screen:
        await screen.ask(sub="a", alarms=True)
        await screen.find("a")
        session = next(iter(owned.server.accounts.sessions.sessions))
        await owned.server.accounts.end("user:anna", [session])
        assert await screen.closed() == (4401, "The login has ended. Log in again.")
    await until(owned.is_idle)


async def test_the_claim_ends_what_was_open_before(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes_live, "CHECK_S", 0.2)
    async with house.screen() as screen:
        await screen.next()
        await house.server.accounts.add("test", "anna", GOOD, "administrator")
        assert (await screen.closed())[0] == 4401


async def test_a_screen_that_only_looks_keeps_no_session_alive(
    owned: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes_live, "CHECK_S", 0.1)
    headers = await owned.login()
    (before,) = owned.server.accounts.sessions.sessions.values()
    async with owned.screen(headers) as screen:
        await screen.next()
        await screen.next()
    (after,) = owned.server.accounts.sessions.sessions.values()
    assert after.seen == before.seen


async def test_each_subscription_asks_for_its_own_action(owned: House) -> None:
    await owned.server.accounts.add("test", "vera", GOOD, "viewer")
    headers = await owned.login("vera")
    async with owned.screen(headers) as screen:
        await screen.ask(sub="w", wire=["test", "src", "out"])
        part = await screen.find("w")
        assert part == {"error": "user:vera may not see every row that goes over a wire."}
        for name, what in {"t": {"tags": ["A"]}, "a": {"alarms": True}, "f": {"flow": "*"}}.items():
            await screen.ask(sub=name, **what)
            assert "error" not in await screen.find(name)
        async with httpx.AsyncClient(base_url=owned.server.url) as client:
            token = owned.server.access.local_token
            rows = await client.get("/api/audit", headers={"Authorization": f"Bearer {token}"})
        assert any(r["actor"] == "user:vera" and r["action"] == "denied" for r in rows.json())


# ---------------------------------------------------------------------- limits


async def test_too_many_clients(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "CLIENTS_MAX", 2)
    async with house.screen(), house.screen():
        await until(lambda: len(house.server.hub.clients) == 2)
        code, text = await refused(house)
        assert (code, "clients_max" in text) == (503, True)
    await until(house.is_idle)
    async with house.screen() as screen:
        await screen.next()


async def test_too_many_subscriptions_and_tags(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SUBS_MAX", 2)
    monkeypatch.setattr(live, "TAGS_MAX", 5)
    async with house.screen() as screen:
        await screen.ask(sub="a", tags=["A"] * 3)
        await screen.ask(sub="b", tags=["A"] * 3)
        assert "tags_max" in (await screen.find("b"))["error"]
        await screen.ask(sub="b", tags=["A"] * 2)
        assert "unknown" in await screen.find("b")
        await screen.ask(sub="c", alarms=True)
        assert "subs_max" in (await screen.find("c"))["error"]
        await screen.ask(unsub="a")
        await screen.ask(sub="c", alarms=True)
        assert "all" in await screen.find("c")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sub": "k"}, "has one of tags, flow, alarms, wire, explain, system, lines"),
        ({"sub": "k", "tags": ["a"], "alarms": True}, "has one of"),
        ({"sub": "k", "tags": ["a"], "hz": 11}, "hz: Input should be less than or equal to 10"),
        ({"sub": "k", "tags": ["a"] * 2001}, "tags: List should have at most 2000 items"),
        ({"sub": "k", "tags": [1]}, "tags.0: Input should be a valid string"),
        ({"sub": "k", "wire": ["a", "b"]}, "wire"),
        ({"sub": "k", "alarms": False}, "alarms: Input should be True"),
        ({"sub": "k", "alarms": True, "more": 1}, "more: Extra inputs are not permitted"),
    ],
)
async def test_a_wrong_subscription_is_told_why(
    house: House, asked: dict[str, Any], said: str
) -> None:
    async with house.screen() as screen:
        await screen.ask(**asked)
        assert said in (await screen.find("k"))["error"]


@pytest.mark.parametrize(
    "text", ["{", "[]", "1", "", "{}", '{"sub": 1}', '{"sub": "now", "alarms": true}', "[" * 50_000]
)
async def test_nonsense_is_shown_the_door(house: House, text: str) -> None:
    async with house.screen() as screen:
        await screen.socket.send(text)
        code, reason = await screen.closed()
        assert code == 4400
        assert reason
    await until(house.is_idle)


async def test_bytes_are_no_message(house: House) -> None:
    async with house.screen() as screen:
        await screen.socket.send(b"\xff\xfe")
        assert (await screen.closed())[0] == 4400


async def test_too_large_a_message(house: House) -> None:
    async with house.screen() as screen:
        await screen.socket.send("x" * (live.MESSAGE_BYTES_MAX + 1))
        assert (await screen.closed())[0] == 1009
    await until(house.is_idle)


async def test_one_who_asks_without_end_is_shown_the_door(house: House) -> None:
    async with house.screen() as screen:
        with pytest.raises(ConnectionClosed) as found:
            for _ in range(20_000):
                await screen.ask(unsub="k")
            await screen.socket.wait_closed()
            await screen.socket.send("")
        assert found.value.rcvd is not None
        assert found.value.rcvd.code == 4429
    await until(house.is_idle)


async def test_a_slow_client_gets_the_newest_and_nothing_grows(house: House) -> None:
    """It reads nothing while much happens; its share of memory is what one socket holds."""
    names = [f"tag/number/{i:04}" for i in range(1000)]
    house.server._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    small = socket.create_connection(("127.0.0.1", house.server.port))
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    small.setblocking(False)
    last = 0

    async def all_change() -> None:
        nonlocal last
        last += 1
        await house.feed(";".join(f"{name} {last}s {last}" for name in names))

    await all_change()
    async with house.screen() as quick, house.screen(sock=small, max_queue=1) as slow:
        for screen in (quick, slow):
            await screen.ask(sub="k", tags=names, hz=10)
            await screen.find("k")
        slow.socket.transport.pause_reading()
        async with asyncio.timeout(60):
            while sum(client.skipped for client in house.server.hub.clients) < 5:
                await all_change()
                await quick.find("k", lambda part: part["rows"][-1][2] == last)
        slow.socket.transport.resume_reading()
        newest = await slow.find("k", lambda part: part["rows"][-1][2] == last)
        assert len(newest["rows"]) == 1000
        assert len(slow.frames) <= last - 5 + 2, "not all that were before came"
    await until(house.is_idle)


async def test_a_screen_costs_nothing_when_it_is_gone(house: House) -> None:
    """Nobody says goodbye: the socket is cut."""
    runner = house.runtime.runners["test"]
    plain = runner.graph.observe
    async with house.screen() as screen:
        await screen.ask(sub="f", flow="test")
        await screen.ask(sub="w", wire=["test", "src", "out"])
        await screen.find("w")
        assert runner.graph.observe is not plain
        screen.socket.transport.abort()
        await until(house.is_idle)
    assert runner.graph.observe is plain


async def test_values_go_on_while_somebody_watches(house: House) -> None:
    async with house.screen() as screen:
        await screen.ask(sub="f", flow="*", hz=10)
        await screen.find("f")
        await house.feed("A 0s 1 | 1s 5")
    await until(lambda: values(house.script) == [1.0, 5.0])

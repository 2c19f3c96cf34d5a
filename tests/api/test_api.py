"""The API over HTTP, against a gateway that runs: what it shows, what it does, what it refuses."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import ConfigError, Disconnected, Reading
from gateway.api.server import Server
from gateway.engine import store_writer
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit_rows
from tests.engine.gear import Script, flow, lent, samples, started, until

FLOW = flow(
    """
    src: {type: script.source}
    high: {type: alarm.limit, hi: 80}
    out: {type: script.sink}
    """,
    "src -> high, src -> out, high.alarms -> out.alarms",
)


class Api:
    """A running gateway and its API."""

    def __init__(self, runtime: Runtime, script: Script, port: int) -> None:
        self.runtime = runtime
        self.script = script
        self.port = port

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | Any = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """One request; a body that is no bytes is sent as JSON."""
        return await asyncio.to_thread(self._ask, method, path, body, headers or {})

    def _ask(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            if body is not None and not isinstance(body, bytes) and not hasattr(body, "__next__"):
                body = json.dumps(body).encode()
                headers = {"Content-Type": "application/json", **headers}
            chunked = hasattr(body, "__next__")
            connection.request(method, path, body, headers, encode_chunked=chunked)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    async def get(self, path: str) -> Any:
        status, _, body = await self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)

    async def send(self, text: str) -> None:
        runner = self.runtime.runners["test"]
        before = runner._done_seq
        await self.script.readings.put(Reading({"out": samples(self.runtime, text)}))
        await until(lambda: runner._done_seq > before)


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(Script()) as script:
        runtime = await started(FLOW, tmp_path)
        server = Server(runtime, 0)
        serving = asyncio.ensure_future(server.run())
        await until(lambda: server._server.started)
        yield Api(runtime, script, server.port)
        server.stop()
        await serving
        await runtime.stop()


async def test_tags_with_their_newest_value(api: Api) -> None:
    await api.send("TT1 0s 20 | 1s 21.5 | 2s nan bad")
    (row,) = await api.get("/api/tags")
    assert (row["tag"], row["value"], row["quality"], row["rows"]) == ("TT1", None, "Bad", 3)
    await api.send("TT1 3s 22")
    (row,) = await api.get("/api/tags")
    assert (row["value"], row["quality"], row["rows"]) == (22.0, "Good", 4)


async def test_status_tells_nodes_and_wires(api: Api) -> None:
    await api.send("TT1 0s 20")
    status = await api.get("/api/status")
    nodes = {node["node"]: node for node in status["nodes"]}
    assert nodes["src"]["state"] == "running"
    assert nodes["src"]["counts"]["rows_in"] == 1
    assert nodes.keys() == {"src", "high", "out", "communication", "health"}
    wires = {(wire["from"], wire["to"]): wire for wire in status["wires"]}
    assert wires["src.out", "high.in"]["rows"] == 1
    assert status["commits"] >= 1
    assert status["tags"] == 1


async def test_an_alarm_is_shown_and_acknowledged(api: Api) -> None:
    assert await api.get("/api/alarms") == []
    await api.send("TT1 0s 90")
    (alarm,) = await api.get("/api/alarms")
    assert (alarm["alarm"], alarm["state"], alarm["value"]) == ("test/high:TT1:HI", "UNACK", 90.0)
    body = {"action": "ack", "alarm": alarm["alarm"], "occurrence": 1, "actor": "user:anna"}
    status, _, answer = await api.ask("POST", "/api/alarms/action", body)
    assert (status, json.loads(answer)) == (200, {"done": True, "actor": "user:anna"})
    await until(lambda: api.runtime.book.open()[0].state.value == "ACKED")
    (row,) = await audit_rows(api.runtime.store)
    assert (row["actor"], row["action"]) == ("user:anna", "alarm/ack")
    assert row["detail"]["alarm"] == alarm["alarm"]
    history = await api.get("/api/alarms?all=true")
    assert [event["change"] for event in history] == ["raised", "acked"]


async def test_reasons_are_told_in_the_language_that_is_asked_for(api: Api) -> None:
    """Only sentences: the record, its numbers and a name that looks like a tag of HTML stay."""
    await api.send("<img/src=x> 0s 90.25")
    (plain,) = await api.get("/api/alarms?language=en")
    assert plain == (await api.get("/api/alarms"))[0]
    assert plain["reason"] == "<img/src=x> 90.25 is above the HI limit 80"
    (told,) = await api.get("/api/alarms?language=ja")
    assert told["reason"] == "<img/src=x> の値 90.25 が HI しきい値 80 を上回っています"
    assert told == {**plain, "reason": told["reason"], "text": told["reason"]}
    (event,) = await api.get("/api/alarms/history?language=ja")
    assert event["text"] == told["reason"]
    assert (await api.ask("GET", "/api/alarms?language=xx"))[0] == 422


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"action": "ack", "alarm": "test/high:none:HI"}, 404, "No open alarm"),
        ({"action": "suppress", "alarm": "nobody/here:x:HI"}, 404, "No node has an alarm"),
        ({"action": "shelve", "alarm": "*", "for_s": 60}, 422, "Say why"),
        ({"action": "explode", "alarm": "*"}, 422, "action"),
        ({"action": "ack", "alarm": "*", "extra": 1}, 422, "extra"),
        ({"action": "shelve", "alarm": "*", "for_s": -1, "reason": "r"}, 422, "for_s"),
    ],
)
async def test_an_action_that_cannot_be_done(
    api: Api, body: dict[str, Any], status: int, text: str
) -> None:
    found, _, answer = await api.ask("POST", "/api/alarms/action", body)
    assert found == status
    assert text in answer.decode()
    assert await audit_rows(api.runtime.store) == [] or status == 404


async def test_a_disk_that_refuses_is_said(api: Api) -> None:
    async def refuse(*args: Any) -> None:
        raise Disconnected("The disk is full.")

    api.runtime.store.run = refuse  # type: ignore[method-assign]  # a disk that refuses
    body = {"action": "suppress", "alarm": "*"}
    status, _, answer = await api.ask("POST", "/api/alarms/action", body)
    assert (status, answer) == (503, b"The disk is full.")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8780", "127.0.0.1.evil.example", ""]
)
async def test_another_host_is_refused(api: Api, host: str) -> None:
    status, _, _ = await api.ask("GET", "/api/status", headers={"Host": host})
    assert status in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "localhost:80", "[::1]", "[::1]:8780", "127.0.0.1"])
async def test_our_own_names_are_taken(api: Api, host: str) -> None:
    status, _, _ = await api.ask("GET", "/healthz", headers={"Host": host})
    assert status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1"])
async def test_a_page_from_elsewhere_may_not_act(api: Api, origin: str) -> None:
    body = {"action": "suppress", "alarm": "*"}
    status, _, answer = await api.ask("POST", "/api/alarms/action", body, {"Origin": origin})
    assert (status, answer) == (403, b"A page from elsewhere may not act here.")
    assert await audit_rows(api.runtime.store) == []


async def test_our_own_page_may_act(api: Api) -> None:
    origin = {"Origin": f"http://127.0.0.1:{api.port}"}
    body = {"action": "suppress", "alarm": "*"}
    status, _, _ = await api.ask("POST", "/api/alarms/action", body, origin)
    assert status == 200


async def test_a_large_body_is_refused_whether_announced_or_not(api: Api) -> None:
    large = b'{"action": "ack", "reason": "' + b"x" * 100_000 + b'"}'
    kind = {"Content-Type": "application/json"}
    status, _, _ = await api.ask("POST", "/api/alarms/action", large, kind)
    assert status == 413
    pieces = iter([large[i : i + 1000] for i in range(0, len(large), 1000)])
    chunked = {**kind, "Transfer-Encoding": "chunked"}
    status, _, answer = await api.ask("POST", "/api/alarms/action", pieces, chunked)
    assert (status, b"65536 bytes" in answer) == (413, True)


async def test_every_answer_has_the_headers(api: Api) -> None:
    for path in ("/", "/api/status", "/nowhere", "/metrics"):
        _, headers, _ = await api.ask("GET", path)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
    _, headers, _ = await api.ask("GET", "/", headers={"Host": "evil.example"})
    assert headers["x-content-type-options"] == "nosniff"


SAMPLE = re.compile(r'[a-z_]+(\{([a-z]+="([^"\\\n]|\\.)*",?)*\})? -?[0-9.e+]+\Z')


async def test_metrics_are_in_prometheus_form(api: Api) -> None:
    await api.send("TT1 0s 90")
    status, headers, body = await api.ask("GET", "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    text = body.decode()
    assert text.endswith("\n")
    typed = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            assert name not in typed, "one TYPE line a family"
            typed.add(name)
        elif not line.startswith("# HELP "):
            assert SAMPLE.match(line), line
            assert re.split(r"[{ ]", line)[0] in typed
    assert 'genba_wire_rows_total{flow="test",from="src.out",to="high.in"} 1' in text
    assert "genba_alarms_open 1\n" in text


async def test_who_opens_the_api_is_told_where_the_screens_are(api: Api) -> None:
    status, _, body = await api.ask("GET", "/")
    assert status == 200
    assert b"Its screens are off" in body


async def test_a_port_that_is_taken_is_said(api: Api) -> None:
    with pytest.raises(ConfigError, match="is taken"):
        Server(api.runtime, api.port)

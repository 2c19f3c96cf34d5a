"""Webhooks against the product as a process: killed for real, and through the front door."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.plant.product import Product, until

pytestmark = pytest.mark.plant
FLOW = """\
flow: hooks
version: 1
nodes:
  orders: {type: http.webhook, path: orders, auth: none}
  feed: {type: websocket.source, path: feed, token: {secret: feed}}
  live: {type: websocket.sink, path: live, token: {secret: feed}}
  file: {type: file.jsonl_sink, path: taken.jsonl}
wires:
  - orders.events -> file.events
  - feed.events -> live.events
"""


def written(folder: Path) -> set[int]:
    path = folder / "state" / "taken.jsonl"
    text = path.read_text("utf-8") if path.exists() else ""
    found = set()
    for line in text.splitlines():
        with contextlib.suppress(ValueError):  # Half a line of the kill.
            found.add(int(json.loads(line)["data"]["i"]))
    return found


async def test_what_was_answered_is_in_the_journal_whenever_it_is_killed(tmp_path: Path) -> None:
    flow = tmp_path / "hooks.flow.yaml"
    flow.write_text(FLOW)
    answered: set[int] = set()
    number = iter(range(10**9))
    environment = {"GENBA_LISTEN": "off", "GENBA_SECRET_FEED": "x"}
    async with Product(tmp_path, [flow], environment=environment) as product:
        for until_count in (7, 60, 150):

            async def caller(client: httpx.AsyncClient) -> None:
                with contextlib.suppress(httpx.HTTPError):
                    while True:
                        i = next(number)
                        key = {"Idempotency-Key": f"k{i}"}
                        answer = await client.post("/hook/orders", json={"i": i}, headers=key)
                        if answer.status_code == 200:
                            answered.add(i)

            async with httpx.AsyncClient(base_url=product.client.url, timeout=20) as client:

                async def taken(client: httpx.AsyncClient = client) -> bool:
                    answer = await client.post("/hook/orders", json={"i": -1})
                    return answer.status_code == 200

                await until(taken, "the path")
                callers = [asyncio.ensure_future(caller(client)) for _ in range(8)]
                await until(lambda n=until_count: len(answered) >= n, "answers")
                await product.kill()
                await asyncio.gather(*callers)
            await product.start()
        await until(lambda: answered <= written(tmp_path), "every answered call in the file")
        await product.terminate()
    assert len(answered) >= 150


async def test_through_the_front_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TLS, with the token in the header or behind the question mark; and no page of ours."""
    flow = tmp_path / "hooks.flow.yaml"
    flow.write_text(FLOW)
    monkeypatch.setenv("GENBA_TOKEN_FILE", str(tmp_path / "state" / "api.token"))
    words = ["--listen", "https://127.0.0.1:0", "--accounts"]
    environment = {"GENBA_SECRET_FEED": "four horses"}
    async with Product(tmp_path, [flow], environment=environment, options=words) as product:
        (url,) = await until(lambda: re.findall(r"screens are at (\S+)", product.said()), "screens")
        async with httpx.AsyncClient(base_url=url, verify=False, timeout=20) as client:

            async def taken() -> bool:
                with contextlib.suppress(httpx.HTTPError):
                    answer = await client.post("/hook/orders", json={"i": 1})
                    return answer.status_code == 200
                return False

            await until(taken, "the path through the front door")
            assert (await client.post("/hook/none", json={})).status_code == 404
            assert (await client.post("/hook/orders", content=b"x" * 70_000)).status_code == 413
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        wss = url.replace("https", "wss").rstrip("/")
        login = {"Authorization": "Bearer four horses"}
        async with (
            connect(f"{wss}/hook/live?token=four%20horses", ssl=trust) as watcher,
            connect(f"{wss}/hook/feed", additional_headers=login, ssl=trust) as sender,
        ):
            for i in range(20):  # A watcher gets what comes after it is in.
                await sender.send(json.dumps({"i": i}))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        assert json.loads(await watcher.recv())["data"]["i"] <= i
                        break
            else:
                raise AssertionError("nothing came")
        with contextlib.suppress(InvalidStatus):
            async with connect(f"{wss}/hook/nothing", ssl=trust) as socket:
                with pytest.raises(Exception, match="44"):
                    await socket.recv()
        await product.terminate()

"""The client of HTTP, against a real server: no cancel, at whatever moment, costs a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from gateway import web
from tests.cancels import cancelled_twice


@asynccontextmanager
async def dripping() -> AsyncIterator[tuple[str, set[asyncio.StreamWriter]]]:
    """A server that says hello and then no more, and those who are connected to it."""
    open_: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            open_.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", open_
    finally:
        server.close()


async def none_left(open_: set[asyncio.StreamWriter]) -> None:
    async with asyncio.timeout(20):
        while open_:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("turns", range(6))
async def test_a_body_that_is_given_up_twice(turns: int) -> None:
    one = httpx.Limits(max_connections=1)
    async with dripping() as (url, open_), web.client(timeout=30, limits=one) as client:
        heard = bytearray()

        async def read() -> None:
            async with client.stream("GET", url) as answer:
                async for part in answer.aiter_raw():
                    heard.extend(part)

        for _ in range(3):  # The one connection must come back each time.
            heard.clear()
            task = asyncio.ensure_future(read())
            while heard != b"hello":
                await asyncio.sleep(0.001)
            await cancelled_twice(task, turns)
            await none_left(open_)


async def test_an_answer_that_comes_when_nobody_waits_any_more_is_given_back() -> None:
    one = httpx.Limits(max_connections=1)
    async with dripping() as (url, open_), web.client(timeout=30, limits=one) as client:
        for turns in range(40):
            task = asyncio.ensure_future(client.send(client.build_request("GET", url), stream=True))
            for _ in range(turns):
                await asyncio.sleep(0 if turns % 2 else 0.0002)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await (await task).aclose()
            await none_left(open_)


async def test_closing_a_client_waits_for_nobody_who_still_reads() -> None:
    async with dripping() as (url, open_):
        client = web.client(timeout=3600)

        async def read() -> None:
            async with client.stream("GET", url) as answer:
                await answer.aread()

        task = asyncio.ensure_future(read())
        while not open_:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        async with asyncio.timeout(20):
            await client.aclose()
            with pytest.raises(httpx.HTTPError):
                await task
        await none_left(open_)


async def test_errors_are_those_of_httpx() -> None:
    async with web.client(timeout=5) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://127.0.0.1:1/")

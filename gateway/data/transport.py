"""A transport of HTTP that gives every connection back, whatever ends the request."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

from gateway.data.tasks import Alone


class _Body(httpx.AsyncByteStream):
    """The body of an answer, of which each piece is read undisturbed."""

    def __init__(self, inner: httpx.AsyncByteStream, alone: Alone) -> None:
        self._inner = inner
        self._alone = alone
        self._pieces = aiter(inner)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self._alone.run(self._next())) is not None:
            yield piece

    async def _next(self) -> bytes | None:
        return await anext(self._pieces, None)

    async def aclose(self) -> None:
        await self._alone.run(self._inner.aclose())


class Transport(httpx.AsyncBaseTransport):
    """httpx's own transport, in whose cleaning up no second cancel falls (see `Alone`).

    Args:
        inner: Does the work.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._alone = Alone("web")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._alone.run(
            self._inner.handle_async_request(request), httpx.Response.aclose
        )
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        answer.stream = _Body(answer.stream, self._alone)
        return answer

    async def aclose(self) -> None:
        await self._alone.tidied()  # Who still reads is told by the closing.
        await self._inner.aclose()


__all__ = ["Transport"]

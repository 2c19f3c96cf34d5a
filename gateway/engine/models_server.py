"""A model behind a server that speaks the protocol of OpenAI: the one client for all of them.

It reaches only what an administrator has allowed, by the address that was checked; it follows no
redirect and asks no proxy of the environment. What it sends is tried again only where the
server's answer says that this makes sense, and never beyond the time that is left.

Source: RFC 9110, 10.2.3 and 15; RFC 6585, 4; decision 0031.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx

from gateway.data import web
from gateway.engine.backoff import Backoff
from gateway.engine.models_answer import Answer, OnPiece, length_of, tokens_of
from gateway.engine.models_http import (
    ANSWER_BYTES_MAX,
    bare,
    body,
    retry_after_s,
    streamed,
    trouble,
    trust,
    words,
)
from gateway.engine.models_limits import Pace
from gateway.engine.models_turns import Turns
from gateway.engine.models_wire import Heard, request
from gateway.errors import ConfigError, Disconnected, Rejected
from gateway.flow.config import Secret
from gateway.flow.generate import Ask
from gateway.flow.jsonschema import check_schema, parsed
from gateway.flow.models import ServerModel
from gateway.flow.node import Clock

Resolve = Callable[[str, int], Awaitable[list[str]]]
LATER: Final = (408, 409, 425, 429)
"""Of the 4xx those that mean: try again."""
REPAIRS: Final = 2
"""How often an answer of the wrong form is sent back."""
_WRONG_KEY: Final = (401, 403)


class ServerRunner:
    """One model of a server.

    Args:
        name: Of the model.
        model: As it is set up.
        resolve: Looks up and allows a destination.
        secret: The secret behind a reference.
        state: Folder of the state, where certificates of authorities are.
        clock: The time.
    """

    def __init__(
        self,
        name: str,
        model: ServerModel,
        resolve: Resolve,
        secret: Callable[[Secret], str],
        state: Path,
        clock: Clock,
    ) -> None:
        self._name = name
        self._model = model
        self._resolve = resolve
        self._secret = secret
        self._state = state
        self._clock = clock
        self._url = httpx.URL(f"{model.url}/chat/completions")
        self._where = f"{self._url.host}:{self._url.port or (443 if self._is_tls else 80)}"
        self._turns = Turns(model.at_once, model.queue_max, f"The model {name}")
        self._pace = Pace(model.requests_per_min, model.tokens_per_min, clock)
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._rest_until = 0.0
        self.trouble = ""

    @property
    def _is_tls(self) -> bool:
        return self._url.scheme == "https"

    @property
    def state(self) -> str:
        """What it does now."""
        return self.trouble or "ready"

    @property
    def waiting(self) -> int:
        """Questions that wait."""
        return self._turns.waiting

    async def answer(self, ask: Ask, on_piece: OnPiece, left_s: float) -> Answer:
        """The answer, checked against the schema where one is asked for.

        Raises:
            ConfigError: The address, the key or the certificate is not right.
            Rejected: The server refuses the question, or never answers in the right form.
            Disconnected: It does not answer now.
        """
        if ask.schema is not None:
            check_schema(ask.schema)
        end = self._clock.monotonic() + left_s
        async with self._turns.turn(ask.priority):
            try:
                answer = await self._formed(ask, on_piece, end)
            except (Disconnected, ConfigError) as error:
                self.trouble = str(error)
                raise
        self.trouble = ""
        return answer

    async def warm(self) -> None:
        """A server is ready, or it is not."""

    async def close(self) -> None:
        """Close what is open."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # ------------------------------------------------------------------ the right form

    async def _formed(self, ask: Ask, on_piece: OnPiece, end: float) -> Answer:
        more: tuple[tuple[str, str], ...] = ()
        tokens_in = tokens_out = 0
        for repair in range(REPAIRS + 1):
            heard = await self._tried(ask, more, on_piece, end)
            tokens_in += heard.tokens_in or length_of(ask) + sum(tokens_of(t) for _, t in more)
            tokens_out += heard.tokens_out or tokens_of(heard.text)
            is_cut = heard.finish == "length"
            if ask.schema is None:
                return Answer(heard.text, tokens_in, tokens_out, is_cut)
            _, wrong = parsed(heard.text, ask.schema)
            if not wrong:
                note = f"sent back {repair} times for its form" if repair else ""
                return Answer(bare(heard.text), tokens_in, tokens_out, is_cut, note)
            on_piece = _unheard  # What was told is void; the whole text is what counts.
            more = (
                ("assistant", heard.text[:4_000]),
                ("user", f"That does not fit the schema: {wrong}. Answer with JSON only."),
            )
        raise Rejected(f"{self._where} does not answer in the form that was asked for: {wrong}.")

    # ------------------------------------------------------------------ tries

    async def _tried(
        self, ask: Ask, more: tuple[tuple[str, str], ...], on_piece: OnPiece, end: float
    ) -> Heard:
        backoff = Backoff(f"{self._name}/{ask.key}")
        wanted = length_of(ask) + ask.tokens_max
        for attempt in range(1, self._model.tries + 1):
            await self._wait(self._rest_until - self._clock.monotonic(), end)
            await self._wait(self._pace.wait_s(wanted), end)
            self._pace.take(wanted)
            heard = Heard(on_piece, self._where)
            try:
                await self._send(ask, more, heard, end)
            except Disconnected as error:
                wait_s = backoff.next_s(error.retry_after_s)
                if error.retry_after_s:
                    self._rest_until = self._clock.monotonic() + error.retry_after_s
                if attempt == self._model.tries:
                    raise
                if heard.parts:
                    on_piece = _unheard
                await self._wait(wait_s, end, error)
            else:
                self._pace.settle(wanted, heard.tokens_in + heard.tokens_out)
                return heard
        raise AssertionError("The last try returns or raises.")

    async def _wait(self, wait_s: float, end: float, cause: Disconnected | None = None) -> None:
        if wait_s <= 0:
            return
        if self._clock.monotonic() + wait_s >= end:
            if cause is not None:
                raise cause
            text = f"{self._where} may be asked again in {wait_s:.0f} s; that is too late for this."
            raise Disconnected(text, retry_after_s=wait_s)
        await asyncio.sleep(wait_s)

    async def _send(
        self, ask: Ask, more: tuple[tuple[str, str], ...], heard: Heard, end: float
    ) -> None:
        left_s = max(end - self._clock.monotonic(), 0.1)
        try:
            # httpx bounds each wait; a server that sends a byte now and then is bounded here.
            async with asyncio.timeout(left_s):
                await self._exchange(ask, more, heard)
        except TimeoutError as error:
            raise Disconnected(f"{self._where} has not answered in {left_s:.1f} s.") from error
        except httpx.TimeoutException as error:
            silence = f"{self._model.timeout_s:g} s"
            raise Disconnected(f"No answer from {self._where} for {silence}.") from error
        except httpx.HTTPError as error:
            raise trouble(self._where, error) from error

    async def _exchange(self, ask: Ask, more: tuple[tuple[str, str], ...], heard: Heard) -> None:
        client = await self._opened()
        host = self._url.host
        port = self._url.port or (443 if self._is_tls else 80)
        addresses = await self._resolve(host, port)
        headers = {"Host": self._url.netloc.decode("ascii"), "Accept": "text/event-stream"}
        if self._model.key:
            # Files are read for it, which may take a moment.
            key = await asyncio.to_thread(self._secret, Secret(secret=self._model.key))
            headers["Authorization"] = f"Bearer {key}"
        call = client.build_request(
            "POST",
            self._url.copy_with(host=addresses[0]),
            headers=headers,
            json=request(self._model, ask, more),
            extensions={"sni_hostname": host} if self._is_tls else {},
        )
        answer = await client.send(call, stream=True)
        try:
            if answer.status_code != 200:
                await self._refused(answer)
            elif "text/event-stream" in answer.headers.get("content-type", ""):
                await streamed(answer, heard)
            else:
                heard.whole(await body(answer, ANSWER_BYTES_MAX, self._where))
        finally:
            with suppress(httpx.HTTPError):
                await answer.aclose()

    async def _opened(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._client is None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # It trusts nobody.
                if self._is_tls:
                    # Certificates of authorities are a large file, read in a thread.
                    path = self._state / self._model.ca if self._model.ca else None
                    context = await asyncio.to_thread(trust, path)
                self._client = web.client(
                    verify=context,
                    timeout=httpx.Timeout(self._model.timeout_s, connect=10.0),
                    limits=httpx.Limits(max_connections=self._model.at_once),
                )
            return self._client

    async def _refused(self, answer: httpx.Response) -> None:
        """What an answer means that is none.

        Raises:
            Disconnected: Later.
            ConfigError: It is not set up rightly.
            Rejected: Never.
        """
        status, heard = answer.status_code, ""
        with suppress(httpx.HTTPError, Rejected):
            heard = words(await body(answer, 65_536, self._where))
        if status in LATER or status >= 500:
            wait_s = retry_after_s(answer.headers.get("retry-after", ""), self._clock.now())
            text = f"{self._where} says later ({status}): {heard}"
            raise Disconnected(text, retry_after_s=wait_s)
        if status in _WRONG_KEY:
            raise ConfigError(
                f"{self._where} does not take the key ({status}): {heard}",
                hint=f"genba secrets set {self._model.key or 'NAME'}",
            )
        if 300 <= status < 400:
            there = words(answer.headers.get("location", "elsewhere").encode())
            raise ConfigError(f"{self._where} says it is at {there} ({status}); not followed.")
        if status == 404:
            raise ConfigError(
                f"{self._where} knows no {self._url.path} or no model {self._model.model!r}: "
                f"{heard}",
                hint="genba models list",
            )
        raise Rejected(f"{self._where} refuses the question ({status}): {heard}")


def _unheard(text: str) -> None:
    """For pieces that nobody is to hear."""


__all__ = ["ServerRunner"]

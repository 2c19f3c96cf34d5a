"""Ask a server again and again, and take what is new."""

from __future__ import annotations

import asyncio
import hashlib

from pydantic import Field, model_validator

from gateway import (
    Bytes,
    ConfigError,
    Context,
    Disconnected,
    Event,
    Example,
    Port,
    PositiveSeconds,
    Reading,
    Rejected,
    Seconds,
    Secret,
    Source,
)
from nodes._feed import Feed, FeedConfig, outputs_of, parsed
from nodes._web import Headers, HttpUrl, Reply, Web, judge

_VERSIONS = (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))


class HttpPollConfig(FeedConfig):
    url: HttpUrl = Field(
        examples=["https://api.example.com/orders?open=1"], description="What to ask."
    )
    interval_s: PositiveSeconds = Field(
        60.0, ge=0.1, le=86_400, description="From one question to the next."
    )
    long_poll_s: Seconds = Field(
        0.0,
        le=600,
        description="The server holds a question until there is news, at most so long; the next "
        "follows at once. 0: it answers at once.",
    )
    repeat: bool = Field(False, description="Take an answer that is the same as the last one, too.")
    headers: Headers = Field({}, description="More headers, such as Accept.")
    token: Secret | None = Field(None, description="Sent as `Authorization: Bearer …`.")
    bytes_max: Bytes = Field(1_000_000, le=20_000_000, description="The largest answer.")
    ca: str = Field("", description="File with the authority of the server; empty: this machine's.")
    timeout_s: PositiveSeconds = Field(15.0, le=120, description="Longest wait for an answer.")

    @model_validator(mode="after")
    def _fits(self) -> HttpPollConfig:
        if self.long_poll_s and self.interval_s < 1 and self.repeat:
            raise ValueError("`long_poll_s` with `repeat` and a short interval would never rest.")
        return self


class HttpPoll(Source[HttpPollConfig]):
    """Ask a server again and again, and take its JSON as events and samples when it is new.

    What the server says of its version (ETag, Last-Modified) is sent back, so that an answer that
    is not new costs a few bytes (304); an answer with the same bytes as the last is not taken
    either. With `long_poll_s` the question is held by the server.

    Delivery: what changes twice between two questions is seen once; the time without an answer is
    a gap. After a restart the newest answer is taken again; give items an `id` where that counts.
    Back pressure: no question is asked while the inbox is full.
    Reach: as `http.sink`.
    Source: RFC 9110, 13 (conditional requests); RFC 6202, 2 (long polling).
    """

    Config = HttpPollConfig
    outputs = (
        Port("events", "events", "What was answered."),
        Port("out", "samples", "Samples made of it; see `values`."),
        Port("status", "events", "Connection lost and back, gaps, refused answers."),
    )
    examples = (
        Example(
            "The weather each ten minutes, as samples",
            {
                "url": "https://weather.example.com/now.json",
                "interval_s": 600,
                "ts": "time",
                "values": {"site/weather/temperature": "main.temp"},
            },
        ),
        Example(
            "Orders, an event each",
            {
                "url": "https://erp.example.com/orders",
                "items": "orders",
                "id": "number",
                "token": {"secret": "erp"},
            },
        ),
        Example(
            "News that the server holds back until there are some",
            {"url": "https://api.example.com/updates", "long_poll_s": 50, "interval_s": 1},
        ),
    )

    def __init__(self, config: HttpPollConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._feed = Feed(config, ctx)
        self._web: Web | None = None
        self._asked: dict[str, str] = {}
        self._last = b""
        self._token = ""
        self._next_s = 0.0

    async def connect(self) -> None:
        config = self.config
        self._token = self.ctx.secret(config.token) if config.token else ""
        self._web = await asyncio.to_thread(Web, self.ctx, config.url, config.ca, config.timeout_s)
        self._next_s = 0.0

    async def read(self) -> Reading:
        """Ask once; nothing when that is not new."""
        await self._wait()
        reply = await self._ask()
        if reply.status in (204, 304):
            return Reading({})
        try:
            judge(reply, self.config.url, self.ctx.clock.now())
        except Rejected as error:
            raise ConfigError(str(error), hint="Check `url` and the token.") from error
        self._asked = {
            ours: reply.headers[theirs] for ours, theirs in _VERSIONS if theirs in reply.headers
        }
        digest = hashlib.blake2b(reply.body, digest_size=16).digest()
        if digest == self._last and not self.config.repeat:
            return Reading({})
        self._last = digest
        return self._taken(reply.body, digest.hex())

    async def _ask(self) -> Reply:
        assert self._web is not None, "connect comes first"
        config = self.config
        headers = {"Accept": "application/json", "User-Agent": "genba", **config.headers}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        read_s = config.timeout_s + config.long_poll_s
        try:
            reply = await self._web.send(
                "GET", headers | self._asked, bytes_max=config.bytes_max, read_s=read_s
            )
        except Rejected as error:
            raise Disconnected(str(error), retry_after_s=config.interval_s) from error
        self.ctx.count("answers")
        return reply

    def _taken(self, body: bytes, name: str) -> Reading:
        try:
            events, rows = self._feed.take(parsed(body), name)
        except ValueError as error:
            self.ctx.count("bad_bodies")
            text = f"{self.config.url} answered what is not understood: {error}"
            return Reading(
                {"status": (Event(self.ctx.clock.now(), "source/refused", {"text": text[:300]}),)}
            )
        return Reading(outputs_of(events, rows))

    async def _wait(self) -> None:
        now_s = self.ctx.clock.monotonic()
        if self._next_s > now_s:
            await asyncio.sleep(self._next_s - now_s)
            now_s = self.ctx.clock.monotonic()
        self._next_s = max(self._next_s + self.config.interval_s, now_s)
        if not self.config.long_poll_s:
            self._next_s = max(self._next_s, now_s + self.config.interval_s)

    async def close(self) -> None:
        if self._web is not None:
            await self._web.close()
            self._web = None

    def tag_names(self) -> list[str]:
        return self._feed.names()

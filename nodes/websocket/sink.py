"""Send messages over WebSockets."""

from __future__ import annotations

import asyncio
import hmac
from contextlib import suppress
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, Field, StringConstraints, model_validator
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gateway import (
    Config,
    Context,
    Disconnected,
    Example,
    Line,
    Message,
    Port,
    PositiveSeconds,
    Record,
    Seconds,
    Secret,
    Sink,
    Template,
    records,
)
from nodes._notify import Changes, check_template, told
from nodes._web import Headers, SocketUrl
from nodes.websocket._client import ended, opened

_PATH: Final = r"^([A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,7})?$"
QUEUED_MAX: Final = 1_000
"""Messages that may wait for one who is connected and slow."""


class WebsocketSinkConfig(Config):
    url: SocketUrl | None = Field(
        None, examples=["wss://wall.example.com/in"], description="The server to connect to."
    )
    path: Annotated[str, StringConstraints(pattern=_PATH)] = Field(
        "", description="Instead of `url`: others connect to /hook/<path> and get every message."
    )
    token: Secret | None = Field(
        None,
        description="With `url` sent as `Authorization: Bearer …`; with `path` asked of all who "
        "connect, there or as ?token=….",
    )
    open_access: bool = Field(False, description="With `path`: everybody on the network may read.")
    headers: Headers = Field({}, description="More headers of the handshake.")
    hello: Annotated[str, StringConstraints(max_length=10_000)] = Field(
        "", description="With `url`: a message to send first, such as a login."
    )
    body: Annotated[str, StringConstraints(max_length=100_000), AfterValidator(check_template)] = (
        Field(
            "",
            examples=['{"v": {value}, "t": {ts}}'],
            description="Message with the fields of a row in braces; empty is JSON with all.",
        )
    )
    changes: Changes = Field("all", description="Which changes of alarms are sent.")
    sockets_max: int = Field(50, ge=1, le=200, description="With `path`: how many may be open.")
    ping_s: Seconds = Field(20.0, le=600, description="With `url`: a ping each time.")
    ca: str = Field("", description="File with the authority of the server; empty: this machine's.")
    timeout_s: PositiveSeconds = Field(15.0, le=120, description="Longest wait for the handshake.")

    @model_validator(mode="after")
    def _fits(self) -> WebsocketSinkConfig:
        if bool(self.url) == bool(self.path):
            raise ValueError("Give either `url` (we connect) or `path` (others connect).")
        if self.path and not self.token and not self.open_access:
            raise ValueError("`path` needs a `token`, or `open_access: true`.")
        return self


class WebsocketSink(Sink[WebsocketSinkConfig]):
    """Send each sample, alarm or event as a message to a server, or to all who are connected.

    Delivery: every, with `url`: a write counts when a pong came back that was asked for after it,
    so the server's side of the socket has it, though its program may not; after a broken socket
    it is sent again, with the same `key`. With `path` it goes to those who are connected at that
    moment, and nobody gets it later.
    Back pressure: with `url` rows wait in the outbox while the server is away or slow. With `path`
    one who is slow does not hold up the others: behind 1,000 messages it is cut off (1013).
    Reach: as `http.sink`, and as `http.webhook` with `path`.
    Source: RFC 6455, 5.5.2 (ping).
    """

    Config = WebsocketSinkConfig
    answers = True
    delivery = "every"
    inputs = (
        Port("in", "samples", "Samples to send."),
        Port("events", "events", "Events to send."),
        Port("alarms", "alarms", "Alarms to send; see `changes`."),
    )
    examples = (
        Example("To a server", {"url": "wss://wall.example.com/in", "token": {"secret": "wall"}}),
        Example(
            "To all who watch, in a short form",
            {"path": "live/press1", "token": {"secret": "wall"}, "body": '{"v": {value}}'},
        ),
        Example("Alarms for a lamp in the hall", {"path": "lamp", "open_access": True}),
    )

    def __init__(self, config: WebsocketSinkConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._socket: ClientConnection | None = None
        self._token = ""
        self._body = Template(config.body)
        self._give_back: Any = None
        self._watchers: dict[asyncio.Queue[str | None], Line] = {}

    async def connect(self) -> None:
        config = self.config
        self._token = self.ctx.secret(config.token) if config.token else ""
        if config.path:
            self._give_back = self.ctx.serve(config.path, on_line=self._line)
            return
        self._socket = await opened(
            self.ctx,
            str(config.url),
            ca=config.ca,
            headers=config.headers,
            token=self._token,
            timeout_s=config.timeout_s,
            ping_s=config.ping_s,
            bytes_max=1_000_000,
        )
        if config.hello:
            await self._send([config.hello])

    async def write(self, message: Message, port: str) -> None:
        texts = [self._text(r) for r in told(records(message, self.ctx), self.config.changes)]
        if self.config.url:
            await self._send(texts)
        else:
            self._spread(texts)
        self.ctx.count("messages", len(texts))

    def _text(self, record: Record) -> str:
        if self._body.text:
            return self._body.fill(record.data, json=True)
        data = {"key": record.key, **record.data}
        return orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS).decode()

    async def _send(self, texts: list[str]) -> None:
        """Send all and wait for a pong: what was sent before it has arrived."""
        assert self._socket is not None, "connect comes first"
        socket = self._socket
        try:
            async with asyncio.timeout(self.config.timeout_s):
                for text in texts:
                    await socket.send(text)
                await (await socket.ping())
        except ConnectionClosed as error:
            raise ended(str(self.config.url), error) from error
        except TimeoutError as error:
            text = f"{self.config.url} took nothing for {self.config.timeout_s:g} s."
            raise Disconnected(text) from error

    # ------------------------------------------------------------------ who connects to us

    async def _line(self, line: Line) -> None:
        """Send to one until it goes."""
        kind, _, given = line.headers.get("authorization", "").partition(" ")
        given = given if kind.lower() == "bearer" else line.query.get("token", "")
        if self._token and not hmac.compare_digest(given.strip().encode(), self._token.encode()):
            self.ctx.count("refused")
            await line.close(1008, "The token does not fit.")
            return
        if len(self._watchers) >= self.config.sockets_max:
            await line.close(1013, f"{self.config.sockets_max} sockets are open (sockets_max).")
            return
        queue: asyncio.Queue[str | None] = asyncio.Queue(QUEUED_MAX)
        self._watchers[queue] = line
        self.ctx.start("watcher", _listen(queue, line))
        try:
            while (text := await queue.get()) is not None:
                await line.send(text)
        except Disconnected:
            return
        finally:
            self._watchers.pop(queue, None)

    def _spread(self, texts: list[str]) -> None:
        for queue, line in list(self._watchers.items()):
            try:
                for text in texts:
                    queue.put_nowait(text)
            except asyncio.QueueFull:
                del self._watchers[queue]
                self.ctx.count("cut_off")
                self.ctx.start("cut", line.close(1013, "Too slow: messages were lost."))

    async def close(self) -> None:
        if self._give_back is not None:
            self._give_back()
            self._give_back = None
        for line in self._watchers.values():
            self.ctx.start("close", line.close(1012, "The flow is being changed."))
        self._watchers.clear()
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()


async def _listen(queue: asyncio.Queue[str | None], line: Line) -> None:
    """Wait until one has gone; what it says is not listened to."""
    with suppress(Disconnected):
        while True:
            await line.receive()
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)

"""Take messages from WebSockets."""

from __future__ import annotations

import asyncio
import hmac
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, model_validator
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gateway import (
    Batch,
    Bytes,
    Context,
    Disconnected,
    Event,
    Example,
    Line,
    Port,
    PositiveSeconds,
    Reading,
    Rows,
    Seconds,
    Secret,
    Source,
    Template,
)
from nodes._feed import Feed, FeedConfig, outputs_of, parsed
from nodes._web import Headers, SocketUrl
from nodes.websocket._client import ended, opened

_PATH: Final = r"^([A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,7})?$"
_GATHER_S: Final = 0.0
REFUSED_MAX: Final = 20


class WebsocketSourceConfig(FeedConfig):
    url: SocketUrl | None = Field(
        None, examples=["wss://stream.example.com/ticks"], description="The server to connect to."
    )
    path: Annotated[str, StringConstraints(pattern=_PATH)] = Field(
        "",
        description="Instead of `url`: others connect to /hook/<path> of the gateway.",
    )
    token: Secret | None = Field(
        None,
        description="With `url` sent as `Authorization: Bearer …`; with `path` asked of all who "
        "connect, there or as ?token=….",
    )
    open_access: bool = Field(False, description="With `path`: take messages without a token.")
    headers: Headers = Field({}, description="More headers of the handshake.")
    subscribe: list[Annotated[str, StringConstraints(max_length=10_000)]] = Field(
        [],
        max_length=100,
        examples=[['{"op": "subscribe", "channel": "trades"}']],
        description="Messages to send once the socket is open.",
    )
    resume: Annotated[str, StringConstraints(max_length=10_000)] = Field(
        "",
        examples=['{"op": "resume", "after": "{last}"}'],
        description="Message to send after them when something was taken before, also before a "
        "restart; {last} is the `id` of the last item.",
    )
    payload: Literal["json", "text", "binary"] = Field(
        "json",
        description="json: the message is a document; text: an event with `text`; binary: an event "
        "with `hex`.",
    )
    ping_s: Seconds = Field(
        20.0, le=600, description="A ping each time; without a pong the socket is opened anew."
    )
    silent_s: Seconds = Field(
        0.0,
        le=86_400,
        description="Without a message for so long it is opened anew; 0: never.",
    )
    bytes_max: Bytes = Field(1_000_000, le=20_000_000, description="The largest message.")
    rows_max: Rows = Field(500, le=10_000, description="Messages of one reading.")
    sockets_max: int = Field(20, ge=1, le=200, description="With `path`: how many may be open.")
    ca: str = Field("", description="File with the authority of the server; empty: this machine's.")
    timeout_s: PositiveSeconds = Field(15.0, le=120, description="Longest wait for the handshake.")

    @model_validator(mode="after")
    def _fits(self) -> WebsocketSourceConfig:
        if bool(self.url) == bool(self.path):
            raise ValueError("Give either `url` (we connect) or `path` (others connect).")
        if self.path and not self.token and not self.open_access:
            raise ValueError("`path` needs a `token`, or `open_access: true`.")
        if self.resume and not self.id:
            raise ValueError("`resume` needs `id`: the path of what names an item.")
        if self.path and (self.subscribe or self.resume):
            raise ValueError("`subscribe` and `resume` are for `url`.")
        return self


class WebsocketSource(Source[WebsocketSourceConfig]):
    """Take messages from a WebSocket server, or from all who connect to a path of the gateway.

    Each message is an event, or several with `items`; `values` makes samples. With `subscribe`
    and `resume` a server is asked for its channels, and for what was missed.

    Delivery: what the server sends while nobody listens is lost, unless it resumes; the time away
    is a gap. The id of the last item is committed with it, so `resume` asks for what follows the
    journal. Who connects to a path is not answered: one who must know takes `http.webhook`.
    Back pressure: while the inbox is full no message is read: some wait in the library, the rest
    in the socket, so the server is slowed down by TCP. Nothing is dropped and nothing grows.
    Reach: as `http.sink`, and as `http.webhook` with `path`.
    Source: RFC 6455.
    """

    Config = WebsocketSourceConfig
    answers = True
    outputs = (
        Port("events", "events", "Messages."),
        Port("out", "samples", "Samples made of them; see `values`."),
        Port("status", "events", "Connection lost and back, gaps, refused messages."),
    )
    examples = (
        Example(
            "Market ticks, as samples",
            {
                "url": "wss://stream.example.com/ticks",
                "subscribe": ['{"op": "subscribe", "channel": "trades"}'],
                "ts": "time",
                "values": {"market/acme/price": "price", "market/acme/size": "size"},
            },
        ),
        Example(
            "A feed that resumes",
            {
                "url": "wss://events.example.com/",
                "token": {"secret": "events"},
                "id": "seq",
                "resume": '{"resume_after": {last}}',
            },
        ),
        Example(
            "Sensors that connect to the gateway",
            {"path": "sensors", "token": {"secret": "sensors"}, "values": {"hall1/co2": "ppm"}},
        ),
    )

    def __init__(self, config: WebsocketSourceConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._feed = Feed(config, ctx)
        stored = ctx.position if isinstance(ctx.position, dict) else {}
        self._last = str(stored.get("last", ""))
        self._socket: ClientConnection | None = None
        self._arrived: asyncio.Queue[str | bytes] = asyncio.Queue(config.rows_max)
        self._give_back: Any = None
        self._token = ""
        self._open = 0

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
            bytes_max=config.bytes_max,
        )
        try:
            for message in config.subscribe:
                await self._socket.send(message)
            if config.resume and self._last:
                await self._socket.send(Template(config.resume).fill({"last": self._last}))
        except ConnectionClosed as error:
            raise ended(str(config.url), error) from error

    # ------------------------------------------------------------------ who connects to us

    async def _line(self, line: Line) -> None:
        """Take what one sends until it goes; waits while the flow is behind."""
        if not self._may(line):
            self.ctx.count("refused")
            await line.close(1008, "The token does not fit.")
            return
        if self._open >= self.config.sockets_max:
            await line.close(1013, f"{self.config.sockets_max} sockets are open (sockets_max).")
            return
        self._open += 1
        try:
            while self._give_back is not None:
                message = await line.receive()
                if len(message) > self.config.bytes_max:
                    await line.close(1009, f"More than {self.config.bytes_max} bytes.")
                    return
                await self._arrived.put(message)
        except Disconnected:
            return
        finally:
            self._open -= 1

    def _may(self, line: Line) -> bool:
        if not self._token:
            return True
        kind, _, given = line.headers.get("authorization", "").partition(" ")
        given = given if kind.lower() == "bearer" else line.query.get("token", "")
        return hmac.compare_digest(given.strip().encode(), self._token.encode())

    # ------------------------------------------------------------------ the flow's side

    async def read(self) -> Reading:
        """Wait for a message, and take those that are there already with it."""
        messages = [await self._first()]
        while len(messages) < self.config.rows_max and (more := await self._ready()) is not None:
            messages.append(more)
        events: list[Event] = []
        refused: list[Event] = []
        batches: list[Batch] = []
        for message in messages:
            try:
                found, rows = self._feed.take(self._document(message))
            except ValueError as error:
                self.ctx.count("bad_messages")
                if len(refused) < REFUSED_MAX:
                    data = {"text": f"A message was not understood: {error}"[:300]}
                    refused.append(Event(self.ctx.clock.now(), "source/refused", data))
                continue
            events += found
            batches.append(rows)
        outputs = outputs_of(events, Batch.concat(batches))
        if refused:
            outputs["status"] = tuple(refused)
        named = [event.id for event in events if event.id]
        if not self.config.resume:
            return Reading(outputs)
        self._last = named[-1] if named else self._last
        return Reading(outputs, position={"last": self._last})

    def _document(self, message: str | bytes) -> Any:
        if self.config.payload == "json":
            return parsed(message)
        if self.config.payload == "binary":
            return {"hex": (message.encode() if isinstance(message, str) else message).hex()}
        text = message if isinstance(message, str) else message.decode("utf-8", "replace")
        return {"text": text.replace("\x00", "\ufffd")}

    async def _first(self) -> str | bytes:
        try:
            async with asyncio.timeout(self.config.silent_s or None):
                return await self._next()
        except TimeoutError:
            place = self.config.url or f"/hook/{self.config.path}"
            text = f"No message from {place} for {self.config.silent_s:g} s."
            raise Disconnected(text) from None

    async def _next(self) -> str | bytes:
        if self._socket is None:
            return await self._arrived.get()
        try:
            return await self._socket.recv()
        except ConnectionClosed as error:
            raise ended(str(self.config.url), error) from error

    async def _ready(self) -> str | bytes | None:
        """The next message when it is there already; the loop is let go once for it."""
        if self._socket is None:
            return self._arrived.get_nowait() if not self._arrived.empty() else None
        try:
            async with asyncio.timeout(_GATHER_S):
                return await self._socket.recv()
        except (TimeoutError, ConnectionClosed):
            return None  # A closed socket is found by the next reading.

    async def close(self) -> None:
        if self._give_back is not None:
            self._give_back()
            self._give_back = None
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    def tag_names(self) -> list[str]:
        return self._feed.names()

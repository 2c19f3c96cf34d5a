"""Take what others send to a path of the gateway."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl

from pydantic import Field, StringConstraints, model_validator

from gateway import (
    Answer,
    Batch,
    Bytes,
    Call,
    Context,
    Event,
    Example,
    Port,
    PositiveSeconds,
    Reading,
    Rows,
    Secret,
    Source,
)
from nodes._feed import Feed, FeedConfig, outputs_of, parsed
from nodes.http._signature import HEADER, is_signed

KEYS_MAX: Final = 500
"""Idempotency keys that are remembered, also over a restart."""
_PATH: Final = r"^[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,7}$"
_TAKEN: Final = "Taken."


class HttpWebhookConfig(FeedConfig):
    path: Annotated[str, StringConstraints(pattern=_PATH)] = Field(
        examples=["orders/new"], description="Where it is called: /hook/<path> of the gateway."
    )
    auth: Literal["token", "signature", "none"] = Field(
        "token",
        description="How the caller shows who it is: a token, a signature (HMAC-SHA256) of the "
        "body, or not at all.",
    )
    secret: Secret | None = Field(None, description="The token, or the key of the signature.")
    header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]*$")] = Field(
        "",
        description="Header with the token or the signature; empty is Authorization: Bearer or "
        "X-Hub-Signature-256.",
    )
    keep_headers: list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$")]] = Field(
        [],
        max_length=20,
        examples=[["X-GitHub-Event"]],
        description="Headers that go into the event, as `headers`.",
    )
    body_bytes_max: Bytes = Field(65_536, le=4_000_000, description="The largest body.")
    calls_max: Rows = Field(
        200, le=10_000, description="Calls that may wait for the flow; beyond, callers wait."
    )
    answer_s: PositiveSeconds = Field(
        10.0, le=25, description="After so long without the disk a caller is told to come again."
    )

    @model_validator(mode="after")
    def _fits(self) -> HttpWebhookConfig:
        if (self.auth == "none") != (self.secret is None):
            raise ValueError("`auth` needs a `secret`; `auth: none` has none.")
        return self


class HttpWebhook(Source[HttpWebhookConfig]):
    """Take what others send: each call to /hook/<path> is an event, or several.

    JSON becomes the event's data, a form its fields, any other text `text`. With `items` each
    item of a list in it is an event of its own; `values` makes samples as well.

    Delivery: a caller gets 2xx only after the journal has it. A call with an Idempotency-Key is
    taken once: the same key again, also after a restart, is answered 200 and makes no event; the
    last 500 keys are known. The event's id is made of the key. Without the answer a caller comes
    again, so a call without a key may be taken twice.
    Back pressure: when the flow or the disk is behind, callers are told 503 with Retry-After.
    Reach: over the address of the screens; nothing but the secret stands between a caller and
    the flow. Bodies above `body_bytes_max` are refused before they are read.
    Source: RFC 9110; draft-ietf-httpapi-idempotency-key-header; RFC 2104.
    """

    Config = HttpWebhookConfig
    answers = True
    tells_gaps = True  # Who calls and is not heard calls again: we know of none.
    outputs = (
        Port("events", "events", "What was sent."),
        Port("out", "samples", "Samples made of it; see `values`."),
        Port("status", "events", "Lost and back."),
    )
    examples = (
        Example(
            "Orders from the office, with a token",
            {"path": "orders", "secret": {"secret": "orders_token"}},
        ),
        Example(
            "GitHub's webhooks",
            {
                "path": "github",
                "auth": "signature",
                "secret": {"secret": "github"},
                "keep_headers": ["X-GitHub-Event"],
            },
        ),
        Example(
            "Measurements in lists, from a sensor without any secret",
            {
                "path": "hall1/co2",
                "auth": "none",
                "items": "rows",
                "ts": "at",
                "values": {"hall1/co2": "ppm"},
            },
        ),
    )

    def __init__(self, config: HttpWebhookConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._feed = Feed(config, ctx)
        self._secret = ""
        self._give_back: Callable[[], None] | None = None
        self._calls: asyncio.Queue[_Waiting] = asyncio.Queue(config.calls_max)
        stored = ctx.position if isinstance(ctx.position, dict) else {}
        self._known: dict[str, None] = dict.fromkeys(map(str, stored.get("keys", ())))
        self._flying: dict[str, _Waiting] = {}
        self._handed: list[_Waiting] = []
        """Given to the flow and not in the journal yet."""

    async def connect(self) -> None:
        config = self.config
        self._secret = self.ctx.secret(config.secret) if config.secret else ""
        self._calls = asyncio.Queue(config.calls_max)
        self._give_back = self.ctx.serve(
            config.path, on_call=self._call, body_bytes_max=config.body_bytes_max
        )

    # ------------------------------------------------------------------ the caller's side

    async def _call(self, call: Call) -> Answer:
        if not self._may(call):
            self.ctx.count("refused")
            return Answer(401, "The token or the signature does not fit.")
        key = self._key(call)
        if key in self._known:
            self.ctx.count("repeated")
            return Answer(200, _TAKEN, {"Idempotent-Replayed": "true"})
        waiting = self._flying.get(key) if key else None
        if waiting is None:
            try:
                waiting = self._waiting(call, key)
                self._calls.put_nowait(waiting)
            except ValueError as error:
                self.ctx.count("bad_bodies")
                return Answer(400, str(error)[:300])
            except asyncio.QueueFull:
                self.ctx.count("told_to_wait")
                return Answer(503, "The flow is behind. Try again.", {"Retry-After": "1"})
            if key:
                self._flying[key] = waiting
        try:
            async with asyncio.timeout(self.config.answer_s):
                await waiting.is_safe.wait()
        except TimeoutError:
            self.ctx.count("told_to_wait")
            return Answer(503, "It could not be stored yet. Try again.", {"Retry-After": "5"})
        if waiting.is_lost:
            return Answer(503, "The flow is being changed. Try again.", {"Retry-After": "1"})
        return Answer(200, _TAKEN)

    def _may(self, call: Call) -> bool:
        config = self.config
        if config.auth == "none":
            return True
        if config.auth == "signature":
            given = call.headers.get((config.header or HEADER).lower(), "")
            return is_signed(self._secret, call.body, given)
        given = call.headers.get((config.header or "authorization").lower(), "")
        if not config.header:
            kind, _, given = given.partition(" ")
            if kind.lower() != "bearer":
                return False
        return hmac.compare_digest(given.strip().encode(), self._secret.encode())

    def _key(self, call: Call) -> str:
        """The caller's key, short; empty where it gives none."""
        given = call.headers.get("idempotency-key", "")
        return hashlib.blake2b(given.encode(), digest_size=12).hexdigest() if given else ""

    def _waiting(self, call: Call, key: str) -> _Waiting:
        kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/x-www-form-urlencoded":
            text = call.body.decode("utf-8", "replace")
            document: Any = dict(parse_qsl(text, max_num_fields=1_000))
        elif kind == "application/json" and not call.body:
            document = {}
        else:
            document = parsed(call.body)
        events, rows = self._feed.take(document, key)
        if self.config.keep_headers:
            kept = {n: v for n in self.config.keep_headers if (v := call.headers.get(n.lower()))}
            events = [Event(e.ts, e.topic, {**e.data, "headers": kept}, e.id) for e in events]
        return _Waiting(key, events, rows)

    # ------------------------------------------------------------------ the flow's side

    async def read(self) -> Reading:
        calls = [await self._calls.get()]
        while len(calls) < self.config.calls_max:
            try:
                calls.append(self._calls.get_nowait())
            except asyncio.QueueEmpty:
                break
        events = [event for call in calls for event in call.events]
        rows = Batch.concat([call.rows for call in calls])
        keys = [call.key for call in calls if call.key]
        position = None
        if keys:
            known = dict.fromkeys([*self._known, *(c.key for c in self._handed), *keys])
            position = {"keys": list(known)[-KEYS_MAX:]}
        self._handed += calls
        return Reading(outputs_of(events, rows), token=calls, position=position)

    async def acknowledge(self, token: list[_Waiting]) -> None:
        """The journal has them: tell the callers."""
        for call in token:
            if call.key:
                self._known[call.key] = None
                self._flying.pop(call.key, None)
            with suppress(ValueError):
                self._handed.remove(call)
            call.is_safe.set()
        while len(self._known) > KEYS_MAX:
            del self._known[next(iter(self._known))]

    async def close(self) -> None:
        """Answer no more; who waits and was not handed on is told to come again."""
        if self._give_back is not None:
            self._give_back()
            self._give_back = None
        while not self._calls.empty():
            call = self._calls.get_nowait()
            call.is_lost = True
            self._flying.pop(call.key, None)
            call.is_safe.set()

    def tag_names(self) -> list[str]:
        return self._feed.names()


class _Waiting:
    """A call that waits until it is safe."""

    def __init__(self, key: str, events: list[Event], rows: Batch) -> None:
        self.key = key
        self.events = events
        self.rows = rows
        self.is_safe = asyncio.Event()
        self.is_lost = False

"""Send alarms, events and samples as webhooks."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Literal

import orjson
from pydantic import AfterValidator, Field, StringConstraints

from gateway import (
    Config,
    Context,
    Example,
    Message,
    Port,
    PositiveSeconds,
    Record,
    Rejected,
    Seconds,
    Secret,
    Sink,
    Template,
    records,
)
from nodes._notify import Changes, Sent, check_template, told
from nodes._web import Headers, HttpUrl, Web, judge
from nodes.http._signature import HEADER, sign


class HttpSinkConfig(Config):
    url: HttpUrl = Field(
        examples=["https://hooks.example.com/genba"], description="Where to send to."
    )
    method: Literal["POST", "PUT"] = Field("POST", description="Method of the request.")
    many: bool = Field(
        False, description="All rows of a write as one JSON list, instead of a request each."
    )
    rows_max: int = Field(500, ge=1, le=10_000, description="With `many`: rows of one request.")
    body: Annotated[str, StringConstraints(max_length=100_000), AfterValidator(check_template)] = (
        Field(
            "",
            examples=['{"text": "{tag} is {value}"}'],
            description="Body of a request, with the fields of a row in braces; empty is JSON "
            "with all fields. Not with `many`.",
        )
    )
    headers: Headers = Field({}, description="More headers, such as Content-Type.")
    token: Secret | None = Field(None, description="Sent as `Authorization: Bearer …`.")
    sign: Secret | None = Field(None, description="Key of a signature (HMAC-SHA256) of the body.")
    signature_header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$")] = Field(
        HEADER, description="Header of the signature; its value is sha256=…, in hexadecimal digits."
    )
    changes: Changes = Field(
        "all", description="Which changes of alarms are sent: raised, raised_and_over, or all."
    )
    every_s: Seconds = Field(
        0.0, le=3_600, description="At least so long from one write to the next."
    )
    ca: str = Field("", description="File with the authority of the server; empty: this machine's.")
    timeout_s: PositiveSeconds = Field(15.0, le=120, description="Longest wait for an answer.")


class HttpSink(Sink[HttpSinkConfig]):
    """Send each alarm, event or sample as an HTTP request with JSON.

    The body has kind, flow, node, ts, time, and the fields that `email.sink` names. Each request
    carries an Idempotency-Key that is made of the row: a second sending has the same one.

    Delivery: every; a request counts when the server answers 2xx. 408, 425, 429 and 5xx are tried
    again, no sooner than Retry-After says; other 4xx are dead letters. Redirects are not followed:
    they are said. What the server has taken is not sent again while the gateway runs.
    Back pressure: rows wait in the outbox while the server is away or says later.
    Reach: this machine itself, link-local addresses and metadata services are refused after the
    name is looked up, unless an administrator allows them (`genba destinations`).
    Source: RFC 9110; draft-ietf-httpapi-idempotency-key-header.
    """

    Config = HttpSinkConfig
    delivery = "every"
    inputs = (
        Port("events", "events", "Events to send."),
        Port("alarms", "alarms", "Alarms to send; see `changes`."),
        Port("in", "samples", "Samples to send."),
    )
    examples = (
        Example(
            "Alarms to a webhook, signed",
            {
                "url": "https://hooks.example.com/genba",
                "sign": {"secret": "hook"},
                "changes": "raised",
            },
        ),
        Example(
            "A body of one's own",
            {
                "url": "https://chat.example.com/rooms/7",
                "body": '{"text": "{topic}: {data.message}"}',
                "token": {"secret": "chat"},
            },
        ),
        Example(
            "Samples in lists, once a second",
            {"url": "http://10.0.0.9:8080/rows", "many": True, "every_s": 1},
        ),
    )

    def __init__(self, config: HttpSinkConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._web: Web | None = None
        self._secrets = ("", "")
        self._sent = Sent()
        self._body = Template(config.body)
        self._next_s = 0.0

    async def connect(self) -> None:
        config = self.config
        token = self.ctx.secret(config.token) if config.token else ""
        self._secrets = token, self.ctx.secret(config.sign) if config.sign else ""
        self._web = await asyncio.to_thread(Web, self.ctx, config.url, config.ca, config.timeout_s)

    async def ready(self) -> None:
        self._sent.begin()
        wait_s = self._next_s - self.ctx.clock.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def write(self, message: Message, port: str) -> None:
        found = records(message, self.ctx)
        wanted = self._sent.wanted(told(found, self.config.changes))
        size = self.config.rows_max if self.config.many else 1
        for at in range(0, len(wanted), size):
            await self._post(wanted[at : at + size])
        self._next_s = self.ctx.clock.monotonic() + self.config.every_s
        self._sent.finish(r.key for r in found)

    async def _post(self, part: list[Record]) -> None:
        """One request; what is refused for good does not hold up the others."""
        assert self._web is not None, "connect comes first"
        keys = [record.key for record in part]
        body, key = self._content(part)
        reply = await self._web.send(self.config.method, self._headers(body, key), body)
        try:
            judge(reply, self.config.url, self.ctx.clock.now())
        except Rejected as error:
            self._sent.refuse(keys, str(error))
        else:
            self.ctx.count("requests")
            self._sent.add(keys)

    def _content(self, part: list[Record]) -> tuple[bytes, str]:
        if self.config.many:
            body = orjson.dumps([r.data for r in part], default=str, option=_OPTIONS)
            whole = "\n".join(record.key for record in part)
            return body, hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()
        record = part[0]
        if self._body.text:
            return self._body.fill(record.data, json=True).encode(), record.key
        return orjson.dumps(record.data, default=str, option=_OPTIONS), record.key

    def _headers(self, body: bytes, key: str) -> dict[str, str]:
        token, secret = self._secrets
        headers = {"Content-Type": "application/json", "User-Agent": "genba", **self.config.headers}
        headers["Idempotency-Key"] = key
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if secret:
            headers[self.config.signature_header] = sign(secret, body)
        return headers

    async def close(self) -> None:
        if self._web is not None:
            await self._web.close()
            self._web = None


_OPTIONS = orjson.OPT_NON_STR_KEYS

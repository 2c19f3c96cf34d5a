"""Send alarms and events to a channel of Slack, or of what takes the same messages."""

from __future__ import annotations

import asyncio
from typing import Annotated
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, Field, StringConstraints

from gateway import (
    Config,
    ConfigError,
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
from nodes._notify import Allowance, Changes, Sent, check_template, line_of, sentence, told
from nodes._web import Web, judge

LINES_MAX = 50
TEXT_CHARS_MAX = 3_500
"""Slack cuts texts at 4,000 characters (docs of chat.postMessage, "Truncating content")."""
_MARKS = {"urgent": ":rotating_light:", "high": ":warning:"}


class SlackSinkConfig(Config):
    url: Secret = Field(
        description="The address of the incoming webhook. It is a password, so it is a secret."
    )
    text: Annotated[str, StringConstraints(max_length=3_000), AfterValidator(check_template)] = (
        Field(
            "",
            examples=["*{tag}* is {value} {unit}: {text}"],
            description="Text of a row, with its fields in braces; empty for our own words.",
        )
    )
    changes: Changes = Field(
        "raised", description="Which changes of alarms are sent: raised, raised_and_over, or all."
    )
    burst: int = Field(
        5, ge=1, le=100, description="So many messages at once; what is more becomes one message."
    )
    every_s: Seconds = Field(
        2.0, ge=1, le=3_600, description="After a burst one message each time, with all of it."
    )
    ca: str = Field("", description="File with the authority of the server; empty: this machine's.")
    timeout_s: PositiveSeconds = Field(15.0, le=120, description="Longest wait for an answer.")


class SlackSink(Sink[SlackSinkConfig]):
    """Send alarms, events and samples to a channel of Slack, and a flood of them as one message.

    Mattermost, Rocket.Chat and Zulip take the same messages. What comes from outside is shown as
    it is: it can neither call everybody nor make a link of a word.

    Delivery: every; a message counts when the server says ok. 429 and 5xx are tried again, no
    sooner than Retry-After says; other 4xx are dead letters. Slack knows no second sending: after
    a crash in the moment between its answer and the next commit a message comes twice.
    Back pressure: rows wait in the outbox while the server is away or the allowance is spent.
    Reach: as `http.sink`.
    Source: Slack, "Sending messages using incoming webhooks" and "Rate limits" (one a second).
    """

    Config = SlackSinkConfig
    delivery = "every"
    inputs = (
        Port("alarms", "alarms", "Alarms to send; see `changes`."),
        Port("events", "events", "Events to send."),
        Port("in", "samples", "Samples to send."),
    )
    examples = (
        Example("Alarms to a channel", {"url": {"secret": "slack_hall1"}}),
        Example(
            "Urgent messages of customers",
            {"url": {"secret": "slack_support"}, "text": "{data.user}: {data.text}"},
        ),
        Example(
            "One message a minute",
            {"url": {"secret": "slack_hall1"}, "burst": 1, "every_s": 60},
        ),
    )

    def __init__(self, config: SlackSinkConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._allowance = Allowance(config.burst, config.every_s)
        self._sent = Sent()
        self._text = Template(config.text)
        self._web: Web | None = None
        self._place = ""

    async def connect(self) -> None:
        config = self.config
        url = self.ctx.secret(config.url).strip()
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ConfigError(
                f"The secret {config.url.secret!r} is no address.",
                hint="Set it to the webhook's address, https://….",
            )
        self._place = f"{parts.scheme}://{parts.netloc}/"  # What is behind it is the secret.
        self._web = await asyncio.to_thread(Web, self.ctx, url, config.ca, config.timeout_s)

    async def ready(self) -> None:
        self._sent.begin()
        await asyncio.sleep(self._allowance.wait_s(self.ctx.clock.monotonic()))

    async def write(self, message: Message, port: str) -> None:
        found = records(message, self.ctx)
        wanted = self._sent.wanted(told(found, self.config.changes))
        may = max(self._allowance.left(self.ctx.clock.monotonic()), 1)
        parts = [wanted] if len(wanted) > may else [[record] for record in wanted]
        for part in parts:
            await self._post(part)
        self._sent.finish(r.key for r in found)

    async def _post(self, part: list[Record]) -> None:
        assert self._web is not None, "connect comes first"
        keys = [record.key for record in part]
        body = orjson.dumps({"text": self._words(part), "link_names": 0, "unfurl_links": False})
        headers = {"Content-Type": "application/json", "User-Agent": "genba"}
        reply = await self._web.send("POST", headers, body)
        try:
            judge(reply, self._place, self.ctx.clock.now())
        except Rejected as error:
            self._sent.refuse(keys, str(error))
        else:
            self._allowance.spend()
            self.ctx.count("messages")
            self._sent.add(keys)

    def _words(self, part: list[Record]) -> str:
        if len(part) == 1:
            return self._line(part[0])[:TEXT_CHARS_MAX]
        lines = [sentence(part), *(self._line(record) for record in part[:LINES_MAX])]
        if len(part) > LINES_MAX:
            lines.append(f"... and {len(part) - LINES_MAX} more")
        text = "\n".join(line[:500] for line in lines)
        return text if len(text) <= TEXT_CHARS_MAX else f"{text[:TEXT_CHARS_MAX]}\n..."

    def _line(self, record: Record) -> str:
        if self._text.text:
            return self._text.fill({k: _plain(v) for k, v in record.data.items()})
        mark = _MARKS.get(str(record.data.get("priority", "")), "")
        return f"{mark} {_plain(line_of(record))}".strip()

    async def close(self) -> None:
        if self._web is not None:
            await self._web.close()
            self._web = None


def _plain(value: object) -> object:
    """A value in which nothing is a command: <!channel> and links are written with < and >."""
    if isinstance(value, str):
        return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value

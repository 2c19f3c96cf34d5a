"""Send alarms, events and samples as mails."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from email.utils import parseaddr
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from gateway import (
    Config,
    ConfigError,
    Context,
    Disconnected,
    Example,
    Message,
    Port,
    Record,
    Seconds,
    Secret,
    Sink,
    records,
)
from nodes._notify import Allowance, Changes, Sent, told
from nodes.email._fields import (
    Address,
    Burst,
    CaFile,
    EverySeconds,
    PlainAddress,
    RetrySeconds,
    TimeoutSeconds,
    Words,
    ZoneName,
)
from nodes.email._letter import Letter, Writer
from nodes.email._post import Office, Receipt, Security, Visit


class EmailSinkConfig(Config):
    host: str = Field(min_length=1, max_length=255, description="The mail server.")
    port: int = Field(587, ge=1, le=65_535, description="Its port: 587, or 465 with TLS at once.")
    security: Security = Field(
        "starttls",
        description="starttls: encrypted or not at all; tls: encrypted from the first byte; none.",
    )
    ca: CaFile = ""
    user: str = Field("", max_length=255, description="For the login; empty for none.")
    password: Secret | None = Field(None, description="Of the login.")
    sender: Address = Field(description="Who the mail is from, such as Genba <genba@example.com>.")
    to: list[PlainAddress] = Field(
        min_length=1, max_length=100, description="Who gets it, an address each."
    )
    subject: Words = Field(
        "",
        examples=["{priority}: {tag} is {value} {unit}"],
        description="Subject of a mail of one row, with its fields in braces; empty for our own.",
    )
    body: Words = Field(
        "",
        examples=["{time}\n{text}\nSee {data.page}"],
        description="Text of a mail of one row, with its fields in braces; empty for all fields.",
    )
    changes: Changes = Field(
        "raised",
        description="Which changes of alarms are sent: raised, raised_and_over, or all. Shelved "
        "and suppressed alarms are sent with `all` only.",
    )
    digest_s: Seconds = Field(
        0.0, le=86_400, description="Gather for so long and send one mail with a line each; 0: no."
    )
    burst: Burst = 10
    every_s: EverySeconds = 60.0
    time_zone: ZoneName = Field(
        "UTC", examples=["Asia/Tokyo"], description="Of the times in the mails."
    )
    timeout_s: TimeoutSeconds = 20.0
    retry_s: RetrySeconds = 60.0

    @model_validator(mode="after")
    def _fits(self) -> EmailSinkConfig:
        if bool(self.user) != bool(self.password):
            raise ValueError("`user` and `password` go together.")
        if self.user and self.security == "none":
            raise ValueError("A password is not sent in clear: take `security: starttls` or tls.")
        return self


class EmailSink(Sink[EmailSinkConfig]):
    """Send alarms, events and samples as mails, and a flood of them as one.

    Each row is a mail of its own, up to `burst` of them; then comes one mail each `every_s` with
    all that arrived in the meantime. The fields for `subject` and `body` are kind, flow, node,
    ts, time; of alarms tag, condition, change, state, priority, value, limit, unit, text, actor,
    alarm, occurrence; of events topic, id, data.…; of samples tag, value, unit, quality.

    Delivery: every; a mail waits until the server takes it. Its Message-ID is made of the row, so
    a second sending after a crash has the same one; a digest may then have more rows and another
    id. For whom the server has taken it, it is not sent again while the gateway runs. What it
    refuses for good (5yz) is a dead letter; a recipient refused beside others is said and counted.
    Back pressure: rows wait in the outbox while the server is away, says later (4yz), or the
    allowance is spent.
    Source: RFC 5321, RFC 5322, RFC 3834, RFC 8314.
    """

    Config = EmailSinkConfig
    delivery = "every"
    inputs = (
        Port("alarms", "alarms", "Alarms to send; see `changes`."),
        Port("events", "events", "Events to send."),
        Port("in", "samples", "Samples to send."),
    )
    examples = (
        Example(
            "Alarms to the night shift",
            {
                "host": "mail.example.com",
                "user": "genba",
                "password": {"secret": "mail"},
                "sender": "Genba <genba@example.com>",
                "to": ["shift@example.com"],
            },
        ),
        Example(
            "Words of one's own, in Tokyo's time",
            {
                "host": "mail.example.com",
                "sender": "genba@example.com",
                "to": ["hall1@example.com", "office@example.com"],
                "subject": "{priority}: {tag} is {value} {unit}",
                "body": "{time}\n{text}",
                "time_zone": "Asia/Tokyo",
            },
        ),
        Example(
            "One mail an hour, over the relay in the hall",
            {
                "host": "10.0.0.2",
                "port": 25,
                "security": "none",
                "sender": "genba@example.com",
                "to": ["office@example.com"],
                "changes": "raised_and_over",
                "digest_s": 3600,
            },
        ),
    )

    def __init__(self, config: EmailSinkConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._allowance = Allowance(config.burst, config.every_s)
        self._writer = Writer(
            config.sender,
            tuple(config.to),
            config.subject,
            config.body,
            ZoneInfo(config.time_zone),
        )
        self._office: Office | None = None
        self._sent = Sent()
        self._open: dict[str, Receipt] = {}
        """What became of mails that some recipients get later, by their keys."""
        self._cut: tuple[str, ...] = ()
        """Keys of the digest that was tried last: tried again it is the same mail."""

    async def connect(self) -> None:
        """Visit the server once, so that a wrong password is found now and not at night."""
        config = self.config
        password = self.ctx.secret(config.password) if config.password else ""
        self._office = Office(
            config.host,
            config.port,
            config.security,
            await asyncio.to_thread(self._trust),
            config.user,
            password,
            config.timeout_s,
            config.retry_s,
        )
        await self._with_visit(lambda visit: None)

    def _trust(self) -> ssl.SSLContext | None:
        if self.config.security == "none":
            return None
        path = self.ctx.data_dir / self.config.ca if self.config.ca else None
        try:
            context = ssl.create_default_context(cafile=str(path) if path else None)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{path} is no certificate of an authority: {error}.", hint="Put a PEM file there."
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    async def ready(self) -> None:
        """Gather, and keep to the allowance."""
        self._sent.begin()
        if not self._cut:  # Else it was tried and comes again.
            await asyncio.sleep(self.config.digest_s)
            await asyncio.sleep(self._allowance.wait_s(self.ctx.clock.monotonic()))

    async def write(self, message: Message, port: str) -> None:
        """Send what people are told of, and forget what they need not know."""
        found = records(message, self.ctx)
        wanted = self._sent.wanted(told(found, self.config.changes))
        letters = self._letters(wanted)
        if letters:
            receipts: dict[str, Receipt] = {}
            try:
                await self._with_visit(lambda visit: self._hand_in(visit, letters, receipts))
            finally:
                later = self._settle(letters, receipts)
            if later:
                raise Disconnected(later, retry_after_s=self.config.retry_s)
        self._cut = ()
        self._sent.finish(r.key for r in found)

    def _letters(self, wanted: list[Record]) -> list[Letter]:
        """A mail each, or one of all."""
        now = self.ctx.clock.now()
        letters: list[Letter] = []
        if self._cut and tuple(r.key for r in wanted[: len(self._cut)]) == self._cut:
            letters.append(self._several(wanted[: len(self._cut)], now))
            wanted = wanted[len(self._cut) :]
        may = max(self._allowance.left(self.ctx.clock.monotonic()) - len(letters), 1)
        if wanted and (self.config.digest_s or len(wanted) > may):
            letters.append(self._several(wanted, now))
        else:
            letters += [self._writer.single(record, now) for record in wanted]
        return letters

    def _several(self, wanted: list[Record], now: int) -> Letter:
        if len(wanted) == 1:
            return self._writer.single(wanted[0], now)
        return self._writer.digest(wanted, now)

    async def _with_visit(self, work: Callable[[Visit], None]) -> None:
        """Do something in a session with the server, in a thread."""
        assert self._office is not None, "connect comes first"
        visit = Visit(self._office)

        def all_of_it() -> None:
            try:
                visit.open()
                work(visit)
            finally:
                visit.close()

        try:
            await asyncio.to_thread(all_of_it)
        except asyncio.CancelledError:
            visit.abort()
            raise

    def _hand_in(self, visit: Visit, letters: list[Letter], receipts: dict[str, Receipt]) -> None:
        """In the thread: hand in all; one that is refused does not hold up the others."""
        sender = parseaddr(self.config.sender)[1]
        for letter in letters:
            before = self._open.get(letter.key) or Receipt()
            settled = before.taken | before.refused.keys()
            to = [address for address in self.config.to if address not in settled]
            receipt = visit.hand_in(letter.mail, sender, to)
            receipts[letter.key] = Receipt(
                before.taken | receipt.taken, before.refused | receipt.refused, receipt.later
            )

    def _settle(self, letters: list[Letter], receipts: dict[str, Receipt]) -> str:
        """Note what became of each mail; returns why some must be tried later, if any."""
        later = ""
        for letter in letters:
            receipt = receipts.get(letter.key)
            self._cut = letter.keys if len(letter.keys) > 1 else self._cut
            if receipt is None:
                continue
            if receipt.later:
                address, said = next(iter(receipt.later.items()))
                later = f"{self.config.host} takes mail for {address} later: {said}"
                self._open[letter.key] = receipt
                continue
            self._open.pop(letter.key, None)
            self._allowance.spend()
            text = ""
            if receipt.refused:
                address, said = next(iter(receipt.refused.items()))
                text = f"{self.config.host} refuses mail for {address}: {said}. Check the address."
            if receipt.taken:
                self.ctx.count("mails")
                self._sent.add(letter.keys)
                if text:
                    self.ctx.count("refused_recipients", len(receipt.refused))
                    self.ctx.say("warning", text)
            else:
                self._sent.refuse(letter.keys, text)
        return later

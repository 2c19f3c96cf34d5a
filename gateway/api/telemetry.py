"""Telemetry: tells a collector of OpenTelemetry what the gateway counts and what batches took.

It is off unless an endpoint is set. Nothing waits for it: spans are dropped and counted when the
collector takes none, counters are sent as they are the next time, and there is never more than
one request under way, with a limit on its time, on its size and on what of the answer is read.

Source: OpenTelemetry, OTLP Specification 1.x: OTLP/HTTP, Failures, Throttling.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import httpx

from gateway.api import otlp
from gateway.api.exposition import families
from gateway.data.web import client as new_client
from gateway.engine.backoff import with_next_try
from gateway.engine.models_http import body, retry_after_s, trouble, trust
from gateway.engine.report import disk_report
from gateway.engine.runtime import Runtime
from gateway.engine.spans import Span
from gateway.errors import ConfigError, Disconnected, GatewayError, Rejected
from gateway.flow.config import Secret

_log = logging.getLogger("genba.telemetry")
REQUEST_S: Final = 10.0
LAST_S: Final = 2.0
"""How long the end of the gateway waits for a collector that answered until then."""
SPANS_A_REQUEST: Final = 512
ANSWER_BYTES_MAX: Final = 64 * 1024
PAUSE_MAX_S: Final = 300.0
_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class TelemetryOptions:
    """Where telemetry goes, and how much of it.

    Args:
        endpoint: Base address of the collector; ``/v1/traces`` and ``/v1/metrics`` are added.
        headers: Name of the secret with further headers; empty for none.
        ca: The certificate of the authority that signed the collector's; None: the system's.
        ratio: The share of the batches that are traced, 0 to 1.
        interval_s: Seconds between two sendings.
    """

    endpoint: str
    headers: str = ""
    ca: Path | None = None
    ratio: float = 0.01
    interval_s: float = 30.0


class Telemetry:
    """Sends until it is cancelled.

    Args:
        runtime: The gateway.
        options: Where to.
    """

    def __init__(self, runtime: Runtime, options: TelemetryOptions) -> None:
        self.sent = 0
        """Requests that the collector took."""
        self.trouble = ""
        """Why it takes none now; empty while it does."""
        self._runtime = runtime
        self._options = options
        self._where = f"The collector at {options.endpoint}"
        self._version = version("genba")
        self._resource: dict[str, str | int | float] = {
            "service.name": "genba",
            "service.version": self._version,
            "service.instance.id": socket.gethostname(),
            "host.name": socket.gethostname(),
        }
        self._failed = 0

    async def run(self) -> None:
        """Send what there is, again and again; a collector that is away is said once."""
        try:
            # The authorities of a system are a file of megabytes: not on the loop.
            verify = await asyncio.to_thread(trust, self._options.ca)
        except ConfigError as error:
            self._say("error", f"No telemetry is sent: {error}")
            return
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        async with new_client(verify=verify, timeout=REQUEST_S, limits=limits) as client:
            pause_s = self._options.interval_s
            try:
                while True:
                    await self._pause(pause_s)
                    pause_s = await self._round(client)
            except asyncio.CancelledError:
                if not self.trouble and self.sent:
                    with suppress(GatewayError, TimeoutError):
                        async with asyncio.timeout(LAST_S):
                            await self._all(client)
                raise

    async def _pause(self, pause_s: float) -> None:
        """Wait; less where spans would be dropped and the collector takes them."""
        spans = self._runtime.spans
        if spans is None or self.trouble:
            await asyncio.sleep(pause_s)
            return
        try:
            async with asyncio.timeout(pause_s):
                await spans.is_many.wait()
        except TimeoutError:
            pass

    async def _round(self, client: httpx.AsyncClient) -> float:
        """Send all; returns how long to wait until the next time [s]."""
        usual_s = self._options.interval_s
        try:
            async with asyncio.timeout(4 * REQUEST_S):
                await self._all(client)
        except (GatewayError, TimeoutError) as error:
            self._failed += 1
            asked_s = error.retry_after_s if isinstance(error, Disconnected) else 0.0
            doubled_s = min(usual_s * 2.0 ** min(self._failed - 1, 8), PAUSE_MAX_S)
            pause_s = max(min(asked_s, PAUSE_MAX_S), doubled_s, usual_s)
            reason = str(error) or f"{self._where} does not answer in time."
            if not self.trouble:
                self._say("warning", with_next_try(reason, pause_s))
            self.trouble = reason
            return pause_s
        if self.trouble:
            self._say("info", f"{self._where} takes telemetry again.")
        self.trouble, self._failed = "", 0
        return usual_s

    async def _all(self, client: httpx.AsyncClient) -> None:
        """Counters, then spans; errors as in `_post`."""
        runtime = self._runtime
        try:
            found = await disk_report(runtime)
        except Disconnected:  # The disk is away: what is in memory can still be told.
            found = None
        told, since, now = families(runtime, found), runtime.since, runtime.clock.now()
        data = await asyncio.to_thread(
            otlp.metrics, self._resource, self._version, told, since, now
        )
        await self._post(client, "/v1/metrics", data)
        spans = runtime.spans
        while spans is not None and (part := spans.take(SPANS_A_REQUEST)):
            await self._send_spans(client, part)

    async def _send_spans(self, client: httpx.AsyncClient, part: list[Span]) -> None:
        spans = self._runtime.spans
        assert spans is not None
        data = await asyncio.to_thread(otlp.traces, self._resource, self._version, part)
        try:
            refused = await self._post(client, "/v1/traces", data)
        except BaseException:
            spans.dropped += len(part)  # What took long ago is not worth a second try.
            raise
        spans.sent += len(part) - refused
        spans.dropped += refused

    async def _post(self, client: httpx.AsyncClient, path: str, data: bytes) -> int:
        """Send one request; returns what of it was refused.

        Raises:
            Disconnected: The collector cannot be reached, or asks to come back later.
            ConfigError: Its certificate does not count, or the headers are not set.
            Rejected: It takes no such thing.
        """
        headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
            "User-Agent": f"genba/{self._version}",
            **self._headers(),
        }
        packed = await asyncio.to_thread(gzip.compress, data, 5)
        url = self._options.endpoint.rstrip("/") + path
        try:
            async with client.stream("POST", url, content=packed, headers=headers) as answer:
                code = answer.status_code
                said = await body(answer, ANSWER_BYTES_MAX, self._where)
        except httpx.HTTPError as error:
            raise trouble(self._where, error) from error
        if code in _AGAIN:
            now = self._runtime.clock.now()
            wait_s = retry_after_s(answer.headers.get("retry-after", ""), now)
            raise Disconnected(f"{self._where} answers {code}.", retry_after_s=wait_s)
        if code != 200:
            hint = " Are the headers right?" if code in (401, 403) else ""
            raise Rejected(f"{self._where} answers {code} for {path}.{hint}")
        self.sent += 1
        try:
            count, why = otlp.refused(said)
        except ValueError:  # Some answer with JSON or nothing; that it was taken is what counts.
            return 0
        if count:
            _log.warning("%s has refused %d of %s: %s", self._where, count, path, why)
        return count

    def _headers(self) -> Mapping[str, str]:
        """The headers in the secret, as ``NAME=VALUE,NAME=VALUE``."""
        if not self._options.headers:
            return {}
        text = self._runtime.secrets(Secret(secret=self._options.headers))
        return parse_headers(text)

    def _say(self, level: str, text: str) -> None:
        _log.log(getattr(logging, level.upper()), "%s", text)
        self._runtime.lines.add(self._runtime.clock.now(), level, "telemetry", text)


def parse_headers(text: str) -> dict[str, str]:
    """Headers as OpenTelemetry's OTEL_EXPORTER_OTLP_HEADERS has them.

    Raises:
        ConfigError: A part is no ``NAME=VALUE``; the text does not show it.

    >>> parse_headers("Authorization=Bearer%20abc,x-tenant=press")
    {'Authorization': 'Bearer abc', 'x-tenant': 'press'}
    """
    found = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, equals, value = part.partition("=")
        value = unquote(value.strip())
        is_plain = value.isprintable() and value.isascii()
        if not equals or not name.replace("-", "").replace("_", "").isalnum() or not is_plain:
            raise ConfigError(
                "The secret with the headers for telemetry is not NAME=VALUE,NAME=VALUE.",
                hint="Write a space in a value as %20.",
            )
        found[name.strip()] = value
    return found


__all__ = ["Telemetry", "TelemetryOptions", "parse_headers"]

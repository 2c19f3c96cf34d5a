"""Client: talks to the local API of a running gateway."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from gateway.api.local import find_token
from gateway.errors import ConfigError, Disconnected, Rejected

URL: Final = "http://127.0.0.1:8780"
"""Where a gateway on this machine answers unless it was told otherwise."""
_LOGIN: Final = (
    "A command shows $GENBA_TOKEN, or what is in $GENBA_TOKEN_FILE, which `genba run` writes as "
    "api.token into the folder of its state."
)
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024


class Client:
    """HTTP and JSON to one gateway, nothing kept between two calls.

    Args:
        url: The gateway's address; by default ``$GENBA_API``, else this machine's.
        timeout_s: How long to wait for an answer [s].

    Raises:
        ConfigError: The address is not one of HTTP.
    """

    def __init__(self, url: str | None = None, *, timeout_s: float = 10.0) -> None:
        self.url = (url or os.environ.get("GENBA_API") or URL).rstrip("/")
        self._timeout_s = timeout_s
        self.cookie = ""
        """A session of an account; else the request shows a token."""
        self.token = ""
        """Shown in the place of the one that is found."""
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError(
                f"{self.url!r} is no address of a gateway.", hint=f"Write it like {URL}."
            )

    def alarms(self, *, history: bool = False) -> list[dict[str, Any]]:
        """Open alarms, or the last events of all alarms, oldest first."""
        rows = self._ask("GET", "/api/alarms?all=true" if history else "/api/alarms")
        return [dict(row) for row in rows]

    def act(self, action: str, alarm: str, actor: str, **more: Any) -> dict[str, Any]:
        """Do something with an alarm: ack, reset, shelve, unshelve and the like.

        Args:
            action: What to do.
            alarm: The alarm's id, or ``*`` for all.
            actor: Who does it: ``user:anna``.
            more: What the action needs, such as ``occurrence``, ``for_s`` and ``reason``.
        """
        body = {"action": action, "alarm": alarm, "actor": actor, **more}
        return dict(self._ask("POST", "/api/alarms/action", body))

    def status(self) -> dict[str, Any]:
        """How the gateway is."""
        return dict(self._ask("GET", "/api/status"))

    def tags(self) -> list[dict[str, Any]]:
        """Every tag with its newest value."""
        return [dict(row) for row in self._ask("GET", "/api/tags")]

    def about(self) -> dict[str, Any]:
        """Versions of the gateway that runs and of what it is made of."""
        return dict(self._ask("GET", "/api/about"))

    def connections(self) -> list[dict[str, Any]]:
        """Every connection of the flows that run, with its state and last error."""
        return [dict(row) for row in self._ask("GET", "/api/connections")]

    def metrics(self) -> str:
        """All counters in Prometheus' text form."""
        return self._get("/metrics").decode(errors="replace")

    def report(self) -> dict[str, Any]:
        """The page an operator reads first: books, what waits, gaps, letters, wear."""
        return dict(self._ask("GET", "/api/report"))

    def gaps(self, since: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        """The newest gaps that end after a time [ns], newest first."""
        return [dict(row) for row in self._ask("GET", f"/api/gaps?since={since}&limit={limit}")]

    def letters(self, state: str = "waiting", limit: int = 1000) -> list[dict[str, Any]]:
        """Dead letters without their messages, newest first; `state` may be ``all``."""
        rows = self._ask("GET", f"/api/letters?state={state}&limit={limit}")
        return [dict(row) for row in rows]

    def letter(self, number: int) -> dict[str, Any]:
        """A dead letter with its message."""
        return dict(self._ask("GET", f"/api/letters/{number}"))

    def letter_bytes(self, number: int) -> bytes:
        """What was kept of a dead letter, as it is."""
        return self._get(f"/api/letters/{number}/raw")

    def replay_letter(self, number: int, actor: str) -> str:
        """Give a dead letter to its node again; returns what became of it, in a sentence."""
        path = f"/api/letters/{number}/replay"
        return str(self._ask("POST", path, {"actor": actor})["text"])

    def discard_letter(self, number: int, actor: str, reason: str) -> str:
        """Let a dead letter go; returns what became of it, in a sentence."""
        body = {"actor": actor, "reason": reason}
        return str(self._ask("POST", f"/api/letters/{number}/discard", body)["text"])

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One request.

        Raises:
            Disconnected: Nobody answers there, or something that is no gateway.
            Rejected: The gateway refuses; the message is its own.
        """
        try:
            return json.loads(self._get(path, method, body))
        except ValueError as error:
            raise Disconnected(f"What answers at {self.url} is no gateway ({error}).") from error

    def cookie_of(self, name: str, password: str) -> str:
        """Log in; returns the cookie of the session."""
        data = json.dumps({"name": name, "password": password}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            f"{self.url}/api/login", data, headers, method="POST"
        )
        with self._answer(request) as answer:
            return str(answer.headers.get("Set-Cookie", "")).partition(";")[0]

    def _get(self, path: str, method: str = "GET", body: Mapping[str, Any] | None = None) -> bytes:
        with self._answer(self._request(path, method, body)) as answer:
            return bytes(answer.read(ANSWER_BYTES_MAX))

    def _stream(self, path: str, body: Mapping[str, Any]) -> Iterator[bytes]:
        """The answer to a POST as it comes; it ends only when it is whole.

        Raises:
            Disconnected: It was cut, or nobody answers.
            Rejected: The gateway refuses; the message is its own.
        """
        with self._answer(self._request(path, "POST", body)) as answer:
            try:
                while part := answer.read(1 << 20):
                    yield bytes(part)
            except http.client.HTTPException as error:
                raise Disconnected(f"The answer of {self.url} was cut ({error!r}).") from error

    def _request(
        self, path: str, method: str, body: Mapping[str, Any] | None
    ) -> urllib.request.Request:
        data = None if body is None else json.dumps(body, allow_nan=False).encode()
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self.cookie:  # A page says where it comes from, and so do we.
            headers |= {"Cookie": self.cookie, "Origin": self.url}
        elif token := self.token or find_token(self.url):  # It is another one after each start.
            headers["Authorization"] = f"Bearer {token}"
        return urllib.request.Request(  # noqa: S310 - the scheme is checked in __init__
            self.url + path, data, headers, method=method
        )

    @contextmanager
    def _answer(self, request: urllib.request.Request) -> Iterator[Any]:
        """The answer while it is read, and what goes wrong as an error of ours."""
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310
                yield answer
        except urllib.error.HTTPError as error:
            with error:
                text = error.read(10_000).decode(errors="replace").strip()
            if error.code == 401:
                text = f"{text} {_LOGIN}"
            raise Rejected(text or f"The gateway answered {error.code} {error.reason}.") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Disconnected(
                f"No gateway answers at {self.url} ({reason}). "
                "Is `genba run` running? Another address is given with --api."
            ) from error

"""Engine: how the screens reach the API of the gateway on this machine.

The gateway writes its port and a token beside its state, new at each start; only its own user
can read them. With that token the API believes what the front door says of a request: from
where it came, and over TLS or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import orjson

from gateway.api.local import FILE
from gateway.data.web import client
from gateway.errors import Disconnected, Rejected

TIMEOUT_S: Final = 30.0
FRONT: Final = "Genba-Front"
"""Header with the local token: what says the front door speaks."""


class Engine:
    """The gateway on this machine.

    Args:
        state: Folder of its state.
    """

    def __init__(self, state: Path) -> None:
        self._file = state / FILE
        self._read: tuple[float, int, str] = (0.0, 0, "")
        # Shorter than the API keeps a connection, or a request would meet its end now and then.
        limits = httpx.Limits(
            max_connections=200, max_keepalive_connections=20, keepalive_expiry=5.0
        )
        # One client serves all browsers, so it must keep no cookie: the session of one who logs
        # in would be shown for the next who has none.
        self.http = client(
            timeout=httpx.Timeout(TIMEOUT_S, connect=3.0),
            limits=limits,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    def address(self) -> tuple[int, str]:
        """Port and token of the gateway that runs.

        Raises:
            Disconnected: None runs.
        """
        try:
            changed = self._file.stat().st_mtime
            if changed != self._read[0]:
                port, token, *_ = self._file.read_text().split("\n")
                self._read = changed, int(port), token
        except (OSError, ValueError) as error:
            raise Disconnected("The gateway is not running yet, or has just ended.") from error
        return self._read[1:]

    def headers(self, scheme: str, client: str) -> dict[str, str]:
        """What tells the API on whose behalf it is asked.

        Args:
            scheme: http or https, as the browser came.
            client: The browser's address.

        Raises:
            Disconnected: No gateway runs.
        """
        return {FRONT: self.address()[1], "X-Forwarded-Proto": scheme, "X-Forwarded-For": client}

    async def close(self) -> None:
        """End all connections."""
        await self.http.aclose()


class Api:
    """The API as one person has it.

    Args:
        engine: The gateway.
        cookie: The browser's cookies as they came.
        scheme: http or https, as the browser came.
        client: The browser's address.
    """

    def __init__(self, engine: Engine, cookie: str, scheme: str, client: str) -> None:
        self._engine = engine
        self._cookie = cookie
        self._scheme = scheme
        self._client = client

    async def get(self, path: str, *, by_itself: bool = False, **query: Any) -> Any:
        """What a path says. See `ask`."""
        return await self.ask("GET", path, query=query, by_itself=by_itself)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Do something. See `ask`."""
        return await self.ask("POST", path, body or {})

    async def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Put something. See `ask`."""
        return await self.ask("PUT", path, body)

    async def delete(self, path: str, **query: Any) -> Any:
        """Take something away. See `ask`."""
        return await self.ask("DELETE", path, query=query)

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        by_itself: bool = False,
    ) -> Any:
        """One request; the answer is parsed.

        Args:
            method: Of HTTP.
            path: Such as ``/api/status``; made by `path_of` where a name is part of it.
            body: Sent as JSON.
            query: Parameters; those that are None are left out.
            by_itself: A page asks, not a person: it keeps no session alive.

        Raises:
            Disconnected: The gateway does not answer.
            Rejected: It refuses; the message is its own.
        """
        port, _ = self._engine.address()
        headers = self._engine.headers(self._scheme, self._client)
        headers |= {"Cookie": self._cookie} if self._cookie else {}
        headers |= {"Genba-Background": "1"} if by_itself else {}
        headers["Origin"] = f"{self._scheme}://127.0.0.1:{port}"
        try:
            answer = await self._engine.http.request(
                method,
                f"http://127.0.0.1:{port}{path}",
                params={k: v for k, v in (query or {}).items() if v is not None},
                content=orjson.dumps(body) if body is not None else None,
                headers={**headers, "Content-Type": "application/json"},
            )
        except httpx.HTTPError as error:
            raise Disconnected(f"The gateway does not answer ({error!r}).") from error
        if answer.is_error:
            raise Rejected(answer.text.strip() or f"The gateway answered {answer.status_code}.")
        if answer.headers.get("content-type", "").startswith("application/json"):
            return orjson.loads(answer.content)
        return answer.text


def path_of(*parts: str) -> str:
    """A path in which each part is a name of somebody's.

    >>> path_of("api", "flows", "a/b")
    '/api/flows/a%2Fb'
    """
    return "/" + "/".join(quote(part, safe="") for part in parts)

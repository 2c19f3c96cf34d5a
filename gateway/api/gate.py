"""Gate: who asks, and may they? Every route says which action it is; the gate asks the table.

It stands behind `guard`, before any byte of a body is read. A route that declares no action
keeps the API from starting, and a path that no declared route answers is not passed on.

While a gateway on the loopback address has no account, who asks from this machine is taken for
an engineer, as it was before there were accounts. With the first account that ends.

Source: OWASP ASVS 5.0, 3.3.1, 3.5.1 to 3.5.3, 8.2 and 8.3.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route, WebSocketRoute

from gateway.api.local import PREFIX
from gateway.api.scope import COOKIE as COOKIE  # what the gate goes by is known by its name
from gateway.api.scope import PLAIN_COOKIE as PLAIN_COOKIE
from gateway.api.scope import (
    App,
    Receive,
    Scope,
    Send,
    cookie_of,
    is_foreign,
    is_loopback,
    names_this_machine,
)
from gateway.api.scope import address_of as address_of
from gateway.api.scope import cookie_name as cookie_name
from gateway.api.scope import is_safe_way as is_safe_way
from gateway.engine.accounts import Accounts
from gateway.engine.logins import Logins
from gateway.engine.principal import NOBODY, Principal
from gateway.engine.roles import ACTIONS
from gateway.engine.throttle import network
from gateway.errors import Disconnected, GatewayError
from gateway.flow.node import Clock

BACKGROUND: Final = "genba-background"
"""Header of a request that a page makes by itself: it keeps no session alive."""
OPEN: Final = Principal("user:local", "engineer", is_fresh=True, is_named=True)
LOCAL: Final = Principal("user:local", "administrator", is_fresh=True, is_named=True)
_SELDOM_S: Final = 60.0
_SELDOM_MAX: Final = 1_000
_WHO: Final = "genba.who"
_ACCESS: Final = "genba.access"
F = TypeVar("F", bound=Callable[..., Any])
AnyRoute: TypeAlias = Route | WebSocketRoute


class Forbidden(GatewayError):  # noqa: N818 - the word of HTTP
    """This one may not do that."""


def needs(action: str) -> Callable[[F], F]:
    """Declare which action a route is; it stands below the route's own decorator."""
    assert action in ACTIONS, f"{action} is not in the table of actions."

    def mark(endpoint: F) -> F:
        endpoint.needs = action  # type: ignore[attr-defined]  # read by `declared` only
        return endpoint

    return mark


def declared(app: FastAPI) -> list[tuple[AnyRoute, str]]:
    """Every route with its action.

    Raises:
        AssertionError: A route declares none: the API must not start.
    """
    found = []
    for route in app.routes:
        action = getattr(getattr(route, "endpoint", None), "needs", None)
        assert isinstance(route, Route | WebSocketRoute), f"{route} cannot declare an action."
        assert action is not None, f"{route.path} declares no action."
        found.append((route, str(action)))
    return found


class Access:
    """Who there is and what is asked of them.

    Args:
        accounts: Those of the gateway.
        clock: The time.
        always: Ask for a login also while there is no account, and on the loopback address.
    """

    def __init__(self, accounts: Accounts, clock: Clock, *, always: bool = False) -> None:
        self.accounts = accounts
        self.logins = Logins(accounts, clock)
        self.local_token = PREFIX + secrets.token_urlsafe(32)
        self._always = always
        self._clock = clock
        self._noted: dict[tuple[str, str], tuple[float, int]] = {}

    async def who(self, scope: Scope) -> Principal | None:
        """Who asks; None for one who shows something that does not count, or not any more.

        Raises:
            Disconnected: The disk is away and nobody is known yet.
        """
        await self.accounts.ready()
        headers = Headers(scope=scope)
        kind, _, secret = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return await self._bearer(scope, secret.strip()) or None
        cookie = cookie_of(scope)
        if cookie:
            # A page that looks on keeps no session alive, however long it is open.
            is_person = scope["type"] == "http" and BACKGROUND not in headers
            who = await self.logins.of_session(cookie, is_person=is_person)
            if who is not NOBODY:
                return who
        is_here = is_loopback(scope) and names_this_machine(scope)
        if not self._always and not self.accounts.is_claimed and is_here:
            return OPEN
        return None if cookie else NOBODY

    async def _bearer(self, scope: Scope, secret: str) -> Principal | None:
        if secret.startswith(PREFIX):
            is_ours = hmac.compare_digest(secret.encode(), self.local_token.encode())
            return LOCAL if is_ours and is_loopback(scope) else None
        who = await self.logins.of_token(secret)
        return who if who is not NOBODY else None

    async def refused(self, who: Principal, action: str, scope: Scope) -> str:
        """Why not, in words; empty when they may. What is refused is noted in the audit."""
        if who.may(action):
            if not who.must_confirm(action):
                return ""
            return "Give your password again first: POST /api/me/confirm."
        place = network(address_of(scope))
        # One who has not logged in is noted by address: a scan is a line a minute, not a flood.
        key = (who.actor, action) if who.role is not None else ("nobody", place)
        now = self._clock.monotonic()
        at, more = self._noted.get(key, (float("-inf"), 0))
        if now - at < _SELDOM_S:
            self._noted[key] = (at, more + 1)
        else:
            if len(self._noted) >= _SELDOM_MAX:
                self._noted.clear()
            self._noted[key] = (now, 0)
            detail = {"path": str(scope["path"])[:200], "address": place, "more": more}
            await self.accounts.denied(who.actor or "nobody", action, detail)
        actor, sort = who.actor or "Nobody", ACTIONS[action].about
        return f"{actor} may not {sort}."


class Gate:
    """Lets through who may.

    Args:
        app: What it stands before.
        access: Who there is.
        routes: Every route with its action.
    """

    def __init__(self, app: App, access: Access, routes: Sequence[tuple[AnyRoute, str]]) -> None:
        self._app = app
        self._access = access
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        answer = await self._look(scope)
        await (answer or self._app)(scope, receive, send)

    async def _look(self, scope: Scope) -> Response | None:
        action, is_known = self._action(scope)
        if action is None:
            if is_known:
                return PlainTextResponse("That cannot be done here.", 405)
            return PlainTextResponse("There is nothing here.", 404)
        scope[_ACCESS], scope[_WHO] = self._access, NOBODY
        if action == "hook.call":  # The node asks; a token of its own is none of ours.
            return None
        is_open = ACTIONS[action].need == "nobody"
        try:
            who = await self._access.who(scope)
        except Disconnected as error:
            return None if is_open else PlainTextResponse(str(error), 503)
        if who is not None:
            scope[_WHO] = who
        if is_open:
            return None
        if who is None or who is NOBODY:
            await self._access.refused(NOBODY, action, scope)
            text = "Log in first: the login has ended or is not known." if who is None else ""
            headers = {"WWW-Authenticate": "Bearer"}
            return PlainTextResponse(text or "Log in first.", 401, headers)
        if who.session and is_foreign(scope):
            return PlainTextResponse("A page from elsewhere may not act here.", 403)
        refused = await self._access.refused(who, action, scope)
        return PlainTextResponse(refused, 403) if refused else None

    def _action(self, scope: Scope) -> tuple[str | None, bool]:
        is_known = False
        for route, action in self._routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return action, True
            is_known = is_known or match is Match.PARTIAL
        return None, is_known


def who_of(request: HTTPConnection) -> Principal:
    """Who asks."""
    who = request.scope[_WHO]
    assert isinstance(who, Principal)
    return who


def access_of(request: HTTPConnection) -> Access:
    """The gate's own knowledge."""
    access = request.scope[_ACCESS]
    assert isinstance(access, Access)
    return access


def actor_of(request: HTTPConnection, named: str = "") -> str:
    """As whom the audit knows this request.

    Args:
        request: The request.
        named: Who it says acts: only a command on this machine is believed, and once there are
            accounts it is not taken for one of them.
    """
    who = who_of(request)
    if not who.is_named:
        return who.actor
    named = named or who.actor
    if access_of(request).accounts.is_claimed:
        return f"local:{named.removeprefix('user:')}"
    return named


async def allow(request: HTTPConnection, action: str) -> None:
    """Ask for a second action that only the body of a request shows.

    Raises:
        Forbidden: They may not.
    """
    access = access_of(request)
    if refused := await access.refused(who_of(request), action, request.scope):
        raise Forbidden(refused)

"""Routes of accounts: claim, login, users, sessions, API tokens and the audit.

A secret is told once, in the answer that made it: a session's in its cookie, a token's in the
body. No answer has a hash or a password in it.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from gateway.api.gate import (
    Access,
    Forbidden,
    actor_of,
    address_of,
    cookie_name,
    is_safe_way,
    needs,
    who_of,
)
from gateway.api.messages_accounts import (
    ID_CHARS,
    Claim,
    Confirm,
    Login,
    NewPassword,
    NewToken,
    NewUser,
    OwnPassword,
    UserChange,
    session_row,
    token_row,
)
from gateway.engine.accounts import Accounts
from gateway.engine.principal import Principal
from gateway.engine.roles import ACTIONS
from gateway.engine.runtime import Runtime
from gateway.engine.sessions import ApiToken
from gateway.errors import ConfigError

_DAY_NS: Final = 86_400 * 10**9


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def add(app: FastAPI, runtime: Runtime, access: Access) -> None:
    """Declare the routes over a running gateway."""
    _add_login(app, access)
    _add_me(app, access)
    _add_users(app, access)
    _add_keys(app, runtime, access)


def _with_cookie(request: Request, answer: Response, secret: str) -> Response:
    """The answer with the session's cookie; an empty secret takes it away."""
    name = cookie_name(request.scope)
    is_tls = request.scope["scheme"] == "https"
    if secret:
        answer.set_cookie(name, secret, path="/", secure=is_tls, httponly=True, samesite="strict")
    elif name:
        answer.delete_cookie(name, path="/", secure=is_tls, httponly=True, samesite="strict")
    return answer


def _must_be_safe(request: Request) -> None:
    if not is_safe_way(request.scope):
        raise Forbidden("Passwords go over https only. Open this page with https://.")


def _add_login(app: FastAPI, access: Access) -> None:
    """What answers without a login."""

    @app.get("/api/claim")
    @needs("open")
    async def claimed() -> Response:
        await access.accounts.ready()
        return _json({"claimed": access.accounts.is_claimed})

    @app.post("/api/claim")
    @needs("open")
    async def claim(body: Claim, request: Request) -> Response:
        _must_be_safe(request)
        await access.accounts.ready()
        address = address_of(request.scope)
        account = await access.logins.claim(body.code, body.name, body.password, address)
        return _json(account.shown(), 201)

    @app.post("/api/login")
    @needs("open")
    async def login(body: Login, request: Request) -> Response:
        _must_be_safe(request)
        await access.accounts.ready()
        agent = request.headers.get("user-agent", "")
        address = address_of(request.scope)
        secret, session = await access.logins.login(body.name, body.password, address, agent)
        account = access.accounts.get(session.account)
        row = {"actor": account.actor, "role": account.role, "expires": session.expires}
        return _with_cookie(request, _json(row), secret)


def _add_me(app: FastAPI, access: Access) -> None:
    """What everybody may do with their own account."""
    accounts = access.accounts

    @app.get("/api/me")
    @needs("me.read")
    async def me(request: Request) -> Response:
        who = who_of(request)
        return _json(
            {
                "actor": who.actor,
                "role": who.role,
                "writer": who.is_writer,
                "fresh": who.is_fresh,
                "password": _has_password(accounts, who),
                "may": [action for action in ACTIONS if who.may(action)],
            }
        )

    @app.post("/api/logout")
    @needs("me.edit")
    async def logout(request: Request) -> Response:
        who = who_of(request)
        await accounts.end(who.actor, [who.session])
        return _with_cookie(request, _json({"done": True}), "")

    @app.post("/api/me/confirm")
    @needs("me.edit")
    async def confirm(body: Confirm, request: Request) -> Response:
        _must_have_account(request)
        who = who_of(request)
        secret, session = await access.logins.confirm(who, body.password, address_of(request.scope))
        return _with_cookie(request, _json({"expires": session.expires}), secret)

    @app.post("/api/me/password")
    @needs("me.edit")
    async def password(body: OwnPassword, request: Request) -> Response:
        _must_have_account(request)
        who = who_of(request)
        secret, session = await access.logins.confirm(who, body.old, address_of(request.scope))
        answer = _with_cookie(request, _json({"expires": session.expires}), secret)
        renewed = await access.logins.of_session(secret)
        try:
            await accounts.set_password(who.actor, who.account, body.password, renewed.session)
        except ConfigError as error:  # The session has its new secret all the same.
            return _with_cookie(request, PlainTextResponse(str(error), 409), secret)
        return answer

    @app.get("/api/me/sessions")
    @needs("me.read")
    async def sessions(request: Request) -> Response:
        who = who_of(request)
        found = accounts.sessions.sessions.items()
        own = [(key, one) for key, one in found if who.account and one.account == who.account]
        return _json([session_row(key, one, who.session) for key, one in own])

    @app.delete("/api/me/sessions/{id}")
    @needs("me.edit")
    async def end(id: str, request: Request) -> Response:
        who = who_of(request)
        found = accounts.sessions.sessions.items()
        own = [k for k, one in found if k[:ID_CHARS] == id and one.account == who.account]
        return _ended(await accounts.end(who.actor, own), id)


def _has_password(accounts: Accounts, who: Principal) -> bool:
    """False for one who has no password here: only a provider proves them."""
    return who.account in accounts.all and bool(accounts.all[who.account].password)


def _must_have_account(request: Request) -> None:
    if not who_of(request).session:
        raise Forbidden("Who acts here has no account and no password.")


def _ended(count: int, id: str) -> Response:
    if not count:
        return PlainTextResponse(f"There is no session {id!r}.", 404)
    return _json({"ended": count})


def _add_users(app: FastAPI, access: Access) -> None:
    """Accounts, for administrators."""
    accounts = access.accounts

    @app.get("/api/users")
    @needs("user.read")
    async def users() -> Response:
        return _json([accounts.all[name].shown() for name in sorted(accounts.all)])

    @app.post("/api/users")
    @needs("user.edit")
    async def add_user(body: NewUser, request: Request) -> Response:
        actor = actor_of(request)
        account = await accounts.add(
            actor, body.name, body.password, body.role, is_writer=body.writer
        )
        return _json(account.shown(), 201)

    @app.patch("/api/users/{name}")
    @needs("user.edit")
    async def change(name: str, body: UserChange, request: Request) -> Response:
        account = await accounts.change(
            actor_of(request),
            name,
            role=body.role,
            is_writer=body.writer,
            is_disabled=body.disabled,
        )
        return _json(account.shown())

    @app.post("/api/users/{name}/password")
    @needs("user.edit")
    async def set_password(name: str, body: NewPassword, request: Request) -> Response:
        keep = who_of(request).session if who_of(request).account == name else ""
        await accounts.set_password(actor_of(request), name, body.password, keep)
        return _json({"done": True})


def _add_keys(app: FastAPI, runtime: Runtime, access: Access) -> None:
    """Sessions and tokens of all, for administrators."""
    accounts = access.accounts

    @app.get("/api/sessions")
    @needs("user.read")
    async def sessions(request: Request) -> Response:
        own = who_of(request).session
        found = accounts.sessions.sessions.items()
        return _json([session_row(key, one, own) for key, one in found])

    @app.delete("/api/sessions/{id}")
    @needs("user.edit")
    async def end(id: str, request: Request) -> Response:
        keys = [key for key in accounts.sessions.sessions if key[:ID_CHARS] == id]
        return _ended(await accounts.end(actor_of(request), keys), id)

    @app.get("/api/tokens")
    @needs("user.read")
    async def tokens() -> Response:
        return _json([token_row(key, one) for key, one in accounts.sessions.tokens.items()])

    @app.post("/api/tokens")
    @needs("token.edit")
    async def make(body: NewToken, request: Request) -> Response:
        if unknown := sorted(set(body.scopes) - ACTIONS.keys()):
            return PlainTextResponse(f"There is no action {unknown[0]!r}.", 422)
        now = runtime.clock.now()
        token = ApiToken(
            body.name,
            body.account or who_of(request).account,
            body.role,
            body.writer,
            tuple(body.scopes),
            now,
            0,
            now + body.days * _DAY_NS,
        )
        secret = await accounts.make_token(actor_of(request), token)
        return _json({"token": secret, "expires": token.expires}, 201)

    @app.delete("/api/tokens/{id}")
    @needs("token.edit")
    async def revoke(id: str, request: Request) -> Response:
        await accounts.revoke(actor_of(request), id)
        return _json({"done": True})

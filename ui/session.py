"""Session: on whose behalf the page whose code runs now asks the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nicegui import context
from starlette.requests import Request

from ui.engine import Api, Engine
from ui.front import ME
from ui.proxy import client_of, scheme_of

_engine: list[Engine] = []


def use(engine: Engine) -> None:
    """All pages ask this gateway."""
    _engine[:] = [engine]


@dataclass(frozen=True)
class Me:
    """Who looks at the page; what they may is the API's to enforce, and the page's to show."""

    actor: str
    role: str
    may: frozenset[str]

    @property
    def name(self) -> str:
        """Without the kind of actor."""
        return self.actor.partition(":")[2] or self.actor


def me() -> Me:
    """Who opened the page."""
    row: dict[str, Any] = context.client.request.scope[ME]
    return Me(str(row["actor"]), str(row["role"]), frozenset(row["may"]))


def api(request: Request | None = None) -> Api:
    """The API as who opened the page has it."""
    request = request or context.client.request
    cookie = request.headers.get("cookie", "")
    return Api(_engine[0], cookie, scheme_of(request.scope), client_of(request.scope))


__all__ = ["Me", "api", "me", "use"]

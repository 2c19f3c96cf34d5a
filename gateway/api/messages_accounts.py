"""Shapes of what the API takes about accounts; a password is never shown when one is printed."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from gateway.engine.roles import Role
from gateway.engine.sessions import ApiToken, Session

_TEXT_MAX: Final = 256
"""Of what is only compared; a password that may be kept is at most half as long."""
ID_CHARS: Final = 12
"""So much of a hash names a session or a token."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Login(_Message):
    """A name and its password."""

    name: str = Field(max_length=_TEXT_MAX, description="The account.")
    password: str = Field(max_length=_TEXT_MAX, repr=False, description="Its password.")


class Claim(Login):
    """The first administrator of a new gateway."""

    code: str = Field(max_length=_TEXT_MAX, repr=False, description="From the console or the log.")


class Confirm(_Message):
    """The password again."""

    password: str = Field(max_length=_TEXT_MAX, repr=False, description="Of the own account.")


class NewPassword(_Message):
    """A new password for an account."""

    password: str = Field(max_length=_TEXT_MAX, repr=False, description="12 to 128 characters.")


class OwnPassword(NewPassword):
    """A new password for the own account."""

    old: str = Field(max_length=_TEXT_MAX, repr=False, description="The one that holds now.")


class NewUser(Login):
    """A new account."""

    role: Role = Field("viewer", description="What they may.")
    writer: bool = Field(False, description="They may write setpoints.")


class UserChange(_Message):
    """What is to be another; the rest stays."""

    role: Role | None = Field(None, description="What they may.")
    writer: bool | None = Field(None, description="They may write setpoints.")
    disabled: bool | None = Field(None, description="They cannot log in.")


class NewToken(_Message):
    """A new API token."""

    name: str = Field(min_length=1, max_length=64, description="What it is for.")
    role: Role = Field("viewer", description="What it may.")
    writer: bool = Field(False, description="It may write setpoints.")
    scopes: list[str] = Field([], max_length=50, description="Actions it is limited to.")
    days: int = Field(90, ge=1, le=730, description="How long it is good [d].")
    account: str = Field("", max_length=64, description="Whose; by default the own account.")


def session_row(key: str, session: Session, own: str) -> dict[str, Any]:
    """A session as it is shown; `own` is the hash of the session that asks."""
    return {
        "id": key[:ID_CHARS],
        "account": session.account,
        "made": session.made,
        "seen": session.seen,
        "expires": session.expires,
        "address": session.address,
        "agent": session.agent,
        "own": key == own,
    }


def token_row(key: str, token: ApiToken) -> dict[str, Any]:
    """An API token as it is shown."""
    return {
        "id": key[:ID_CHARS],
        "name": token.name,
        "account": token.account,
        "role": token.role,
        "writer": token.is_writer,
        "scopes": list(token.scopes),
        "made": token.made,
        "used": token.used,
        "expires": token.expires,
    }

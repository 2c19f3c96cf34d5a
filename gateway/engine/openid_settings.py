"""Settings of a login by an OpenID Connect provider; kept in a file beside the state.

Source: OpenID Connect Core 1.0 (errata 2), 3.1; RFC 9700 (best practice for OAuth 2.0), 2.1 and
4.1.3 (redirect URIs are compared as they are); RFC 8252, 7.3 (the loopback address).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gateway.data.whole import write_whole
from gateway.engine.roles import Role
from gateway.errors import ConfigError

CALLBACK: Final = "/api/openid/callback"
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_WORD: Final = re.compile(r"[\x21-\x7e]+\Z")


def address(text: str) -> str:
    """An address of https, or of http on this machine itself.

    Raises:
        ValueError: It is none.

    >>> address("https://login.example/realms/plant")
    'https://login.example/realms/plant'
    """
    parts = urlsplit(text)
    is_here = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not (parts.scheme == "https" or is_here) or not parts.hostname or not _WORD.match(text):
        raise ValueError(f"{text!r} is no address of https")
    if parts.username or parts.password or parts.fragment:
        raise ValueError(f"{text!r} has a user or a fragment, which no address here may have")
    _ = parts.port  # Raises where it is no number.
    return text


def _issuer(text: str) -> str:
    if urlsplit(address(text)).query:
        raise ValueError("an issuer has no query")
    return text


def _redirect(text: str) -> str:
    parts = urlsplit(address(text))
    if parts.path != CALLBACK or parts.query:
        raise ValueError(f"the redirect address ends with {CALLBACK}")
    return text


def _scopes(text: str) -> str:
    if "openid" not in text.split():
        raise ValueError("the scopes must have 'openid' among them")
    return " ".join(text.split())


class OpenIdSettings(BaseModel):
    """Who is asked, as whom, and what groups may do here."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    enabled: bool = Field(True, description="Whether people are let in by it.")
    issuer: Annotated[str, AfterValidator(_issuer)] = Field(
        max_length=500, description="The provider, exactly as it calls itself (https)."
    )
    client_id: str = Field(
        min_length=1, max_length=200, description="This gateway's name at the provider."
    )
    redirect: Annotated[str, AfterValidator(_redirect)] = Field(
        max_length=500,
        description="Where the provider sends browsers back to, exactly as it is known there: "
        f"https://NAME-OF-THIS-GATEWAY{CALLBACK}.",
    )
    client_secret: str = Field(
        "", max_length=128, description="Name of the secret that proves who this gateway is."
    )
    label: str = Field("", max_length=60, description="On the button of the login page.")
    scopes: Annotated[str, AfterValidator(_scopes)] = Field(
        "openid profile email", max_length=300, description="What is asked of the provider."
    )
    name_claim: str = Field(
        "preferred_username", min_length=1, max_length=100, description="Becomes the account."
    )
    role_claim: str = Field(
        "groups", min_length=1, max_length=100, description="Has a person's groups; dots go in."
    )
    roles: dict[str, Role] = Field(
        {}, max_length=100, description="Group to role; of several the one that may most."
    )
    writers: list[str] = Field(
        [], max_length=100, description="Groups whose people may write setpoints."
    )
    default_role: Role | Literal[""] = Field(
        "", description="Of people in none of the groups; empty does not let them in."
    )
    ca: str = Field(
        "", max_length=40_000, description="Certificates of the provider's authority, PEM."
    )
    skew_s: float = Field(60.0, ge=0, le=300, description="By so much clocks may differ [s].")


class SettingsFile:
    """The settings on the disk.

    Args:
        path: The file; absent is a gateway with accounts of its own only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.fault = ""
        """Why nobody logs in by the provider although there are settings."""

    def load(self) -> OpenIdSettings | None:
        """What is stored; None for nothing, or for what cannot be read."""
        self.fault = ""
        try:
            return OpenIdSettings.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            self.fault = f"The settings of the OpenID login cannot be read: {error}"
            return None

    def save(self, settings: OpenIdSettings | None) -> None:
        """Store settings; None is an end of it.

        Raises:
            ConfigError: The disk refused.
        """
        try:
            if settings is None:
                self._path.unlink(missing_ok=True)
            else:
                self._path.parent.mkdir(mode=0o700, exist_ok=True)
                # An older program knows no settings that are switched off.
                left_out = {"enabled"} if settings.enabled else set()
                rows = settings.model_dump(exclude=left_out)
                write_whole(self._path, json.dumps(rows, indent=1))
        except OSError as error:
            raise ConfigError(
                f"The settings cannot be stored: {error.strerror}.", where=str(self._path)
            ) from error
        self.fault = ""


__all__ = ["CALLBACK", "OpenIdSettings", "SettingsFile", "address"]

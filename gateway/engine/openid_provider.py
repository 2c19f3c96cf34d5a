"""Provider: the other side of an OpenID login, asked over HTTP with limits for everything.

What it says of itself and its keys are kept for an hour; while it is away it is not asked again
for some seconds, so that nobody can make this gateway hammer it.

Source: OpenID Connect Discovery 1.0, 4; OpenID Connect Core 1.0, 3.1.3 and 5.3; RFC 6749, 2.3.1
(client secret in the header, form-encoded); RFC 7636 (PKCE).
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_plus, urlsplit

import httpx
import orjson
from joserfc.jwk import Key

from gateway.data import web
from gateway.engine.openid_settings import OpenIdSettings, address
from gateway.engine.openid_token import Expected, NotProvenError, UnknownKeyError, keys_of, verified
from gateway.errors import ConfigError, Disconnected

KEPT_S: Final = 3_600.0
AGAIN_S: Final = 5.0
"""So long after a try that failed nobody asks again."""
KEYS_AGAIN_S: Final = 30.0
"""How often an unknown key makes us ask for the keys."""
WAIT_S: Final = 10.0
BYTES_MAX: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Facts:
    """What a provider says of itself.

    Args:
        authorize: Where browsers go.
        token: Where codes are changed into tokens.
        keys: Where its keys are.
        userinfo: Where more is known of a person; may be empty.
        by_post: The client secret goes into the body.
        names_itself: It says who it is when it sends a browser back (RFC 9207).
    """

    authorize: str
    token: str
    keys: str
    userinfo: str
    by_post: bool
    names_itself: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a code was changed into."""

    id: str
    access: str


class Provider:
    """One provider.

    Args:
        settings: Who it is.
        secret: The client secret behind a name.
        monotonic: Seconds since some start.
    """

    def __init__(
        self,
        settings: OpenIdSettings,
        secret: Callable[[str], str],
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        self._facts: tuple[float, Facts] | None = None
        self._keys: tuple[float, list[Key]] | None = None
        self._away: tuple[float, str] | None = None
        self._trust: ssl.SSLContext | None = None

    async def facts(self) -> Facts:
        """What it says of itself.

        Raises:
            Disconnected: It does not answer, or nobody asks it just now.
            ConfigError: What it says cannot be.
        """
        async with self._asking:
            now = self._monotonic()
            if self._facts is not None and now < self._facts[0] + KEPT_S:
                return self._facts[1]
            if self._away is not None and now < self._away[0] + AGAIN_S:
                raise Disconnected(self._away[1], retry_after_s=AGAIN_S)
            url = self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
            try:
                found = _facts(await self._get(url), self._settings.issuer)
            except (Disconnected, ConfigError) as error:
                self._away = (now, str(error))
                raise
            self._facts = (now, found)
            return found

    async def keys(self, *, again: bool = False) -> list[Key]:
        """Its keys.

        Args:
            again: An unknown key was seen: ask, if that was not done just now.

        Raises:
            Disconnected: It does not answer.
        """
        facts = await self.facts()
        async with self._asking:
            now = self._monotonic()
            kept = KEYS_AGAIN_S if again else KEPT_S
            if self._keys is None or now >= self._keys[0] + kept:
                self._keys = (now, keys_of(await self._get(facts.keys)))
            return self._keys[1]

    async def exchange(self, code: str, verifier: str) -> Tokens:
        """Change a code into tokens.

        Raises:
            NotProvenError: The provider refuses the code, or answers without tokens.
            Disconnected: It does not answer.
        """
        facts, settings = await self.facts(), self._settings
        body = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": settings.redirect,
            "client_id": settings.client_id,
            "code_verifier": verifier,
        }
        headers = {}
        if settings.client_secret:
            secret = self._secret(settings.client_secret)
            if facts.by_post:
                body["client_secret"] = secret
            else:
                pair = f"{quote_plus(settings.client_id)}:{quote_plus(secret)}"
                headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        status, found = await self._ask("POST", facts.token, body, headers)
        if status != 200:
            word = str(found.get("error", ""))[:60] if isinstance(found, dict) else ""
            raise NotProvenError(f"The provider refuses the code: {status} {word!a}.")
        token = found.get("id_token") if isinstance(found, dict) else None
        if not isinstance(token, str):
            raise NotProvenError("The provider's answer has no ID token.")
        return Tokens(token, str(found.get("access_token", "")))

    async def claims(self, token: str, expected: Expected) -> dict[str, Any]:
        """The claims of an ID token that holds; new keys are asked for once.

        Raises:
            NotProvenError: It does not hold.
            Disconnected: The provider does not answer.
        """
        try:
            return verified(token, await self.keys(), expected)
        except UnknownKeyError:
            return verified(token, await self.keys(again=True), expected)

    async def more(self, access: str, subject: str) -> dict[str, Any]:
        """What the provider knows besides; empty where it offers nothing.

        Raises:
            NotProvenError: It speaks of another person.
            Disconnected: It does not answer.
        """
        url = (await self.facts()).userinfo
        if not url or not access:
            return {}
        status, found = await self._ask("GET", url, None, {"Authorization": f"Bearer {access}"})
        if status != 200 or not isinstance(found, dict):
            return {}
        if found.get("sub") != subject:
            raise NotProvenError("The provider's user information is about another person.")
        return found

    # ------------------------------------------------------------------ HTTP

    async def _get(self, url: str) -> Any:
        status, found = await self._ask("GET", url)
        if status != 200 or found is None:
            raise Disconnected(f"{url} answers {status} and no JSON. Is the issuer right?")
        return found

    async def _ask(
        self,
        method: str,
        url: str,
        body: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Status and JSON of an answer; None for what is no JSON. Redirects are not followed."""
        if self._trust is None:
            self._trust = await asyncio.to_thread(_trust, self._settings.ca)
        head = {"Accept": "application/json", **(headers or {})}
        try:
            async with (
                asyncio.timeout(WAIT_S),
                web.client(verify=self._trust, timeout=WAIT_S) as client,
                client.stream(method, url, data=body, headers=head) as answer,
            ):
                data = bytearray()
                async for part in answer.aiter_bytes(64 * 1024):
                    data += part
                    if len(data) > BYTES_MAX:
                        raise Disconnected(f"{url} answers with more than {BYTES_MAX} bytes.")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            place = urlsplit(url).netloc
            why = str(error)[:200] or type(error).__name__
            raise Disconnected(f"No answer from the OpenID provider at {place}: {why}.") from error
        try:
            return answer.status_code, orjson.loads(data)
        except orjson.JSONDecodeError:
            return answer.status_code, None


def _trust(ca: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=ca or None)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"The certificates of the authority cannot be read: {error}.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _facts(document: Any, issuer: str) -> Facts:
    """What is needed of a discovery document.

    Raises:
        ConfigError: It is another issuer's, or lacks something.
    """
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        named = document.get("issuer") if isinstance(document, dict) else None
        raise ConfigError(
            f"The provider calls itself {str(named)[:200]!r}, not {issuer!r}.",
            hint="Write the issuer exactly as the provider does.",
        )
    challenges = document.get("code_challenge_methods_supported", ["S256"])
    if "S256" not in challenges:
        raise ConfigError("The provider does not know PKCE with S256.")
    is_plain = urlsplit(issuer).scheme == "http"
    found = {}
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
        url = document.get(name, "")
        try:
            found[name] = address(str(url)) if url else ""
        except ValueError as error:
            raise ConfigError(f"The provider's {name}: {error}.") from error
        if found[name].startswith("http:") and not is_plain:
            raise ConfigError(f"The provider's {name} is not https.")
        if not found[name] and name != "userinfo_endpoint":
            raise ConfigError(f"The provider names no {name}.")
    ways = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Facts(
        found["authorization_endpoint"],
        found["token_endpoint"],
        found["jwks_uri"],
        found["userinfo_endpoint"],
        "client_secret_basic" not in ways and "client_secret_post" in ways,
        document.get("authorization_response_iss_parameter_supported") is True,
    )


__all__ = ["Facts", "Provider", "Tokens"]

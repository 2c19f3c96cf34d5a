"""OpenID: people log in at a provider of their company (authorization code with PKCE).

What a login needs to be finished (state, nonce, verifier) is in a sealed cookie of the browser
that began it, so nobody can fill a table here, and another browser cannot finish it. A person is
known by issuer and subject, which are theirs for good; a name is only how the account is called,
and never leads into an account that was not made by the same person.

Source: OpenID Connect Core 1.0, 3.1; RFC 9700 (best practice for OAuth 2.0), 2.1 and 4.7;
RFC 7636 (PKCE, S256); RFC 9207 (issuer identification).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.engine.accounts import Accounts
from gateway.engine.openid_people import People, Person
from gateway.engine.openid_provider import Provider
from gateway.engine.openid_refused import RefusedError, Why
from gateway.engine.openid_settings import OpenIdSettings, SettingsFile
from gateway.engine.openid_token import Expected, NotProvenError
from gateway.engine.principal import Principal
from gateway.engine.secrets import Secrets
from gateway.engine.sessions import Session
from gateway.engine.throttle import ADDRESS_S_MAX, Throttle, network
from gateway.errors import ConfigError, Disconnected
from gateway.flow.config import Secret
from gateway.flow.node import Clock

FOLDER: Final = "openid"
LOGIN_S: Final = 600.0
"""So long a person may take at the provider."""
USED_MAX: Final = 4_096
PARAMETER_CHARS_MAX: Final = 4_096
COOKIE_CHARS_MAX: Final = 4_096
_NEXT: Final = re.compile(r"/(?![/\\])[\x21-\x7e]{0,500}\Z")


class OpenId:
    """The way in by a provider.

    Args:
        state: Folder of the state.
        secrets: Has the client secret.
        accounts: Who there is.
        clock: The time.
    """

    def __init__(self, state: Path, secrets: Secrets, accounts: Accounts, clock: Clock) -> None:
        self._file = SettingsFile(state / FOLDER / "settings.json")
        self._secrets = secrets
        self._accounts = accounts
        self._people = People(accounts, clock)
        self._clock = clock
        self._key = AESGCM(AESGCM.generate_key(256))
        self._used: OrderedDict[str, None] = OrderedDict()
        self._by_address = Throttle(clock.monotonic, ADDRESS_S_MAX)
        self.stored = self._file.load()
        """The settings, also when they are switched off."""
        self._provider = self._made()

    @property
    def fault(self) -> str:
        """Why there is no way in by a provider although there are settings; empty when there is."""
        return self._file.fault

    @property
    def settings(self) -> OpenIdSettings | None:
        """The settings by which people are let in; None when nobody is."""
        return self.stored if self.stored is not None and self.stored.enabled else None

    def _made(self) -> Provider | None:
        if self.settings is None:
            return None
        return Provider(self.settings, self._secret, self._clock.monotonic)

    def _secret(self, name: str) -> str:
        return self._secrets(Secret(secret=name))

    # ------------------------------------------------------------------ for administrators

    async def change(self, actor: str, settings: OpenIdSettings | None) -> None:
        """Take other settings, or none; logins by another provider end.

        Raises:
            ConfigError: No administrator could log in while the provider is away, or the disk
                refused.
        """
        is_on = settings is not None and settings.enabled
        if is_on and not self._accounts.has_own_administrator():
            raise ConfigError(
                "No administrator has a password here.",
                hint="Make one first: they must get in while the provider is away.",
            )
        shown = [one and one.model_dump(exclude={"ca"}) for one in (self.stored, settings)]
        await self._accounts.write(actor, "openid/change", {"before": shown[0], "after": shown[1]})
        self._file.save(settings)
        self.stored = settings
        self._provider = self._made()
        await self._people.end_others(actor, settings.issuer if settings and is_on else "")

    async def check(self, settings: OpenIdSettings | None = None) -> dict[str, Any]:
        """Ask the provider what it is, as a login would.

        Args:
            settings: Not stored yet; else those that are.

        Raises:
            ConfigError: There are no settings, or what it says cannot be.
            Disconnected: It does not answer.
        """
        kept = self._provider if settings is None else None
        settings = settings or self.stored
        if settings is None:
            raise ConfigError("There is no login by a provider here.", hint=self.fault)
        provider = kept or Provider(settings, self._secret, self._clock.monotonic)
        facts, keys = await provider.facts(), await provider.keys()
        if settings.client_secret:
            self._secret(settings.client_secret)
        return {"authorize": facts.authorize, "token": facts.token, "keys": len(keys)}

    def _asked(self) -> Provider:
        if self._provider is None:
            raise ConfigError("There is no login by a provider here.", hint=self.fault)
        return self._provider

    # ------------------------------------------------------------------ a login

    async def begin(self, there: str, who: Principal | None = None) -> tuple[str, str]:
        """Begin a login.

        Args:
            there: The page to go to afterwards.
            who: One who is logged in and proves themselves again; None for a new login.

        Returns: where the browser goes, and what it keeps until it is back.

        Raises:
            ConfigError: There are no settings, or the provider cannot be used.
            Disconnected: The provider does not answer.
        """
        provider, settings = self._asked(), self.settings
        assert settings is not None
        facts = await provider.facts()
        verifier = token_urlsafe(48)
        kept = {
            "state": token_urlsafe(32),
            "nonce": token_urlsafe(32),
            "verifier": verifier,
            "next": there if _NEXT.match(there) else "/",
            "at": self._clock.now(),
            "issuer": settings.issuer,
            "session": who.session if who is not None else "",
        }
        challenge = hashlib.sha256(verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": settings.client_id,
            "redirect_uri": settings.redirect,
            "scope": settings.scopes,
            "state": kept["state"],
            "nonce": kept["nonce"],
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        if who is not None:
            asked |= {"prompt": "login", "max_age": "0"}
        joint = "&" if urlsplit(facts.authorize).query else "?"
        return f"{facts.authorize}{joint}{urlencode(asked)}", self._sealed(kept)

    async def finish(
        self, cookie: str, answer: Mapping[str, str], address: str, agent: str
    ) -> tuple[str, Session, str]:
        """End a login that a browser came back from.

        Args:
            cookie: What it kept.
            answer: What the provider sent it back with.
            address: Where it is.
            agent: What it says it is.

        Returns: the secret of the session, the session, and the page to go to.

        Raises:
            RefusedError: Nobody is let in; the audit says why.
            ConfigError: There are no settings.
        """
        provider = self._asked()
        place = network(address)
        if self._by_address.wait_s(place) > 0:
            raise RefusedError("early", "Too many failures.")
        try:
            kept = self._begun(cookie, answer.get("state", ""))
            person = await self._person(provider, kept, answer)
            secret, session = await self._people.let_in(
                person, address, agent, kept["session"], RefusedError
            )
        except (RefusedError, NotProvenError, Disconnected, ConfigError) as error:
            refused = _as_refused(error)
            if refused.why not in ("away", "full"):
                self._by_address.failed(place)
            detail = {"address": address, "by": "openid", "why": str(error)[:300]}
            with suppress(Disconnected):  # They are not let in all the same.
                await self._accounts.write("nobody", "login/failed", detail)
            raise refused from error
        self._by_address.succeeded(place)
        return secret, session, str(kept["next"])

    async def _person(
        self, provider: Provider, kept: Mapping[str, Any], answer: Mapping[str, str]
    ) -> Person:
        """Who the provider says it is."""
        settings = self.settings
        assert settings is not None
        facts = await provider.facts()
        named = answer.get("iss")
        if (named is not None or facts.names_itself) and named != settings.issuer:
            raise RefusedError("wrong", "Another provider sent the browser back (iss).")
        if "error" in answer:
            raise RefusedError("refused", f"The provider says {answer['error'][:60]!a}.")
        code = answer.get("code", "")
        if not code or len(code) > PARAMETER_CHARS_MAX:
            raise RefusedError("wrong", "The provider sent no code.")
        tokens = await provider.exchange(code, kept["verifier"])
        expected = Expected(
            settings.issuer,
            settings.client_id,
            kept["nonce"],
            self._clock.now() / 1e9,
            settings.skew_s,
            kept["at"] / 1e9 if kept["session"] else 0.0,
        )
        claims = await provider.claims(tokens.id, expected)
        if settings.role_claim not in claims or settings.name_claim not in claims:
            claims = {**await provider.more(tokens.access, claims["sub"]), **claims}
        return Person.of(claims, settings)

    # ------------------------------------------------------------------ what a browser keeps

    def _sealed(self, kept: Mapping[str, Any]) -> str:
        nonce = os.urandom(12)
        data = self._key.encrypt(nonce, json.dumps(kept).encode(), b"openid")
        return base64.urlsafe_b64encode(nonce + data).decode()

    def _begun(self, cookie: str, state: str) -> dict[str, Any]:
        """What a browser kept, once.

        Raises:
            RefusedError: It is none of ours, too old, used, or of other settings.
        """
        lost = RefusedError("again", "This login was not begun in this browser.")
        if not cookie or len(cookie) > COOKIE_CHARS_MAX:
            raise lost
        try:
            data = base64.urlsafe_b64decode(cookie)
            kept: dict[str, Any] = json.loads(self._key.decrypt(data[:12], data[12:], b"openid"))
        except (ValueError, InvalidTag) as error:
            raise lost from error
        if not hmac.compare_digest(
            str(kept["state"]).encode(), state.encode("utf-8", "surrogatepass")
        ):
            raise RefusedError("again", "The answer is not that to this login (state).")
        if not 0 <= self._clock.now() - kept["at"] < LOGIN_S * 1e9:
            raise RefusedError("again", "This login was begun more than 10 minutes ago.")
        if state in self._used or self.settings is None or kept["issuer"] != self.settings.issuer:
            raise RefusedError("again", "This login was finished before.")
        self._used[state] = None
        while len(self._used) > USED_MAX:
            self._used.popitem(last=False)
        return kept


def _as_refused(error: Exception) -> RefusedError:
    """What a browser is told of a failure."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, NotProvenError):
        return RefusedError("wrong", str(error))
    return RefusedError("away", str(error))


__all__ = ["OpenId", "RefusedError", "Why"]

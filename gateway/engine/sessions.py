"""Sessions and API tokens: random, kept as hashes, with an end.

What a browser or a script holds is 256 random bits; the state file holds their SHA-256, which
needs no salt because nobody guesses 256 bits. All are in memory as well, so that a request costs
no query and a change of a role counts from the next request on.

Source: OWASP ASVS 5.0, 7.2 to 7.4 (random tokens, idle and absolute ends, termination).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from gateway.engine.roles import Role
from gateway.engine.store_accounts import Put
from gateway.errors import LimitError

IDLE_S: Final[dict[Role, float]] = {
    "viewer": 8 * 3600.0,
    "operator": 8 * 3600.0,
    "engineer": 900.0,
    "administrator": 900.0,
}
"""A session ends after so long without a request that a person made."""
ABSOLUTE_S: Final = 12 * 3600.0
FRESH_S: Final = 300.0
"""So long after the password was given may be done what needs it."""
SEEN_S: Final = 300.0
"""How often it is stored that a session is in use."""
SESSIONS_MAX: Final = 10
"""Of one account; the oldest ends when there is one more."""
TOKENS_MAX: Final = 100
TOKEN_PREFIX: Final = "genba_"  # noqa: S105 - the beginning of all tokens, no secret
_AGENT_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Session:
    """One login; times in ns.

    Args:
        account: Whose.
        made: When it began; a step-up keeps this.
        seen: When it was used last.
        raised: When the password was given last.
        expires: When it ends whatever happens.
        address: Where it came from.
        agent: What the browser says it is.
    """

    account: str
    made: int
    seen: int
    raised: int
    expires: int
    address: str
    agent: str


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What a script logs in with; times in ns.

    Args:
        name: What it is for.
        account: Who made it; it never may more than they may now.
        role: What it may.
        is_writer: It has the grant for setpoints.
        scopes: Actions it is limited to; empty is all of the role.
        made: When.
        used: When it was used last, to some minutes; 0 is never.
        expires: When it ends.
    """

    name: str
    account: str
    role: Role
    is_writer: bool
    scopes: tuple[str, ...]
    made: int
    used: int
    expires: int


def hash_of(secret: str) -> str:
    """What is stored of a secret of 256 bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Sessions:
    """All sessions and tokens of the gateway.

    Args:
        now: The time [ns].
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.sessions: dict[str, Session] = {}
        """By hash."""
        self.tokens: dict[str, ApiToken] = {}
        """By hash."""
        self._stored: dict[str, int] = {}

    def load(self, sessions: dict[str, dict[str, Any]], tokens: dict[str, dict[str, Any]]) -> None:
        """Take what was stored."""
        self.sessions = {key: Session(**fact) for key, fact in sessions.items()}
        self.tokens = {
            key: ApiToken(**{**fact, "scopes": tuple(fact["scopes"])})
            for key, fact in tokens.items()
        }
        self._stored = {key: one.seen for key, one in self.sessions.items()}
        self._stored |= {key: one.used for key, one in self.tokens.items()}

    # ------------------------------------------------------------------ what is to be written

    def begin(
        self, account: str, address: str, agent: str, old: str = "", *, raised: int | None = None
    ) -> tuple[str, Session, list[Put]]:
        """A new session; what must be written before `apply`.

        Args:
            account: Whose.
            address: Where the request came from.
            agent: What the browser says it is.
            old: Hash of the session in whose place it comes, at a step-up.
            raised: When they proved themselves [ns]; by default now.
        """
        now = self._now()
        before = self.sessions.get(old)
        made = before.made if before is not None else now
        expires = before.expires if before is not None else now + int(ABSOLUTE_S * 1e9)
        at = now if raised is None else raised
        session = Session(account, made, now, at, expires, address, agent[:_AGENT_CHARS])
        secret = secrets.token_urlsafe(32)
        own = sorted(
            (key for key, one in self.sessions.items() if one.account == account and key != old),
            key=lambda key: self.sessions[key].seen,
        )
        gone = own[: max(len(own) - SESSIONS_MAX + 1, 0)] + ([old] if before is not None else [])
        gone += [key for key, one in self.sessions.items() if one.expires <= now]
        rows = [Put("session", key) for key in dict.fromkeys(gone)]
        return secret, session, [*rows, Put("session", hash_of(secret), asdict(session))]

    def token(self, token: ApiToken) -> tuple[str, list[Put]]:
        """A new API token; what must be written before `apply`.

        Raises:
            LimitError: There are too many.
        """
        now = self._now()
        gone = [key for key, one in self.tokens.items() if one.expires <= now]
        if len(self.tokens) - len(gone) >= TOKENS_MAX:
            raise LimitError("tokens_max", TOKENS_MAX, "Revoke API tokens that nobody uses.")
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        rows = [Put("api_token", key) for key in gone]
        return secret, [*rows, Put("api_token", hash_of(secret), asdict(token))]

    def ending(self, account: str, but: str = "") -> list[Put]:
        """What ends all sessions of an account but one."""
        return [
            Put("session", key)
            for key, one in self.sessions.items()
            if one.account == account and key != but
        ]

    def apply(self, rows: Sequence[Put]) -> None:
        """What was written holds from now on."""
        for row in rows:
            match row.table:
                case "session" if row.fact is not None:
                    self.sessions[row.key] = Session(**row.fact)
                    self._stored[row.key] = self.sessions[row.key].seen
                case "api_token" if row.fact is not None:
                    self.tokens[row.key] = ApiToken(
                        **{**row.fact, "scopes": tuple(row.fact["scopes"])}
                    )
                    self._stored[row.key] = self.tokens[row.key].used
                case "session":
                    self.sessions.pop(row.key, None)
                    self._stored.pop(row.key, None)
                case "api_token":
                    self.tokens.pop(row.key, None)
                    self._stored.pop(row.key, None)
                case _:
                    pass

    # ------------------------------------------------------------------ use

    def live(self, key: str, role: Role) -> Session | None:
        """A session that has not ended, of an account of this role."""
        session = self.sessions.get(key)
        now = self._now()
        if session is None or now >= session.expires:
            return None
        return session if now < session.seen + int(IDLE_S[role] * 1e9) else None

    def is_fresh(self, session: Session) -> bool:
        """Whether the password was given within the last minutes."""
        return self._now() < session.raised + int(FRESH_S * 1e9)

    def used(self, key: str) -> list[Put]:
        """A session or a token is in use; what is worth to be stored of that."""
        now = self._now()
        row: Put
        if key in self.sessions:
            self.sessions[key] = session = replace(self.sessions[key], seen=now)
            row = Put("session", key, asdict(session))
        else:
            self.tokens[key] = token = replace(self.tokens[key], used=now)
            row = Put("api_token", key, asdict(token))
        if now < self._stored.get(key, 0) + int(SEEN_S * 1e9):
            return []
        self._stored[key] = now
        return [row]

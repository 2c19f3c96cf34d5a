"""Principal: on whose behalf a request acts, and what that one may do now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.engine.roles import ACTIONS, Role, permits
from gateway.errors import Rejected


class Denied(Rejected):
    """A login, a code or a password that is not taken.

    Args:
        text: What to do; never what exactly was wrong.
        retry_s: Wait so long before the next try [s]; 0 is no wait.
    """

    def __init__(self, text: str, retry_s: float = 0.0) -> None:
        super().__init__(text)
        self.retry_s = retry_s


@dataclass(slots=True)
class Account:
    """A person, or a screen on the wall: nobody shares one.

    Args:
        name: Lower case, unique.
        role: What they may.
        password: Its hash, with salt and cost; empty for one whom only a provider proves.
        made: When [ns].
        is_writer: They have the grant for setpoints.
        is_disabled: They cannot log in.
        failures: Failed logins since the last good one.
        failed: When the last one was [ns].
        places: Networks they have logged in from; see `engine.throttle.network`.
        subject: Issuer and subject at an OpenID provider; empty for an account of our own.
    """

    name: str
    role: Role
    password: str
    made: int
    is_writer: bool = False
    is_disabled: bool = False
    failures: int = 0
    failed: int = 0
    places: list[str] = field(default_factory=list)
    subject: str = ""

    @property
    def actor(self) -> str:
        """As the audit calls them."""
        return f"user:{self.name}"

    def shown(self) -> dict[str, Any]:
        """What an administrator sees; never the hash."""
        return {
            "name": self.name,
            "role": self.role,
            "writer": self.is_writer,
            "disabled": self.is_disabled,
            "made": self.made,
            "failures": self.failures,
            "failed": self.failed,
            "openid": self.subject,
        }


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts.

    Args:
        actor: As the audit calls them; empty for nobody.
        role: None for nobody.
        is_writer: They have the grant for setpoints.
        account: Name of the account; empty for one who needs none on this machine.
        session: Hash of the session; empty for a token.
        scopes: Actions a token is limited to; empty is all of its role.
        is_token: An API token acts.
        is_fresh: The password was given within the last minutes, or none is needed.
        is_named: The request may say itself who acts: a command on this machine.
    """

    actor: str = ""
    role: Role | None = None
    is_writer: bool = False
    account: str = ""
    session: str = ""
    scopes: frozenset[str] = frozenset()
    is_token: bool = False
    is_fresh: bool = False
    is_named: bool = False

    def may(self, action: str) -> bool:
        """Whether they may do this at all."""
        if self.is_token and (ACTIONS[action].fresh or action == "me.edit"):
            return False
        if self.scopes and action not in self.scopes and ACTIONS[action].need != "nobody":
            return False
        return permits(action, self.role, is_writer=self.is_writer)

    def must_confirm(self, action: str) -> bool:
        """Whether they must give their password again first."""
        return ACTIONS[action].fresh and not self.is_fresh


NOBODY = Principal()
"""A request without a login."""

"""Users: accounts, logins, API tokens and the audit."""

from __future__ import annotations

from ui.shell import N_, screen
from ui.system.element import System


@screen("/users", N_("Users"), needs="user.read")
async def users() -> None:
    """Accounts, logins, API tokens and the audit."""
    System("users")


__all__ = ["users"]

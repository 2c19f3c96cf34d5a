"""My account: where one is logged in, and one's password."""

from __future__ import annotations

from ui.shell import N_, screen
from ui.system.element import System


@screen("/account", N_("My account"), needs="me.read", menu=False)
async def account() -> None:
    """Where one is logged in, and one's password."""
    System("account")


__all__ = ["account"]

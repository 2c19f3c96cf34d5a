"""Fleet: the other gateways, and flows on their way to them."""

from __future__ import annotations

from ui.shell import N_, screen
from ui.system.element import System


@screen("/fleet", N_("Gateways"), needs="fleet.read")
async def fleet() -> None:
    """The other gateways, and flows on their way to them."""
    System("fleet")


__all__ = ["fleet"]

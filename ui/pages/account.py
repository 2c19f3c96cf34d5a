"""My account: where one is logged in, and one's password."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from nicegui import ui

from ui.i18n import _
from ui.session import api, me
from ui.shell import N_, screen


@screen("/account", N_("My account"), needs="me.read", menu=False)
async def account() -> None:
    """Who I am, and my logins."""
    ui.label(me().name).props("role=heading aria-level=1").classes("g-h1")
    ui.label(_(me().role)).classes("g-muted")
    sessions: list[dict[str, Any]] = await api().get("/api/me/sessions")
    if not sessions:
        ui.label(_("You work at the gateway itself and have no account."))
        return
    ui.label(_("Where you are logged in")).props("role=heading aria-level=2").classes("g-h2")
    for row in sessions:
        seen = datetime.fromtimestamp(row["seen"] / 1e9, UTC)
        ui.label(f"{row['agent'] or '?'} · {row['address']} · {seen:%Y-%m-%d %H:%M} UTC")


__all__ = ["account"]

"""Overview: how the plant and the gateway are, at a glance."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from ui.i18n import _
from ui.session import api
from ui.shell import N_, screen


@screen("/", N_("Overview"))
async def overview() -> None:
    """The first page."""
    ui.label(_("Overview")).props("role=heading aria-level=1").classes("g-h1")
    status: dict[str, Any] = await api().get("/api/status")
    ui.label(_("{n} tags in {m} flows", n=status["tags"], m=len(status["flows"])))

"""Pages: one module each; importing it declares its page."""

from __future__ import annotations

import importlib
from typing import Final

MODULES: Final = (
    "overview",
    "alarms",
    "dashboards",
    "trends",
    "flows",
    "connections",
    "prompts",
    "console",
    "fleet",
    "system",
    "users",
    "help",
    "account",
    "prompts",
)
"""In the order of the menu."""


def declare() -> None:
    """Declare every page, once."""
    for name in MODULES:
        importlib.import_module(f"ui.pages.{name}")


__all__ = ["MODULES", "declare"]

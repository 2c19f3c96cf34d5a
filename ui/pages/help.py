"""Help: the pages that `genba docs` shows, in the browser and in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from nicegui import ui

from gateway.flow.spec import find_spec
from ui.assets import HERE
from ui.i18n import _, language
from ui.shell import N_, screen

HELP: Final = HERE / "help"


def pages(language: str) -> Mapping[str, tuple[Path, bool]]:
    """Every guide by its name: its file, and whether that is in the language.

    What nobody has translated yet is there in English.
    """
    own = {path.stem: path for path in (HELP / language).glob("*.md")}
    is_own = language == "en"
    plain = {path.stem: (path, is_own) for path in sorted(HELP.glob("*.md"))}
    return plain | {name: (path, True) for name, path in own.items() if name in plain}


@screen("/help", N_("Help"), needs="me.read")
async def guides() -> None:
    """All guides by title."""
    ui.label(_("Help")).props("role=heading aria-level=1").classes("g-h1")
    with ui.element("ul"):
        for name, (path, is_own) in pages(language()).items():
            title = path.read_text("utf-8").splitlines()[0].lstrip("# ")
            with ui.element("li"):
                ui.link(title, f"/help/{name}")
                if not is_own:
                    ui.label(_("in English")).classes("g-muted").style("display: inline")


@screen("/help/{topic}", N_("Help"), needs="me.read", menu=False)
async def guide(topic: str) -> None:
    """One guide, or the page of one node."""
    known = pages(language())
    ui.link(_("All help pages"), "/help")
    spec = find_spec(topic) if topic not in known and "." in topic else None
    path, is_own = known.get(topic, (None, language() == "en"))
    if (path or spec) and not is_own:
        ui.label(_("This page is in English only so far.")).props("role=note").classes("g-muted")
    if path is not None:
        ui.markdown(path.read_text("utf-8"))
    elif spec is not None:
        ui.markdown(spec.page)
    else:
        ui.label(_("There is no help page {name}.", name=topic)).props("role=alert")


__all__ = ["pages"]

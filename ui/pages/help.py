"""Help: the pages that `genba docs` shows, in the browser and in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from nicegui import ui

from gateway.flow.spec import all_specs, find_spec
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
GROUPS: Final = (
    (N_("Begin"), ("start", "concepts", "devices", "examples", "screens")),
    (
        N_("Operate"),
        ("alarms", "explanations", "dashboards", "history", "setpoints", "dead_letters", "support"),
    ),
    (
        N_("Build flows"),
        (
            "flow_editor",
            "flow_file",
            "expressions",
            "windows",
            "detectors",
            "replay",
            "pipelines",
            "web",
            "models",
            "add_a_node",
        ),
    ),
)
"""Guides in the order in which people need them; what is in none of these is for who looks after
the gateway."""


@screen("/help", N_("Help"), needs="me.read")
async def guides() -> None:
    """All guides by what one wants to do, then the page of each node."""
    ui.label(_("Help")).props("role=heading aria-level=1").classes("g-h1")
    found = pages(language())
    named = {stem for _title, stems in GROUPS for stem in stems}
    rest = tuple(sorted(stem for stem in found if stem not in named))
    with ui.element("div").classes("hp"):
        for title, stems in (*GROUPS, (N_("Look after the gateway"), rest)):
            with ui.element("section").classes("g-panel"):
                ui.label(_(title)).props("role=heading aria-level=2").classes("g-h2")
                for stem in stems:
                    path, is_own = found[stem]
                    with ui.link(_title_of(path), f"/help/{stem}").classes("hp-link"):
                        if not is_own:
                            ui.label(_("in English")).classes("g-muted")
    with ui.element("section").classes("g-panel"):
        ui.label(_("Nodes")).props("role=heading aria-level=2").classes("g-h2")
        with ui.element("div").classes("hp-nodes"):
            for spec in all_specs():
                ui.link(spec.name, f"/help/{spec.name}").classes("hp-link g-mono")


def _title_of(path: Path) -> str:
    return path.read_text("utf-8").splitlines()[0].lstrip("# ")


@screen("/help/{topic}", N_("Help"), needs="me.read", menu=False)
async def guide(topic: str) -> None:
    """One guide, or the page of one node."""
    known = pages(language())
    ui.link(_("All help pages"), "/help").classes("hp-link")
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

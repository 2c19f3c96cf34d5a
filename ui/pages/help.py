"""Help: the pages that `genba docs` shows, in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nicegui import ui

from gateway.flow.spec import all_specs, find_spec
from ui.assets import HERE
from ui.i18n import _
from ui.shell import N_, screen

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
    found = {path.stem: path for path in (HERE / "help").glob("*.md")}
    named = {stem for _title, stems in GROUPS for stem in stems}
    rest = tuple(sorted(stem for stem in found if stem not in named))
    with ui.element("div").classes("hp"):
        for title, stems in (*GROUPS, (N_("Look after the gateway"), rest)):
            with ui.element("section").classes("g-panel"):
                ui.label(_(title)).props("role=heading aria-level=2").classes("g-h2")
                for stem in stems:
                    ui.link(_title_of(found[stem]), f"/help/{stem}").classes("hp-link")
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
    guides = {path.stem: path for path in (HERE / "help").glob("*.md")}
    ui.link(_("All help pages"), "/help").classes("hp-link")
    spec = find_spec(topic) if topic not in guides and "." in topic else None
    if topic in guides:
        ui.markdown(guides[topic].read_text("utf-8"))
    elif spec is not None:
        ui.markdown(spec.page)
    else:
        ui.label(_("There is no help page {name}.", name=topic)).props("role=alert")

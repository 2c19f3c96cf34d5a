"""Help: the pages that `genba docs` shows, in the browser."""

from __future__ import annotations

from nicegui import ui

from gateway.flow.spec import find_spec
from ui.assets import HERE
from ui.i18n import _
from ui.shell import N_, screen


@screen("/help", N_("Help"), needs="me.read")
async def guides() -> None:
    """All guides by title."""
    ui.label(_("Help")).props("role=heading aria-level=1").classes("g-h1")
    with ui.element("ul"):
        for path in sorted((HERE / "help").glob("*.md")):
            title = path.read_text("utf-8").splitlines()[0].lstrip("# ")
            with ui.element("li"):
                ui.link(title, f"/help/{path.stem}")


@screen("/help/{topic}", N_("Help"), needs="me.read", menu=False)
async def guide(topic: str) -> None:
    """One guide, or the page of one node."""
    guides = {path.stem: path for path in (HERE / "help").glob("*.md")}
    ui.link(_("All help pages"), "/help")
    spec = find_spec(topic) if topic not in guides and "." in topic else None
    if topic in guides:
        ui.markdown(guides[topic].read_text("utf-8"))
    elif spec is not None:
        ui.markdown(spec.page)
    else:
        ui.label(_("There is no help page {name}.", name=topic)).props("role=alert")

"""Shell: the frame of every screen, and how a screen is declared.

```python
@screen("/alarms", N_("Alarms"))
async def alarms() -> None:
    ui.label(_("…"))
```
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from nicegui import context, ui
from starlette.requests import cookie_parser

from gateway.errors import GatewayError
from ui.assets import built, component, modules
from ui.i18n import LANGUAGES, _, language, told
from ui.plain import head_globals, said_globals
from ui.session import me

_log = logging.getLogger("genba.ui")
THEME_COOKIE: Final = "genba-theme"
Build = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class Link:
    """A page in the menu.

    Args:
        path: Where it is.
        title: Its name, in English.
        needs: The action that who sees it must be allowed.
    """

    path: str
    title: str
    needs: str = "status.read"


_links: list[Link] = []


class Shell(ui.element, component=component("shell"), esm=modules()):
    """The frame: menu, alarm counts, whether the line holds, and who one is."""

    def __init__(self, path: str, theme: str) -> None:
        super().__init__()
        who = me()
        links = [link for link in _links if link.needs in who.may]
        self._props.update(
            {
                "path": path,
                "links": [{"path": link.path, "title": _(link.title)} for link in links],
                "actor": who.name,
                "role": _(who.role),
                "mayAct": "alarm.act" in who.may,
                "language": language(),
                "languages": LANGUAGES,
                "theme": theme,
            }
        )


def screen(
    path: str, title: str, *, needs: str = "status.read", menu: bool = True, full: bool = False
) -> Callable[[Build], Build]:
    """Declare a page.

    Args:
        path: Where it is.
        title: Its name, in English.
        needs: The action of `gateway.api` that who opens it must be allowed.
        menu: It is in the menu.
        full: It fills the window and scrolls by itself.
    """
    if menu:
        _links.append(Link(path, title, needs))

    def declare(build: Build) -> Build:
        async def shown(**parameters: str) -> None:
            theme = _prepare(title)
            Shell(context.client.request.url.path, theme)
            with ui.element("div").props("id=main").classes("g-main" + (" full" if full else "")):
                if needs not in me().may:
                    ui.label(_("Your account may not see this page.")).classes("g-bad")
                    return
                try:
                    await build(**parameters)
                except GatewayError as error:
                    ui.label(told(error)).props("role=alert").classes("g-bad")

        shown.__annotations__ = {**build.__annotations__}
        shown.__signature__ = _signature(build)  # type: ignore[attr-defined]  # FastAPI reads it
        ui.page(path, title="Genba", response_timeout=30)(shown)
        return build

    return declare


def _signature(build: Build) -> object:
    import inspect

    return inspect.signature(build, eval_str=True)


def _prepare(title: str) -> str:
    """Head and theme of a page; returns the theme."""
    client = context.client
    theme = cookie_parser(client.request.headers.get("cookie", "")).get(THEME_COOKIE, "light")
    theme = theme if theme in ("light", "dark") else "light"
    client.title = f"{_(title)} · Genba"
    ui.dark_mode(theme == "dark")
    ui.add_head_html(
        '<link rel="stylesheet" href="/fonts/fonts.css">'
        f'<link rel="stylesheet" href="/assets/{built().name}/theme.css">'
        f"<script>window.genba = {head_globals(language(), said=said_globals(language()))};"
        f'document.documentElement.dataset.theme = "{theme}";'
        f'document.documentElement.lang = "{language()}";</script>'
    )
    return theme


def N_(text: str) -> str:  # noqa: N802 - the word of gettext for a text translated later
    """Mark a text for the catalogue."""
    return text


__all__ = ["N_", "Shell", "screen"]

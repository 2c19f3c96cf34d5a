"""Plain pages: the login, and that the gateway is not there. They are made without NiceGUI."""

from __future__ import annotations

import html
from typing import Any, Final

import orjson
from starlette.responses import HTMLResponse

from gateway.flow.said import KINDS, pairs
from ui.assets import built
from ui.i18n import LANGUAGES, texts, translated

_PAGE: Final = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/fonts/fonts.css"><link rel="stylesheet" href="{assets}/theme.css">
<script>
window.genba = {globals};
document.documentElement.dataset.theme =
  /(?:^|; )genba-theme=dark/.test(document.cookie) ? "dark" : "light";
</script>
<style>
 body {{ display: grid; grid-template-columns: minmax(0, 420px); place-content: center;
  min-height: 100vh; padding: 16px; }}
 main {{ width: 100%; }}
 .name {{ font-size: 30px; font-weight: 700; margin: 0 0 14px; }}
 form {{ display: flex; flex-direction: column; gap: 12px; }} form p {{ margin: 0; }}
 label {{ display: flex; flex-direction: column; gap: 4px; font-weight: 600; }}
 .or {{ text-align: center; color: var(--muted); }}
 .said {{ color: var(--bad); min-height: 1.4em; }}
</style>{head}</head>
<body><main class="g-panel"><p class="name">Genba</p>{body}</main></body></html>
"""


def head_globals(language: str, **more: Any) -> str:
    """What a page's browser code finds as ``window.genba``, safe inside a script element."""
    found = {"language": language, "texts": texts(language), **more}
    return orjson.dumps(found).decode().replace("<", "\\u003c")


def said_globals(language: str) -> dict[str, Any]:
    """What a page needs to tell the sentences of the gateway in its language."""
    return {"texts": pairs(language), "kinds": KINDS}


def _page(language: str, title: str, body: str, head: str = "", status: int = 200) -> HTMLResponse:
    assert language in LANGUAGES
    text = _PAGE.format(
        language=language,
        title=html.escape(title),
        assets=f"/assets/{built().name}",
        globals=head_globals(language, said=said_globals(language)),
        head=head,
        body=body,
    )
    return HTMLResponse(text, status, {"Cache-Control": "no-store"})


def login_page(language: str) -> HTMLResponse:
    """Where one logs in, and where the first administrator is made."""
    title = translated(language, "Log in")
    script = f'<script type="module" src="/assets/{built().name}/login.js"></script>'
    return _page(language, title, '<div id="login"></div>' + script)


def waiting_page(language: str) -> HTMLResponse:
    """That the gateway itself does not answer; the page asks again by itself."""
    text = translated(
        language, "The gateway is starting, or has stopped. This page tries again by itself."
    )
    head = '<meta http-equiv="refresh" content="2">'
    return _page(language, "Genba", f'<p role="status">{html.escape(text)}</p>', head, 503)

"""Every page as people see it: pictures that are kept, nothing that runs off, and axe.

The pictures are in ``$GENBA_SHOTS``, else in ``build/screenshots``. A short run takes a laptop in
light English and a phone in dark Japanese; with ``GENBA_TORTURE=1`` every size, theme and language.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page

from tests.browser.chrome import axe
from tests.browser.house import House, chromium, faults, opened, settled
from tests.browser.test_widgets import png

pytestmark = [pytest.mark.plant, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
SIZES = {"panel": (1280, 800), "phone": (390, 844), "wide": (3840, 2160)}
WAIT_MS = 1_200
SHORT = [("panel", "light", "en"), ("phone", "dark", "ja")]
ALL = list(itertools.product(SIZES, ("light", "dark"), ("en", "ja")))
FLOW = """
flow: press
version: 1
about: "Press 1: oil, ram and bearing, with alarms and an action that goes wrong."
connections:
  plc: {type: modbus.connection, address: "tcp://127.0.0.1:9"}
nodes:
  oil:
    type: simulate.source
    about: Temperature of the oil, from the tank.
    tag: plant/press1/oil/temperature
    every_s: 0.2
    low: 40
    high: 60
    period_s: 20
    noise: 1
  ram: {type: simulate.source, tag: plant/press1/ram/force, every_s: 0.2, shape: square, low: 0,
    high: 1800, period_s: 8}
  bearing: {type: simulate.source, tag: plant/press1/bearing/vibration, every_s: 0.01, low: -4,
    high: 4, period_s: 0.08, noise: 2}
  plc_in: {type: modbus.source, connection: plc, unit: 1, scan_s: 1,
    tags: {plant/press1/drive/speed: "holding:0 uint16"}}
  burst: {type: window.count, size: 256}
  bands: {type: feature.spectrum, bands_hz: [[1, 5], [5, 10], [10, 15], [15, 25], [25, 45]]}
  hot: {type: alarm.limit, hi: 50, hihi: 70, hi_priority: urgent, about: Close valve V3 by hand.}
  force: {type: alarm.limit, hi: 1500, hi_priority: high}
  worn: {type: alarm.limit, tags: plant/press1/bearing/vibration#rms_10_15, hi: 0.5,
    hi_priority: medium}
  log: {type: log.sink}
wires:
  - oil -> hot
  - ram -> force
  - bearing -> burst -> bands -> worn
  - plc_in -> log
  - hot.alarms -> log.alarms
"""
OIL, FORCE = "plant/press1/oil/temperature", "plant/press1/ram/force"
VIBRATION = "plant/press1/bearing/vibration"
WIDGETS: list[dict[str, Any]] = [
    {"id": "t", "type": "trend", "at": [0, 0, 12, 8], "tags": [OIL, FORCE], "title": "Press 1"},
    {"id": "g", "type": "gauge", "at": [12, 0, 5, 8], "tag": OIL, "limits": {"hi": 50}},
    {"id": "n", "type": "number", "at": [17, 0, 7, 4], "tag": FORCE, "title": "Ram force"},
    {"id": "s", "type": "setpoint", "at": [17, 4, 7, 6], "tag": FORCE, "title": "Setpoint"},
    {"id": "w", "type": "spectrum", "at": [0, 8, 12, 7], "tag": VIBRATION, "title": "Bearing"},
    {"id": "l", "type": "timeline", "at": [12, 10, 12, 3], "tags": [FORCE], "window_s": 60},
    {"id": "a", "type": "alarms", "at": [12, 13, 12, 6], "title": "Open alarms"},
    {"id": "b", "type": "bar", "at": [0, 15, 6, 6], "tags": [OIL, FORCE]},
    {"id": "v", "type": "table", "at": [6, 15, 6, 6], "tags": [OIL, FORCE]},
    {"id": "p", "type": "image", "at": [12, 19, 12, 8], "title": "Hall 3"},
    {"id": "x", "type": "text", "at": [0, 21, 12, 6], "text": "# Shift\n- Clean **filter 3**"},
]
PATHS = {
    "overview": "/",
    "alarms": "/alarms",
    "alarms-history": "/alarms?view=history",
    "alarms-kpi": "/alarms/kpi",
    "dashboards": "/dashboards",
    "dashboard": "/dashboards/press",
    "dashboard-kiosk": "/dashboards/press?kiosk=1",
    "trends": f"/trends?tags={OIL},{FORCE}&window=60",
    "flows": "/flows",
    "editor": "/flows/press",
    "connections": "/connections",
    "prompts": "/prompts",
    "fleet": "/fleet",
    "system": "/system",
    "users": "/users",
    "account": "/account",
    "help": "/help",
    "help-setpoints": "/help/setpoints",
}


def folder() -> Path:
    """Where the pictures go."""
    found = Path(os.environ.get("GENBA_SHOTS") or ROOT / "build" / "screenshots")
    found.mkdir(parents=True, exist_ok=True)
    return found


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with settled(tmp_path, FLOW) as found:
        await asyncio.to_thread(furnish, found)
        yield found


def furnish(home: House) -> None:
    """A dashboard with every widget, and something on every page."""
    with home.logged_in("anna") as anna:
        picture = taken(anna.post("/api/pictures", content=png(640, 360)))["picture"]
        spots = [{"tag": OIL, "x": 0.3, "y": 0.4, "label": "Oil"}]
        more = [{**w, "picture": picture, "spots": spots} if w["id"] == "p" else w for w in WIDGETS]
        board = {"title": "Press line", "about": "All at a glance.", "widgets": more}
        taken(anna.put("/api/dashboards/press", json={"dashboard": board}))
        taken(anna.put("/api/secrets/broker", json={"value": "a secret"}))
        taken(anna.put("/api/prompts/triage", json={"text": "Sort: {{ data.text }}"}))
        taken(anna.post("/api/tokens", json={"name": "historian", "days": 30}))
        wrong = {"name": "anna", "password": "wrong"}
        assert anna.post("/api/login", json=wrong).status_code == 401


def taken(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("size", "theme", "language"), ALL if os.environ.get("GENBA_TORTURE") else SHORT
)
async def test_pages(home: House, size: str, theme: str, language: str) -> None:
    width, height = SIZES[size]
    look = {"viewport": {"width": width, "height": height}, "has_touch": size != "wide"}
    wrong: list[str] = []
    script = axe()
    async with chromium() as browser:
        async with opened(browser, home, theme=theme, **look) as page:
            await speak(page, home, language)
            wrong += await seen(page, home, "login", "/login", script, f"{size}-{theme}-{language}")
        async with opened(browser, home, "anna", theme=theme, **look) as page:
            await speak(page, home, language)
            for name, path in PATHS.items():
                about = f"{size}-{theme}-{language}"
                wrong += await seen(page, home, name, path, script, about)
    assert not wrong, "\n".join(wrong)


async def speak(page: Page, home: House, language: str) -> None:
    cookie: Any = {"name": "genba-language", "value": language, "url": home.url}
    await page.context.add_cookies([cookie])


async def seen(page: Page, home: House, name: str, path: str, script: str, about: str) -> list[str]:
    """Open a page, keep a picture of it, and say what is wrong with it."""
    await page.goto(f"{home.url}{path}")
    await page.wait_for_timeout(WAIT_MS)
    await page.screenshot(path=folder() / f"{name}-{about}.png")
    wrong = [f"{name} {about}: {text}" for text in await faults(page, script)]
    off = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    wrong += [f"{name} {about}: it runs off by {off} px"] if off > 0 else []
    for text in await page.evaluate(CUT):
        wrong.append(f"{name} {about}: cut at the side: {text}")
    return wrong


CUT = """
() => [...document.querySelectorAll('body *')].filter((one) => {
  const r = one.getBoundingClientRect();
  if (!r.width || !r.height || r.left < innerWidth && r.right <= innerWidth + 1) return false;
  if (r.bottom < 0 || getComputedStyle(one).visibility === 'hidden') return false;
  for (let up = one.parentElement; up; up = up.parentElement) {
    const how = getComputedStyle(up);
    if (how.overflowX !== 'visible' || how.position === 'fixed') return false;
  }
  return true;
}).slice(0, 3).map((one) => `${one.tagName}.${one.className} ${one.innerText?.slice(0, 40)}`)
"""

"""Widgets that do something: a setpoint into a machine, and a picture with values on it."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.house import House, chromium, opened, settled
from tests.browser.machine import Switch

pytestmark = [pytest.mark.plant, pytest.mark.slow]
WANTED, SHOWN = "fan/speed/setpoint", "fan/speed"
FLOW = """
flow: fan
version: 1
allow_write: true
connections:
  drive: {{type: modbus.connection, address: "tcp://127.0.0.1:{port}"}}
nodes:
  read:
    type: modbus.source
    connection: drive
    unit: 4
    scan_s: 0.2
    tags:
      fan/speed: {{address: "holding:10", type: uint16, unit: rpm, low: 0, high: 1500}}
  write:
    type: modbus.sink
    connection: drive
    unit: 4
    tags:
      fan/speed/setpoint: {{address: "holding:10", type: uint16, min: 0, max: 1500}}
    verify: true
  plan: {{type: test.inject, rows: fan/speed/setpoint 0s 600 bad}}
  log: {{type: log.sink}}
wires: [read -> log, plan -> write]
"""
GRANT: dict[str, Any] = {
    "id": "fan",
    "flow": "fan",
    "node": "write",
    "tags": [WANTED],
    "lo": 200,
    "hi": 900,
    "step_max": 500,
    "read_back": {WANTED: SHOWN},
    "tolerance": 0.5,
}
WIDGET = {"id": "sp", "type": "setpoint", "at": [0, 0, 8, 8], "tag": WANTED, "title": "Fan"}


@pytest.fixture
async def machine() -> AsyncIterator[Switch]:
    async with Switch() as found:
        found.held[10] = 600
        yield found


@pytest.fixture
async def home(tmp_path: Path, machine: Switch) -> AsyncIterator[House]:
    async with settled(tmp_path, FLOW.format(port=machine.port)) as found:
        yield found


def ready(home: House, **more: Any) -> None:
    """A grant, a writer and a dashboard."""
    with home.logged_in("anna") as anna:
        assert anna.put("/api/grants/fan", json=GRANT).status_code == 200
        assert anna.patch("/api/users/oli", json={"writer": True}).status_code == 200
        board = {"title": "Fan", "widgets": [{**WIDGET, **more}]}
        answer = anna.put("/api/dashboards/fan", json={"dashboard": board})
        assert answer.status_code in (200, 201), answer.text


async def audit(home: House, action: str) -> list[dict[str, Any]]:
    with home.logged_in("anna") as anna:
        rows = await asyncio.to_thread(lambda: anna.get("/api/audit?limit=200").json())
    return [row for row in rows if row["action"].startswith(action)]


async def check(page: Page, value: str) -> None:
    """Type a value and have it checked."""
    box = page.locator('[data-id="sp"]')
    await box.get_by_label("New value").fill(value)
    await box.get_by_role("button", name="Check").click()


async def test_a_setpoint_is_armed_confirmed_written_and_read_back(
    home: House, machine: Switch
) -> None:
    await asyncio.to_thread(ready, home)
    async with chromium() as browser:
        await not_without_the_grant(browser, home, machine)
        async with opened(browser, home, "oli") as page:
            await write(page, home, machine)
    said = await audit(home, "setpoint/")
    written = next(row for row in said if "written" in str(row["detail"]))
    assert (written["actor"], "750" in str(written["detail"])) == ("user:oli", True)


async def write(page: Page, home: House, machine: Switch) -> None:
    """One that is refused, one that is written, one whose grant goes meanwhile."""
    await page.goto(f"{home.url}/dashboards/fan")
    box = page.locator('[data-id="sp"]')
    await check(page, "1200")
    await expect(box.locator(".g-bad").first).to_be_visible()
    await expect(box).to_contain_text("1200 is outside 200 to 900")
    await expect(box.get_by_role("button", name="Write")).to_have_count(0)
    await box.get_by_role("button", name="Cancel").click()
    assert machine.given == []
    await check(page, "750")
    await expect(box).to_contain_text("750 is within 200 to 900.")
    assert machine.given == [], "nothing is written before it is confirmed"
    await box.get_by_role("button", name="Cancel").click()
    await check(page, "750")
    await box.get_by_role("button", name="Write 750 now").click()
    await expect(box.get_by_role("status")).to_contain_text("written and read back")
    assert machine.given == [(10, 750)]
    await expect(box.locator(".w-sp-now")).to_contain_text("750")
    await refused_later(page, home, machine)


async def refused_later(page: Page, home: House, machine: Switch) -> None:
    """A grant that goes while somebody reads what would happen lets nothing through."""
    box = page.locator('[data-id="sp"]')
    await check(page, "500")
    await expect(box.get_by_role("button", name="Write 500 now")).to_be_visible()
    with home.logged_in("anna") as anna:
        await asyncio.to_thread(anna.delete, "/api/grants/fan")
    await box.get_by_role("button", name="Write 500 now").click()
    await expect(box.locator(".g-bad")).to_be_visible()
    assert machine.given == [(10, 750)]


async def not_without_the_grant(browser: Browser, home: House, machine: Switch) -> None:
    """Who is no writer sees why not."""
    async with opened(browser, home, "eva") as page:
        await page.goto(f"{home.url}/dashboards/fan")
        await check(page, "750")
        said = page.locator('[data-id="sp"]').get_by_role("alert")
        await expect(said).to_contain_text("user:eva may not write setpoints")
    assert machine.given == []
    assert [row["actor"] for row in await audit(home, "denied")] == ["user:eva"]


def png(width: int, height: int) -> bytes:
    """A picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + b"\x40\x60\x70" * width for _ in range(height))
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


async def test_a_picture_is_put_up_and_values_on_it(home: House, tmp_path: Path) -> None:
    board = {"id": "pic", "type": "image", "tag": "", "at": [0, 0, 12, 12], "title": "Hall 3"}
    board.pop("tag")
    with home.logged_in("eva") as eva:
        text = {"title": "Hall", "widgets": [board]}
        answer = eva.put("/api/dashboards/hall", json={"dashboard": text})
        assert answer.status_code in (200, 201), answer.text
    good, bad = tmp_path / "hall.png", tmp_path / "hall.svg.png"
    good.write_bytes(png(400, 300))
    bad.write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    async with chromium() as browser, opened(browser, home, "eva") as page:
        await page.goto(f"{home.url}/dashboards/hall")
        await page.get_by_role("button", name="Edit").click()
        await page.locator('[data-id="pic"]').click()
        settings = page.locator(".bd-settings")
        await settings.locator("input[type=file]").set_input_files(bad)
        await expect(settings.get_by_role("alert")).to_be_visible()
        await settings.locator("input[type=file]").set_input_files(good)
        picture = page.locator('[data-id="pic"] img')
        await expect(picture).to_be_visible()
        assert await picture.evaluate("(one) => one.naturalWidth") == 400
        await settings.locator("fieldset input[type=search]").fill(SHOWN)
        await settings.locator(f'fieldset [data-tag="{SHOWN}"]').click()
        spot = page.locator('[data-id="pic"] .w-spot')
        await drag(page, spot, 90, -60)
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("button", name="Edit")).to_be_visible()
        await page.reload()
        await expect(spot).to_contain_text("600 rpm")
    await seen_by_all(home)


async def drag(page: Page, start: Any, dx: float, dy: float) -> None:
    box = await start.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x + dx, y + dy, steps=4)
    await page.mouse.up()


async def seen_by_all(home: House) -> None:
    """The picture is served as what it is, to who may see dashboards, and to nobody else."""
    with home.logged_in("vic") as vic:
        (spot,) = vic.get("/api/dashboards/hall").json()["dashboard"]["widgets"][0]["spots"]
        assert (spot["x"] > 0.5, spot["y"] < 0.5) == (True, True)
        name = vic.get("/api/dashboards/hall").json()["dashboard"]["widgets"][0]["picture"]
        answer = vic.get(f"/api/pictures/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert answer.headers["x-content-type-options"] == "nosniff"
    with httpx.Client(trust_env=False) as nobody:
        assert nobody.get(f"{home.url}/api/pictures/{name}").status_code == 401

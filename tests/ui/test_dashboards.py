"""Trends, overview and dashboards as a person has them: in a browser, against a real gateway."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.chrome import launched as browser
from tests.browser.gear import gateway, page_of
from tests.browser.machine import Switch

pytestmark = [pytest.mark.plant, pytest.mark.slow]
FLOW = """\
flow: line
version: 1
connections:
  bus: {{type: modbus.connection, address: "tcp://127.0.0.1:{port}"}}
nodes:
  wave:
    type: simulate.source
    tag: line/press/oil/temperature
    every_s: 0.2
    low: 40
    high: 60
    noise: 1
  machine:
    type: modbus.source
    connection: bus
    unit: 1
    scan_s: 0.2
    tags:
      line/press/drive/count: "holding:0 uint16"
  high: {{type: alarm.limit, tags: line/press/drive/count, hi: 100000}}
wires:
  - machine -> high
  - wave -> high
"""
OIL = "line/press/oil/temperature"
COUNT = "line/press/drive/count"
NUMBER = re.compile(r"^-?\d")
SHOTS = os.environ.get("GENBA_SHOTS", "")


async def shot(page: Page, name: str) -> None:
    if SHOTS:
        await page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


async def drag(page: Page, start: Locator, dx: float, dy: float, x: float = 20) -> None:
    """Press on something, move, let go."""
    box = await start.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + x, box["y"] + 14)
    await page.mouse.down()
    await page.mouse.move(box["x"] + x + dx / 2, box["y"] + 14 + dy / 2)
    await page.mouse.move(box["x"] + x + dx, box["y"] + 14 + dy)
    await page.mouse.up()


async def text_of(page: Page, selector: str) -> str:
    return (await page.locator(selector).first.inner_text()).strip()


async def points(page: Page) -> dict[str, int]:
    """How many points each tag of the first trend has."""
    return dict(await page.evaluate("window.genbaTrends.value[0].figures().n"))


async def see_trends(page: Page, url: str) -> None:
    await page.goto(f"{url}/trends?tags={OIL},{COUNT}&window=60")
    row = page.locator(".tr-table tbody tr").first
    await expect(row).to_contain_text(OIL)
    cell = ".tr-table tbody tr:nth-child(2) td:nth-child(2) b"
    await expect(page.locator(cell)).to_have_text(NUMBER)
    first, before = await text_of(page, cell), await points(page)
    await expect(page.locator(cell)).not_to_have_text(first)
    async with asyncio.timeout(30):
        while (after := await points(page))[OIL] < before[OIL] + 5:
            await asyncio.sleep(0.2)
    assert after[COUNT] > before[COUNT]
    await shot(page, "trends")
    await drag(page, page.locator(".u-over"), 250, 0, x=500)
    await expect(page.get_by_role("button", name="Back to now")).to_be_visible()
    asked = parse_qs(urlsplit(page.url).query)
    assert asked["tags"] == [f"{OIL},{COUNT}"]
    width_ms = int(asked["to"][0]) - int(asked["from"][0])
    assert 3_000 < width_ms < 40_000, "a part of the minute"
    await page.reload()  # As somebody does who was sent the address.
    await expect(page.get_by_role("button", name="Back to now")).to_be_visible()
    await page.get_by_role("button", name="Back to now").click()
    async with page.expect_download() as started:
        await page.get_by_role("button", name="CSV").click()
    csv = Path(await (await started.value).path()).read_text("utf-8-sig").splitlines()
    assert csv[0].startswith(f'"time (UTC)","{OIL}')
    assert sum(",good" in row for row in csv) > 5


async def build(page: Page, url: str) -> str:
    """A dashboard with three widgets; returns its address."""
    await page.goto(f"{url}/dashboards")
    await page.get_by_placeholder("Title of a new dashboard").fill("Line 1")
    await page.get_by_role("button", name="New dashboard").click()
    await page.locator(".bd-new").first.wait_for()
    for kind, dx, dy, tag in (
        ("trend", 420, 60, OIL),
        ("gauge", 820, 60, OIL),
        ("number", 420, 330, COUNT),
    ):
        new = page.locator(f"[data-new={kind}]")
        top = await new.bounding_box()
        grid = await page.locator(".bd-grid").bounding_box()
        assert top is not None
        assert grid is not None
        await drag(page, new, dx, grid["y"] + dy - top["y"])
        await page.locator(".bd-settings input[type=search]").fill(tag)
        await page.locator(f'.bd-settings [data-tag="{tag}"]').click()
    await page.keyboard.press("Escape")
    number = page.locator('[data-id="number1"]')
    await number.focus()
    before = await number.bounding_box()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Shift+ArrowDown")
    await asyncio.sleep(0.4)
    after = await number.bounding_box()
    assert before is not None
    assert after is not None
    assert after["x"] > before["x"]
    assert after["height"] > before["height"]
    await shot(page, "dashboard-edit")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("button", name="Edit")).to_be_visible()
    return page.url.partition("?")[0]


async def test_trends_then_a_dashboard_then_a_machine_that_is_away(tmp_path: Path) -> None:
    wrong: list[str] = []
    async with (
        Switch() as switch,
        gateway(tmp_path, FLOW.format(port=switch.port)) as found,
        browser() as one,
    ):
        url = found.url
        wide = await one.new_context(viewport={"width": 1440, "height": 900})
        page = await page_of(wide, wrong)
        await see_trends(page, url)
        address = await build(page, url)
        await page.goto(address)
        await expect(page.locator(".bd-widget")).to_have_count(3)
        trend = await page.locator('[data-id="trend1"]').bounding_box()
        gauge = await page.locator('[data-id="gauge1"]').bounding_box()
        assert trend is not None
        assert gauge is not None
        assert gauge["x"] > trend["x"] + trend["width"]
        number = page.locator('[data-id="number1"] .w-big b')
        await expect(number).to_have_text(NUMBER)
        assert await page.locator(".v-bad").count() == 0

        await page.goto(url)
        await expect(page.locator('[data-path="line/press/drive/"]')).to_have_count(1)
        await shot(page, "overview")
        await page.goto(address)
        await expect(number).to_have_text(NUMBER)
        await switch.off()
        said = page.locator('[data-id="number1"] .v-why')
        await expect(said).to_contain_text("bad", timeout=60_000)
        assert (await said.inner_text()).startswith("■"), "a shape and words, not only a colour"
        await shot(page, "device-away")
        panel = await one.new_context(viewport={"width": 1280, "height": 800})
        kiosk = await page_of(panel, wrong)
        await kiosk.goto(f"{address}?kiosk=1")
        await expect(kiosk.locator('[data-id="number1"] .v-why')).to_contain_text("bad")
        await expect(kiosk.locator(".sh nav")).to_be_hidden()
        await expect(kiosk.locator(".sh-alarms")).to_be_visible()
        assert await kiosk.get_by_role("button", name="Edit").count() == 0
        await switch.on()
        await expect(page.locator('[data-id="number1"] .v-bad')).to_have_count(0, timeout=60_000)
    assert not wrong, wrong

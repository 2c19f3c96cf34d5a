"""The first day with a new gateway, in a browser: from the claim to an alarm that survives."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.browser.chrome import launched
from tests.browser.gear import Editor, new_flow, page_of
from tests.plant.product import Product, free_port, until

pytestmark = [pytest.mark.plant, pytest.mark.slow]
PASSWORD = "four quiet brown horses"


@contextlib.asynccontextmanager
async def bare(folder: Path) -> AsyncIterator[tuple[Product, str]]:
    """A gateway as it comes from the box: no flow, no account, TLS."""
    url = f"https://127.0.0.1:{free_port()}"
    (folder / "flows").mkdir()
    words = ["--listen", url, "--accounts"]
    async with Product(folder, [folder / "flows"], options=words) as product:
        yield product, url
        assert "Traceback" not in product.said()


async def answers(url: str) -> bool:
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        with contextlib.suppress(httpx.HTTPError):
            return (await client.get(f"{url}/readyz")).status_code == 200
    return False


async def test_the_first_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENBA_TOKEN_FILE", str(tmp_path / "state" / "api.token"))
    faults: list[str] = []
    async with bare(tmp_path) as (product, url), launched() as browser:
        await until(lambda: answers(url), "the screens")
        context = await browser.new_context(
            viewport={"width": 1440, "height": 900}, ignore_https_errors=True
        )
        page = await page_of(context, faults)
        await claim(page, product, url)
        await page.screenshot(path=tmp_path / "1-first.png")
        editor = await new_flow(page, url, "press")
        await build(editor)
        await page.screenshot(path=tmp_path / "2-built.png")
        await deploy(editor)
        await expect(page.locator(".sh-count[data-priority=urgent]")).to_be_visible()
        await page.screenshot(path=tmp_path / "3-alarm.png")
        await explain(page, url)
        await page.screenshot(path=tmp_path / "4-explained.png")
        await acknowledge(page, url)
        await page.screenshot(path=tmp_path / "5-acknowledged.png")
        await product.kill()
        await expect(page.locator(".sh-lost")).to_be_visible(timeout=20_000)
        await product.start()
        await until(lambda: answers(url), "the screens again")
        await still_there(page, url)
        await page.screenshot(path=tmp_path / "6-after-the-cut.png")
    # While the gateway is cut off, a browser says that it does not answer; nothing else is said.
    assert [text for text in faults if not re.search("Failed to load|WebSocket", text)] == []


async def claim(page: Page, product: Product, url: str) -> None:
    """The code from the console makes the first administrator."""
    code = re.findall(r"30 minutes: ([A-Z0-9-]+)", product.said())[-1]
    await page.goto(url)
    await page.wait_for_url(re.compile("/login"))
    form = {"code": code, "name": "anna", "password": PASSWORD, "again": PASSWORD}
    for name, value in form.items():
        await page.fill(f"input[name={name}]", value)
    await page.click("button[type=submit]")
    await page.wait_for_url(f"{url}/")


async def build(editor: Editor) -> None:
    """A value, what it is over some seconds, and an alarm on it."""
    page = editor.page
    await editor.drop("simulate.source", 120, 200)
    await expect(editor.node("simulate")).to_be_visible()
    await editor.set("Tag", "plant/press1/oil/temperature")
    await editor.set("Every", "0.2")
    await editor.set("Low", "60")
    stage = page.locator(".ed-stage")
    await stage.click(position={"x": 480, "y": 380}, modifiers=["Control"])
    await page.keyboard.type("tumbling")
    await page.keyboard.press("Enter")
    await editor.set("Size", "2")
    await stage.click(position={"x": 640, "y": 240}, modifiers=["Control"])
    await page.keyboard.type("feature.statistics")
    await page.keyboard.press("Enter")
    await expect(editor.node("statistics")).to_be_visible()
    await stage.click(position={"x": 640, "y": 480}, modifiers=["Control"])
    await page.keyboard.type("limit")
    await page.keyboard.press("Enter")
    await expect(editor.node("limit_alarm")).to_be_visible()
    await editor.set("Hi", "20")
    choice = page.locator('[data-field="hi_priority"] label', has_text="urgent")
    await choice.locator("input").check()
    names = await editor.nodes()
    window = next(name for name in names if "tumbling" in name)
    await editor.connect("simulate", window)
    await editor.connect(window, "statistics")
    await editor.connect("statistics", "limit_alarm")
    for wire in (f"simulate.out>{window}.in", f"{window}.out>statistics.in"):
        await expect(editor.wire(wire)).to_have_count(1)
    await expect(editor.wire("statistics.out>limit_alarm.in")).to_have_count(1)
    await editor.until_saved()


async def deploy(editor: Editor) -> None:
    """The dialog says what changes; then it runs, and the canvas moves."""
    page = editor.page
    await page.keyboard.press("Control+d")
    dialog = page.locator("dialog.dlg")
    await expect(dialog).to_contain_text("limit_alarm")
    await dialog.get_by_role("button", name="Deploy", exact=True).click()
    await expect(page.locator(".bar-deploy")).to_be_disabled(timeout=20_000)
    await dialog.locator("footer").get_by_role("button", name="Close").click()
    await expect(editor.node("simulate")).to_contain_text("/s", timeout=20_000)


async def explain(page: Page, url: str) -> None:
    """Why: checked sentences, a number that leads to its trend, and a word of the operator."""
    await page.goto(f"{url}/alarms")
    await page.locator('tr[data-alarm*="temperature#mean"]').click()
    panel = page.locator(".ex")
    await expect(panel).to_have_attribute("data-state", "done", timeout=20_000)
    text = panel.locator(".ex-text")
    await expect(text).to_contain_text("plant/press1/oil/temperature#mean")
    await expect(text.locator(".ex-one.open")).to_have_count(0)
    value = text.locator('a[data-slot="value"]')
    link = await value.get_attribute("href") or ""
    assert re.fullmatch(r"/trends\?tags=plant%2F.*temperature.*&at=\d{13}", link), link
    await expect(panel.locator(".ex-cause li").first).to_be_visible()
    await panel.locator(".ex-facts summary").click()
    await expect(panel.locator(".ex-facts dd").first).to_be_visible()
    await panel.get_by_role("button", name="It was …").click()
    await panel.get_by_label("In your words").fill("a test <b>of</b> the first day")
    await panel.get_by_role("button", name="Say so").click()
    await expect(panel.locator(".ex-judged")).to_contain_text("a test <b>of</b> the first day")
    await expect(panel.locator(".ex-judged")).to_contain_text("anna")
    await page.keyboard.press("Escape")


async def acknowledge(page: Page, url: str) -> None:
    """One from the page one is on, with one button; the others from their page."""
    banner = page.locator(".sh-banner")
    await expect(banner).to_contain_text("plant/press1/oil/temperature")
    await page.wait_for_timeout(500)
    await banner.get_by_role("button", name="Acknowledge").click()
    await page.goto(f"{url}/alarms")
    await page.get_by_role("button", name="Acknowledge all shown").click()
    await page.locator(".al-end .primary").click()
    await expect(banner).to_have_count(0)
    row = page.locator('tr[data-alarm*="temperature#mean"]')
    await expect(row).to_contain_text("anna")
    await expect(row).to_contain_text("above the HI limit 20")


async def still_there(page: Page, url: str) -> None:
    """After a power cut: logged in, the flow runs, and the alarm is the one that was seen."""
    await page.goto(f"{url}/alarms")
    row = page.locator('tr[data-alarm*="temperature#mean"]')
    await expect(row).to_contain_text("anna", timeout=20_000)
    editor = Editor(page)
    await editor.open(f"{url}/flows/press")
    assert len(await editor.nodes()) == 4
    await expect(editor.node("simulate")).to_contain_text("/s", timeout=20_000)

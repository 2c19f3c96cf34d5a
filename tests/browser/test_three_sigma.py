"""What somebody who knows Node-RED wants first, from an empty canvas: a temperature over OPC UA,
an alarm at three sigma, a mail; and the operator whom it wakes."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asyncua import ua
from playwright.async_api import Page, expect

from tests.browser.gear import Editor
from tests.browser.house import House, chromium, opened, settled
from tests.nodes.opcua_plc import Plc, running
from tests.nodes.test_email import Office, serving

pytestmark = [pytest.mark.plant, pytest.mark.slow]
FLOW = "flow: other\nnodes: {sim: {type: simulate.source, tag: other}, out: {type: log.sink}}\n"
FLOW += "wires: [sim -> out]\n"
TAG = "plant/press1/temp"


class Oil:
    """The temperature of a press; it is 52 and somewhat noisy until somebody heats it."""

    def __init__(self, plc: Plc) -> None:
        self.now = 52.0
        self._plc = plc
        self._noise = random.Random(1)

    async def live(self) -> None:
        while True:
            value = self.now + self._noise.gauss(0, 0.3)
            await self._plc.write("Temp", value, ua.VariantType.Double, datetime.now(UTC))
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def oil() -> AsyncIterator[tuple[Plc, Oil]]:
    async with running() as plc, asyncio.TaskGroup() as group:
        found = Oil(plc)
        living = group.create_task(found.live())
        yield plc, found
        living.cancel()


async def test_three_sigma_from_an_empty_canvas_to_a_mail_and_an_operator(tmp_path: Path) -> None:
    office = Office()
    async with (
        oil() as (plc, press),
        serving(office) as port,
        settled(tmp_path, FLOW) as home,
        chromium() as browser,
    ):
        size = {"width": 1440, "height": 900}
        async with opened(browser, home, "eva", has_touch=False, viewport=size) as page:
            editor = await begun(page, home)
            await source(editor, plc.url)
            await chain(editor, port)
            await deployed(editor)
            value = page.locator('.vue-flow__node[data-id="sigma"] .nd-value')
            await expect(value).not_to_be_empty(timeout=30_000)  # It has learnt enough to score.
            press.now = 82.0
            await expect(page.locator(".sh-count[data-priority=medium]")).to_be_visible()
            await page.screenshot(path=tmp_path / "engineer.png")
        await until_told(office)
        async with opened(browser, home, "oli") as page:
            await woken(page, home, tmp_path)


async def begun(page: Page, home: House) -> Editor:
    """The name is typed where the focus is, and Enter makes the flow; nothing is wrong with it."""
    await page.goto(f"{home.url}/flows")
    await page.get_by_role("button", name="New flow…").click()
    await page.keyboard.type("hot")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{home.url}/flows/hot")
    await page.wait_for_function("window.genbaEditor")
    await expect(page.locator(".ed-empty")).to_be_visible()
    await page.wait_for_timeout(500)
    await expect(page.locator(".side-tabs")).not_to_contain_text("1")
    search = page.locator(".pal-search")
    for words, label in {"e-mail": "Email sink", "standard deviation": "Sigma"}.items():
        await search.fill(words)
        await expect(page.locator(".pal-node", has_text=label)).to_be_visible()
        await expect(page.locator('.pal-node[data-type="opcua.source"]')).to_have_count(0)
    await search.fill("")
    return Editor(page)


async def source(editor: Editor, url: str) -> None:
    """Where the server is stands in the form of the source, and it is tried as it stands there."""
    page = editor.page
    await editor.drop("opcua.source", 120, 160)
    form = page.locator('.fm[data-node="opcua"]')
    await form.get_by_role("button", name="Browse…").click()
    dialog = page.get_by_role("dialog", name="Browse opcua1")
    await expect(dialog).to_contain_text("write its URL under Connection")
    await page.keyboard.press("Escape")
    await form.get_by_label("URL of opcua1").fill(url)
    await form.get_by_role("button", name="Test the connection").click()
    await expect(form.locator(".fm-verdict")).to_have_text("It works.", timeout=30_000)
    await form.get_by_role("button", name="Browse…").click()
    for name in ("Plant", "Press1"):
        await dialog.get_by_role("button", name=f"Open {name}", exact=True).click(timeout=30_000)
    await dialog.get_by_role("checkbox", name="Temp", exact=True).check(timeout=30_000)
    await dialog.get_by_role("button", name="Add 1 tag").click()
    await expect(dialog).to_be_hidden()
    await editor.set("Sampling", "0.1")


async def chain(editor: Editor, port: int) -> None:
    """Each wire is drawn to nowhere, and what is to stand there is typed."""
    page = editor.page
    quick = page.locator(".qa")
    steps = (
        ("opcua", "out", (640, 380), "3 sigma", "sigma"),
        ("sigma", "out", (880, 480), "", "score_alarm"),
        ("score_alarm", "alarms", (600, 640), "e-mail", "email_out"),
    )
    for node, out, place, words, made in steps:
        await editor.drag(await editor.port(node, out, "source"), place)
        await page.mouse.up()
        await expect(quick).to_be_visible()
        await page.keyboard.type(words)
        await page.keyboard.press("Enter")
        await expect(editor.node(made)).to_be_visible()
        if made == "score_alarm":
            form = page.locator('.fm[data-node="score_alarm"]')
            await expect(form.get_by_label("Feature", exact=True)).to_have_value("sigma")
            await editor.set("Limit", "3")
    form = page.locator('.fm[data-node="email_out"]')
    for name, value in {"Host": "127.0.0.1", "Sender": "g@example.com", "Port": str(port)}.items():
        await editor.set(name, value)
    await form.locator('[data-field="security"] label', has_text="none").locator("input").check()
    await editor.set("To 1", "lead@example.com")
    await form.get_by_role("button", name="Add").click()
    await expect(form.get_by_label("To 2", exact=True)).to_be_focused()


async def deployed(editor: Editor) -> None:
    """From within a field, by the keyboard alone."""
    page = editor.page
    await expect(page.locator(".bar")).not_to_contain_text("error")
    await page.keyboard.press("Control+d")
    dialog = page.locator("dialog.dlg")
    await expect(dialog).to_contain_text("to lead@example.com")
    await dialog.get_by_role("button", name="Deploy", exact=True).click()
    await expect(dialog.get_by_role("button", name="Close").last).to_be_focused(timeout=20_000)
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()


async def until_told(office: Office) -> None:
    """The mail says in its subject what is wrong, as the alarm does."""
    for _ in range(200):
        if office.mails:
            break
        await asyncio.sleep(0.1)
    subject = office.read()[0]["Subject"]
    assert subject.startswith(f"Genba: medium SCORE raised: {TAG}: sigma "), subject
    assert subject.endswith(" sd is beyond the limit 3 sd"), subject


async def woken(page: Page, home: House, folder: Path) -> None:
    """Two touches: what, since when and why; then it is acknowledged."""
    await page.goto(home.url)
    await page.locator(".ov-list a", has_text=TAG).first.tap()
    details = page.locator(".al-details")
    await expect(details.locator("h2")).to_have_text(TAG)
    await expect(details.locator(".ex")).to_have_attribute("data-state", "done", timeout=30_000)
    await expect(details).to_contain_text("does not behave as usual")
    await page.screenshot(path=folder / "operator.png")
    await details.get_by_role("button", name="Acknowledge", exact=True).tap()
    await expect(details.get_by_role("button", name="Acknowledge", exact=True)).to_have_count(0)

"""The flow editor in a browser, over a real gateway: built, refused, undone, copied, deployed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from gateway.api.client_flows import FlowClient
from tests.browser.chrome import launched as browser
from tests.browser.gear import Editor, Gateway, gateway, new_flow, page_of

pytestmark = [
    pytest.mark.plant,
    pytest.mark.slow,
]
OWN = """\
flow: own
version: 1

nodes:
  # The tank in the yard.
  tank: {type: simulate.source, tag: demo/tank/level, every_s: 0.2, period_s: 20}
  out: {type: log.sink}

wires:
  - tank -> out

tests:
  - title: What comes in goes out
    given: {tank: demo/tank/level 0s 1 | 1s 2}
    expect: {out: demo/tank/level 0s 1 | 1s 2}
"""


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path, OWN) as found:
        yield found
        assert "Traceback" not in found.product.said()


async def test_from_an_empty_canvas_to_an_alarm(at: Gateway, tmp_path: Path) -> None:
    faults: list[str] = []
    async with browser() as chromium:
        context = await chromium.new_context(viewport={"width": 1440, "height": 900})
        page = await page_of(context, faults)
        editor = await new_flow(page, at.url, "press")
        await _build(editor)
        await _refuse(editor)
        await _undo(editor)
        await _deploy(editor)
        await page.screenshot(path=tmp_path / "built.png")
        await _reload(editor, at.url)
    assert faults == []


async def _build(editor: Editor) -> None:
    """Source, filter and alarm: dragged, by a loose wire end, by name on the canvas."""
    page = editor.page
    await editor.drop("simulate.source", 160, 200)
    await expect(editor.node("simulate")).to_be_visible()
    await editor.set("Tag", "plant/press1/oil")
    await editor.set("Every", "0.2")
    await editor.set("Period", "8")
    # A wire that ends on the canvas asks what is to stand there, and offers only what fits.
    start = await editor.port("simulate", "out", "source")
    await editor.drag(start, (start[0] + 150, start[1] + 20))
    await page.mouse.up()
    await expect(page.locator(".qa")).to_be_visible()
    await expect(page.locator('.qa li[data-type="feature.statistics"]')).to_have_count(0)
    await page.keyboard.type("deadb")
    await page.keyboard.press("Enter")
    await expect(editor.wire("simulate.out>deadband.in")).to_have_count(1)
    await editor.set("Band", "0.5")
    # Ctrl-click and a name.
    stage = page.locator(".ed-stage")
    await stage.click(position={"x": 700, "y": 420}, modifiers=["Control"])
    await page.keyboard.type("limit")
    await page.keyboard.press("Enter")
    await expect(editor.node("limit_alarm")).to_be_visible()
    await editor.set("Hi", "80")
    await editor.connect("deadband", "limit_alarm")
    await expect(editor.wire("deadband.out>limit_alarm.in")).to_have_count(1)
    await editor.until_saved()


async def _refuse(editor: Editor) -> None:
    """Samples do not go where windows are taken; the reason is shown while it is dragged."""
    page = editor.page
    await editor.drop("feature.statistics", 300, 560)
    await expect(editor.node("statistics")).to_be_visible()
    before = await editor.wires()
    start = await editor.port("simulate", "out", "source")
    await editor.drag(start, await editor.port("statistics", "in", "target"))
    await expect(page.locator(".ed-refusal")).to_contain_text("takes windows")
    await expect(page.locator(".ed-refusal")).to_contain_text("Put a window node between")
    await page.mouse.up()
    await expect(page.locator(".ed-notices p.bad").first).to_contain_text("takes windows")
    assert await editor.wires() == before
    await editor.node("statistics").click()
    await page.keyboard.press("Delete")
    await expect(editor.node("statistics")).to_have_count(0)


async def _undo(editor: Editor) -> None:
    """Delete and reconnect, undo, redo; copy and paste; disable; move by keys."""
    page = editor.page
    await editor.node("deadband").click()
    await page.keyboard.press("Control+Delete")
    await expect(editor.wire("simulate.out>limit_alarm.in")).to_have_count(1)
    await page.keyboard.press("Control+z")
    await expect(editor.wire("simulate.out>deadband.in")).to_have_count(1)
    await expect(editor.wire("simulate.out>limit_alarm.in")).to_have_count(0)
    await page.keyboard.press("Control+y")
    await expect(editor.node("deadband")).to_have_count(0)
    await page.keyboard.press("Control+z")
    await expect(editor.node("deadband")).to_be_visible()
    await page.keyboard.press("Control+a")
    await page.keyboard.press("Control+c")
    await page.keyboard.press("Control+v")
    await expect(editor.node("deadband_2")).to_be_visible()
    assert "deadband_2.out>limit_alarm_2.in" in await editor.wires()
    await page.keyboard.press("Control+z")
    await expect(editor.node("deadband_2")).to_have_count(0)
    await editor.node("deadband").click()
    x = await page.evaluate("window.genbaEditor.store.view.nodes.deadband.x")
    await page.keyboard.press("Control+ArrowRight")
    await page.keyboard.press("Control+ArrowRight")
    await page.wait_for_function(f"window.genbaEditor.store.view.nodes.deadband.x === {x} + 20")


async def _deploy(editor: Editor) -> None:
    """The difference first, then it runs, and the canvas shows that it does."""
    page = editor.page
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+d")
    dialog = page.locator("dialog.dlg")
    await expect(dialog).to_contain_text("limit_alarm")
    await dialog.get_by_role("button", name="Deploy", exact=True).click()
    await expect(dialog).to_contain_text("Revision 1 runs.", timeout=15_000)
    await dialog.get_by_role("button", name="Close").last.click()
    await expect(editor.node("simulate").locator('.nd[data-state="ok"]')).to_be_visible(
        timeout=15_000
    )
    rate = editor.node("deadband").locator(".nd-rate")
    await expect(rate).to_contain_text("/s", timeout=15_000)
    await expect(editor.node("simulate").locator(".nd-tag")).to_contain_text("press1/oil")
    await expect(page.locator(".bar-deploy")).to_be_disabled()
    # A click on a wire shows what passes.
    await (
        editor.wire("simulate.out>deadband.in")
        .locator(".vue-flow__edge-interaction")
        .click(force=True)
    )
    await expect(page.locator(".dbg-rows li").first).to_contain_text(
        "plant/press1/oil", timeout=10_000
    )
    await expect(page.locator(".dbg-rows li").first).to_contain_text("Good")


async def _reload(editor: Editor, url: str) -> None:
    """A reload loses nothing: what was done before the deploy can still be taken back."""
    page = editor.page
    await editor.open(f"{url}/flows/press")
    assert await editor.nodes() == {"simulate", "deadband", "limit_alarm"}
    await page.locator(".ed-stage").focus()
    x = await page.evaluate("window.genbaEditor.store.view.nodes.deadband.x")
    await page.keyboard.press("Control+z")
    await page.wait_for_function(f"window.genbaEditor.store.view.nodes.deadband.x === {x} - 20")


async def test_two_people_see_each_other_and_overwrite_nothing(at: Gateway) -> None:
    faults: list[str] = []
    async with browser() as chromium:
        context = await chromium.new_context(viewport={"width": 1280, "height": 800})
        one, two = [Editor(await page_of(context, faults)) for _ in range(2)]
        await one.open(f"{at.url}/flows/own")
        await two.open(f"{at.url}/flows/own")
        await expect(one.page.locator(".who")).to_have_count(1)
        await one.node("tank").click()
        await expect(two.node("tank").locator(".nd-who")).to_be_visible()
        await one.set("High", "120")
        await two.page.wait_for_function(
            "window.genbaEditor.store.view.nodes.tank.fields.high === 120"
        )
        await expect(two.node("tank").locator(".nd-change")).to_be_visible()
        # Somebody deploys from the command line meanwhile.
        other = OWN.replace("period_s: 20", "period_s: 30")
        await _deploy_elsewhere(at, other)
        await expect(two.page.locator(".bar-rival")).to_contain_text("revision 2", timeout=15_000)
        await two.page.get_by_role("button", name="Put them together…").click()
        await two.page.get_by_role("button", name="Put them together", exact=True).click()
        await one.page.wait_for_function(
            "(() => { const f = window.genbaEditor.store.view.nodes.tank.fields;"
            " return f.high === 120 && f.period_s === 30; })()"
        )
        await expect(one.page.locator(".bar-rival")).to_have_count(0)
    assert faults == []


async def _deploy_elsewhere(at: Gateway, text: str) -> None:
    client = FlowClient(at.product.client.url)
    await asyncio.to_thread(client.deploy, "own", text, "user:script")


async def test_the_rest_of_the_tools(at: Gateway) -> None:
    """Onto a wire, groups, comments, search, tests, inject, export, import, touch."""
    faults: list[str] = []
    async with browser() as chromium:
        context = await chromium.new_context(
            viewport={"width": 1440, "height": 900}, has_touch=True
        )
        editor = Editor(await page_of(context, faults))
        await editor.open(f"{at.url}/flows/own")
        await _onto_a_wire(editor)
        await _frames(editor)
        await _text(editor)
        await _run_tests(editor)
        await _inject(editor)
        await _by_touch(editor)
        await editor.until_saved()
        text = await editor.page.evaluate("window.genbaEditor.store.ask('text')")
        assert "# The tank in the yard." in text["text"]
    assert faults == []


async def _onto_a_wire(editor: Editor) -> None:
    page = editor.page
    await editor.wire("tank.out>out.in").locator(".vue-flow__edge-interaction").dblclick(force=True)
    await page.keyboard.type("deadband")
    await page.keyboard.press("Enter")
    await expect(editor.wire("deadband.out>out.in")).to_have_count(1)
    await expect(editor.wire("tank.out>out.in")).to_have_count(0)
    await editor.set("Band", "0.01")
    await editor.node("deadband").click()
    await page.keyboard.press("d")
    await expect(editor.node("deadband").locator(".nd.off")).to_have_count(1)
    await page.keyboard.press("d")
    await expect(editor.node("deadband").locator(".nd.off")).to_have_count(0)


async def _frames(editor: Editor) -> None:
    """A group goes where it is dragged, its nodes with it; both are there after a reload."""
    page = editor.page
    await page.keyboard.press("Control+a")
    await page.keyboard.press("Control+Shift+g")
    await expect(page.locator(".fr.group")).to_have_count(1)
    before = await page.evaluate("window.genbaEditor.store.view.nodes.tank.y")
    box = await page.locator(".fr.group").bounding_box()
    assert box is not None
    start = (box["x"] + 150, box["y"] + 10)
    await editor.drag(start, (start[0], start[1] - 80))
    await page.mouse.up()
    await page.wait_for_function(f"window.genbaEditor.store.view.nodes.tank.y < {before}")
    await page.locator(".ed-stage").focus()
    await page.keyboard.press("Shift+C")
    await page.locator(".fr.note").dblclick()
    await page.keyboard.type("Ask Ken.")
    await page.locator(".bar-name").focus()
    await expect(page.locator(".fr.note")).to_contain_text("Ask Ken.")
    await editor.until_saved()
    await editor.open(page.url)
    await expect(page.locator(".fr.note")).to_contain_text("Ask Ken.")
    await expect(page.locator(".fr.group")).to_have_count(1)


async def _text(editor: Editor) -> None:
    page = editor.page
    await page.locator(".ed-stage").focus()
    await page.keyboard.press("Control+f")
    await page.keyboard.type("demo/tank")
    await page.keyboard.press("Enter")
    await expect(
        editor.node("tank").locator("xpath=self::*[contains(@class,'selected')]")
    ).to_have_count(1)
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+i")
    dialog = page.locator("dialog.dlg")
    await dialog.get_by_label("Text").fill("nodes: {slow: {type: filter.rate, every_s: 5}}")
    await dialog.get_by_role("button", name="Put it on the canvas").click()
    selected = "xpath=self::*[contains(@class,'selected')]"
    await expect(editor.node("slow").locator(selected)).to_have_count(1)
    await expect(dialog).to_be_hidden()
    await page.keyboard.press("Delete")
    await expect(editor.node("slow")).to_have_count(0)


async def _run_tests(editor: Editor) -> None:
    page = editor.page
    await page.get_by_role("tab", name="Tests").click()
    await page.get_by_role("button", name="Run all tests").click()
    await expect(page.locator(".tst li.good")).to_have_count(1, timeout=30_000)


async def _inject(editor: Editor) -> None:
    """What is handed in by hand passes on the wire that is watched."""
    page = editor.page
    await editor.node("tank").click(button="right")
    await page.get_by_role("menuitem", name="Inject…").click()
    dialog = page.locator("dialog.dlg")
    await dialog.get_by_label("Rows, as in a test").fill("demo/tank/level 0s 4321")
    await dialog.get_by_role("button", name="Inject", exact=True).click()
    await expect(dialog.locator(".g-good")).to_be_visible()
    await dialog.get_by_role("button", name="Close").last.click()


async def _by_touch(editor: Editor) -> None:
    """A tap on a port begins a wire, a tap on another ends it."""
    page = editor.page
    await page.locator('.pal-node[data-type="alarm.limit"]').tap()
    await expect(editor.node("limit_alarm")).to_be_visible()
    await page.get_by_role("button", name="Show everything").tap()
    await page.wait_for_timeout(400)
    await page.touchscreen.tap(*await editor.port("deadband", "out", "source"))
    await page.touchscreen.tap(*await editor.port("limit_alarm", "in", "target"))
    await expect(editor.wire("deadband.out>limit_alarm.in")).to_have_count(1)

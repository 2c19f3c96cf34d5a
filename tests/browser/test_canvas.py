"""Subflows, links, streams, traces, breakpoints and made tests, in a browser at a real gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from gateway.api.client_flows import FlowClient
from tests.browser.chrome import launched as browser
from tests.browser.gear import Editor, Gateway, gateway, new_flow, page_of

pytestmark = [pytest.mark.plant, pytest.mark.slow]
OWN = """\
flow: own
version: 1

subflows:
  # Watches one oven.
  oven:
    about: Watches one oven.
    parameters:
      hi: {default: 70, about: Above this it is too hot.}
    inputs:
      in: samples
    outputs:
      out: samples
      alarms: alarms
    nodes:
      calm: {type: filter.deadband, band: 0.01}
      hot: {type: alarm.limit, hi: "${hi}"}
    wires:
      - in -> calm -> hot
      - calm -> out
      - hot.alarms -> alarms

nodes:
  tank: {type: simulate.source, tag: demo/tank/level, every_s: 0.2, period_s: 4}
  north: {type: subflow.oven, hi: 60}
  oil: {type: link.samples}
  clean: {type: filter.quality}
  out: {type: log.sink}
  give: {type: flow.sink, stream: tank/level}

wires:
  - tank -> north -> oil
  - north.alarms -> out.alarms
  - oil -> clean -> out
  - clean -> give
"""
TAKER = """\
flow: energy
version: 1

subflows:
  far:
    about: A subflow of another flow.
    inputs: {in: samples}
    outputs: {out: samples}
    nodes:
      near: {type: filter.quality}
    wires:
      - in -> near -> out

nodes:
  from_own: {type: flow.source, stream: tank/level}
  far: {type: subflow.far}
  log: {type: log.sink}

wires:
  - from_own -> far -> log
"""


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path, OWN) as found:
        client = FlowClient(found.product.client.url)
        await asyncio.to_thread(client.deploy, "energy", TAKER, "user:script")
        yield found
        assert "Traceback" not in found.product.said()


async def view(editor: Editor, what: str) -> Any:
    return await editor.page.evaluate(f"window.genbaEditor.store.{what}")


async def menu(editor: Editor, at: Any, item: str) -> None:
    await at.click(button="right", force=True)
    await editor.page.get_by_role("menuitem", name=item, exact=True).click()


async def wire_menu(editor: Editor, key: str, item: str) -> None:
    line = editor.wire(key).locator(".vue-flow__edge-interaction").first
    await line.dispatch_event("contextmenu", {"bubbles": True, "clientX": 300, "clientY": 300})
    await editor.page.get_by_role("menuitem", name=item, exact=True).click()


async def opened(at: Gateway, chromium: Any, faults: list[str], **more: Any) -> Editor:
    size = {"viewport": {"width": 1440, "height": 900}}
    context = await chromium.new_context(**{**size, **more})
    editor = Editor(await page_of(context, faults))
    await editor.open(f"{at.url}/flows/own")
    return editor


async def test_a_subflow_is_opened_edited_made_and_taken_apart(at: Gateway) -> None:
    faults: list[str] = []
    async with browser() as chromium:
        editor = await opened(at, chromium, faults)
        page = editor.page
        # Its instance has the form of its parameters, and lives as one node.
        await editor.node("north").click()
        await editor.set("Hi", "55")
        await page.wait_for_function("window.genbaEditor.store.whole.nodes.north.fields.hi === 55")
        await expect(editor.node("north").locator('.nd[data-state="ok"]')).to_be_visible(
            timeout=15_000
        )
        await _edit_inside(editor)
        await _gather_and_unpack(editor)
        await _palette(editor)
        await editor.until_saved()
        text = (await page.evaluate("window.genbaEditor.store.ask('text')"))["text"]
        assert "# Watches one oven." in text
        assert "band: 0.5" in text
    assert faults == []


async def _edit_inside(editor: Editor) -> None:
    """Opened in a tab of its own, live as in its instance, and edited with the same tools."""
    page = editor.page
    await editor.node("north").locator(".nd-open").click()
    await expect(page.locator(".lv-bar")).to_contain_text("Subflow oven")
    await expect(editor.node("calm").locator('.nd[data-state="ok"]')).to_be_visible()
    await expect(editor.node("calm").locator(".nd-tag")).to_contain_text("tank/level")
    await editor.node("calm").click()
    await editor.set("Band", "0.5")
    await page.wait_for_function(
        "window.genbaEditor.store.whole.subflows.oven.nodes.calm.fields.band === 0.5"
    )
    await page.locator(".lv-bar").get_by_label("Add an output").select_option("samples")
    await expect(editor.node("out_2")).to_be_visible()
    await page.get_by_label("Name", exact=True).first.fill("raw")
    await page.get_by_label("Name", exact=True).first.press("Tab")
    await expect(editor.node("raw")).to_be_visible()
    await page.get_by_role("button", name="Show everything").click()
    await page.wait_for_timeout(300)
    await editor.connect("calm", "raw", "out", "raw")
    await expect(editor.wire("calm.out>raw.raw")).to_have_count(1)
    await page.locator(".ed-stage").focus()
    await page.keyboard.press("Control+z")
    await expect(editor.wire("calm.out>raw.raw")).to_have_count(0)
    await page.keyboard.press("Control+y")
    await expect(editor.wire("calm.out>raw.raw")).to_have_count(1)
    # A parameter more, used by nothing yet, and where the subflow is used.
    await page.get_by_role("button", name="Parameters and uses…").click()
    dialog = page.locator("dialog.dlg")
    await dialog.get_by_label("Name of a new parameter").fill("lo")
    await dialog.get_by_role("button", name="Add a parameter").click()
    await dialog.get_by_label("Unit of lo").fill("Cel")
    await dialog.get_by_label("Unit of lo").press("Tab")
    await page.wait_for_function(
        "window.genbaEditor.store.whole.subflows.oven.parameters.lo?.unit === 'Cel'"
    )
    await dialog.locator(".sub-used button").first.click()
    await expect(page.locator(".lv-bar")).to_have_count(0)
    selected = "xpath=self::*[contains(@class,'selected')]"
    await expect(editor.node("north").locator(selected)).to_have_count(1)
    await expect(page.locator('.fm [data-field="lo"]')).to_be_visible()
    # It cannot be put into itself.
    await editor.page.keyboard.press("Control+]")
    await expect(page.locator(".lv-bar")).to_be_visible()
    await editor.drop("subflow.oven", 300, 300)
    await expect(page.locator(".ed-notices p.bad").first).to_contain_text("would contain itself")
    await page.locator(".lv-tabs").get_by_role("tab", name="own").click()


async def _gather_and_unpack(editor: Editor) -> None:
    page = editor.page
    await editor.node("clean").click()
    await page.keyboard.press("Control+Shift+s")
    dialog = page.locator("dialog.dlg")
    await dialog.get_by_label("Name of the subflow").fill("checked")
    await dialog.get_by_label("Name of the node that stands for it").fill("check")
    await dialog.get_by_role("button", name="Make it a subflow").click()
    await expect(editor.node("check")).to_be_visible()
    await expect(editor.node("clean")).to_have_count(0)
    assert "oil.out>check.in" in await editor.wires()
    await expect(page.locator('.pal-node[data-type="subflow.checked"]')).to_be_visible()
    await menu(editor, editor.node("check"), "Unpack")
    await expect(editor.node("clean")).to_be_visible()
    assert {"oil.out>clean.in", "clean.out>out.in"} <= await editor.wires()


async def _palette(editor: Editor) -> None:
    """Copied and pasted with its subflow; one of another flow is dragged in."""
    page = editor.page
    await editor.node("north").click()
    await page.keyboard.press("Control+c")
    await page.keyboard.press("Control+v")
    await expect(editor.node("north_2")).to_be_visible()
    await page.keyboard.press("Control+z")
    await expect(editor.node("north_2")).to_have_count(0)
    await editor.drop("take:energy/far", 500, 500)
    await expect(editor.node("far")).to_be_visible()
    assert "near" in await view(editor, "whole.subflows.far.nodes")
    await page.keyboard.press("Control+z")
    await expect(editor.node("far")).to_have_count(0)
    await editor.node("clean").click()
    await page.keyboard.press("b")
    await expect(editor.node("clean").locator(".nd.bypass")).to_have_count(1)
    await page.keyboard.press("b")
    await expect(editor.node("clean").locator(".nd.bypass")).to_have_count(0)


async def test_links_are_named_ends_and_streams_show_which_flow_feeds_which(at: Gateway) -> None:
    faults: list[str] = []
    async with browser() as chromium:
        editor = await opened(at, chromium, faults)
        page = editor.page
        selected = "xpath=self::*[contains(@class,'selected')]"
        # What stands beside each other has a wire; what stands apart has two named ends.
        end = editor.wire("oil.out>clean.in").locator(".wr-end")
        await expect(end).to_have_count(0)
        await page.evaluate(
            "(() => { const { store } = window.genbaEditor; const { clean } = store.view.nodes;"
            " store.op({ op: 'move', pos: { clean: [clean.x, clean.y + 300] } }); })()"
        )
        await expect(end).to_have_count(2)
        await end.first.click()
        await expect(editor.node("clean").locator(selected)).to_have_count(1)
        await editor.node("oil").click()
        ends = page.get_by_role("region", name="Ends of the link")
        await expect(ends).to_contain_text("← north.out")
        await ends.get_by_role("button", name="→ clean.in").click()
        await expect(editor.node("clean").locator(selected)).to_have_count(1)
        # A wire becomes a link, in one step that can be taken back.
        await wire_menu(editor, "clean.out>out.in", "As a link with a name")
        await expect(editor.node("link_samples")).to_be_visible()
        assert {"clean.out>link_samples.in", "link_samples.out>out.in"} <= await editor.wires()
        await page.locator(".ed-stage").focus()
        await page.keyboard.press("Control+z")
        await expect(editor.node("link_samples")).to_have_count(0)
        # The stream: shown at the node, in its settings, and gone along.
        await expect(editor.node("give").locator(".nd-flow")).to_contain_text("→ energy")
        await editor.node("give").locator(".nd-head").click()
        other = page.get_by_role("region", name="The other end of the stream")
        await expect(other).to_contain_text("energy · from_own")
        await other.get_by_role("button").first.click()
        await page.wait_for_url("**/flows/energy#from_own")
        await page.wait_for_function("window.genbaEditor?.store.flow === 'energy'")
        await expect(editor.node("from_own").locator(selected)).to_have_count(1)
        await expect(editor.node("from_own").locator(".nd-flow")).to_contain_text("own →")
    assert faults == []


async def test_a_sample_is_followed_caught_and_becomes_a_test(at: Gateway) -> None:
    faults: list[str] = []
    async with browser() as chromium:
        editor = await opened(at, chromium, faults)
        page = editor.page
        await _trace(editor)
        await _catch(editor)
        await _make(editor)
        # The browser notes the condition that was refused, which is as it should be.
        assert [fault for fault in faults if "422" not in fault] == []
        await page.close()


async def _trace(editor: Editor) -> None:
    """A sample at a wire: its way is lit, with value and quality at each step."""
    page = editor.page
    await wire_menu(editor, "tank.out>north.in", "Watch what passes")
    row = page.locator(".dbg-rows li").first
    await expect(row).to_contain_text("demo/tank/level", timeout=15_000)
    await page.get_by_role("button", name="Pause").click()
    value = (await page.locator(".dbg-rows li .dbg-row b").first.inner_text()).strip()
    await page.locator(".dbg-trace").first.click()
    way = page.get_by_role("region", name="The way of a sample")
    how = way.get_by_label("Shown is its way")
    await expect(how).to_have_value("then", timeout=180_000)  # Until then it is as it would go now.
    await expect(way).to_contain_text("north/calm")
    for name in ("tank", "north", "oil", "clean", "out", "give"):
        await expect(editor.node(name).locator(".nd.lit")).to_have_count(1)
    await expect(editor.node("clean").locator(".nd-chip")).to_contain_text(value[:3])
    await expect(editor.wire("oil.out>clean.in").locator(".wr.lit")).to_have_count(1)
    await way.get_by_role("button", name="north/calm").click()
    await expect(page.locator(".lv-bar")).to_contain_text("oven")
    await expect(editor.node("calm").locator(".nd.lit")).to_have_count(1)
    await page.locator(".lv-tabs").get_by_role("tab", name="own").click()
    await way.get_by_role("button", name="End").click()
    await expect(page.locator(".ed.tracing")).to_have_count(0)
    await page.get_by_role("button", name="Go on").click()


async def _catch(editor: Editor) -> None:
    """A breakpoint catches, the flow goes on, and it is removed."""
    page = editor.page
    await wire_menu(editor, "tank.out>north.in", "Breakpoint…")
    dialog = page.locator("dialog.dlg")
    await dialog.get_by_label("Condition at tank.out").fill("value >")
    await dialog.get_by_role("button", name="Set the breakpoint").click()
    await expect(dialog.get_by_role("alert")).to_be_visible()
    await dialog.get_by_label("Condition at tank.out").fill("value > 1 and good")
    await dialog.get_by_role("button", name="Set the breakpoint").click()
    one = page.locator(".cat-one")
    await expect(one).to_contain_text("value > 1 and good")
    await expect(one.get_by_role("status")).to_contain_text("Caught", timeout=15_000)
    await expect(one.locator(".cat-row.hit").first).to_contain_text("demo/tank/level")
    await expect(editor.wire("tank.out>north.in").locator(".wr-catch")).to_have_count(1)
    await expect(editor.node("tank").locator('.nd[data-state="ok"]')).to_be_visible()
    await one.get_by_role("button", name="Remove the breakpoint at tank.out").click()
    await expect(one).to_have_count(0)
    await expect(editor.wire("tank.out>north.in").locator(".wr-catch")).to_have_count(0)


async def _make(editor: Editor) -> None:
    """What was just seen is a test in the list, and it is green."""
    page = editor.page
    await page.get_by_role("button", name="Make a test of what I just saw…").click()
    dialog = page.locator("dialog.dlg")
    await dialog.get_by_label("Of the").select_option("-10s")
    await dialog.get_by_label("Title").fill("As it was just now")
    await dialog.get_by_role("radio", name="of all ends").check()
    await dialog.get_by_role("button", name="Make the test").click()
    good = page.locator(".tst li.good")
    await expect(good).to_contain_text("As it was just now", timeout=120_000)
    await expect(good).to_contain_text("Passed")
    text = (await page.evaluate("window.genbaEditor.store.ask('text')"))["text"]
    assert "title: As it was just now" in text
    await page.locator(".ed-stage").focus()
    await page.keyboard.press("Control+z")
    await expect(page.locator(".tst li")).to_have_count(0)


async def test_a_click_in_the_palette_goes_on_where_one_is(tmp_path: Path) -> None:
    """Each node stands behind the one before and is wired to it; what does not fit is not."""
    faults: list[str] = []
    async with gateway(tmp_path, OWN) as running, browser() as chromium:
        context = await chromium.new_context(viewport={"width": 1280, "height": 800})
        page = await page_of(context, faults)
        editor = await new_flow(page, running.url, "chain")
        search = page.locator(".pal-search")
        for kind in ("opcua.source", "window.tumbling", "feature.statistics", "detect.sigma"):
            await search.fill(kind.partition(".")[2])
            await page.locator(f'.pal-node[data-type="{kind}"]').click()
            await expect(page.locator(".ed-form")).to_contain_text(kind)
        chain = {"opcua.out>tumbling.in", "tumbling.out>statistics.in", "statistics.out>sigma.in"}
        assert await editor.wires() == chain
        await search.fill("email")
        await page.locator('.pal-node[data-type="email.sink"]').click()
        await expect(page.locator(".ed-form")).to_contain_text("email.sink")
        assert await editor.wires() == chain | {"sigma.out>email_out.in"}
    assert faults == []

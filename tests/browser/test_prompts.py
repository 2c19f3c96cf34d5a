"""The library of prompts, and ready flows to begin with, as people use them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.house import House, chromium, house, opened

pytestmark = [pytest.mark.plant, pytest.mark.slow]
FLOW = """
flow: shop
version: 1
nodes:
  lines: {type: simulate.events, items: ["hello"], every_s: 3600}
  model:
    type: llm.generate
    prompts:
      ja: {when: {equals: {lang: ja}}, user: "分類: {{ data.text }}"}
      rest: {user: "Sort: {{ data.text }}"}
    deadline_s: 1
  screen: {type: console.sink}
wires:
  - lines -> model -> screen.events
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, FLOW) as found:
        found.settle()
        yield found


async def test_a_prompt_is_made_tried_changed_and_taken_back(home: House) -> None:
    async with chromium() as browser, opened(browser, home, "eva") as page:
        await page.goto(f"{home.url}/prompts")
        rules = page.locator(".pr-flows")
        await expect(rules).to_contain_text("lang = ja")
        await expect(rules).to_contain_text("every event that no prompt before it takes")
        await page.get_by_role("button", name="New shared prompt…").click()
        box = page.locator(".pr-open")
        await box.get_by_label("Name").fill("triage")
        await box.get_by_label("Text (Jinja").fill("Sort: {{ data.text")
        await box.get_by_role("button", name="Save").click()
        await expect(box.get_by_role("alert")).to_be_visible()
        await box.get_by_label("Text (Jinja").fill("Sort: {{ data.text }}")
        await box.get_by_role("button", name="Preview…").click()
        sample = page.locator(".pr-sample")
        await sample.get_by_role("button", name="Fill it").click()
        await expect(sample).to_contain_text("Sort: Hello")
        await box.get_by_role("button", name="Save").click()
        await expect(box).to_contain_text("Saved.")
        await box.get_by_label("Text (Jinja").fill("Sort this: {{ data.text }}")
        await box.get_by_label("Why").fill("clearer")
        await box.get_by_role("button", name="Save").click()
        versions = page.locator(".pr-versions tbody tr")
        await expect(versions).to_have_count(2)
        await expect(versions.first).to_contain_text("eva")
        await expect(versions.first).to_contain_text("clearer")
        await versions.last.get_by_role("button", name="Take this text").click()
        await box.get_by_role("button", name="Save").click()
        await expect(versions).to_have_count(3)
        await expect(versions.first).to_contain_text("Back to")
        await expect(box.get_by_label("Text (Jinja")).to_have_value("Sort: {{ data.text }}")
        await page.get_by_role("button", name="Preview shop/model").first.click()
        await sample.get_by_label("A sample event").fill('{"text": "やあ", "lang": "ja"}')
        await sample.get_by_role("button", name="Fill it").click()
        await expect(sample).to_contain_text("分類: やあ")


async def test_who_only_looks_sees_no_buttons(home: House) -> None:
    async with chromium() as browser, opened(browser, home, "vic") as page:
        await page.goto(f"{home.url}/prompts")
        await expect(page.locator(".pr-flows")).to_contain_text("lang = ja")
        await expect(page.get_by_role("button", name="New shared prompt…")).to_have_count(0)
        await expect(page.get_by_role("button", name="Preview…")).to_have_count(0)


async def test_a_ready_flow_becomes_a_draft(home: House) -> None:
    async with chromium() as browser, opened(browser, home, "eva") as page:
        await page.goto(f"{home.url}/flows")
        await page.get_by_text("Ready flows to begin with").click()
        ready = page.locator(".fl-ready li")
        await expect(ready.first).to_contain_text("websocket-model-console")
        await expect(ready.nth(2)).to_contain_text("three moving standard deviations")
        await page.get_by_role("button", name="Take market-feed as a draft").click()
        await page.wait_for_url(f"{home.url}/flows/market-feed")
        await expect(page.locator('.vue-flow__node[data-id="model"]')).to_be_visible()

"""Alarms and the pages about the gateway in a real browser, as an operator has them at night."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.chrome import axe
from tests.browser.house import PASSWORD, WAIT_MS, House, chromium, faults, house, opened

pytestmark = pytest.mark.plant
FLOW = """
flow: tank
version: 1
nodes:
  a: {type: simulate.source, tag: site1/tank1/pressure, every_s: 0.2, shape: constant, low: 0}
  b: {type: simulate.source, tag: site1/tank1/level, every_s: 0.2, shape: constant, low: 0}
  c: {type: simulate.source, tag: site1/tank1/flow, every_s: 0.2, shape: constant, low: 0}
  d: {type: simulate.source, tag: site1/tank1/oil, every_s: 0.2, shape: constant, low: 0}
  pressure:
    type: alarm.limit
    about: "Close valve V3 by hand and call the shift leader."
    hi: 20
    hi_priority: urgent
  level: {type: alarm.limit, hi: 20, hi_priority: high}
  flow: {type: alarm.limit, hi: 20, hi_priority: medium, shelve_max_s: 600}
  oil: {type: alarm.limit, hi: 20, hi_priority: low}
wires: [a -> pressure, b -> level, c -> flow, d -> oil]
"""


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway with four alarms; whether it is claimed yet is for the tests."""
    with house(tmp_path_factory.mktemp("house"), FLOW) as found:
        yield found


@pytest.fixture
def home(empty: House) -> House:
    """One where everybody has an account."""
    empty.settle()
    return empty


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


def row(page: Page, tag: str) -> Any:
    """The row of an alarm in the list."""
    return page.locator(f'tr[data-alarm*="{tag}"]')


async def tags(page: Page) -> list[str]:
    """The tags of the list, from the top."""
    found = await page.locator(".al-table tbody tr .al-what b").all_inner_texts()
    return [text.rpartition("/")[2] for text in found]


async def become(home: House, end: str, state: str) -> dict[str, Any]:
    """Wait until an alarm is in a state."""
    for _ in range(100):
        found = home.alarm(end)
        if found["state"] == state:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(found)


async def test_from_the_code_on_the_console_to_the_alarms(
    empty: House, browser: Browser, tmp_path: Path
) -> None:
    async with opened(browser, empty) as page:
        await page.goto(f"{empty.url}/login")
        form = {"code": empty.code(), "name": "anna", "password": PASSWORD, "again": PASSWORD}
        for name, value in form.items():
            await page.fill(f"input[name={name}]", value)
        await page.click("button[type=submit]")
        await page.wait_for_url(f"{empty.url}/")
        await page.locator(".sh-alarms").tap()
        await expect(page.locator(".al-table tbody tr")).to_have_count(4)
        assert await tags(page) == ["pressure", "level", "flow", "oil"]
        words = await row(page, "pressure").inner_text()
        for word in ("urgent", "Not acknowledged", "too high", "50", "limit 20", "▲"):
            assert word in words, word


async def test_two_touches_acknowledge_from_any_page(home: House, browser: Browser) -> None:
    async with opened(browser, home, "oli") as page:
        await page.goto(f"{home.url}/help")
        banner = page.locator(".sh-banner")
        await expect(banner).to_contain_text("pressure")
        await page.wait_for_timeout(400)
        await banner.get_by_role("button", name="Acknowledge").tap()
        found = await become(home, "pressure:HI", "ACKED")
        assert found["actor"] == "user:oli"
        await expect(banner).to_contain_text("level")
        await page.locator(".sh-alarms").tap()
        await expect(row(page, "pressure")).to_contain_text("oli")
        await page.wait_for_timeout(400)
        await row(page, "tank1/level").get_by_role("button", name="Acknowledge").tap()
        await become(home, "level:HI", "ACKED")
        await expect(banner).to_have_count(0)


async def test_acknowledge_several_with_a_note_and_by_keys(home: House, browser: Browser) -> None:
    async with opened(browser, home, "oli") as page:
        await page.goto(f"{home.url}/alarms")
        old = await row(page, "oil").element_handle()
        await page.get_by_role("button", name="Acknowledge all shown").tap()
        await page.locator(".al-why").fill("seen by the shift")
        await page.locator(".al-end .primary").tap()
        found = await become(home, "flow:HI", "ACKED")
        assert found["text"].endswith(": seen by the shift")
        await become(home, "oil:HI", "ACKED")
        await expect(row(page, "oil")).not_to_have_class("unack")
        assert await old.evaluate("(one) => one.isConnected"), "a row is patched, never made anew"
        await row(page, "oil").focus()
        await page.keyboard.press("ArrowUp")
        await page.keyboard.press(" ")
        await expect(page.locator("tr.chosen")).to_have_count(1)
        await page.keyboard.press("Enter")
        await expect(page.locator(".al-details h2")).to_have_text("site1/tank1/flow")
        await page.keyboard.press("Escape")
        await expect(page.locator(".al-details")).to_have_count(0)


async def test_shelving_needs_a_reason_and_comes_back(home: House, browser: Browser) -> None:
    async with opened(browser, home, "oli") as page:
        await page.goto(f"{home.url}/alarms")
        await page.wait_for_timeout(500)
        await row(page, "oil").get_by_role("button", name="Shelve").tap()
        go = page.locator(".al-end .primary")
        await expect(go).to_be_disabled()
        await page.get_by_role("button", name="30 min").tap()
        await page.get_by_role("button", name="Sensor is faulty").tap()
        await go.tap()
        await expect(row(page, "oil")).to_have_count(0)
        await page.get_by_role("button", name="Hidden").tap()
        await expect(row(page, "oil")).to_contain_text("29 min")
        await expect(row(page, "oil")).to_contain_text("user:oli")
        await expect(row(page, "oil")).to_contain_text("Sensor is faulty")
        await row(page, "oil").get_by_role("button", name="Unshelve").tap()
        await page.locator(".al-end .primary").tap()
        await become(home, "oil:HI", "UNACK")


async def test_a_refusal_is_said_in_the_words_of_the_node(home: House, browser: Browser) -> None:
    async with opened(browser, home, "oli") as page:
        await page.goto(f"{home.url}/alarms")
        await page.wait_for_timeout(500)
        await row(page, "tank1/flow").get_by_role("button", name="Shelve").tap()
        await page.get_by_role("button", name="Planned work").tap()
        await page.locator(".al-end .primary").tap()
        said = page.locator(".al-said")
        await expect(said).to_contain_text("Shelving lasts at most 10 min.")


async def test_no_row_moves_while_a_finger_is_down(home: House, browser: Browser) -> None:
    async with opened(browser, home, "oli", has_touch=False) as page:
        await page.goto(f"{home.url}/alarms")
        await page.wait_for_timeout(1500)
        before = await tags(page)
        await row(page, "oil").locator(".al-what").hover()
        await page.mouse.down()
        with home.logged_in("oli") as other:
            body = {"action": "shelve", "for_s": 60, "reason": "test", "alarm": ""}
            body["alarm"] = home.alarm("pressure:HI")["alarm"]
            assert other.post("/api/alarms/action", json=body).status_code == 200
            await expect(row(page, "pressure")).to_contain_text("No longer in this list")
            await page.wait_for_timeout(1500)
            assert await tags(page) == before
            await page.mouse.up()
            await expect(row(page, "pressure")).to_have_count(0)
            body["action"] = "unshelve"
            assert other.post("/api/alarms/action", json=body).status_code == 200
        await expect(row(page, "pressure")).to_have_count(1)


async def test_who_may_not_is_not_offered_it_and_is_refused(home: House, browser: Browser) -> None:
    async def offered(name: str) -> str:
        async with opened(browser, home, name) as page:
            await page.goto(f"{home.url}/alarms")
            await row(page, "oil").locator(".al-what").tap()
            await expect(page.locator(".al-details")).to_contain_text("Id")
            return await page.locator(".al-details").inner_text()

    assert "Shelve …" not in await offered("vic")
    said = await offered("oli")
    assert "Shelve …" in said
    assert "Suppress …" not in said
    assert "Suppress …" in await offered("eva")
    with home.logged_in("oli") as client:
        body = {"action": "suppress", "alarm": home.alarm("oil:HI")["alarm"]}
        answer = client.post("/api/alarms/action", json=body)
    assert (answer.status_code, "may not suppress" in answer.text) == (403, True)


async def test_details_tell_what_to_do_and_what_was(home: House, browser: Browser) -> None:
    async with opened(browser, home, "vic") as page:
        await page.goto(f"{home.url}/alarms")
        await row(page, "pressure").locator(".al-what").tap()
        details = page.locator(".al-details")
        await expect(details).to_contain_text("Close valve V3 by hand")
        await expect(details.locator(".al-past li").last).to_contain_text("raised")
        link = details.get_by_role("link", name="Trend around this time")
        assert "tags=site1%2Ftank1%2Fpressure&at=" in str(await link.get_attribute("href"))


async def test_history_is_filtered_and_taken_away(home: House, browser: Browser) -> None:
    async with opened(browser, home, "vic") as page:
        await page.goto(f"{home.url}/alarms?view=history&tag=oil")
        await expect(page.locator(".al-old tbody tr").first).to_contain_text("site1/tank1/oil")
        assert "pressure" not in await page.locator(".al-old tbody").inner_text()
        async with page.expect_download() as download:
            await page.get_by_role("button", name="Take as CSV").tap()
        path = await (await download.value).path()
        rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))
        assert rows[-1]["change"] == "raised"
        assert {line["tag"] for line in rows} == {"site1/tank1/oil"}
        await page.goto(f"{home.url}/alarms/kpi")
        await expect(page.locator(".al-kpi")).to_contain_text("Most in 10 minutes")
        await page.locator(".al-top a").first.tap()
        await expect(page.locator(".al-old tbody tr").first).to_be_visible()


async def test_sound_says_what_it_does_and_is_silenced(home: House, browser: Browser) -> None:
    with home.logged_in("eva") as client:
        alarm = home.alarm("pressure:HI")["alarm"]
        for action in ("remove_from_service", "return_to_service"):
            body = {"action": action, "alarm": alarm}
            client.post("/api/alarms/action", json=body)
            await asyncio.sleep(0.5)
    await become(home, "pressure:HI", "UNACK")
    async with opened(browser, home, "vic") as page:
        await page.goto(f"{home.url}/alarms")
        sound = page.locator(".al-sound")
        await expect(sound).to_contain_text("Sound starts with the first touch")
        await page.locator("h1").tap()
        await expect(sound).to_contain_text("An alarm sounds")
        await sound.get_by_role("button", name="Silence").tap()
        await expect(sound).to_contain_text("Silent until the next new alarm")
        await page.reload()
        await page.locator("h1").tap()
        await expect(sound).to_contain_text("Silent until the next new alarm")
        await sound.get_by_role("button", name="Turn sound off").tap()
        await page.reload()
        await expect(sound).to_contain_text("Sound is off")


async def test_a_lost_line_is_seen_and_comes_back(home: House, browser: Browser) -> None:
    async with opened(browser, home, "vic") as page:
        await page.goto(f"{home.url}/alarms")
        await expect(page.locator(".al-table")).to_be_visible()
        await expect(page.locator(".al.old")).to_have_count(0)
        os.kill(home.pid, signal.SIGSTOP)
        try:
            await expect(page.locator(".al.old")).to_have_count(1)
            await expect(page.locator(".sh-lost")).to_contain_text("What you see is old")
            ages = page.locator(".al-since b")
            before = await ages.all_inner_texts()
            await page.wait_for_timeout(2500)
            assert await ages.all_inner_texts() == before
        finally:
            os.kill(home.pid, signal.SIGCONT)
        await expect(page.locator(".al.old")).to_have_count(0, timeout=WAIT_MS)
        await expect(ages.first).not_to_have_text(before[0])


@pytest.mark.slow
async def test_the_password_is_asked_for_again(home: House, browser: Browser) -> None:
    async with opened(browser, home, "anna") as page:
        asked: list[str] = []

        async def stale(route: Any) -> None:
            """The first time as if the password had been given long ago."""
            if route.request.method == "POST":
                asked.append(route.request.url)
            if len(asked) == 1 and route.request.method == "POST":
                text = "Give your password again first: POST /api/me/confirm."
                await route.fulfill(status=403, body=text)
            else:
                await route.continue_()

        await page.route("**/api/tokens", stale)
        await page.goto(f"{home.url}/users")
        await page.get_by_label("What it is for").fill("scraper")
        await page.get_by_role("button", name="Make", exact=True).tap()
        dialog = page.locator(".sy-dialog")
        await dialog.get_by_label("Password").fill("wrong")
        await dialog.get_by_role("button", name="Go on").tap()
        await expect(dialog.get_by_role("alert")).to_contain_text("wrong")
        await dialog.get_by_label("Password").fill(PASSWORD)
        await asyncio.sleep(1.5)  # After a failure there is a short wait.
        await dialog.get_by_role("button", name="Go on").tap()
        await expect(page.locator(".sy-secret code")).to_contain_text("genba_")
        secret = await page.locator(".sy-secret code").inner_text()
        # The session has a new secret; the live line comes back with it, and nobody is sent away.
        await page.wait_for_timeout(12_000)
        assert page.url.endswith("/users")
        await expect(page.locator(".sh-lamp.up")).to_be_visible()
        with home.client() as script:
            headers = {"Authorization": f"Bearer {secret}"}
            assert script.get("/api/status", headers=headers).status_code == 200
        await page.get_by_role("button", name="Check that nothing was altered").tap()
        await expect(page.locator("body")).to_contain_text("none altered")


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_no_serious_fault(home: House, browser: Browser, theme: str) -> None:
    script = axe()
    async with opened(browser, home, theme=theme) as page:
        await page.goto(f"{home.url}/login")
        await page.wait_for_selector("form")
        assert await faults(page, script) == []
    async with opened(browser, home, "anna", theme=theme) as page:
        for path in ("/alarms", "/alarms?view=history", "/alarms/kpi", "/system", "/users"):
            await page.goto(f"{home.url}{path}")
            await page.wait_for_timeout(1500)
            assert await faults(page, script) == [], path
        await page.goto(f"{home.url}/alarms")
        await page.wait_for_timeout(500)
        await row(page, "oil").locator(".al-what").tap()
        await page.wait_for_timeout(500)
        assert await faults(page, script) == []
        await page.get_by_role("button", name="Shelve …").tap()
        await page.wait_for_timeout(300)
        assert await faults(page, script) == []

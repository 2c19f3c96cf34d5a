"""A login by a provider in a real browser: there, back, and once more for what matters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.api.provider import CLIENT, SECRET, Provider, provider
from tests.browser.house import House, chromium, house, opened
from tests.browser.test_alarms import FLOW

pytestmark = [pytest.mark.plant, pytest.mark.slow]
EVA = {"sub": "42", "preferred_username": "karin", "groups": ["it"]}


@pytest.fixture
def company() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.fixture
def home(tmp_path: Path, company: Provider) -> Iterator[House]:
    """A gateway that takes who the company proves."""
    with house(tmp_path, FLOW) as found:
        found.settle()
        redirect = f"{found.url}/api/openid/callback"
        settings: dict[str, Any] = {
            "issuer": company.issuer,
            "client_id": CLIENT,
            "client_secret": "company",
            "redirect": redirect,
            "label": "Plant login",
            "roles": {"it": "administrator"},
        }
        company.told(claims=EVA, redirect=redirect, asks=True)
        with found.logged_in("anna") as anna:
            secret = anna.put("/api/secrets/company", json={"value": SECRET})
            assert secret.status_code == 200, secret.text
            done = anna.put("/api/openid/settings", json=settings)
            assert done.status_code == 200, done.text
        yield found


async def through(page: Page, company: Provider) -> None:
    """At the provider: it asks, and the person says yes."""
    await page.wait_for_url(re.compile(re.escape(company.issuer)))
    await page.get_by_role("link", name="Let me in").click()


async def test_there_and_back(home: House, company: Provider) -> None:
    where = company.issuer.removesuffix("/plant")
    async with chromium() as browser, opened(browser, home, also=where) as page:
        await page.goto(f"{home.url}/trends")
        await page.get_by_role("button", name="Log in by Plant login").click()
        await through(page, company)
        await page.wait_for_url(f"{home.url}/trends")
        await expect(page.locator("body")).to_contain_text("karin")
        await page.goto(f"{home.url}/account")
        await expect(page.get_by_role("heading", name="Where you are logged in")).to_be_visible()
        await expect(page.get_by_role("heading", name="Change your password")).to_have_count(0)
        await again(page, home, company)


async def again(page: Page, home: House, company: Provider) -> None:
    """What matters is asked of the provider, when it does not say when that was last."""
    company.told(wrong="no_proof")
    await page.context.clear_cookies()
    await page.goto(f"{home.url}/users")
    await page.get_by_role("button", name="Log in by Plant login").click()
    await through(page, company)
    await page.wait_for_url(f"{home.url}/users")
    vic = page.locator("tr", has_text="New password").filter(has_text="vic")
    disable = vic.get_by_role("button", name="Disable")
    await disable.click()
    dialog = page.get_by_role("dialog", name="Log in again")
    company.told(wrong="")
    await dialog.get_by_role("button", name="Go on").click()
    await through(page, company)
    await page.wait_for_url(f"{home.url}/users")
    await disable.click()
    await expect(vic).to_contain_text("disabled")


async def test_a_provider_that_refuses_or_is_away(home: House, company: Provider) -> None:
    company.told(wrong="denied")
    where = company.issuer.removesuffix("/plant")
    async with chromium() as browser, opened(browser, home, also=where, locale="ja") as page:
        await page.goto(f"{home.url}/login")
        await page.get_by_role("button", name="Plant login でログイン").click()
        await through(page, company)
        await expect(page.get_by_role("alert")).to_contain_text("許可されませんでした")
    company.stop()
    async with chromium() as browser, opened(browser, home) as page:
        await page.goto(f"{home.url}/login?why=away")
        await expect(page.get_by_role("alert")).to_contain_text("does not answer just now")
        await page.fill("input[name=name]", "oli")
        await page.fill("input[name=password]", "four quiet brown horses")
        await page.get_by_role("button", name="Log in", exact=True).click()
        await page.wait_for_url(f"{home.url}/")


async def test_an_administrator_sets_it_up(tmp_path: Path, company: Provider) -> None:
    """Off at first; a wrong issuer is said in words; then the login page has the button."""
    with house(tmp_path, FLOW) as found:
        found.settle()
        async with chromium() as browser, opened(browser, found, "anna") as page:
            await page.goto(f"{found.url}/users")
            panel = page.locator(".sy-openid")
            await expect(panel).to_contain_text("off")
            await panel.locator("summary", has_text="Set it up").click()
            await panel.get_by_label("Issuer").fill(company.issuer + "/none")
            await panel.get_by_label("Client id").fill(CLIENT)
            await panel.get_by_label("Client secret").fill(SECRET)
            await panel.get_by_role("button", name="Test").click()
            await expect(panel.get_by_role("alert")).to_contain_text("Is the issuer right?")
            await expect(panel.get_by_label("Client secret")).to_have_value("")
            await panel.get_by_label("Issuer").fill(company.issuer)
            await panel.get_by_role("button", name="Test").click()
            await expect(panel.get_by_role("status")).to_contain_text("The provider answers")
            await panel.get_by_label("Group 1", exact=True).fill("it")
            await panel.get_by_label("Role of group 1").select_option("administrator")
            await panel.get_by_label("Text on the button").fill("Plant login")
            await panel.get_by_role("button", name="Save").click()
            await expect(panel.get_by_role("status")).to_contain_text("switched off")
            await panel.get_by_label("Let people log in by it").check()
            await panel.get_by_role("button", name="Save").click()
            await expect(panel.get_by_role("status")).to_contain_text("has the button")
            assert SECRET not in await page.content()
        async with chromium() as browser, opened(browser, found) as page:
            await page.goto(f"{found.url}/login")
            await expect(page.get_by_role("button", name="Plant login")).to_be_visible()

"""Backup, secrets and the certificate from the system page."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from gateway.engine import sealed_file
from tests.browser.house import House, chromium, house, opened
from tests.browser.test_alarms import FLOW

pytestmark = [pytest.mark.plant, pytest.mark.slow]
WORDS = "seven green lamps"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, FLOW) as found:
        found.settle()
        yield found


async def test_a_backup_and_a_secret(home: House, tmp_path: Path) -> None:
    async with chromium() as browser, opened(browser, home, "anna") as page:
        await page.goto(f"{home.url}/system")
        panel = page.locator("section", has=page.get_by_role("heading", name="Secrets"))
        await panel.get_by_label("Name of the secret").fill("broker")
        await panel.get_by_label("Its value").fill("canary-5c1")
        await panel.get_by_role("button", name="Set").click()
        await expect(panel.locator("tr")).to_contain_text("broker")
        await expect(panel.get_by_label("Its value")).to_have_value("")
        assert "canary-5c1" not in await page.content()
        await panel.get_by_role("button", name="Forget broker").click()
        await expect(panel).to_contain_text("No secret is set.")
        panel = page.locator("section", has=page.get_by_role("heading", name="Backup"))
        await panel.get_by_label("Passphrase, 12 characters or more").fill(WORDS)
        await panel.get_by_label("The passphrase again").fill(WORDS + "x")
        await panel.get_by_role("button", name="Make a backup").click()
        await expect(panel).to_contain_text("The two passphrases differ.")
        await panel.get_by_label("The passphrase again").fill(WORDS)
        async with page.expect_download() as waiting:
            await panel.get_by_role("button", name="Make a backup").click()
        file = tmp_path / "it.backup"
        await (await waiting.value).save_as(file)
    content = b"".join(sealed_file.unseal(io.BytesIO(file.read_bytes()), WORDS))
    assert b"SQLite format 3" in content


async def test_an_engineer_sees_names_only(home: House) -> None:
    async with chromium() as browser, opened(browser, home, "eva") as page:
        await page.goto(f"{home.url}/system")
        await expect(page.get_by_role("heading", name="Secrets")).to_be_visible()
        await expect(page.get_by_role("heading", name="Backup")).to_have_count(0)
        await expect(page.get_by_label("Its value")).to_have_count(0)

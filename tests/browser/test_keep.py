"""Backup, secrets and the certificate from the system page."""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from gateway.engine import sealed_file
from tests.browser.house import PASSWORD, House, chromium, house, opened
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
        panel = page.locator("section", has=page.get_by_role("heading", name="Backup", exact=True))
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


async def test_a_backup_takes_the_place_of_what_is_here(home: House, tmp_path: Path) -> None:
    """Made, then something is changed, then brought back: the change is gone, and it is said."""
    with home.logged_in("anna") as anna:
        made = anna.post("/api/backup", json={"passphrase": WORDS}).content
        later = {"name": "zoe", "password": "four quiet brown horses", "role": "viewer"}
        assert anna.post("/api/users", json=later).status_code == 201
    (tmp_path / "it.backup").write_bytes(made)
    async with chromium() as browser:
        # Not `opened`: while the gateway is away its pages say so, also on the console.
        page = await browser.new_page()
        await page.context.request.post(
            f"{home.url}/api/login", data={"name": "anna", "password": PASSWORD}
        )
        await page.goto(f"{home.url}/system")
        panel = page.locator("section", has=page.get_by_role("heading", name="Bring a backup back"))
        await panel.locator("input[type=file]").set_input_files(tmp_path / "it.backup")
        await panel.get_by_label("Passphrase of the backup").fill("not this one at all")
        await panel.get_by_role("button", name="Check it").click()
        await expect(panel.get_by_role("alert")).to_contain_text("passphrase is not")
        await panel.get_by_label("Passphrase of the backup").fill(WORDS)
        await panel.get_by_role("button", name="Check it").click()
        await expect(panel).to_contain_text("anna, eva, oli, vic")
        put = panel.get_by_role("button", name="Put it in place")
        await expect(put).to_be_disabled()
        await panel.get_by_label("To confirm, type the name").fill(socket.gethostname())
        await put.click()
        await expect(panel).to_contain_text("starts anew")
        await page.wait_for_url(re.compile("/login|/system$"), timeout=60_000)
        await expect(page.locator("body")).not_to_contain_text("starts anew", timeout=60_000)
    with home.logged_in("anna") as anna:
        assert "zoe" not in {row["name"] for row in anna.get("/api/users").json()}
        assert "restore/done" in {row["action"] for row in anna.get("/api/audit").json()}
        last = anna.get("/api/restore").json()["last"]
    assert (tmp_path / "state" / last["aside"] / "genba.db").exists()


async def test_updates_say_what_they_need(home: House) -> None:
    async with chromium() as browser, opened(browser, home, "anna") as page:
        await page.goto(f"{home.url}/system")
        panel = page.locator("section", has=page.get_by_role("heading", name="Updates"))
        await expect(panel).to_contain_text("does not run from a release")
        await expect(panel.locator("input")).to_have_count(0)

"""Trust in a browser: the certificate of a server, and the one of this gateway."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.house import House, chromium, opened, settled
from tests.browser.test_alarms import FLOW
from tests.nodes.opcua_plc import running
from tests.ui.authority import Authority

pytestmark = [pytest.mark.plant, pytest.mark.slow]
PRESS = """
flow: press
version: 1
connections:
  plc:
    type: opcua.connection
    url: "{url}"
    security: Basic256Sha256_SignAndEncrypt
nodes:
  read:
    type: opcua.source
    connection: plc
    tags: {{press/temp: "ns=2;s=Temp"}}
  log: {{type: log.sink}}
wires: [read -> log]
"""


async def test_a_new_server_is_trusted_after_its_fingerprint_was_compared(tmp_path: Path) -> None:
    async with (
        running(pki=tmp_path / "plc") as plc,
        settled(tmp_path, PRESS.format(url=plc.url)) as home,
        chromium() as browser,
    ):
        async with opened(browser, home, "oli") as page:
            await page.goto(f"{home.url}/connections")
            server = page.locator(".sy-cert", has_text="Certificate of the server")
            await expect(server).to_contain_text("not trusted", timeout=30_000)
            await expect(page.get_by_role("button", name="fingerprint")).to_have_count(0)
        async with opened(browser, home, "eva") as page:
            await decide(page, home, tmp_path)


async def decide(page: Page, home: House, tmp_path: Path) -> None:
    """Trust it, and trust it no more."""
    await page.goto(f"{home.url}/connections")
    card = page.locator("section.sy-link")
    server = card.locator(".sy-cert", has_text="Certificate of the server")
    await expect(card).to_contain_text("is not trusted", timeout=30_000)
    await expect(server).to_contain_text("urn:test:plc", timeout=30_000)
    await expect(server.locator(".g-bad").first).to_contain_text("not trusted")
    files = list((tmp_path / "state" / "pki" / "rejected").iterdir())
    assert len(files) == 1
    await server.get_by_role("button", name="I have compared the fingerprint").click()
    await expect(page.get_by_role("status")).to_contain_text("The certificate is trusted")
    await expect(card).to_contain_text("connected", timeout=60_000)
    await expect(card.locator("b.g-good")).to_be_visible(timeout=60_000)
    await server.get_by_role("button", name="Trust it no more").click()
    await expect(server).to_contain_text("not trusted")
    with home.logged_in("anna") as anna:
        rows = await asyncio.to_thread(lambda: anna.get("/api/audit?limit=50").json())
    said = [(r["actor"], r["action"]) for r in rows if r["action"].startswith("connection/")]
    assert said == [("user:eva", "connection/reject"), ("user:eva", "connection/trust")]


async def test_the_gateways_own_certificate_is_signed_by_the_plant(tmp_path: Path) -> None:
    authority = Authority()
    async with (
        settled(tmp_path, FLOW, scheme="https") as home,
        chromium() as browser,
        opened(browser, home, "anna") as page,
    ):
        await page.goto(f"{home.url}/system")
        panel = page.locator("section", has=page.get_by_role("heading", name="Have the cert"))
        await panel.get_by_role("button", name="Make a request").click()
        request = await panel.get_by_label("Signing request").input_value()
        assert request.startswith("-----BEGIN CERTIFICATE REQUEST-----")
        wrong, right = tmp_path / "wrong.pem", tmp_path / "right.pem"
        wrong.write_text(authority.other())
        right.write_text(authority.signed(request))
        await panel.locator("input[type=file]").set_input_files(wrong)
        await panel.get_by_role("button", name="Use it").click()
        await expect(panel.get_by_role("status")).to_contain_text("key")
        await panel.locator("input[type=file]").set_input_files(right)
        await panel.get_by_role("button", name="Use it").click()
        facts = page.locator("section", has=page.get_by_role("heading", name="This gateway"))
        await expect(facts).to_contain_text("signed by CN=Plant authority")
        port = int(home.url.rpartition(":")[2])
        for _ in range(100):
            pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
            if pem in right.read_text():
                break
            await asyncio.sleep(0.2)
        assert pem in right.read_text(), "the screens speak with it, without a restart"

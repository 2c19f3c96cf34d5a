"""The form of a node in a browser, over a real gateway and the plant's OPC UA server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Locator, Page, expect

from gateway.flow.document import Document
from gateway.flow.entries import Entry
from gateway.flow.spec import all_specs
from gateway.plant import child
from tests.browser.chrome import launched
from tests.plant.product import Product, free_port, until

PASSWORD = "correct horse battery"
CANARY = "canary-7f3a9"
FLOW = """flow: press
version: 1
nodes:
  wave: {type: simulate.source, tag: demo/oil/level, every_s: 0.2}
  wave2: {type: simulate.source, tag: demo/oil/heat, every_s: 0.2}
  out: {type: log.sink}
wires:
  - wave -> out
  - wave2 -> out
"""
pytestmark = [
    pytest.mark.plant,
    pytest.mark.slow,
]


@contextlib.asynccontextmanager
async def opcua_server(folder: Path) -> AsyncIterator[str]:
    """The plant, for its OPC UA server; gives the address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.plant", f"--dir={folder}", "--no-faults"),
        env=child.environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    manifest = folder / "manifest.json"
    try:

        async def answers() -> str:
            with contextlib.suppress(OSError, ValueError, KeyError):
                url = str(json.loads(manifest.read_text())["devices"]["opcua"]["endpoint"])
                port = int(re.findall(r":(\d+)", url)[-1])
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return url
            return ""

        yield await until(answers, "the plant's OPC UA server")
    finally:
        process.terminate()
        await process.wait()


class Site:
    """A gateway with screens, and a person logged in as its administrator.

    Args:
        page: Their browser, at no page yet.
        url: Of the screens.
        faults: What went wrong in the page.
        sent: What the page sent over WebSockets: what NiceGUI could see.
    """

    def __init__(self, page: Page, url: str, faults: list[str], sent: list[str]) -> None:
        self.page = page
        self.url = url
        self.faults = faults
        self.sent = sent

    async def open(self, flow: str) -> None:
        await self.page.goto(f"{self.url}/flows/{flow}")
        await self.page.wait_for_function("window.genbaEditor")
        await self.page.wait_for_timeout(500)

    async def op(self, **op: Any) -> None:
        """Do something as the canvas does."""
        await self.page.evaluate("(op) => window.genbaEditor.store.op(op)", op)

    async def add(self, kind: str, name: str, x: float) -> Locator:
        """A new node, which is selected by that; its form."""
        await self.op(op="add", type=kind, id=name, x=x, y=400)
        return await self.form(name)

    async def select(self, node: str) -> Locator:
        """The form of a node."""
        await self.page.wait_for_function("(n) => window.genbaEditor.store.view.nodes[n]", arg=node)
        await self.page.evaluate("(n) => window.genbaEditor.canvas.select([n])", node)
        return await self.form(node)

    async def form(self, node: str) -> Locator:
        found = self.page.locator(f'.fm[data-node="{node}"]')
        await expect(found).to_be_visible()
        return found

    async def text(self) -> str:
        """The flow file as it is edited."""
        answer = await self.page.evaluate("() => window.genbaEditor.store.ask('text')")
        return str(answer["text"])

    async def has(self, *parts: str) -> None:
        """Wait until all parts stand in the flow file."""

        async def there() -> bool:
            text = await self.text()
            return all(part in text for part in parts)

        await until(there, f"{parts} in the flow")


def field(form: Locator, name: str) -> Locator:
    return form.locator(f'[data-field="{name}"]')


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setenv("GENBA_TOKEN_FILE", str(tmp_path / "state" / "api.token"))
    flow = tmp_path / "press.flow.yaml"
    flow.write_text(FLOW, "utf-8")
    url = f"https://127.0.0.1:{free_port()}"
    words = ["--listen", url, "--accounts"]
    async with Product(tmp_path, [flow], options=words) as product, launched() as browser:
        context = await browser.new_context(
            viewport={"width": 1280, "height": 800}, ignore_https_errors=True
        )
        await logged_in(context, product, url)
        page = await context.new_page()
        faults: list[str] = []
        sent: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.on("websocket", lambda w: w.on("framesent", lambda data: sent.append(str(data))))
        yield Site(page, url, faults, sent)
        await browser.close()
        with contextlib.suppress(ProcessLookupError):
            await product.terminate()


async def logged_in(context: BrowserContext, product: Product, url: str) -> None:
    """The first administrator, with the code from the log."""
    ask = context.request
    headers = {"Origin": url}

    async def answers() -> bool:
        with contextlib.suppress(Exception):
            return (await ask.get(f"{url}/healthz")).ok
        return False

    await until(answers, "the screens")
    code = re.findall(r"30 minutes: ([A-Z0-9-]+)", product.said())[-1]
    body = {"code": code, "name": "anna", "password": PASSWORD}
    assert (await ask.post(f"{url}/api/claim", data=body, headers=headers)).status == 201
    login = {"name": "anna", "password": PASSWORD}
    assert (await ask.post(f"{url}/api/login", data=login, headers=headers)).ok


async def connect(site: Site, good: str) -> None:
    """A connection that does not answer, then one that does, then a secret for it."""
    page = site.page
    form = await site.select("opcua")
    await form.get_by_role("button", name="Open").click()
    form = await site.form("opcua1")
    await expect(field(form, "url")).to_contain_text("is missing")
    address = form.get_by_label("URL", exact=True)
    await address.fill("opc.tcp://127.0.0.1:1/none")  # It is tried as it stands there.
    await form.get_by_role("button", name="Test the connection").click()
    await expect(form.locator(".fm-verdict")).to_have_text("It does not work.", timeout=30_000)
    await expect(form.locator(".fm-steps")).to_contain_text("refuses the connection")
    await address.fill(good)
    await address.press("Enter")
    await expect(form.locator(".fm-verdict")).to_have_count(0)
    await form.get_by_role("button", name="Test the connection").click()
    await expect(form.locator(".fm-verdict")).to_have_text("It works.", timeout=30_000)
    await field(form, "password").locator("select").select_option(label="Set a new secret…")
    dialog = page.get_by_role("dialog", name="Set a new secret")
    await dialog.get_by_label("Name").fill("plc_password")
    await dialog.get_by_label("Secret", exact=True).fill(CANARY)
    await dialog.get_by_role("button", name="Set the secret").click()
    await expect(field(form, "password")).to_contain_text("is set")
    await site.has("password: {secret: plc_password}")
    known = await page.evaluate("() => fetch('/api/secrets').then((a) => a.json())")
    assert [row["name"] for row in known] == ["plc_password"]
    assert CANARY not in await site.text()
    assert not [frame for frame in site.sent if CANARY in frame], "it went past NiceGUI"
    await field(form, "password").get_by_role("button", name="Take it away").click()
    await form.get_by_role("button", name="opcua", exact=True).click()
    form = await site.form("opcua")
    await expect(form.get_by_label("URL of opcua1")).to_have_value(good)


async def browse(site: Site) -> None:
    """From the tree of the server to rows of the source."""
    page = site.page
    form = await site.form("opcua")
    await field(form, "tags").get_by_role("button", name="Browse…").click()
    dialog = page.get_by_role("dialog", name="Browse opcua1")
    for name in ("Plant", "Press1", "Oil"):
        await dialog.get_by_role("button", name=f"Open {name}", exact=True).click(timeout=30_000)
    await dialog.get_by_role("checkbox", name="Temperature").check(timeout=30_000)
    name = dialog.get_by_role("textbox", name="Tag for Temperature")
    await expect(name).to_have_value("plant/press1/oil/temperature")
    await dialog.get_by_role("button", name="Add 1 tag").click()
    await expect(dialog).to_be_hidden()
    await site.has("plant/press1/oil/temperature: ns=2;s=Press1.Oil.Temperature")


async def limits(site: Site) -> None:
    """A wrong limit is said at its field while it is typed; a tag is picked with the keyboard."""
    page = site.page
    form = await site.select("limit_alarm")
    high = form.get_by_role("spinbutton", name="Hi", exact=True)
    await high.fill("very hot")
    await expect(field(form, "hi")).to_contain_text("is not a number")
    assert "very hot" not in await site.text(), "what is being typed is no edit yet"
    await site.op(op="set", id="limit_alarm", fields={"lo": 12.5})
    await expect(form.get_by_role("spinbutton", name="Lo", exact=True)).to_have_value("12.5")
    await expect(high).to_have_value("very hot")
    await high.fill("75,5")
    await expect(field(form, "hi").locator(".fm-wrong")).to_have_count(0)
    await high.press("ArrowUp")
    await high.press("Enter")
    await site.has("hi: 75.6", "lo: 12.5")
    band = form.get_by_role("spinbutton", name="Deadband")
    await band.fill("-1")
    await expect(field(form, "deadband")).to_contain_text("must be at least 0")
    await band.press("Escape")
    await expect(field(form, "deadband").locator(".fm-wrong")).to_have_count(0)
    delay = form.get_by_role("spinbutton", name="On delay")
    await delay.fill("1h 30min")
    await delay.blur()
    await expect(delay).to_have_value("5400")
    tags = form.get_by_role("combobox", name="Tags")
    await tags.click()
    menu = page.get_by_role("listbox", name="Tags")
    await expect(menu).to_contain_text("plant/press1/oil/temperature")
    await expect(menu.locator(".fm-live").first).to_be_visible()
    await tags.press_sequentially("demo oil level")
    await tags.press("ArrowDown")
    await tags.press("Enter")
    await expect(tags).to_have_value("demo/oil/level")
    await site.has("tags: demo/oil/level", "on_delay_s: 5400")
    await field(form, "on_delay_s").get_by_role("button").click()
    await expect(delay).to_have_value("")
    await expect(delay).to_have_attribute("placeholder", "0")


async def test_a_temperature_over_opcua_from_an_empty_source_to_its_alarm(
    site: Site, tmp_path: Path
) -> None:
    async with opcua_server(tmp_path / "plant") as good:
        await site.open("press")
        await site.add("opcua.source", "opcua", 0)
        await site.add("alarm.limit", "limit_alarm", 300)
        await connect(site, good)
        await browse(site)
        wire = {"source_port": "out", "target": "limit_alarm", "target_port": "in"}
        await site.op(op="wire", source="opcua", **wire)
        await limits(site)
        await site.page.screenshot(path=tmp_path / "form.png")
    assert not site.faults, "\n".join(site.faults)


async def test_a_formula_shows_where_it_is_wrong_and_what_it_gives(site: Site) -> None:
    await site.open("press")
    form = await site.add("compute.expression", "celsius", 300)
    wire = {"source_port": "out", "target": "celsius", "target_port": "in"}
    await site.op(op="wire", source="wave", **wire)
    formula = form.get_by_role("textbox", name="Formula")
    await formula.press_sequentially("value * * 2")
    await expect(form.locator(".fm-behind mark")).to_have_text("*")
    await formula.fill("")
    await formula.press_sequentially("sq")
    await expect(form.get_by_role("option")).to_contain_text(["sqrt("])
    await formula.press("Enter")
    await formula.press_sequentially("abs(value)) * 0 + 42")
    await expect(form.locator(".fm-gives b")).to_have_text("42")
    await formula.press("Enter")
    await site.has("formula: sqrt(abs(value)) * 0 + 42")
    assert not site.faults, "\n".join(site.faults)


async def test_a_table_of_tags_goes_out_and_comes_back_with_errors_by_row(site: Site) -> None:
    await site.open("press")
    form = await site.add("modbus.source", "meter", 0)
    await field(form, "tags").get_by_role("button", name="CSV…").click()
    dialog = site.page.get_by_role("dialog", name="Tags as a table")
    table = dialog.get_by_role("textbox", name="Table")
    await table.fill("tag,address,type,unit\na/power,40001,float32,kW\na/bad,9z,int16,\n")
    await expect(dialog.get_by_role("row")).to_contain_text(["Row", "3"])
    await expect(dialog.get_by_role("button", name="Take over")).to_be_disabled()
    await table.fill("tag,address,type,unit\na/power,40001,float32,kW\na/good,40003,int16,\n")
    await expect(dialog).to_contain_text("2 new, 0 changed, 0 removed")
    await dialog.get_by_role("button", name="Take over").click()
    await site.has("a/power:", "a/good:")
    row = form.locator('[data-key="a/power"]')
    await row.get_by_role("button", name="a/power").first.click()
    unit = row.get_by_role("combobox", name="Unit")
    await unit.fill("MW")
    await unit.press("Enter")
    await site.has("MW")
    await form.get_by_role("button", name="Examples").click()
    await form.get_by_role("button", name="Insert these settings").click()
    await site.has("unit: 3", "press1/pump/on: coil:4", "connection: modbus1")
    assert "a/good" not in await site.text()
    await field(form, "connection").locator("select").select_option(label="New connection…")
    form = await site.form("modbus_2")
    await form.get_by_role("button", name="meter", exact=True).click()
    form = await site.form("meter")
    await expect(field(form, "connection").locator("select")).to_have_value("modbus_2")
    assert not site.faults, "\n".join(site.faults)


def everything() -> str:
    """A flow with every node type there is, once for each of its examples."""
    nodes, connections = {}, {}
    for spec in all_specs():
        for number, example in enumerate(spec.examples):
            name = f"{spec.name.replace('.', '_')}-{number}"
            part = connections if spec.kind == "connection" else nodes
            part[name] = Entry(spec.name, dict(example.config))
    return Document("all", connections=connections, nodes=nodes).text()


async def test_every_node_opens_and_going_through_it_changes_nothing(site: Site) -> None:
    page = site.page
    text = everything()
    body = {"text": text, "layout": {}, "base": None, "version": 0}
    put = await page.context.request.put(
        f"{site.url}/api/drafts/all", data=body, headers={"Origin": site.url}
    )
    assert put.ok, await put.text()
    await site.open("all")
    before = await site.text()
    names = await page.evaluate(
        "() => [...Object.keys(window.genbaEditor.store.view.nodes),"
        " ...Object.keys(window.genbaEditor.store.view.connections)]"
    )
    assert len(names) == sum(len(spec.examples) for spec in all_specs())
    for name in names:
        await page.evaluate(
            """(n) => { const { store, canvas } = window.genbaEditor;
            if (store.view.connections[n]) store.actions.showConnection(n);
            else canvas.select([n]); }""",
            name,
        )
        form = await site.form(name)
        assert await form.locator(".fm-field").count() >= 2, name
        await form.evaluate(
            """async (form) => {
            for (const more of form.querySelectorAll('details')) more.open = true;
            const closed = form.querySelectorAll('[aria-expanded="false"].fm-fold');
            for (const fold of closed) fold.click();
            await new Promise((done) => setTimeout(done, 30));
            for (const input of form.querySelectorAll('input, textarea, select')) {
              input.focus(); input.blur();
            } }"""
        )
        wrong = form.locator('.fm-field:not([data-field="connection"]) .fm-wrong')
        assert await wrong.all_inner_texts() == [], f"{name}: its example is right"
        assert not site.faults, f"{name}: {site.faults}"
    assert await site.text() == before
    assert await page.evaluate("() => window.genbaEditor.store.status.undo") == 0

"""WebSocket, model, console: three nodes wired in the editor, and the answers appear as rows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Locator, expect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.browser.chrome import launched as browser
from tests.browser.gear import Editor, Gateway, gateway, new_flow, page_of
from tests.nodes.llm_server import ModelServer, model_server

pytestmark = [pytest.mark.plant, pytest.mark.slow]
OWN = """\
flow: own
version: 1
nodes:
  tank: {type: simulate.source, tag: demo/tank/level, every_s: 5}
  out: {type: log.sink}
wires: [tank -> out]
"""
ANSWER = "vapour bubbles collapse at the blades and wear them down"


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server(lambda messages: f"{messages[-1]['content']}: {ANSWER}") as server:
        server.word_s = 0.25
        yield server


@pytest.fixture
async def at(tmp_path: Path, model: ModelServer) -> AsyncIterator[Gateway]:
    state = tmp_path / "state"
    state.mkdir()
    model.lend(state)
    async with gateway(tmp_path, OWN) as found:
        yield found
        assert "Traceback" not in found.product.said()


async def feed(socket: ServerConnection) -> None:
    """A message each second, as long as somebody listens."""
    try:
        for n in range(1_000):
            await socket.send(json.dumps({"id": n, "text": f"question {n}"}))
            await asyncio.sleep(1)
    except ConnectionClosed:
        pass


async def test_three_nodes_are_wired_and_answers_grow_in_the_console(
    at: Gateway, model: ModelServer, tmp_path: Path
) -> None:
    faults: list[str] = []
    async with serve(feed, "127.0.0.1", 0) as server, browser() as chromium:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        context = await chromium.new_context(viewport={"width": 1440, "height": 900})
        page = await page_of(context, faults)
        editor = await new_flow(page, at.url, "talk")
        await _build(editor, url)
        await page.screenshot(path=tmp_path / "built.png")
        await _deploy(editor)
        await page.goto(f"{at.url}/console")
        rows = page.locator('.co-lines li[data-where="talk/console_out"]')
        await expect(rows.first).to_be_visible(timeout=20_000)
        await _watch_one_grow(rows.last)
        await expect(rows.nth(1)).to_contain_text(f"question 1: {ANSWER}", timeout=30_000)
        await page.screenshot(path=tmp_path / "console.png")
    assert faults == []
    assert model.questions()[0] == "question 0"


async def _build(editor: Editor, url: str) -> None:
    """Three nodes, two wires, and what each must know."""
    await editor.drop("websocket.source", 120, 240)
    await expect(editor.node("websocket")).to_be_visible()
    await editor.set("URL", url)
    await editor.drop("llm.generate", 420, 240)
    await expect(editor.node("generate")).to_be_visible()
    await editor.set("Prompt", "{{ data.text }}")
    await editor.page.locator('.ed-form [aria-label="Chunks"]').check(force=True)
    await editor.drop("console.sink", 720, 240)
    await expect(editor.node("console_out")).to_be_visible()
    await editor.connect("websocket", "generate", "events", "in")
    await editor.connect("generate", "console_out", "chunks", "chunks")
    await expect(editor.wire("websocket.events>generate.in")).to_have_count(1)
    await expect(editor.wire("generate.chunks>console_out.chunks")).to_have_count(1)
    await editor.until_saved()


async def _deploy(editor: Editor) -> None:
    page = editor.page
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+d")
    dialog = page.locator("dialog.dlg")
    await dialog.get_by_role("button", name="Deploy", exact=True).click()
    await expect(dialog).to_contain_text("Revision 1 runs.", timeout=15_000)


async def _watch_one_grow(row: Locator) -> None:
    """The newest line gets longer in its place while the model writes."""
    handle = await row.element_handle()
    assert handle is not None
    lengths: list[int] = []
    for _ in range(100):
        lengths.append(len(await handle.inner_text()))
        if len(set(lengths)) >= 3:
            break
        await asyncio.sleep(0.1)
    assert lengths == sorted(lengths)
    assert len(set(lengths)) >= 3

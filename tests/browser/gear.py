"""A real gateway with its screens, and a real browser at it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import BrowserContext, Page, expect

from tests.browser.chrome import watch
from tests.plant.product import Product, free_port, until


class Gateway:
    """`genba run` with screens.

    Args:
        product: The process.
        url: Where its screens are.
    """

    def __init__(self, product: Product, url: str) -> None:
        self.product = product
        self.url = url


@contextlib.asynccontextmanager
async def gateway(folder: Path, flow: str) -> AsyncIterator[Gateway]:
    """A gateway that runs one flow, given as text."""
    file = folder / "own.flow.yaml"
    file.write_text(flow, "utf-8")
    port = free_port()
    listen = ["--listen", f"127.0.0.1:{port}"]
    environment = {"GENBA_LISTEN": f"127.0.0.1:{port}"}
    async with Product(folder, [file], options=listen, environment=environment) as product:
        url = f"http://127.0.0.1:{port}"

        async def answers() -> bool:
            async with httpx.AsyncClient(trust_env=False) as client:
                with contextlib.suppress(httpx.HTTPError):
                    return (await client.get(f"{url}/flows")).status_code == 200
            return False

        await until(answers, "the screens")
        yield Gateway(product, url)


async def page_of(context: BrowserContext, faults: list[str]) -> Page:
    """A page that notes every fault of its own code and every request to elsewhere."""
    return watch(await context.new_page(), faults)


class Editor:
    """One tab with the editor, as a person uses it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def open(self, url: str) -> None:
        await self.page.goto(url)
        await self.page.wait_for_function("window.genbaEditor")
        await expect(self.page.locator(".bar-deploy")).to_be_visible()
        await self.page.wait_for_timeout(600)  # The first view is fitted.

    def node(self, name: str) -> Any:
        return self.page.locator(f'.vue-flow__node[data-id="{name}"]')

    def wire(self, key: str) -> Any:
        return self.page.locator(f'.vue-flow__edge[data-id="{key}"]')

    async def port(self, node: str, port: str, kind: str) -> tuple[float, float]:
        handle = self.node(node).locator(f'.vue-flow__handle.{kind}[data-handleid="{port}"]')
        box = await handle.bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    async def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        mouse = self.page.mouse
        await mouse.move(*start)
        await mouse.down()
        await mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
        await mouse.move(*end, steps=4)

    async def connect(self, source: str, target: str, out: str = "out", into: str = "in") -> None:
        ends = await self.port(source, out, "source"), await self.port(target, into, "target")
        await self.drag(*ends)
        await self.page.mouse.up()

    async def drop(self, kind: str, x: float, y: float) -> None:
        await self.page.locator(f'.pal-node[data-type="{kind}"]').drag_to(
            self.page.locator(".ed-stage"), target_position={"x": x, "y": y}
        )

    async def set(self, label: str, value: str) -> None:
        field = self.page.locator(f'.ed-form [aria-label="{label}"]')
        await field.fill(value)
        await field.blur()

    async def wires(self) -> set[str]:
        found = await self.page.evaluate("Object.keys(window.genbaEditor.store.view.wires)")
        return set(found)

    async def nodes(self) -> set[str]:
        found = await self.page.evaluate("Object.keys(window.genbaEditor.store.view.nodes)")
        return set(found)

    async def until_saved(self) -> None:
        await self.page.wait_for_function("window.genbaEditor.store.saved.state === 'saved'")


async def new_flow(page: Page, url: str, name: str) -> Editor:
    """A flow that is made from the list."""
    await page.goto(f"{url}/flows")
    await page.get_by_role("button", name="New flow…").click()
    await page.get_by_label("Name").fill(name)
    await page.get_by_role("button", name="Make it").click()
    await page.wait_for_url(f"{url}/flows/{name}")
    editor = Editor(page)
    await page.wait_for_function("window.genbaEditor")
    await expect(page.locator(".ed-empty")).to_be_visible()
    await page.wait_for_timeout(500)
    return editor

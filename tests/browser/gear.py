"""A real gateway with its screens, and a real browser at it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from playwright.async_api import BrowserContext, Page

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
    page = await context.new_page()
    page.on("pageerror", lambda error: faults.append(f"{error}"))
    page.on(
        "console",
        lambda said: faults.append(said.text) if said.type == "error" else None,
    )
    page.on(
        "request",
        lambda asked: (
            faults.append(f"asked {asked.url}")
            if not asked.url.startswith(("http://127.0.0.1:", "data:", "blob:"))
            else None
        ),
    )
    return page

"""Chromium without a window: that of the system, else the one that Playwright installed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator, Sequence
from importlib.resources import files

import pytest
from playwright.async_api import Browser, Error, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OWN = ("http://127.0.0.1:", "https://127.0.0.1:", "data:", "blob:")
ARGUMENTS = ["--no-sandbox", "--disable-gpu"]


@contextlib.asynccontextmanager
async def launched(*arguments: str) -> AsyncIterator[Browser]:
    """A browser; the test is skipped where there is none."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    async with async_playwright() as playwright:
        try:
            browser = await playwright.chromium.launch(
                executable_path=path, args=[*ARGUMENTS, *arguments]
            )
        except Error as error:
            pytest.skip(f"There is no browser: sudo apt-get install chromium ({error}).")
        try:
            yield browser
        finally:
            await browser.close()


def watch(page: Page, faults: list[str], own: Sequence[str] = OWN) -> Page:
    """Note every fault of a page's own code and every request that leaves the gateway.

    Args:
        page: The page.
        faults: Where it is noted, as text.
        own: How addresses begin that it may ask.
    """
    page.on("pageerror", lambda error: faults.append(f"{error}"))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(tuple(own)) else faults.append(asked.url),
    )
    return page


def axe() -> str:
    """The accessibility checker, as a script for a page."""
    return (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")

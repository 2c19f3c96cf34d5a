"""Chromium without a window: that of the system, else the one that Playwright installed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from importlib.resources import files

import pytest
from playwright.async_api import Browser, Error, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
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


def axe() -> str:
    """The accessibility checker, as a script for a page."""
    return (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")

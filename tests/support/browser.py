"""The real headless Chromium of the machine, driven by Playwright; `.ci/run` installs it where it is Debian's."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Where it is; a test that needs it is skipped where there is none (`.ci/run` tries to install it)."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("there is no Chromium: `apt-get install chromium-headless-shell`, or set CHROMIUM to one")
    return found


@asynccontextmanager
async def a_browser() -> AsyncIterator[Browser]:
    """One browser process, ended with the test."""
    path = chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()

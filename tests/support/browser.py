"""Debian's Chromium without a window, driven by Playwright."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

from tests.support import debian


def chromium() -> str:
    """The browser's path. Where root has apt, Debian's package is installed; else the test is skipped."""
    return debian.command("chromium", "chromium")


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """One browser; each test opens a page of its own in it."""
    path = chromium()
    # Its sandbox refuses to work for root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()

"""Debian's Chromium without a window, driven by Playwright."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

PACKAGE = "chromium"


def chromium() -> str:
    """The browser's path. Where root has apt, Debian's package is installed; else the test is skipped."""
    found = shutil.which("chromium")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install()
        found = shutil.which("chromium")
    if found is None:
        pytest.skip(f"Debian's package {PACKAGE} is not installed")
    return found


def _install() -> None:
    for arguments in (("update",), ("install", "--yes", "--no-install-recommends", PACKAGE)):
        command = ["apt-get", "--quiet", *arguments]
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, env=environ, capture_output=True, timeout=600, check=False)


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

"""The page Try in a real browser: what a person draws, types and chooses, and what they read."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.support.drawings import BOOT, SHIRT, TROUSER, Outline, draw


def open_try(page: Page, model: str = "fashion") -> None:
    page.goto(f"/try?model={model}")
    page.wait_for_selector("#try[data-ready]")


@pytest.mark.parametrize(("outline", "label"), [(SHIRT, "Shirt"), (TROUSER, "Trouser"), (BOOT, "Ankle boot")])
def test_what_is_drawn_with_the_mouse_is_read(page: Page, outline: Outline, label: str) -> None:
    open_try(page)
    draw(page, outline)
    expect(page.locator("[data-answer='0'] .chosen")).to_have_text(label)
    expect(page.locator("#status")).to_contain_text(label)
    expect(page.locator("#steps")).to_contain_text("the closed outline filled")
    expect(page.locator("#steps")).to_contain_text("inverted")
    expect(page.locator("#saw")).to_have_attribute("width", "28")

"""Figures as a person draws them with the mouse: closed outlines on a drawing area of 280 x 280 points."""

from __future__ import annotations

from playwright.sync_api import Page

Outline = list[tuple[int, int]]


def _mirrored(right: Outline, top: tuple[int, int]) -> Outline:
    """A figure that is the same on both sides of its middle, from the top of the middle around to it."""
    middle = top[0]
    return [top, *right, *((2 * middle - x, y) for x, y in reversed(right)), top]


SHIRT = _mirrored([(155, 20), (217, 32), (266, 146), (239, 154), (195, 112), (221, 262)], (140, 26))
TROUSER = [(90, 20), (190, 20), (205, 260), (160, 260), (140, 110), (120, 260), (75, 260), (90, 20)]
BOOT = [(150, 40), (240, 40), (240, 230), (30, 230), (30, 190), (140, 140), (150, 40)]


def draw(page: Page, outline: Outline) -> None:
    """Draw it with the mouse, in one line."""
    canvas = page.locator("#canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    points = [(box["x"] + x, box["y"] + y) for x, y in outline]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=5)
    page.mouse.up()

"""Every page in a real browser: narrow and wide, dark and light, for the keyboard, for screen readers, without jumps.

ATELIER_PICTURES=docs writes the pictures of docs/observe.md.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.support.console import RunningConsole
from tests.support.drawings import SHIRT, draw

PAGES = {
    "try": "/try?model=fashion",
    "text": "/try?model=reviews",
    "table": "/try?model=customers",
    "json": "/try?model=toy",
    "models": "/models?model=fashion",
    "compare": "/models/compare?model=fashion&a=1&b=2",
    "live": "/live?model=fashion",
    "problem": "/models?model=absent",
}
PICTURES = os.environ.get("ATELIER_PICTURES")
DRIFT = {
    "model": {"name": "fashion", "version": 1},
    "at": "2026-11-30T16:00:00Z",
    "verdict": "changed",
    "sentence": "Changed: fashion version 1, window 2 of 2 (1,000 examples): the pictures are inverted.",
    "against": "reference",
    "windows": [{"whole": True, "accuracy": {"estimated": 0.61, "realised": None}}],
}
CONTRAST = (Path(__file__).parents[1] / "support" / "contrast.js").read_text(encoding="utf-8")
# Sums up how far the page's parts jump; also what follows somebody's input counts.
SHIFTS = """window.shifted = [];
new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.shifted.push(entry.value); })
  .observe({ type: "layout-shift", buffered: true });"""


@pytest.fixture(scope="module", autouse=True)
def drift(folder: Path) -> Iterator[None]:
    (folder / "reports").mkdir(exist_ok=True)
    (folder / "reports" / "drift.json").write_text(json.dumps(DRIFT))
    (folder / "reports" / "evaluation.html").write_text(
        "<!doctype html><style>b{color:red}</style><b>report</b>"
    )
    yield
    shutil.rmtree(folder / "reports")


def opened(page: Page, name: str) -> None:
    page.goto(PAGES[name])
    if name in ("try", "text", "table", "json", "live"):
        page.wait_for_selector("[data-ready]")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_readable(page: Page, name: str, scheme: str) -> None:
    """400 points wide nothing scrolls sideways; every text has a contrast of 4.5, every control a name and an outline
    of 3 (WCAG 2.2, 1.4.3, 1.4.11, 4.1.2).
    """
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": 400, "height": 800})
    opened(page, name)
    for details in page.locator("details").all():
        details.evaluate("element => { element.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_an_order_for_screen_readers(page: Page, name: str) -> None:
    opened(page, name)
    assert page.locator("h1").count() == 1
    assert page.locator("main").count() == page.locator("nav").count() == 1
    levels = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3')].map((head) => Number(head.tagName[1]))"
    )
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((item) => item.id)")
    assert len(ids) == len(set(ids))
    named = page.evaluate(
        "[...document.querySelectorAll('[aria-labelledby],[aria-describedby]')].flatMap((item) => "
        "['aria-labelledby', 'aria-describedby'].map((name) => item.getAttribute(name)).filter(Boolean))"
    )
    assert set(named) <= set(ids)
    assert page.evaluate("document.documentElement.lang") == "en"


@pytest.mark.parametrize("name", ["try", "models", "live"])
def test_every_control_is_reached_with_the_keyboard_and_shows_it(page: Page, name: str) -> None:
    opened(page, name)
    wanted = page.evaluate(
        "document.querySelectorAll('main :is(a[href], button:enabled, select, input:not([type=hidden]), textarea, "
        'summary, [tabindex="0"])\').length'
    )
    # Within a closed <details> nothing is reached, nor meant to be.
    wanted -= page.evaluate(
        "document.querySelectorAll('details:not([open]) > :not(summary), details:not([open]) > :not(summary) *')"
        ".length && [...document.querySelectorAll('details:not([open])')].flatMap((item) => [...item.querySelectorAll("
        "':is(a[href], button:enabled, select, input, textarea, [tabindex=\"0\"])')]).length"
    )
    seen = set()
    for _ in range(wanted + 10):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "() => { const item = document.activeElement; if (!item.closest('main')) return null;"
            "item.dataset.reached ??= String(Math.random());"
            "return [item.dataset.reached, getComputedStyle(item).outlineStyle]; }"
        )
        if found:
            seen.add(found[0])
            assert found[1] != "none"
    assert len(seen) == wanted


def test_nothing_jumps_while_answers_come(page: Page) -> None:
    page.add_init_script(SHIFTS)
    for name in ("models", "live", "try"):
        opened(page, name)
        page.wait_for_timeout(300)
        assert page.evaluate("window.shifted") == [], name
    draw(page, SHIRT)
    expect(page.locator("[data-answer='0'] .chosen")).to_have_text("Shirt")
    page.get_by_role("button", name="Trouser").click()
    expect(page.locator("[data-answer='0'] .chosen")).to_have_text("Trouser")
    page.get_by_role("button", name="Save with this label").click()
    expect(page.locator("#feedback-status")).to_contain_text("Saved")
    assert page.evaluate("window.shifted") == []


def test_a_model_is_chosen_and_two_versions_are_compared(page: Page) -> None:
    page.goto("/models")
    page.get_by_label("Model", exact=True).select_option("fashion")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("h1")).to_have_text("Versions of fashion")
    first = page.locator("#versions-title + form tbody tr").last
    expect(first).to_contain_text("stable")
    expect(first).to_contain_text("AVAILABLE")
    expect(page.locator("#version-1 svg").first).to_have_attribute("role", "img")
    page.get_by_role("button", name="Side by side").click()
    expect(page.locator("h1")).to_have_text("fashion: version 1 beside version 2")
    row = page.locator("tbody tr", has_text="accuracy").first
    assert row.inner_text().count("[") >= 2


def test_a_report_is_shown_with_its_style_and_can_do_nothing(page: Page) -> None:
    page.goto("/models?model=fashion")
    with page.expect_response("**/reports/evaluation.html") as answered:
        page.get_by_role("link", name="evaluation.html").click()
    policy = answered.value.headers["content-security-policy"]
    assert policy.startswith("sandbox;")
    assert "script" not in policy.replace("default-src 'none'", "")
    assert page.evaluate("getComputedStyle(document.querySelector('b')).color") == "rgb(255, 0, 0)"


def test_live_shows_what_is_asked_and_what_drift_found(page: Page, console: RunningConsole) -> None:
    opened(page, "live")
    for _ in range(20):
        console.ask({"kind": "example", "number": 0})
    expect(page.locator("[data-tile='rate'] .now")).to_contain_text("version 1", timeout=15_000)
    for key in ("p50", "p99"):
        expect(page.locator(f"[data-tile='{key}'] .now")).to_contain_text("ms", timeout=15_000)
    expect(page.locator("[data-tile='memory'] .now")).to_contain_text("MB")
    expect(page.locator("#drift-title ~ p").first).to_contain_text("the pictures are inverted")
    expect(page.locator("main")).to_contain_text("61.0")
    expect(page.locator("main")).to_contain_text("Prometheus")


def test_pictures_for_the_documents(browser: Browser, console: RunningConsole, tmp_path: Path) -> None:
    folder = Path(PICTURES or tmp_path)
    context = browser.new_context(base_url=console.url, viewport={"width": 1120, "height": 800})
    page = context.new_page()
    opened(page, "try")
    draw(page, SHIRT)
    expect(page.locator("[data-answer='0'] .chosen")).to_have_text("Shirt")
    page.wait_for_timeout(300)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=folder / "console-try.png")
    opened(page, "models")
    page.screenshot(path=folder / "console-models.png")
    opened(page, "live")
    # The lines of a picture to keep need some seconds.
    for _ in range(30 if PICTURES else 2):
        console.ask({"kind": "example", "number": 0})
        page.wait_for_timeout(400)
    page.screenshot(path=folder / "console-live.png")
    for name in ("try", "models", "live"):
        with Image.open(folder / f"console-{name}.png") as picture:
            assert picture.size == (1120, 800)
            # A page that was not drawn has few colours.
            assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 20
    context.close()

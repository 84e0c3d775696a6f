"""The page Try in a real browser: what a person draws, types and chooses, and what they read."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.support.console import RunningConsole
from tests.support.drawings import BOOT, SHIRT, TROUSER, Outline, draw

CHOSEN = "[data-answer='0'] .chosen"


def open_try(page: Page, model: str = "fashion") -> None:
    page.goto(f"/try?model={model}")
    page.wait_for_selector("#try[data-ready]")


@pytest.mark.parametrize(("outline", "label"), [(SHIRT, "Shirt"), (TROUSER, "Trouser"), (BOOT, "Ankle boot")])
def test_what_is_drawn_with_the_mouse_is_read(page: Page, outline: Outline, label: str) -> None:
    open_try(page)
    draw(page, outline)
    expect(page.locator(CHOSEN)).to_have_text(label)
    expect(page.locator("#status")).to_contain_text(label)
    expect(page.locator("#steps")).to_contain_text("the closed outline filled")
    expect(page.locator("#steps")).to_contain_text("inverted")
    expect(page.locator("#saw")).to_have_attribute("width", "28")


def test_bars_change_while_somebody_draws(page: Page) -> None:
    """The first half of a figure is answered before the mouse button is let go."""
    open_try(page)
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 60, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 240, steps=4)
    expect(page.locator(CHOSEN)).not_to_have_text("–")
    before = page.locator("[data-answer='0'] .bar-value").all_inner_texts()
    page.mouse.move(box["x"] + 240, box["y"] + 240, steps=4)
    page.mouse.move(box["x"] + 240, box["y"] + 200, steps=4)
    expect(page.locator("[data-answer='0'] .bar-value").first).not_to_have_text(before[0])
    page.mouse.up()


def test_the_canary_stands_beside_stable_with_the_difference(page: Page) -> None:
    open_try(page)
    page.get_by_role("button", name="Ankle boot").click()
    expect(page.locator("[data-answer='0'] .which")).to_have_text("version 1")
    expect(page.locator("[data-answer='1'] .which")).to_have_text("version 2")
    expect(page.locator("#difference")).to_contain_text("points")
    expect(page.locator("#status")).to_contain_text("Its label among the test examples: Ankle boot")
    expect(page.locator(".took").first).to_contain_text("ms")


def test_a_figure_is_drawn_and_asked_with_the_keyboard_alone(page: Page) -> None:
    open_try(page)
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "canvas":
            break
    assert page.evaluate("document.activeElement.id") == "canvas"
    page.keyboard.press("Space")
    expect(page.locator("#status")).to_contain_text("The pen is down")
    for key, times in (
        ("ArrowUp", 8),
        ("ArrowRight", 6),
        ("ArrowDown", 16),
        ("ArrowLeft", 12),
        ("ArrowUp", 16),
    ):
        for _ in range(times):
            page.keyboard.press(key)
    expect(page.locator(CHOSEN)).not_to_have_text("–")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Save with this label":
            break
    page.keyboard.press("Enter")
    expect(page.locator("#feedback-status")).to_contain_text("Saved as T-shirt/top")


def test_a_picture_is_dropped_chosen_and_pasted(page: Page, tmp_path: Path, folder: Path) -> None:
    """A photo of a boot on grey paper: dark on light, small, off the centre."""
    picture = tmp_path / "boot.png"
    pixels = np.full([300, 400], 205, np.uint8)
    boot = Image.new("L", (400, 300), 205)
    from PIL import ImageDraw

    ImageDraw.Draw(boot).polygon([(40 + x // 2, 60 + y // 2) for x, y in BOOT], fill=40)
    assert pixels.shape == (boot.height, boot.width)
    boot.save(picture)
    open_try(page)
    page.locator("#file").set_input_files(picture)
    expect(page.locator(CHOSEN)).to_have_text("Ankle boot")
    expect(page.locator("#steps")).to_contain_text("the background made even")
    page.locator("#clear").click()
    for event, name in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        page.evaluate(
            """([event, name, bytes]) => {
                const file = new File([Uint8Array.from(bytes)], "boot.png", { type: "image/png" });
                const transfer = new DataTransfer();
                transfer.items.add(file);
                const made = event === "drop"
                    ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
                    : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true });
                document.getElementById("canvas").dispatchEvent(made);
            }""",
            [event, name, list(picture.read_bytes())],
        )
        expect(page.locator(CHOSEN)).to_have_text("Ankle boot")
        page.locator("#clear").click()


def test_a_file_that_is_no_picture_or_too_large_is_named(page: Page, tmp_path: Path) -> None:
    open_try(page)
    wrong, large = tmp_path / "notes.png", tmp_path / "large.png"
    wrong.write_text("no picture")
    large.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(9 << 20))
    page.locator("#file").set_input_files(wrong)
    expect(page.locator("#status")).to_contain_text("This is no picture")
    page.locator("#file").set_input_files(large)
    expect(page.locator("#status")).to_contain_text("a picture may have 8 MB")


def test_a_text_is_answered_while_it_is_typed(page: Page) -> None:
    open_try(page, "reviews")
    page.locator("#text").press_sequentially("lovely lovely film")
    expect(page.locator(CHOSEN)).not_to_have_text("–")
    expect(page.locator("[data-answer='1'] .chosen")).to_have_text("No canary")


def test_a_form_has_the_columns_of_the_card(page: Page) -> None:
    open_try(page, "customers")
    assert page.locator("#form label").all_inner_texts() == ["age", "city"]
    page.get_by_label("age", exact=True).fill("thirty")
    page.get_by_label("city", exact=True).fill("Rome")
    expect(page.locator("#status")).to_contain_text("expected a number, got 'thirty'")
    page.get_by_label("age", exact=True).fill("30")
    expect(page.locator(CHOSEN)).not_to_have_text("–")


def test_a_model_of_no_known_kind_takes_json(page: Page) -> None:
    open_try(page, "toy")
    assert page.locator("#canvas").count() == page.locator("#form").count() == 0
    page.get_by_label("Inputs as JSON").fill('{"x": [1, 2.5]}')
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#outputs")).to_contain_text("5.0")
    page.get_by_label("Signature", exact=True).select_option("echo")
    page.get_by_label("Inputs as JSON").fill('{"text": ["a"], "number": [1')
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#status")).to_contain_text("The JSON cannot be read")


@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("fashion", {"kind": "example", "number": 0}),
        ("reviews", {"kind": "text", "text": 'a "lovely" film, isn\'t it'}),
        ("customers", {"kind": "row", "values": {"age": "", "city": "Rome"}}),
        ("toy", {"kind": "json", "text": '{"x": [1.25, 2.75]}'}),
    ],
)
def test_each_line_sends_the_same_request(
    console: RunningConsole, tmp_path: Path, model: str, given: dict[str, object]
) -> None:
    """What the page gives for a terminal is run in one, and gives the answer that the page shows."""
    status, found = console.ask(given, model)
    assert status == 200, found
    wanted = json.loads(found["answers"][0]["outputs"])
    wanted = wanted if isinstance(wanted, list) else [wanted]
    if found["saw"]:
        import base64

        seen = np.frombuffer(base64.b64decode(found["saw"]["bytes"]), np.uint8).reshape(28, 28)
        Image.fromarray(seen).save(tmp_path / "seen.png")
    environ = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONWARNINGS": "error"}
    (tmp_path / "request.py").write_text(found["lines"]["python"])
    for line in (found["lines"]["curl"], f"{found['lines']['client']} --json", "python request.py"):
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.split(line)[0]}: {done.stderr}"
        for row in wanted:
            label = row.get("label")
            assert (label if label is not None else str(row["y"])) in done.stdout

"""A figure is the same to the model wherever and however it was drawn."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from atelier_client import Client, TensorInfo
from atelier_client._layout import Layout
from atelier_client._model_card import read_card, read_golden
from atelier_client.data import image_file
from atelier_client.evaluation.test_split import open_test_split
from atelier_console.inputs.figure import picture_for
from atelier_console.inputs.outline import filled
from atelier_console.inputs.reference import Reference
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from tests.support.drawings import BOOT
from tests.support.server import RunningServer

SOLID = Reference(dark=True, extent=1.0, solid=True)
DIGITS = Reference(dark=True, extent=20 / 28, solid=False)
INFO = TensorInfo("images", "uint8", (-1, 28, 28))
LAYOUT = Layout("image", (28, 28))


def drawn(width: int, height: int, left: int, top: int, scale: float, ink: int, paper: int) -> bytes:
    """A filled boot on plain paper, as a PNG."""
    image = Image.new("L", (width, height), paper)
    ImageDraw.Draw(image).polygon([(left + x * scale, top + y * scale) for x, y in BOOT], fill=ink)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def seen(data: bytes, reference: Reference = SOLID, fill: bool | None = None) -> np.ndarray:
    return picture_for(data, INFO, LAYOUT, reference, fill, "it").pixels


def difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """The mean difference of the points. By rounding a figure may be a point larger, and stand a point aside."""
    aside = [np.roll(found, steps, axis=(0, 1)) for steps in itertools.product((-1, 0, 1), repeat=2)]
    return float(min(abs(moved - wanted).mean() for moved in aside))


@settings(max_examples=25, deadline=None)
@given(
    left=st.integers(-20, 300),
    top=st.integers(-30, 250),
    scale=st.floats(0.5, 1.5),
    shades=st.sampled_from([(0, 255), (255, 0), (60, 200), (180, 30)]),
)
def test_place_size_and_shades_do_not_matter(
    left: int, top: int, scale: float, shades: tuple[int, int]
) -> None:
    wanted = seen(drawn(280, 280, 0, 0, 1.0, 0, 255)).astype(int)
    found = seen(drawn(720, 690, left, top, scale, *shades)).astype(int)
    assert difference(found, wanted) < 24


def test_another_figure_is_told_apart() -> None:
    """The bound above is far from what another figure has."""
    image = Image.new("L", (280, 280), 255)
    ImageDraw.Draw(image).ellipse([40, 60, 240, 220], fill=0)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    wanted = seen(drawn(280, 280, 0, 0, 1.0, 0, 255)).astype(int)
    assert difference(seen(buffer.getvalue()).astype(int), wanted) > 60


def test_the_figure_takes_as_much_of_the_picture_as_the_known_ones() -> None:
    for reference, size in ((SOLID, 28), (DIGITS, 20)):
        ink = seen(drawn(280, 280, 0, 0, 1.0, 0, 255), reference) > 32
        rows, columns = ink.any(axis=1).sum(), ink.any(axis=0).sum()
        assert max(rows, columns) == size
        assert ink[14].any()


def test_what_the_model_saw_is_not_changed_when_it_is_given_again() -> None:
    """The picture that the page saves, sent once more."""
    first = seen(drawn(280, 280, 30, 10, 0.7, 20, 230))
    buffer = io.BytesIO()
    Image.fromarray(first).save(buffer, "PNG")
    assert (seen(buffer.getvalue()) == first).all()


def test_a_picture_without_a_plain_background_is_not_cropped() -> None:
    noise = np.random.default_rng(1).integers(0, 256, [60, 80], np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    picture = picture_for(buffer.getvalue(), INFO, LAYOUT, SOLID, None, "it")
    assert "not cropped: its background is not plain" in picture.steps


def test_photos_are_read_almost_as_well_as_the_images_themselves(folder: Path, server: RunningServer) -> None:
    """300 test images, dark on grey paper, somewhere and of some size. Only scaled, they are read by chance."""
    version = folder / "models" / "fashion" / "1"
    card, golden = read_card(version), read_golden(version)
    assert card is not None
    assert golden is not None
    table = next(iter(open_test_split(folder / "data", card).tables(300)))
    images = next(column for column in table.values() if column.ndim == 3)
    labels = next(column for column in table.values() if column.ndim == 1)
    random = np.random.default_rng(0)
    photos = [photographed(image, random) for image in images]
    reference = Reference.of(golden.inputs)
    prepared = np.stack([seen(photo, reference) for photo in photos])
    scaled = np.stack([image_file.for_input(photo, INFO, LAYOUT, "it").pixels for photo in photos])
    with Client(server.grpc, "fashion") as client:
        right = [
            float((client.predict(pixels, version=1)["class_id"] == labels).mean())
            for pixels in (images, prepared, scaled)
        ]
    assert right[1] > right[0] - 0.06
    assert right[2] < 0.3


def photographed(image: np.ndarray, random: np.random.Generator) -> bytes:
    """A light figure on black, uint8 [28,28], as a dark one somewhere on a larger sheet of light paper, as a PNG."""
    size, paper = int(random.integers(84, 200)), int(random.integers(200, 256))
    height, width = random.integers(220, 420, 2).tolist()
    top, left = int(random.integers(0, height - size + 1)), int(random.integers(0, width - size + 1))
    large = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
    sheet = np.full([height, width], paper, np.uint8)
    sheet[top : top + size, left : left + size] = paper * (1 - large / 255)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG")
    return buffer.getvalue()


def test_outlines_are_filled_where_figures_are_solid_or_when_asked() -> None:
    image = Image.new("L", (280, 280), 255)
    ImageDraw.Draw(image).rectangle([60, 60, 220, 220], outline=0, width=14)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    data = buffer.getvalue()
    middle = (slice(12, 16), slice(12, 16))
    assert seen(data)[middle].min() > 200
    assert seen(data, fill=False)[middle].max() < 50
    assert seen(data, DIGITS)[middle].max() < 50
    assert seen(data, DIGITS, fill=True)[middle].min() > 200


@given(st.integers(0, 2**30 - 1))
def test_filling_reaches_what_a_walk_from_the_border_does_not(bits: int) -> None:
    ink = np.array([bits >> place & 1 for place in range(30)], bool).reshape(5, 6)
    free = np.pad(~ink, 1, constant_values=True)
    todo, reached = [(0, 0)], {(0, 0)}
    while todo:
        row, column = todo.pop()
        for next_one in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            inside = 0 <= next_one[0] < 7 and 0 <= next_one[1] < 8
            if inside and free[next_one] and next_one not in reached:
                reached.add(next_one)
                todo.append(next_one)
    wanted = np.array([[(row + 1, column + 1) not in reached for column in range(6)] for row in range(5)])
    assert (filled(ink) == wanted).all()


@pytest.mark.parametrize(("dark", "shade"), [(True, 0), (False, 255)])
def test_the_reference_is_measured_on_the_golden_examples(dark: bool, shade: int) -> None:
    images = np.full([6, 20, 30], shade, np.uint8)
    images[:, 5:15, 10:20] = 255 - shade
    assert Reference.of({"images": images}) == Reference(dark, 0.5, True)
    assert Reference.of({"text": np.array([b"a"])}) == Reference()
    assert Reference.of({"images": np.zeros([2, 8, 8, 3], np.uint8)}) == Reference()


def test_colour_pictures_are_left_to_the_clients_library(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20), (200, 10, 10)).save(buffer, "PNG")
    info = TensorInfo("images", "uint8", (-1, 16, 16, 3))
    picture = picture_for(buffer.getvalue(), info, Layout("image", (16, 16, 3)), Reference(), None, "it")
    assert picture.pixels.shape == (16, 16, 3)

"""A drawn or photographed figure as the model knows them: even background, cropped, filled, centred, scaled.

A classifier of small gray pictures knows its figures in one place, in one size, light on dark or dark on light. Digits
that are drawn, and photos, are none of that, and fail without it (docs/observe.md has the numbers).
"""

from __future__ import annotations

import io
import threading
from typing import Any

import numpy as np
from atelier_client._layout import Layout
from atelier_client.data import image_file
from atelier_client.data.image_file import Picture
from atelier_client.signature import TensorInfo
from numpy.typing import NDArray
from PIL import Image

from atelier_console.inputs.outline import filled
from atelier_console.inputs.reference import INK, Reference, box_of
from atelier_console.problems import Problem
from atelier_console.texts import say

# A telephone's photo has 12 million; a decompression bomb is told by its header, before it is decoded.
MOST_PIXELS = 25_000_000
# Outlines are found at this size; that of the models is a tenth of it.
_WORKING = 256
# A figure with a larger share of it enclosed and empty is an outline; a bag's handle encloses less.
_OUTLINE = 0.25
# With more of its border unlike the rest of it, a picture has no plain background.
_PLAIN = 0.25
_FAINT = 200
# One picture is decoded at a time: a hundred megabytes for one are enough.
_decoding = threading.Lock()


def picture_for(
    data: bytes, info: TensorInfo, layout: Layout, reference: Reference, fill: bool | None, name: str
) -> Picture:
    """PNG or JPEG bytes as the model's input takes a picture, uint8, and what was done to it, in words.

    `fill` says whether closed outlines are filled; None fills them where the model knows solid figures. Raises
    `Problem` for a picture that shows nothing or is too large, and `DataError` for bytes that are no picture.
    """
    _check_size(data)
    size = _size(info, layout)
    with _decoding:
        if reference.dark is None or size is None:
            return image_file.for_input(data, info, layout, name)
        gray = image_file.decode(data, (-1, -1), name, reference.dark)
        pixels, steps = gray.pixels, list(gray.steps)
        if pixels.shape == size:
            if pixels.min() == pixels.max():
                raise Problem(say("nothing_drawn", width=size[1], height=size[0]))
            steps.append(say("step_as_is", height=size[0], width=size[1]))
        else:
            pixels, more = _like_the_known(pixels, size, reference, fill)
            steps += more
        exact = io.BytesIO()
        Image.fromarray(pixels).save(exact, "PNG")
        fitted = image_file.for_input(exact.getvalue(), info, layout, name)
    return Picture(fitted.pixels, (*steps, *fitted.steps))


def _check_size(data: bytes) -> None:
    """Raises `Problem` for more points than the console decodes; what is no picture is found later."""
    if not image_file.is_image(data):
        raise Problem(say("no_picture"))
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as opened:
            width, height = opened.size
    except Image.DecompressionBombError:
        raise Problem(say("bomb", most=MOST_PIXELS // 1_000_000)) from None
    except (OSError, SyntaxError, ValueError):
        return
    if width * height > MOST_PIXELS:
        raise Problem(say("too_many_points", width=width, height=height, most=MOST_PIXELS // 1_000_000))


def _size(info: TensorInfo, layout: Layout) -> tuple[int, int] | None:
    """Height and width of a gray picture that the input takes; None for colour, and where a size is free."""
    shape = layout.shape or (info.shape or ())[1:]
    if len(shape) == 3 and shape[2] == 1:
        shape = shape[:2]
    return (shape[0], shape[1]) if len(shape) == 2 and min(shape) > 0 else None


def _like_the_known(
    pixels: NDArray[Any], size: tuple[int, int], reference: Reference, fill: bool | None
) -> tuple[NDArray[Any], list[str]]:
    """uint8 [H,W] of any size as a picture of `size`, with the steps."""
    dark = bool(reference.dark)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).astype(int)
    background = int(np.median(border))
    if float((abs(border - background) > INK).mean()) > _PLAIN:
        # The client's library pads and resizes it, and says so.
        return pixels, [say("step_not_plain")]
    steps = []
    # From here on the figure is light on 0, however the model knows it; it is turned round at the end.
    level = pixels.astype(np.int16) - background if dark else background - pixels.astype(np.int16)
    figure = np.clip(level, 0, 255).astype(np.uint8)
    if background != (0 if dark else 255):
        steps.append(say("step_even"))
    top = int(np.percentile(figure[figure > INK], 95)) if (figure > INK).any() else 0
    if not top:
        raise Problem(say("nothing_drawn", width=pixels.shape[1], height=pixels.shape[0]))
    if top < _FAINT:
        figure = np.clip(figure.astype(np.float32) * (255 / top), 0, 255).astype(np.uint8)
        steps.append(say("step_contrast"))
    box = box_of(figure > INK)
    assert box is not None
    first, last, left, right = box
    figure = figure[first:last, left:right]
    steps.append(
        say("step_crop", wide=right - left, high=last - first, width=pixels.shape[1], height=pixels.shape[0])
    )
    figure = _filled(_smaller(figure), reference, fill, steps)
    placed = _centred(figure, size, reference.extent)
    steps.append(say("step_scale", width=size[1], height=size[0], percent=round(100 * reference.extent)))
    return (placed if dark else 255 - placed), steps


def _filled(figure: NDArray[Any], reference: Reference, fill: bool | None, steps: list[str]) -> NDArray[Any]:
    """The figure with its closed outlines filled, when that is wanted."""
    ink = figure > INK
    if fill is False or (fill is None and not reference.solid):
        return figure
    solid = filled(ink)
    hollow = (solid & ~ink).sum() / solid.sum()
    if not hollow or (fill is None and hollow < _OUTLINE):
        return figure
    steps.append(say("step_fill"))
    return np.where(solid & ~ink, np.uint8(np.median(figure[ink])), figure)


def _smaller(figure: NDArray[Any]) -> NDArray[Any]:
    longest = max(figure.shape)
    if longest <= _WORKING:
        return figure
    height, width = (max(1, round(side * _WORKING / longest)) for side in figure.shape)
    return np.asarray(Image.fromarray(figure).resize((width, height), Image.Resampling.BOX))


def _centred(figure: NDArray[Any], size: tuple[int, int], extent: float) -> NDArray[Any]:
    """The figure uint8 [h,w] in the middle of a black picture of `size`, as large as fits into `extent` of it."""
    height, width = figure.shape
    scale = min(extent * size[0] / height, extent * size[1] / width)
    high, wide = (
        max(1, min(limit, round(side * scale))) for side, limit in zip((height, width), size, strict=True)
    )
    small = np.asarray(Image.fromarray(figure).resize((wide, high), Image.Resampling.LANCZOS))
    placed = np.zeros(size, np.uint8)
    first, left = (size[0] - high) // 2, (size[1] - wide) // 2
    placed[first : first + high, left : left + wide] = small
    return placed

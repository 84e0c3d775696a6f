"""How a page shows an example: as a picture when it is one, else as text."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atelier_client.data.image_file import dark_background

LONGEST_TEXT = 400
_VALUES = 12
# A larger picture is thinned to every n-th pixel, so that the page stays small.
_PIXELS = 128


def shown(inputs: Mapping[str, Any]) -> dict[str, str | None]:
    """`picture`, a data URI, or `text`; the other is None. `inputs` are the example's row of each input."""
    parts = []
    for name, value in inputs.items():
        if isinstance(value, (bytes, str)):
            parts.append(_value(value))
            continue
        array = np.asarray(value)
        picture = _pixels(array)
        if picture is not None:
            return {"picture": data_uri(picture), "text": None}
        values = ", ".join(_value(item) for item in array.ravel()[:_VALUES].tolist())
        parts.append(f"{name}: {values}" + (", …" if array.size > _VALUES else ""))
    return {"picture": None, "text": "; ".join(parts)}


def _value(item: Any) -> str:
    """A text, cut where it is long, a number with four digits, or a truth value."""
    if isinstance(item, (bytes, str)):
        text = item.decode(errors="replace") if isinstance(item, bytes) else item
        return text[:LONGEST_TEXT] + (" …" if len(text) > LONGEST_TEXT else "")
    return str(item) if isinstance(item, bool) else f"{item:.4g}"


def data_uri(pixels: NDArray[Any]) -> str:
    """uint8 [height, width] or [height, width, 1|3|4] as a PNG in a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).save(
        buffer, "PNG"
    )
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _pixels(array: NDArray[Any]) -> NDArray[Any] | None:
    """The array as uint8 pixels when it looks like a picture, else None."""
    if (
        array.ndim not in (2, 3)
        or (array.ndim == 3 and array.shape[2] not in (1, 3, 4))
        or min(array.shape[:2]) < 2
    ):
        return None
    if array.dtype.kind == "f":
        # `not` also holds for NaN.
        if not (array.min() >= 0 and array.max() <= 255):
            return None
        array = (array * (255 if array.max() <= 1 else 1)).astype(np.uint8)
    elif array.dtype != np.uint8:
        return None
    step = math.ceil(max(array.shape[:2]) / _PIXELS)
    array = array[::step, ::step]
    # The page has a light background, so the drawing must be dark.
    gray = array.ndim == 2 or array.shape[2] == 1
    return 255 - array if gray and dark_background(array[None]) else array

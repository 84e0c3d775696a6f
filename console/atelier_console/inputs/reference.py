"""What the pictures look like that a version knows, measured on its golden examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from atelier_client.data.image_file import dark_background
from numpy.typing import NDArray

# Darker or lighter than the background by so much is a part of the figure (of 255).
INK = 32
# The figures of outlines alone cover less of the box around them, those of solid things more.
_SOLID = 0.5


@dataclass(frozen=True)
class Reference:
    """`dark` is None when the pictures are no gray figures on a plain background: then nothing is known of them.

    `extent` is the share of the picture's height or width, whichever is larger, that a figure takes; `solid` is True
    for figures that fill most of the box around them.
    """

    dark: bool | None = None
    extent: float = 1.0
    solid: bool = False

    @classmethod
    def of(cls, inputs: Mapping[str, NDArray[Any]]) -> Reference:
        """From the golden inputs by name; pictures are uint8 [N,H,W] or [N,H,W,1]."""
        for array in inputs.values():
            images = array[..., 0] if array.ndim == 4 and array.shape[3] == 1 else array
            if images.ndim == 3 and images.dtype == np.uint8 and min(images.shape[1:]) > 1:
                dark = dark_background(images)
                return cls() if dark is None else cls(dark, *_measured(images, dark))
        return cls()


def _measured(images: NDArray[Any], dark: bool) -> tuple[float, bool]:
    """The median extent and whether most figures are solid; of those that show any figure."""
    extents, shares = [], []
    for image in images:
        ink = (image if dark else 255 - image) > INK
        if box := box_of(ink):
            top, bottom, left, right = box
            height, width = bottom - top, right - left
            extents.append(max(height / image.shape[0], width / image.shape[1]))
            shares.append(ink[top:bottom, left:right].mean())
    if not extents:
        return 1.0, False
    return float(np.median(extents)), bool(np.median(shares) > _SOLID)


def box_of(ink: NDArray[Any]) -> tuple[int, int, int, int] | None:
    """The box (top, bottom, left, right; the ends are outside) around what is True in bool [H,W]; None for nothing."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not rows.size:
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1

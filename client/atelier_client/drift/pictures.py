"""What can be read off pictures: the formulas of docs/contracts.md, which the trainer follows too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A pixel, or a border on average, from here on is light.
_LIGHT = 0.5


@dataclass(frozen=True)
class PictureFeatures:
    """Of each picture, float64 [N] from 0 (black) to 1 (white), and `light_border` bool [N]."""

    mean: NDArray[Any]
    contrast: NDArray[Any]
    ink: NDArray[Any]
    light_border: NDArray[Any]


def features_of(pictures: NDArray[Any]) -> PictureFeatures:
    """Of uint8 [N,H,W] or [N,H,W,C]. Sums are of whole numbers, so that they are the same on every machine."""
    if pictures.ndim == 3:
        pictures = pictures[..., None]
    height, width, channels = pictures.shape[1:]
    gray = pictures.sum(axis=3, dtype=np.int64)
    white = 255 * channels
    pixels = height * width
    mean = gray.sum(axis=(1, 2)) / (white * pixels)
    square = (gray**2).sum(axis=(1, 2)) / (white * white * pixels)
    inner = gray[:, 1:-1, 1:-1]
    edge = pixels - inner.shape[1] * inner.shape[2]
    border = (gray.sum(axis=(1, 2)) - inner.sum(axis=(1, 2))) / (white * edge)
    light_border = border >= _LIGHT
    light = np.count_nonzero(2 * gray >= white, axis=(1, 2)) / pixels
    return PictureFeatures(
        mean,
        np.sqrt(np.maximum(square - mean**2, 0.0)),
        np.where(light_border, 1 - light, light),
        light_border,
    )

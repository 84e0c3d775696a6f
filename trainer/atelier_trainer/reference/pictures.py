"""What can be read off pictures (docs/contracts.md, reference.json: the client follows the same formulas)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# A pixel, or a border on average, from here on is light.
LIGHT = 0.5
_AT_ONCE = 1000


@dataclass(frozen=True)
class PictureFeatures:
    """Of each picture, float64 [N] from 0 (black) to 1 (white), and `light_border` bool [N]."""

    mean: np.ndarray
    contrast: np.ndarray
    ink: np.ndarray
    light_border: np.ndarray


def features_of(pictures: np.ndarray) -> PictureFeatures:
    """Of uint8 [N,H,W] or [N,H,W,C], a thousand at once."""
    parts = [_features(pictures[start : start + _AT_ONCE]) for start in range(0, len(pictures), _AT_ONCE)]
    return PictureFeatures(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _features(pictures: np.ndarray) -> tuple[np.ndarray, ...]:
    if pictures.ndim == 3:
        pictures = pictures[..., np.newaxis]
    height, width, channels = pictures.shape[1:]
    # Sums of whole numbers are the same in any order, and so on any machine.
    gray = pictures.sum(axis=3, dtype=np.int64)
    whole = gray.sum(axis=(1, 2))
    white, pixels = 255 * channels, height * width
    mean = whole / (white * pixels)
    contrast = np.sqrt(np.maximum((gray**2).sum(axis=(1, 2)) / (white * white * pixels) - mean**2, 0.0))
    inner = gray[:, 1:-1, 1:-1]
    border = (whole - inner.sum(axis=(1, 2))) / (white * (pixels - inner.shape[1] * inner.shape[2]))
    light = np.count_nonzero(gray >= LIGHT * white, axis=(1, 2)) / pixels
    light_border = border >= LIGHT
    return mean, contrast, np.where(light_border, 1 - light, light), light_border

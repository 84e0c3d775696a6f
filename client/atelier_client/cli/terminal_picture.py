"""A picture in the terminal: two pixels a character, the upper as the foreground of a half block."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.style import Style
from rich.text import Text

_WIDEST = 64


def draw(pixels: NDArray[Any]) -> Text:
    """uint8 [H,W] or [H,W,C]; larger ones are thinned to 64 columns."""
    if pixels.ndim == 1:
        side = round(len(pixels) ** 0.5)
        pixels = pixels.reshape(side, side)
    step = -(-pixels.shape[1] // _WIDEST)
    pixels = pixels[::step, ::step]
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    colors = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[..., :3]
    if len(colors) % 2:
        colors = np.concatenate([colors, np.zeros_like(colors[:1])])
    text = Text()
    for upper, lower in zip(colors[::2], colors[1::2], strict=True):
        for over, under in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append("▀", Style(color=Color.from_rgb(*over), bgcolor=Color.from_rgb(*under)))
        text.append("\n")
    return text

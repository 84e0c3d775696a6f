"""PNG and JPEG files as the array a model takes: grayscale, inverted, padded, resized as needed."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client._layout import Layout
from atelier_client.errors import DataError
from atelier_client.signature import TensorInfo

_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
# Pillow refuses more, too; a decompression bomb is no picture to classify.
_MOST_PIXELS = 100_000_000
# The EXIF tag that says how a camera was held, and its values that turn or mirror the picture.
_ORIENTATION, _TURNED = 0x0112, range(2, 9)
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Picture:
    """The pixels as the model takes them, and what was done to get there, in words."""

    pixels: NDArray[Any]
    steps: tuple[str, ...]


def is_image(data: object) -> bool:
    """True for the bytes of a PNG or JPEG file."""
    return isinstance(data, bytes) and data.startswith(_STARTS)


def for_input(data: bytes, info: TensorInfo, layout: Layout, name: str, dark: bool | None = None) -> Picture:
    """A picture as the model's input takes it; a flat input only when the model card knows the picture's shape.

    Raises `DataError` that begins with `name`, also for a model that takes no picture.
    """
    shape = info.shape[1:] if info.shape else ()
    if _lacks_rows(info):
        raise DataError(
            f"{name}: the input {info} may be one picture without an axis of rows, or rows of gray pictures {shape[1]} "
            "wide; which, the signature does not tell. Send the array from Python: client.predict(array)."
        )
    flat = len(shape) == 1 and math.prod(layout.shape) == shape[0] and len(layout.shape) > 1
    if (
        layout.kind not in (None, "image")
        or info.dtype not in ("uint8", "float32")
        or (len(shape) < 2 and not flat)
    ):
        raise DataError(
            f"{name}: a picture does not fit an input of shape {list(shape)}: the model takes {info}, that is no image."
        )
    picture = decode(data, layout.shape if flat else shape, name, dark)
    steps = picture.steps
    if info.dtype == "float32" and layout.whole_pixels:
        steps += ("given as 0 to 255, because the model divides the pixels itself (model card)",)
    elif info.dtype == "float32":
        steps += ("divided by 255, as an input of floats takes pixels",)
    return Picture(picture.pixels.reshape(shape) if flat else picture.pixels, steps)


def as_floats(pixels: NDArray[Any], layout: Layout) -> NDArray[np.float32]:
    """Pixels 0 to 255 as an input of floats takes them: in [0,1] (docs/contracts.md, `scaled`), or as they are."""
    divisor = 1 if layout.whole_pixels else 255
    return np.asarray(pixels / np.float32(divisor), np.float32)


def decode(data: bytes, shape: Sequence[int], name: str, dark: bool | None = None) -> Picture:
    """Decode to uint8 of `shape`: [H,W] or [H,W,C]. A size of -1 follows the other one; two follow the picture.

    `dark` says how bright the background of what the model knows is; a picture of the other kind is inverted. None
    inverts nothing. Raises `DataError` that begins with `name`.
    """
    from PIL import Image, UnidentifiedImageError

    height, width, channels = _size(shape, name)
    steps: list[str] = []
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                raise DataError(
                    f"{name}: {opened.width} x {opened.height} pixels are more than this client decodes."
                )
            if opened.getexif().get(_ORIENTATION) in _TURNED:
                steps.append("turned upright")
            image: Any = _upright(opened)
            if ("transparency" in image.info or image.mode in ("LA", "PA", "RGBA")) and channels != 4:
                image = _on_background(image.convert("RGBA"))
                steps.append("transparency filled")
            if image.mode != _MODES[channels]:
                if image.mode.startswith("I"):
                    # 16-bit gray: Pillow would cut at 255 instead of scaling.
                    image = Image.fromarray((np.asarray(image, np.uint32) >> 8).astype(np.uint8))
                if channels == 1 and image.mode not in ("1", "L"):
                    steps.append("grayscale")
                image = image.convert(_MODES[channels])
    except DataError:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # Pillow names the object that it read from, which is none of the user's files.
        cause = "it is cut short, or no such picture" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(
            f"{name} cannot be read as PNG or JPEG: {cause if data else 'it is empty'}."
        ) from None
    border = _border(np.asarray(image))
    if dark is not None and channels == 1 and (border < 128) != dark:
        image = Image.fromarray(255 - np.asarray(image))
        border = 255 - border
        steps.append(f"inverted (the model knows {'dark' if dark else 'light'} backgrounds)")
    width, height = _wanted(width, height, image.size)
    if width * height > _MOST_PIXELS:
        raise DataError(
            f"{name}: made as the model takes it, it would have {width} x {height} pixels: too many."
        )
    if image.size != (width, height):
        image, more = _resized(image, width, height, border, name)
        steps += more
    pixels = np.asarray(image)
    return Picture(pixels if len(shape) == pixels.ndim else pixels[..., None], tuple(steps))


def dark_background(images: NDArray[Any]) -> bool | None:
    """Whether the pictures [N,H,W] are dark at their borders; None when they are neither dark nor light there."""
    border = float(np.median([_border(image) for image in images]))
    return None if 85 < border < 170 else border < 128


def _size(shape: Sequence[int], name: str) -> tuple[int, int, int]:
    sizes = tuple(shape)
    if len(sizes) == 2:
        return sizes[0], sizes[1], 1
    if len(sizes) == 3 and sizes[2] in _MODES:
        return sizes[0], sizes[1], sizes[2]
    raise DataError(
        f"{name}: a picture does not fit an input of shape {list(sizes)}; expected [H,W] or [H,W,1|3|4]."
    )


def _lacks_rows(info: TensorInfo) -> bool:
    """True for [N,N,3] and [224,224,3]: the first axis there is hardly that of the rows."""
    shape = info.shape or ()
    return len(shape) == 3 and shape[2] in _MODES and (shape[1] < 0 or shape[0] > 1)


def _wanted(width: int, height: int, came: tuple[int, int]) -> tuple[int, int]:
    """The width and height to bring a picture to. One that is free (-1) keeps the picture's proportions."""
    wide, high = came
    if width < 0:
        return (wide if height < 0 else max(1, round(wide * height / high))), (high if height < 0 else height)
    return width, (height if height >= 0 else max(1, round(high * width / wide)))


def _upright(image: Any) -> Any:
    from PIL import ImageOps

    # Telephones store pictures lying on their side and say so in the EXIF data.
    return ImageOps.exif_transpose(image)


def _on_background(image: Any) -> Any:
    """Fill the transparent pixels with black or white, whichever contrasts more with the visible ones."""
    from PIL import Image

    pixels = np.asarray(image)
    visible = pixels[pixels[..., 3] > 127][:, :3]
    shade = 255 if not visible.size or visible.mean() < 128 else 0
    background = Image.new("RGBA", image.size, (shade, shade, shade, 255))
    background.alpha_composite(image)
    return background.convert("RGB")


def _border(pixels: NDArray[Any]) -> int:
    """The median brightness of the outermost pixels."""
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    return int(np.median(np.concatenate([edge.reshape(-1) for edge in edges])))


def _resized(image: Any, width: int, height: int, border: int, name: str) -> tuple[Any, tuple[str, ...]]:
    """The picture in the middle of one of `width` x `height`, whose rest has the shade `border`; and the steps."""
    from PIL import Image

    came = f"{image.width} x {image.height}"
    scale = max(image.width / width, image.height / height)
    if min(image.size) < scale:
        raise DataError(
            f"{name}: {came} pixels are too long and thin for the model's {width} x {height}: the short side would "
            "have less than one pixel there. Cut the picture to the part that matters."
        )
    wide = math.ceil(width * scale - 0.5)
    high = math.ceil(height * scale - 0.5)
    steps: tuple[str, ...] = ()
    if (wide, high) != image.size:
        steps = (f"padded to {wide} x {high}",)
        # The side that fits is scaled before the other one is padded: padded whole, a long picture would be a square
        # of its length.
        if wide == image.width:
            image, wide = _scaled(image, width, image.height), width
        else:
            image, high = _scaled(image, image.width, height), height
        shade = border if len(image.getbands()) == 1 else (border,) * len(image.getbands())
        padded = Image.new(image.mode, (wide, high), shade)
        padded.paste(image, ((wide - image.width) // 2, (high - image.height) // 2))
        image = padded
    return _scaled(image, width, height), (*steps, f"resized from {came} to {width} x {height}")


def _scaled(image: Any, width: int, height: int) -> Any:
    from PIL import Image

    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)

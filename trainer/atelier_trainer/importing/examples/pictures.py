"""A folder of pictures, one folder a class: FOLDER/<class>/*.png, as Keras's image_dataset_from_directory reads it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import tensorflow as tf

from atelier_trainer.errors import ImportRefused
from atelier_trainer.importing.examples import columns
from atelier_trainer.importing.examples.given import Given
from atelier_trainer.printable import say
from atelier_trainer.publishing.model_signature import Signature

SUFFIXES = (".png", ".jpg", ".jpeg")
_ROW_AXES = (2, 3)
_SCALES = {
    True: "given as 0 to 255: the model has a Rescaling layer.",
    False: "divided by 255: the model has no Rescaling layer that does it.",
    None: "divided by 255; a SavedModel does not show whether it does so itself: if it does, give the examples as an "
    ".npz with the values that it takes.",
}


def takes_pictures(signature: Signature) -> bool:
    """Whether the one input has rows and columns, maybe with channels, of floats or bytes."""
    (tensor, *more) = signature.inputs.values()
    of_numbers = tensor.is_float or tensor.type_name == "uint8"
    return not more and tensor.shape is not None and len(tensor.row) in _ROW_AXES and of_numbers


def takes_floats(signature: Signature) -> bool:
    """Whether it takes pictures as floats."""
    return takes_pictures(signature) and all(tensor.is_float for tensor in signature.inputs.values())


def read(path: Path, signature: Signature, rescales: bool | None) -> Given:
    """The pictures, in the input's size. `rescales`: the model divides pixels itself and takes 0 to 255, None where
    that is not known.

    Raises `ImportRefused` for a model without one input of pictures, and for a file that is no picture.
    """
    files = sorted(
        file
        for folder in path.iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES
    )
    if not files:
        raise ImportRefused(
            f"{path}: expected one folder a class with {', '.join(SUFFIXES)} files in it, found none. Other "
            "examples are a .csv "
            "or .npz file."
        )
    if not takes_pictures(signature):
        raise ImportRefused(
            f"{path} holds pictures, and the model takes "
            f"{columns.listed([columns.described(*item) for item in signature.inputs.items()])}."
        )
    ((name, tensor),) = signature.inputs.items()
    channels = tensor.row[2] if len(tensor.row) == 3 else 1
    if channels not in (1, 3, 4):
        raise ImportRefused(
            f"{path}: a picture has 1, 3 or 4 channels, and the input {columns.described(name, tensor)} has not."
        )
    pixels, resized = _pixels(files, tensor.row[0], tensor.row[1], channels)
    if resized:
        say(
            f"{path}: {resized:,} of {len(files):,} pictures are resized to {pixels.shape[1]} x {pixels.shape[2]} "
            "(bilinear)."
        )
    pixels = pixels if len(tensor.row) == 3 else pixels[..., 0]
    scaled = tensor.is_float and not rescales
    if tensor.is_float:
        say(f"{path}: the pixels are {_SCALES[rescales]}")
    values = pixels / np.float32(255) if scaled else pixels
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(path)).encode() + b"\0")
        digest.update(file.read_bytes())
    # A client divides the pixels of a picture for an input of floats.
    kind = None if tensor.is_float and not scaled else "image"
    card = {"kind": kind, "shape": list(pixels.shape[1:]), "columns": []}
    labels = np.array([file.parent.name for file in files], object)
    return Given({name: values.astype(tensor.dtype)}, labels, digest.hexdigest(), f"{path}, folders", card)


def _pixels(
    files: list[Path], height: int | None, width: int | None, channels: int
) -> tuple[np.ndarray, int]:
    """Pixels uint8 [N,H,W,C] (of one size: the input's, else the first picture's), and how many were resized."""
    found = []
    resized = 0
    for file in files:
        try:
            picture = tf.io.decode_image(
                file.read_bytes(), channels=channels, expand_animations=False
            ).numpy()
        except (tf.errors.OpError, ValueError) as error:
            raise ImportRefused(
                f"{file} cannot be read as PNG or JPEG: {str(error).splitlines()[0][:120]}."
            ) from None
        height, width = height or picture.shape[0], width or picture.shape[1]
        if picture.shape[:2] != (height, width):
            picture = np.clip(np.rint(tf.image.resize(picture, (height, width)).numpy()), 0, 255).astype(
                np.uint8
            )
            resized += 1
        found.append(picture)
    return np.stack(found), resized

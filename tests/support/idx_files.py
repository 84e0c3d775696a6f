"""IDX files of a test split, as the data folder of the contract holds them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_split(folder: Path, images: NDArray[Any], labels: NDArray[Any]) -> None:
    """Write images uint8 [N,H,W] and labels uint8 [N] under `folder`/fashion-mnist."""
    target = folder / "fashion-mnist"
    target.mkdir(parents=True, exist_ok=True)
    (target / "t10k-images-idx3-ubyte").write_bytes(idx(images))
    (target / "t10k-labels-idx1-ubyte").write_bytes(idx(labels))


def idx(array: NDArray[Any]) -> bytes:
    """The file of a uint8 array."""
    return b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def split_examples() -> tuple[NDArray[Any], NDArray[Any]]:
    """2,500 random images and their labels, uint8: several requests' worth, the last one not full."""
    images = np.random.default_rng(5).integers(0, 256, [2500, 28, 28], np.uint8)
    return images, np.random.default_rng(6).integers(0, 10, len(images)).astype(np.uint8)

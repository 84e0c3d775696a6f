"""IDX files of a test split, as the data folder of the contract holds them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_split(folder: Path, images: NDArray[Any], labels: NDArray[Any]) -> None:
    """Write images uint8 [N,H,W] and labels uint8 [N] under `folder`/fashion-mnist."""
    target = folder / "fashion-mnist"
    target.mkdir(parents=True, exist_ok=True)
    header = b"\0\0\x08\x03" + np.array(images.shape, ">u4").tobytes()
    (target / "t10k-images-idx3-ubyte").write_bytes(header + images.tobytes())
    header = b"\0\0\x08\x01" + np.array(labels.shape, ">u4").tobytes()
    (target / "t10k-labels-idx1-ubyte").write_bytes(header + labels.tobytes())

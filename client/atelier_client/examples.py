"""Labelled examples, golden examples and class names: what an evaluation reads from disk (docs/contracts.md)."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import DataError
from atelier_client.idx import read_idx

DATASET = "fashion-mnist"
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True)
class Examples:
    """Images uint8 [N,28,28] and labels int64 [N]; `sha256` is over the images file, then the labels file."""

    images: NDArray[Any]
    labels: NDArray[Any]
    sha256: str


@dataclass(frozen=True)
class Golden:
    """A few inputs, and what the trainer computed for them."""

    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[Any]]


def read_test_split(data: Path) -> Examples:
    """The test images and labels from the data folder. Raises `DataError`."""
    folder = data / DATASET
    images, image_bytes = read_idx(_present(folder / "t10k-images-idx3-ubyte"))
    labels, label_bytes = read_idx(_present(folder / "t10k-labels-idx1-ubyte"))
    if len(images) != len(labels) or not len(images):
        raise DataError(
            f"{folder}: {len(images)} images but {len(labels)} labels; they must be as many, and not none."
        )
    digest = hashlib.sha256(image_bytes)
    digest.update(label_bytes)
    return Examples(images, labels.astype(np.int64), digest.hexdigest())


def read_golden(version_folder: Path) -> Golden | None:
    """The golden examples beside a version, or None when it has none. Raises `DataError` for a damaged file."""
    path = version_folder / "assets.extra" / "golden.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            named = {name: arrays[name] for name in arrays.files}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged: {error}.") from None
    sides = {
        side: {name.removeprefix(side): array for name, array in named.items() if name.startswith(side)}
        for side in ("inputs/", "outputs/")
    }
    return Golden(sides["inputs/"], sides["outputs/"])


def read_class_names(version_folder: Path) -> tuple[str, ...]:
    """The names of the model card, or Fashion-MNIST's own when there is none to read."""
    try:
        card = json.loads((version_folder / "assets.extra" / "model_card.json").read_text(encoding="utf-8"))
        return tuple(str(name) for name in card["class_names"])
    except (OSError, ValueError, KeyError, TypeError):
        return CLASS_NAMES


def _present(path: Path) -> Path:
    for candidate in (path, path.with_name(f"{path.name}.gz")):
        if candidate.exists():
            return candidate
    raise DataError(f"{path} is missing. `make up` fetches it, or: atelier-trainer data fetch {DATASET}.")

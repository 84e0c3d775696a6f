"""A version's model card, and the golden examples beside it (docs/contracts.md, section 1)."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import DataError

# What the default job is trained on; a version without a card is taken for one of it.
FASHION_MNIST = "fashion-mnist"
FASHION_CLASSES = (
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
class ModelCard:
    """What the client needs of a card: the classes, where the test examples are, and how the trainer found the model.

    `kind` is image, text or table; `columns` are a table's; `test_file` has `format` and `path` (under the data
    folder); `metrics` are the trainer's, for the test examples; `document` is the whole card, empty without one.
    """

    class_names: tuple[str, ...]
    data: str
    kind: str
    test_file: Mapping[str, str]
    metrics: Mapping[str, float]
    columns: tuple[str, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Golden:
    """A few inputs, and what the trainer computed for them."""

    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[Any]]


DEFAULT = ModelCard(FASHION_CLASSES, FASHION_MNIST, "image", {"format": "idx", "path": FASHION_MNIST}, {})


def read_card(version_folder: Path) -> ModelCard:
    """The card of a version; Fashion-MNIST's when there is none to read."""
    try:
        card = json.loads((version_folder / "assets.extra" / "model_card.json").read_text(encoding="utf-8"))
        return ModelCard(
            tuple(str(name) for name in card["class_names"]),
            card["data"]["name"],
            card["input"]["kind"],
            card["data"]["test"]["file"],
            card["metrics"]["test"],
            tuple(card["input"]["columns"]),
            card,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return DEFAULT


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

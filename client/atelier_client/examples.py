"""Labelled examples: the test split of the data a model was trained on, read as its model card says."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import DataError
from atelier_client.idx import read_idx
from atelier_client.model_card import FASHION_MNIST, ModelCard

# A review may be longer than the csv module's default of 128 kB for one cell.
_LONGEST_CELL = 1 << 24


@dataclass(frozen=True)
class Examples:
    """Inputs [N,...] (uint8 images, bytes objects, or float32 columns), labels int64 [N], SHA-256 of the files."""

    inputs: NDArray[Any]
    labels: NDArray[Any]
    sha256: str


def read_test_split(data: Path, card: ModelCard) -> Examples:
    """The test examples of a model, from the data folder. Raises `DataError`."""
    kind, path = card.test_file["format"], data / card.test_file["path"]
    readers: dict[str, Callable[[Path], Examples]] = {"idx": _read_idx, "npz": _read_npz, "csv": read_csv}
    if kind not in readers:
        raise DataError(f"{path}: this client reads {', '.join(readers)}, not {kind}.")
    examples = readers[kind](path)
    if len(examples.inputs) != len(examples.labels) or not len(examples.inputs):
        raise DataError(
            f"{path}: {len(examples.inputs)} {card.kind}s but {len(examples.labels)} labels; "
            "they must be as many, and not none."
        )
    return examples


def read_csv(path: Path) -> Examples:
    """A CSV of `label` (the class's number) and `text`, or of `label` and columns of numbers. Raises `DataError`."""
    csv.field_size_limit(_LONGEST_CELL)
    raw = _present(path).read_bytes()
    try:
        header, *rows = csv.reader(io.StringIO(raw.decode(), newline=""), strict=True)
        at = header.index("label")
        labels = np.array([int(row[at]) for row in rows], np.int64)
        if "text" in header:
            inputs = np.array([row[header.index("text")].encode() for row in rows], dtype=object)
        else:
            inputs = np.array([row[:at] + row[at + 1 :] for row in rows], np.float32)
    except (ValueError, IndexError, csv.Error) as error:
        raise DataError(
            f"{path}: expected a header with `label`, then rows of its length: {error}."
        ) from None
    return Examples(inputs, labels, hashlib.sha256(raw).hexdigest())


def _read_idx(folder: Path) -> Examples:
    images, image_bytes = read_idx(_present(folder / "t10k-images-idx3-ubyte"))
    labels, label_bytes = read_idx(_present(folder / "t10k-labels-idx1-ubyte"))
    digest = hashlib.sha256(image_bytes)
    digest.update(label_bytes)
    return Examples(images, labels.astype(np.int64), digest.hexdigest())


def _read_npz(path: Path) -> Examples:
    try:
        with np.load(_present(path), allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"].astype(np.int64)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: expected an .npz of `images` and `labels`: {error}.") from None
    return Examples(images, labels, hashlib.sha256(path.read_bytes()).hexdigest())


def _present(path: Path) -> Path:
    for candidate in (path, path.with_name(f"{path.name}.gz")):
        if candidate.exists():
            return candidate
    known = path.parent.name if path.parent.name in (FASHION_MNIST, "imdb") else "NAME"
    raise DataError(f"{path} is missing. `make up` writes it, or: atelier-trainer data fetch {known}.")

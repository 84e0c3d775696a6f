"""Inputs of `predict` from a file, and its answers as plain rows."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atelier_client.errors import DataError
from atelier_client.examples import read_csv
from atelier_client.idx import read_idx
from atelier_client.messages import Prediction

TOP = 3


def read_inputs(path: Path, rows: slice) -> dict[str, ArrayLike] | NDArray[Any]:
    """The rows of an .npy, .npz (array names are inputs), CSV (see examples.py) or IDX file (.gz or not).

    Raises `DataError`.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist. Expected an .npy, .npz, CSV or IDX file.")
    if path.suffix == ".csv":
        return read_csv(path).inputs[rows]
    if path.suffix not in (".npy", ".npz"):
        return read_idx(path)[0][rows]
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as a NumPy file: {error}.") from None
    if isinstance(loaded, np.ndarray):
        return loaded[rows]
    with loaded:
        return {name: loaded[name][rows] for name in loaded.files}


def parse_rows(text: str) -> slice:
    """`A:B` as in Python, either side may be empty. Raises `DataError`."""
    first, colon, last = text.partition(":")
    try:
        if colon:
            return slice(int(first) if first else None, int(last) if last else None)
        return slice(int(first), int(first) + 1)
    except ValueError:
        raise DataError(f"--rows {text}: expected A:B, such as 0:5, or one number.") from None


def readable_rows(prediction: Prediction, class_names: Sequence[str], first: int) -> list[dict[str, Any]]:
    """One mapping an example: every output; for a classifier also its label and the most probable classes."""
    count = len(next(iter(prediction.values()))) if prediction else 0
    return [_row(prediction, index, first + index, class_names) for index in range(count)]


def _row(prediction: Prediction, index: int, number: int, class_names: Sequence[str]) -> dict[str, Any]:
    outputs = {name: _plain(array[index]) for name, array in prediction.items()}
    probabilities = outputs.get("probabilities", [])
    order = sorted(range(len(probabilities)), key=lambda item: -probabilities[item])[:TOP]
    names = (
        class_names
        if len(class_names) == len(probabilities)
        else [str(item) for item in range(len(probabilities))]
    )
    top = [(names[item], probabilities[item]) for item in order]
    label = outputs.get("label", top[0][0] if top else outputs)
    return {"row": number, "label": label, "top": top, "outputs": outputs}


def _plain(value: Any) -> Any:
    plain = value.tolist() if hasattr(value, "tolist") else value
    return plain.decode(errors="replace") if isinstance(plain, bytes) else plain

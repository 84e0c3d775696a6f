"""The examples of an imported model in a file of the data folder, where the client reads them (docs/contracts.md)."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from atelier_trainer.data.data_folder import filling, half
from atelier_trainer.data.dataset import file_digest, sha256_of
from atelier_trainer.data.held_out_file import write_npz
from atelier_trainer.importing.examples.given import Given


def write(
    given: Given, labels: np.ndarray | None, names: Sequence[str], model: str, data_folder: Path
) -> dict[str, str]:
    """Write the examples under `data_folder` in one step; return `data.test.file` of the model card.

    `labels` are class numbers, numbers, or 0 and 1 [N,C]; `names` are the classes. One text a row with one label, if
    any, becomes a CSV, else an .npz has an array for each input, under its name.
    """
    one_each = labels is None or labels.ndim == 1
    suffix = "csv" if given.input.get("kind") == "text" and one_each else "npz"
    content = "\n".join([given.sha256, suffix, *names, *given.inputs])
    path = Path(model, f"test-{sha256_of(content.encode())[:12]}-{len(given)}.{suffix}")
    target = data_folder / path
    told: dict[str, str] = {}
    with filling(target.parent):
        temporary = half(target)
        try:
            if suffix == "csv":
                told = _write_texts(temporary, given, labels, names)
            else:
                told = _write_arrays(temporary, given, labels, names)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    return {"format": suffix, "path": str(path), **told, "sha256": file_digest(target)}


def _write_texts(path: Path, given: Given, labels: np.ndarray | None, names: Sequence[str]) -> dict[str, str]:
    (texts,) = given.inputs.values()
    cells = [text.decode(errors="replace") for text in texts.ravel()]
    with open(path, "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, quoting=csv.QUOTE_ALL)
        if labels is None:
            writer.writerow(["text"])
            writer.writerows([cell] for cell in cells)
            return {}
        writer.writerow(["label", "text"])
        shown = [names[number] for number in labels] if names else [f"{value:.17g}" for value in labels]
        writer.writerows(zip(shown, cells, strict=True))
    return {"label": "label", **_kind(labels, names, "names")}


def _write_arrays(
    path: Path, given: Given, labels: np.ndarray | None, names: Sequence[str]
) -> dict[str, str]:
    arrays = {name: _storable(value) for name, value in given.inputs.items()}
    if labels is None:
        write_npz(path, **arrays)
        return {}
    label = "labels"
    while label in arrays:
        label += "_"
    write_npz(path, **arrays, **{label: labels})
    return {"label": label, **_kind(labels, names, "numbers")}


def _kind(labels: np.ndarray, names: Sequence[str], of_classes: str) -> dict[str, str]:
    """What stands for labels in the file (docs/contracts.md); empty where no task is known."""
    if names:
        return {"labels": of_classes}
    return {"labels": "values"} if labels.dtype.kind == "f" else {}


def _storable(values: np.ndarray) -> np.ndarray:
    return np.array(values.ravel().tolist(), "S").reshape(values.shape) if values.dtype == object else values

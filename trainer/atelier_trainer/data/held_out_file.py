"""The test examples in a file of the data folder, where the client reads them (docs/contracts.md, section 2)."""

from __future__ import annotations

import csv
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from atelier_trainer.data import csv_file, csv_header, fashion_mnist, imdb, quantities
from atelier_trainer.data.columns import Column, rows_of
from atelier_trainer.data.csv_cells import PLAIN, Dialect
from atelier_trainer.data.csv_file import Schema
from atelier_trainer.data.data_folder import filling, half
from atelier_trainer.data.dataset import DataSet, Examples, file_digest, sha256_of
from atelier_trainer.data.labels import class_ids
from atelier_trainer.errors import DataCorrupt, DataInvalid
from atelier_trainer.files import UNREADABLE_NPZ, read_text


def write_test_file(data_set: DataSet, data_folder: Path) -> dict[str, str]:
    """Write the test examples under `data_folder`, in one step; return `format` and `path` for the model card.

    Images become an .npz of `images` and `labels` (class numbers); text and tables a CSV: `label` (the class's name;
    `label_` beside an input of that name) and `text`, or `label` and the columns. An empty cell is a missing value.
    The labels of a regression are its numbers.
    """
    suffix = "npz" if data_set.kind == "image" else "csv"
    # Other data get another file name, so that an older model still finds the examples it was tested on.
    content = [
        data_set.test.sha256,
        data_set.class_names,
        data_set.columns,
        [column.kind for column in data_set.features],
    ]
    if data_set.task != "classification":
        content.append(data_set.task)
    digest = sha256_of(json.dumps(content).encode())
    path = Path(data_set.name, f"test-{digest[:12]}-{len(data_set.test)}.{suffix}")
    target = data_folder / path
    with filling(target.parent):
        temporary = half(target)
        try:
            if suffix == "npz":
                write_npz(temporary, images=data_set.test.inputs, labels=data_set.test.labels)
            else:
                _write_csv(temporary, data_set)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    labels = "values" if data_set.task == "regression" else "numbers" if suffix == "npz" else "names"
    column = {} if suffix == "npz" else {"label": _label_column(data_set)}
    return {"format": suffix, "path": str(path), **column, "labels": labels, "sha256": file_digest(target)}


def read_test_file_of(version: Path, data_folder: Path) -> Examples:
    """The test examples of a published version, as its model card says. Raises `DataInvalid`."""
    path = version / "assets.extra" / "model_card.json"
    try:
        card = json.loads(read_text(path))
        kinds = dict(card["input"].get("kinds", {}))
        if not set(kinds.values()) <= {"number", "category"}:
            raise TypeError(f"input.kinds holds {', '.join(map(str, kinds.values()))}")
        features = [Column(str(name), kind) for name, kind in kinds.items()]
        file = dict(card["data"]["test"]["file"])
        names = [str(name) for name in card["class_names"]]
        texts = ("format", "path", *(key for key in ("label", "labels", "sha256") if key in file))
        wrong = [key for key in texts if not isinstance(file[key], str)]
        if wrong:
            raise TypeError(f"data.test.file.{wrong[0]} is no text")
        place = PurePosixPath(file["path"])
        if place.is_absolute() or ".." in place.parts or "\0" in file["path"]:
            raise ValueError(f"data.test.file.path is outside the data folder: {file['path']!r}")
        kind = str(card["input"]["kind"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataInvalid(
            f"{path} is no readable model card ({type(error).__name__}: {error}); expected the folder of a published "
            "version, models/NAME/N."
        ) from None
    return read_test_file(file, kind, names, features, data_folder)


def read_test_file(
    file: Mapping[str, str],
    kind: str,
    names: Sequence[str],
    features: Sequence[Column],
    data_folder: Path,
) -> Examples:
    """The test examples in a file of the data folder; a known data set is fetched. Raises `DataInvalid`.

    `names` are the classes; `features` the columns of a model with one input a column.
    """
    path = data_folder / file["path"]
    label = file.get("label", "label")
    if file["format"] == "idx":
        return fashion_mnist.read_split(fashion_mnist.fetch(data_folder), "test")
    if file["path"].startswith(f"{imdb.NAME}/"):
        imdb.fetch(data_folder)
    if not path.exists():
        raise DataInvalid(f"{path} is missing. Training the job again writes it.")
    if not path.is_file():
        raise DataInvalid(
            f"{path} is no file, but a folder, a pipe or a device: expected the test examples there."
        )
    if file["format"] not in ("npz", "csv"):
        raise DataInvalid(
            f"{path}: expected the format idx, npz or csv in the model card, got {file['format']}."
        )
    if "sha256" in file and file_digest(path) != file["sha256"]:
        raise DataCorrupt(
            f"{path} has another SHA-256 than the model card says: these are not the examples that the model was "
            "tested on. Training the job again writes them."
        )
    values = file.get("labels") == "values"
    if file["format"] == "npz":
        return _read_images(path, values=values)
    if kind == "text":
        inputs, cells = csv_file.read_text(path, label, "text")
    else:
        kinds = {column.name: column.kind for column in features}
        columns = csv_header.read(path, label)[1:]
        numbers = tuple(name for name in columns if kinds.get(name) != "category")
        categories = tuple(name for name in columns if kinds.get(name) == "category")
        dialect = Dialect(missing=("",)) if features else PLAIN
        chunks = list(csv_file.chunks(path, Schema(label, numbers, categories, dialect=dialect)))
        cells = np.concatenate([chunk.labels for chunk in chunks])
        numbers_read = np.concatenate([chunk.numbers for chunk in chunks])
        inputs = numbers_read.astype(np.float32)
        if features:
            inputs = rows_of(features, numbers_read, np.concatenate([chunk.categories for chunk in chunks]))
    if values:
        return Examples(inputs, quantities.of_cells(cells, path, label, PLAIN), "")
    if file.get("labels") == "names":
        return Examples(inputs, class_ids(cells, names, path, label), "")
    return Examples(inputs, class_ids(cells, [str(number) for number in range(len(names))], path, label), "")


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Write an .npz whose bytes follow from the arrays alone, so that the same examples have the same digest.

    NumPy would put the time of writing into it; and compressed bytes depend on zlib's version.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def _read_images(path: Path, *, values: bool) -> Examples:
    """The test examples in an .npz, whose labels are class numbers or `values`. Raises `DataInvalid`."""
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"]
    except UNREADABLE_NPZ as error:
        raise DataInvalid(
            f"{path} is no readable .npz of images and labels: {error}. Training the job again writes it."
        ) from None
    if len(images) != len(labels) or labels.dtype.kind not in ("f" if values else "iu"):
        raise DataInvalid(
            f"{path}: expected as many labels, {'floats' if values else 'whole numbers'}, as images."
        )
    return Examples(images, labels if values else labels.astype(np.int64), "")


def _label_column(data_set: DataSet) -> str:
    name = "label"
    while data_set.kind == "table" and name in data_set.columns:
        name += "_"
    return name


def _write_csv(path: Path, data_set: DataSet) -> None:
    with open(path, "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        labels = [_label(data_set, value) for value in data_set.test.labels.tolist()]
        if data_set.kind == "text":
            writer.writerow(["label", "text"])
            writer.writerows(
                (label, text.decode()) for label, text in zip(labels, data_set.test.inputs, strict=True)
            )
            return
        writer.writerow([_label_column(data_set), *data_set.columns])
        for label, row in zip(labels, data_set.test.inputs, strict=True):
            writer.writerow([label, *(_cell(value) for value in row)])


def _label(data_set: DataSet, value: float) -> str:
    """The class's name; of a regression the number's shortest text that gives the float64 back."""
    return repr(value) if data_set.task == "regression" else data_set.class_names[int(value)]


def _cell(value: float | str) -> str:
    """A value of a table as a cell: text unchanged, a number with nine digits, from which its float32 can be read back
    exactly, a missing number empty."""
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else f"{value:.9g}"

"""The test examples in a file of the data folder, where the client reads them (docs/contracts.md, section 2)."""

from __future__ import annotations

import csv
import json
import os
import uuid
from pathlib import Path

import numpy as np

from atelier_trainer.data import csv_file, fashion_mnist, imdb
from atelier_trainer.data.dataset import DataSet, Examples
from atelier_trainer.errors import DataInvalid


def write_test_file(data: DataSet, cache: Path) -> dict[str, str]:
    """Write the test examples under `cache`, in one step; return `format` and `path` for the model card.

    Images become an .npz of `images` and `labels`; text and tables a CSV: `label` (the class's number) and `text`, or
    `label` and the columns.
    """
    suffix = "npz" if data.kind == "image" else "csv"
    # The name tells versions of the data apart, so that an older model still finds the examples it was tested on.
    path = Path(data.name, f"test-{data.test.sha256[:12]}-{len(data.test)}.{suffix}")
    target = cache / path
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{uuid.uuid4().hex}.{suffix}")
    try:
        if suffix == "npz":
            np.savez_compressed(temporary, images=data.test.inputs, labels=data.test.labels)
        else:
            _write_csv(temporary, data)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return {"format": suffix, "path": str(path)}


def read_test_file_of(version: Path, cache: Path) -> Examples:
    """The test examples of a published version, as its model card says. Raises `DataInvalid`."""
    try:
        card = json.loads((version / "assets.extra" / "model_card.json").read_text())
        kind, file = card["input"]["kind"], card["data"]["test"]["file"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataInvalid(
            f"{version} has no readable model card ({error!r}); expected models/NAME/N."
        ) from None
    return read_test_file(file, kind, cache)


def read_test_file(file: dict[str, str], kind: str, cache: Path) -> Examples:
    """The test examples in a file of the data folder; a known data set is fetched. Raises `DataInvalid`."""
    path = cache / file["path"]
    if file["format"] == "idx":
        return fashion_mnist.read_split(fashion_mnist.fetch(cache), "test")
    if file["path"].startswith(f"{imdb.NAME}/"):
        imdb.fetch(cache)
    if not path.exists():
        raise DataInvalid(f"{path} is missing. Training the job again writes it.")
    if file["format"] == "npz":
        with np.load(path, allow_pickle=False) as arrays:
            return Examples(arrays["images"], arrays["labels"], "")
    if kind == "text":
        inputs, cells = csv_file.read_text(path, "label", "text")
    else:
        columns = csv_file.read_header(path, "label")[1:]
        chunks = list(csv_file.number_chunks(path, "label", columns))
        inputs, cells = (np.concatenate([chunk[side] for chunk in chunks]) for side in (0, 1))
    return Examples(inputs, cells.astype(np.int64), "")


def _write_csv(path: Path, data: DataSet) -> None:
    with open(path, "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        if data.kind == "text":
            writer.writerow(["label", "text"])
            writer.writerows(
                (label, text.decode()) for label, text in zip(data.test.labels, data.test.inputs, strict=True)
            )
            return
        writer.writerow(["label", *data.columns])
        for label, row in zip(data.test.labels, data.test.inputs, strict=True):
            # Nine digits give every float32 back exactly.
            writer.writerow([label, *(f"{value:.9g}" for value in row)])

"""IDX files converted to the tutorial's CSV and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from atelier_trainer.data import csv_file, csv_header
from atelier_trainer.data.array_dataset import IDX_NAMES, read_idx_file
from atelier_trainer.data.idx import write_idx
from atelier_trainer.errors import DataInvalid
from atelier_trainer.label_key import number_of

LABEL = "label"


def idx_to_csv(folder: Path, to: Path) -> list[Path]:
    """train.csv and test.csv of the IDX files in a folder: `label,pixel1..pixelN`. Raises `DataInvalid`."""
    to.mkdir(parents=True, exist_ok=True)
    written = []
    for split, (images_name, labels_name) in {"train": IDX_NAMES[:2], "test": IDX_NAMES[2:]}.items():
        images = read_idx_file(folder, images_name)
        labels = read_idx_file(folder, labels_name)
        if len(images) != len(labels):
            raise DataInvalid(f"{folder}: {len(images)} images but {len(labels)} labels in {split}.")
        pixels = images.reshape(len(images), -1)
        header = ",".join([LABEL, *(f"pixel{number + 1}" for number in range(pixels.shape[1]))])
        path = to / f"{split}.csv"
        np.savetxt(
            path, np.column_stack([labels, pixels]), fmt="%d", delimiter=",", header=header, comments=""
        )
        written.append(path)
    return written


def csv_to_idx(path: Path, to: Path, split: str, shape: tuple[int, int]) -> list[Path]:
    """The two IDX files of such a CSV. Raises `DataInvalid` with row and column of a cell that is no byte."""
    header = csv_header.read(path, LABEL)
    columns = [name for name in header if name != LABEL]
    if len(columns) != shape[0] * shape[1]:
        raise DataInvalid(
            f"{path}: images of {shape[0]}x{shape[1]} have {shape[0] * shape[1]} pixels, the file has "
            f"{len(columns)} columns beside {LABEL!r}."
        )
    chunks = list(csv_file.chunks(path, csv_file.Schema(LABEL, tuple(columns))))
    pixels = csv_file.as_bytes(np.concatenate([chunk.numbers for chunk in chunks]), path, columns)
    cells = np.concatenate([chunk.labels for chunk in chunks])
    numbers = [number_of(cell) for cell in cells]
    labels = np.array([-1 if number is None else number for number in numbers], np.float64)
    labels = csv_file.as_bytes(labels[:, None], path, [LABEL])[:, 0]
    to.mkdir(parents=True, exist_ok=True)
    images_name, labels_name = IDX_NAMES[:2] if split == "train" else IDX_NAMES[2:]
    write_idx(to / images_name, pixels.reshape(-1, *shape))
    write_idx(to / labels_name, labels)
    return [to / images_name, to / labels_name]


def parse_shape(text: str) -> tuple[int, int]:
    """`28x28` as numbers. Raises `DataInvalid`."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise DataInvalid(f"--shape {text}: expected HEIGHTxWIDTH, such as 28x28.")
    return int(parts[0]), int(parts[1])

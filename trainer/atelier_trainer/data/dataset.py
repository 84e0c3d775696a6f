"""A data set: labelled examples to train, validate and test on, whatever files they came from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from atelier_trainer.data.columns import Column
from atelier_trainer.task import Task

Kind = Literal["image", "text", "table"]
# A class this many times rarer than the most frequent one is worth a warning.
IMBALANCE = 10


@dataclass(frozen=True)
class Examples:
    """Inputs and their labels: class numbers int64 [N], or of a regression the numbers float64 [N].

    Inputs are uint8 [N,H,W] or [N,H,W,C] (images), bytes objects [N] (text, UTF-8), float32 [N,columns] (tables of
    numbers), or a structured array [N] with a field a column (tables with categories or missing values, columns.py).
    `sha256` is over the files they came from.
    """

    inputs: np.ndarray
    labels: np.ndarray
    sha256: str

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> Examples:
        """The examples of those row numbers."""
        return replace(self, inputs=self.inputs[rows], labels=self.labels[rows])


class Stream(Protocol):
    """Training examples that stay on disk: counted and checked once, read anew in each epoch."""

    sha256: str
    counts: np.ndarray
    """Examples of each class, int64 [classes]."""
    mean: np.ndarray
    variance: np.ndarray
    """Of each column, float64; missing values left out."""

    def __len__(self) -> int: ...

    def batches(self, batch_size: int, seed: object) -> object:
        """A tf.data.Dataset of (float32 [B,columns], int64 [B]), shuffled by `seed` (int64 scalar tensor).

        The float32 rows are in the stored form of the table's encoding (training/encoding.py).
        """


@dataclass(frozen=True)
class DataSet:
    """The examples that a job trains, validates and tests on. `shape` is one input's shape; text has none.

    `test_file` says where the client finds the test examples: `format`, `path` under the data folder, and `labels`.
    `class_names` are empty when the `task` is a regression.
    `features` are the columns of a model with one input a column, else empty. `csv_format` is what the
    model card says of the user's CSV files.
    """

    name: str
    kind: Kind
    class_names: tuple[str, ...]
    shape: tuple[int, ...]
    train: Examples | Stream
    test: Examples
    test_file: dict[str, str]
    validation: Examples | None = None
    columns: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    features: tuple[Column, ...] = ()
    csv_format: Mapping[str, Any] = field(default_factory=dict)
    task: Task = "classification"

    def with_validation_split(self, share: float, seed: int) -> DataSet:
        """Set that share of the training examples aside for validation, chosen by the seed."""
        assert isinstance(self.train, Examples)
        order = np.random.default_rng(seed).permutation(len(self.train))
        aside = round(len(self.train) * share)
        validation = self.train.take(np.sort(order[:aside]))
        return replace(self, train=self.train.take(np.sort(order[aside:])), validation=validation)


def class_counts(train: Examples | Stream, classes: int) -> np.ndarray:
    """Training examples of each class, int64 [classes]."""
    return np.bincount(train.labels, minlength=classes) if isinstance(train, Examples) else train.counts


def findings(train: Examples | Stream, test: Examples, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """What is suspicious but no error: the same example in training and test, and rare classes; without classes, test
    labels that are all equal."""
    warnings = _rare_classes(train, class_names) if class_names else _equal_labels(test)
    if test.inputs.dtype == np.uint8 and test.inputs.max(initial=0) <= 1 and _all_0_or_1(train):
        warnings.append(
            "no pixel is above 1: images go from 0 (black) to 255 (white); were they scaled before?"
        )
    if isinstance(train, Examples):
        seen = set(_keys(train.inputs))
        shared = sum(key in seen for key in _keys(test.inputs))
        if shared:
            warnings.append(f"{shared:,} of {len(test):,} test examples are among the training examples too")
    return tuple(warnings)


def _rare_classes(train: Examples | Stream, class_names: tuple[str, ...]) -> list[str]:
    counts = class_counts(train, len(class_names))
    if counts.min() * IMBALANCE > counts.max():
        return []
    rare = class_names[int(counts.argmin())]
    common = class_names[int(counts.argmax())]
    return [
        f"class imbalance: {counts.min():,} examples of {rare}, {counts.max():,} of {common}; "
        "fit.class_weight: balanced weighs them equally"
    ]


def _equal_labels(test: Examples) -> list[str]:
    if test.labels.min() < test.labels.max():
        return []
    return [f"every test label is {test.labels[0]:g}: R2, the share of their variance, is not defined"]


def _all_0_or_1(train: Examples | Stream) -> bool:
    """True when no pixel of training is above 1."""
    if isinstance(train, Examples):
        return bool(train.inputs.max(initial=0) <= 1)
    # Of whole numbers from 0, those above 1 alone make the mean of the squares greater than the mean.
    return bool(np.allclose(train.variance + train.mean**2, train.mean, rtol=0, atol=1e-9))


def sha256_of(*parts: bytes | memoryview) -> str:
    """Digest of the parts, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def file_digest(*paths: Path, algorithm: str = "sha256") -> str:
    """Digest of files, one after the other, read in pieces."""
    digest = hashlib.new(algorithm)
    for path in paths:
        with open(path, "rb") as handle:
            hashlib.file_digest(handle, lambda: digest)
    return digest.hexdigest()


def most_common_first(counts: Counter[bytes]) -> list[bytes]:
    """The keys by falling count. Keys of equal count are in the order of their bytes, so the order never varies."""
    return sorted(counts, key=lambda key: (-counts[key], key))


def _keys(inputs: np.ndarray) -> list[bytes]:
    if inputs.dtype == object:
        return list(inputs)
    if inputs.dtype.names:
        return [repr(row).encode() for row in inputs.tolist()]
    rows = np.ascontiguousarray(inputs).reshape(len(inputs), -1)
    return [row.tobytes() for row in rows]

"""What a model has to know of its data: enough to build it again, serve it and find its test examples."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from atelier_trainer.data.dataset import DataSet, Examples, Kind

# The name of the one input of `serving_default`, by kind.
INPUT_NAMES = {"image": "images", "text": "text", "table": "features"}


@dataclass(frozen=True)
class Spec:
    """Kind, classes and shape of the data; for tables also each column's mean and variance."""

    name: str
    kind: Kind
    class_names: tuple[str, ...]
    shape: tuple[int, ...]
    columns: tuple[str, ...]
    mean: tuple[float, ...]
    variance: tuple[float, ...]
    test_file: dict[str, str]

    @classmethod
    def of(cls, data: DataSet) -> Spec:
        """The spec of a data set."""
        mean, variance = _column_moments(data) if data.kind == "table" else ((), ())
        return cls(
            data.name, data.kind, data.class_names, data.shape, data.columns, mean, variance, data.test_file
        )

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Spec:
        """The spec that `to_json` wrote."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
        }
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """A document for a JSON file."""
        return asdict(self)

    @property
    def input_name(self) -> str:
        return INPUT_NAMES[self.kind]


def _column_moments(data: DataSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and variance of the training examples; a constant column gets variance 1."""
    if isinstance(data.train, Examples):
        inputs = data.train.inputs
        mean, variance = inputs.mean(axis=0, dtype=np.float64), inputs.var(axis=0, dtype=np.float64)
    else:
        mean, variance = data.train.mean, data.train.variance
    return tuple(mean.tolist()), tuple(np.where(variance > 0, variance, 1.0).tolist())

"""What a model has to know of its data: enough to build it again, serve it and find its test examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from atelier_trainer.data.column_check import Moments
from atelier_trainer.data.columns import Column
from atelier_trainer.data.dataset import DataSet, Examples, Kind
from atelier_trainer.task import OUTPUTS, Task

# The name of the one input of `serving_default`, by kind.
INPUT_NAMES = {"image": "images", "text": "text", "table": "features"}


@dataclass(frozen=True)
class Spec:
    """Kind, classes and shape of the data.

    For tables also mean and variance of each value of the network's input; `features` are the columns of a model
    with one input a column, else empty. `target` are mean and standard deviation of a regression's training labels.
    """

    name: str
    kind: Kind
    class_names: tuple[str, ...]
    shape: tuple[int, ...]
    columns: tuple[str, ...]
    mean: tuple[float, ...]
    variance: tuple[float, ...]
    test_file: dict[str, str]
    features: tuple[Column, ...] = ()
    task: Task = "classification"
    target: tuple[float, float] = (0.0, 1.0)

    @classmethod
    def of(cls, data_set: DataSet) -> Spec:
        """The spec of a data set."""
        mean, variance = _column_moments(data_set) if data_set.kind == "table" else ((), ())
        return cls(
            data_set.name,
            data_set.kind,
            data_set.class_names,
            data_set.shape,
            data_set.columns,
            mean,
            variance,
            data_set.test_file,
            data_set.features,
            data_set.task,
            _target(data_set),
        )

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Spec:
        """The spec that `to_json` wrote."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
        }
        values["features"] = tuple(Column.from_json(column) for column in document.get("features", ()))
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """A document for a JSON file."""
        return asdict(self)

    @property
    def input_name(self) -> str:
        """The one input of `serving_default`, where it has no input for each column."""
        return INPUT_NAMES[self.kind]

    @property
    def output_name(self) -> str:
        """The output of `serving_default` that is measured."""
        return OUTPUTS[self.task]


def _target(data_set: DataSet) -> tuple[float, float]:
    """Of a regression: the network learns labels of mean 0 and deviation 1, whatever their unit."""
    if data_set.task != "regression":
        return 0.0, 1.0
    assert isinstance(data_set.train, Examples)
    return float(data_set.train.labels.mean()), float(data_set.train.labels.std())


def _column_moments(data_set: DataSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and variance of the training examples; a constant column gets variance 1."""
    if not isinstance(data_set.train, Examples):
        mean = data_set.train.mean
        variance = data_set.train.variance
    elif data_set.features:
        names = [column.name for column in data_set.features if column.kind == "number"]
        numbers = np.empty((len(data_set.train), len(names)))
        for index, name in enumerate(names):
            numbers[:, index] = data_set.train.inputs[name]
        moments = Moments(len(names))
        moments.add(numbers)
        mean = moments.mean
        variance = moments.variance
    else:
        inputs = data_set.train.inputs
        mean = inputs.mean(axis=0, dtype=np.float64)
        variance = inputs.var(axis=0, dtype=np.float64)
    if data_set.features:
        mean = _spread(data_set.features, mean, 0.0)
        variance = _spread(data_set.features, variance, 1.0)
    return tuple(mean.tolist()), tuple(np.where(variance > 0, variance, 1.0).tolist())


def _spread(features: Sequence[Column], values: np.ndarray, other: float) -> np.ndarray:
    """Values of the columns of numbers at their places in the network's input, `other` everywhere else."""
    left = iter(values.tolist())
    spread: list[float] = []
    for column in features:
        first = next(left) if column.kind == "number" else other
        spread += [first, *[other] * (column.width - 1)][: column.width]
    return np.array(spread)

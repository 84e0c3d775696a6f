"""Untrained versions of every kind of model, each with its reference and its test examples.

`python -m tests.support.drift_models FOLDER` publishes one of each kind, with the environment of that Python.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.support.models import publish_with_initial_weights

if TYPE_CHECKING:
    from atelier_trainer.data.dataset import DataSet

EXAMPLES = 3000
KINDS = ("pictures", "texts", "numbers", "people")
CITIES = ("Bern", "Genf", "Ulm", "Wien")


@dataclass(frozen=True)
class Published:
    """A version's folder, its test examples by the names of its inputs, and their class numbers."""

    folder: Path
    inputs: dict[str, np.ndarray]
    labels: np.ndarray

    def answers(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the exported model answers."""
        from atelier_trainer.publishing.exported_model import ExportedModel

        return ExportedModel(self.folder).predict(inputs)


def figures(random: np.random.Generator, count: int) -> np.ndarray:
    """Light figures of many sizes on a dark ground, uint8 [N,12,12]."""
    rows = np.arange(12)
    top, left = random.integers(1, 4, [2, count, 1, 1])
    height, width = random.integers(3, 8, [2, count, 1, 1])
    inside = (rows[:, None] >= top) & (rows[:, None] < top + height)
    inside = inside & (rows >= left) & (rows < left + width)
    shade = random.integers(90, 256, [count, 1, 1])
    return np.where(inside, shade, random.integers(0, 20, [count, 12, 12])).astype(np.uint8)


def publish(models: Path, kind: str) -> Published:
    """Publish `pictures`, `texts`, `numbers` or `people` (a column an input, some of them missing) under that name."""
    random = np.random.default_rng(1)
    data = {"pictures": _pictures, "texts": _texts, "numbers": _numbers, "people": _people}[kind](random)
    from atelier_trainer.job import Job

    source: dict[str, Any] = {"csv": "a.csv"} if kind != "texts" else {"csv": "a.csv", "text": "text"}
    job = Job.model_validate(
        {
            "name": kind,
            "model": kind,
            "data": source,
            "network": {"hidden": [16], "vocabulary": 40} if kind == "texts" else {"hidden": [16]},
            "fit": {"batch_size": 1, "epochs": 1},
        }
    )
    folder = publish_with_initial_weights(job, models, data)
    rows = data.test.inputs
    name = {"pictures": "images", "texts": "text", "numbers": "features"}.get(kind)
    inputs = {name: rows} if name else {field: rows[field] for field in rows.dtype.names or ()}
    return Published(folder, inputs, data.test.labels)


def _data_set(kind: str, inputs: np.ndarray, classes: int, **more: Any) -> DataSet:
    from atelier_trainer.data.dataset import DataSet, Examples

    labels = np.random.default_rng(2).integers(0, classes, len(inputs))
    examples = Examples(inputs, labels, "0" * 64)
    names = tuple(f"class {chr(65 + number)}" for number in range(classes))
    shape = () if kind == "text" else inputs.shape[1:]
    file = {"format": "npz" if kind == "image" else "csv", "path": "toy/test"}
    return DataSet("toy", kind, names, shape, examples, examples, file, **more)  # type: ignore[arg-type]


def _pictures(random: np.random.Generator) -> DataSet:
    return _data_set("image", figures(random, EXAMPLES), 5)


def _texts(random: np.random.Generator) -> DataSet:
    words = np.array([f"w{number}" for number in range(80)])
    texts = np.empty(EXAMPLES, object)
    texts[:] = [
        "Ärger, ".encode() + " ".join(random.choice(words, random.integers(1, 30))).encode() + b"<br />It's!"
        for _ in range(EXAMPLES)
    ]
    return _data_set("text", texts, 2)


def _numbers(random: np.random.Generator) -> DataSet:
    rows = random.normal([0, 5, 100], [1, 2, 30], [EXAMPLES, 3]).astype(np.float32)
    return _data_set("table", rows, 3, columns=("a", "b", "c"))


def _people(random: np.random.Generator) -> DataSet:
    from atelier_trainer.data.columns import Column, rows_of

    ages = random.normal(40, 12, EXAMPLES)
    ages[random.uniform(size=EXAMPLES) < 0.1] = np.nan
    cities = np.array([*CITIES, ""], object)[random.integers(0, 5, EXAMPLES)]
    features = (Column("age", "number", missing=True), Column("city", "category", CITIES, missing=True))
    rows = rows_of(features, ages[:, None], cities[:, None])
    return _data_set(
        "table",
        rows,
        2,
        columns=("age", "city"),
        features=features,
        csv_format={"missing": [""], "kinds": {"age": "number", "city": "category"}},
    )


if __name__ == "__main__":
    for each in KINDS:
        publish(Path(sys.argv[1]), each)

"""What `data show` shows: the first examples of a data set, as lines of text or as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from atelier_trainer.data.dataset import DataSet, Examples
from atelier_trainer.files import write_figure

SIDE = 5


def rows(data_set: DataSet, count: int) -> list[str]:
    """The first examples of text or a table, one line each: the class's name or the number, a colon, the inputs."""
    inputs, labels = _first(data_set, count)
    if data_set.features:
        lines = [
            ", ".join(f"{name}={value}" for name, value in zip(data_set.columns, row, strict=True))
            for row in inputs.tolist()
        ]
    elif data_set.kind == "text":
        lines = [text.decode()[:300] for text in inputs]
    else:
        lines = [
            ", ".join(f"{name}={value:g}" for name, value in zip(data_set.columns, row, strict=True))
            for row in inputs
        ]
    return [f"{_label(data_set, label)}: {line}" for label, line in zip(labels.tolist(), lines, strict=True)]


def draw_images(data_set: DataSet, path: Path) -> None:
    """The first 25 images, five by five, each with its label below it, as PNG."""
    from matplotlib.figure import Figure

    images, labels = _first(data_set, SIDE * SIDE)
    figure = Figure(figsize=(8, 9), layout="constrained")
    axes = figure.subplots(SIDE, SIDE)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
    for axis, image, label in zip(axes.flat, images, labels, strict=False):
        axis.imshow(image.squeeze(), cmap="binary")
        axis.set_xlabel(_label(data_set, label))
    write_figure(path, figure)


def _first(data_set: DataSet, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first training inputs and labels; where training examples are streamed, the first test ones."""
    examples = data_set.train if isinstance(data_set.train, Examples) else data_set.test
    return examples.inputs[:count], examples.labels[:count]


def _label(data_set: DataSet, label: float) -> str:
    return data_set.class_names[int(label)] if data_set.class_names else f"{label:g}"

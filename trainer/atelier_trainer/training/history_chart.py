"""Pictures: accuracy and loss over the epochs, and a grid of images with their class names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from atelier_trainer.training.run import Run

matplotlib.use("agg")
# Training is dashed, validation solid, a color a run: as in the tutorial's comparison.
STYLES = (("", "training", "--"), ("val_", "validation", "-"))


def draw_history(runs: Sequence[Run], path: Path) -> None:
    """Accuracy and loss of each run, training against validation, as one picture (PNG, or by the path's suffix)."""
    figure, axes = pyplot().subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    colors = matplotlib.color_sequences["tab10"]
    for run_number, run in enumerate(runs):
        rows, color = run.history(), colors[run_number % len(colors)]
        epochs = [row["epoch"] for row in rows]
        for axis, metric in zip(axes, ("accuracy", run.loss_name()), strict=True):
            for prefix, side, style in STYLES:
                if rows and prefix + metric in rows[0]:
                    label = side if len(runs) == 1 else f"{run.name} {side}"
                    marker = "o" if len(rows) == 1 else None
                    values = [row[prefix + metric] for row in rows]
                    axis.plot(epochs, values, style, color=color, label=label, marker=marker)
    for axis, metric in zip(axes, ("accuracy", "loss"), strict=True):
        axis.set(title=f"{metric.capitalize()} by epoch", xlabel="epoch", ylabel=metric)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.savefig(path, dpi=110)
    pyplot().close(figure)


def draw_grid(images: np.ndarray, labels: np.ndarray, class_names: Sequence[str], path: Path) -> None:
    """The first 25 images (uint8 [N,H,W] or [N,H,W,C]), five by five, their class names below."""
    figure, axes = pyplot().subplots(5, 5, figsize=(8, 9), layout="constrained")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
    for axis, image, label in zip(axes.flat, images, labels, strict=False):
        axis.imshow(image.squeeze(), cmap="binary")
        axis.set_xlabel(class_names[label])
    figure.savefig(path, dpi=110)
    pyplot().close(figure)


def pyplot() -> Any:
    """matplotlib.pyplot, imported when the first picture is drawn."""
    from matplotlib import pyplot

    return pyplot

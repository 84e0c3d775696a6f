"""A picture of runs: accuracy (of a regression the mean absolute error) and loss over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from atelier_trainer.files import write_figure
from atelier_trainer.training.run import Run

# As in the tutorial's comparison: training is dashed, validation is solid, and each run has one color.
STYLES = (("", "training", "--"), ("val_", "validation", "-"))


def draw_history(runs: Sequence[Run], path: Path) -> None:
    """Accuracy or MAE, and loss of each run, training against validation: a picture (PNG, or by the path's suffix)."""
    # A figure of its own, not one of pyplot: it needs no display, and nothing has to close it.
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    axes = figure.subplots(1, 2)
    colors = matplotlib.color_sequences["tab10"]
    for run_number, run in enumerate(runs):
        rows = run.history()
        color = colors[run_number % len(colors)]
        epochs = [row["epoch"] for row in rows]
        for axis, metric in zip(axes, (_first(rows), run.loss_name()), strict=True):
            for prefix, side, style in STYLES:
                if rows and prefix + metric in rows[0]:
                    label = side if len(runs) == 1 else f"{run.name} {side}"
                    marker = "o" if len(rows) == 1 else None
                    values = [row[prefix + metric] for row in rows]
                    axis.plot(epochs, values, style, color=color, label=label, marker=marker)
    shown = {_first(run.history()) for run in runs}
    for axis, metrics in zip(axes, (sorted(shown), ["loss"]), strict=True):
        metric = " and ".join(metrics)
        axis.set(title=f"{metric[0].upper()}{metric[1:]} by epoch", xlabel="epoch", ylabel=metric)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    write_figure(path, figure)


def _first(rows: Sequence[Mapping[str, Any]]) -> str:
    return "mae" if rows and "mae" in rows[0] else "accuracy"

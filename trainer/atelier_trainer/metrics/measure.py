"""The metrics of a task."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from atelier_trainer.metrics import classification, regression
from atelier_trainer.task import Task


def evaluate(task: Task, answers: np.ndarray, labels: np.ndarray) -> dict[str, float | int]:
    """The metrics of labelled examples: probabilities float32 [N,classes] and class numbers int64 [N], or predicted
    numbers float32 [N] and true ones float64 [N]."""
    kind = regression if task == "regression" else classification
    return kind.evaluate(answers, labels)


def in_words(values: Mapping[str, float]) -> str:
    """The two or three metrics that people look at first."""
    shown = ("accuracy", "loss") if "accuracy" in values else ("mae", "rmse", "r2")
    return "  ".join(f"{name} {values[name]:.4f}" for name in shown if name in values)

"""A fitted Keras model's answers to raw examples, before any export."""

from __future__ import annotations

import numpy as np

from atelier_trainer.data.dataset import Examples
from atelier_trainer.metrics import measure
from atelier_trainer.training.feed import in_order
from atelier_trainer.training.fit import Fitted


def answers(fitted: Fitted, examples: Examples) -> np.ndarray:
    """Float32 [N,classes], where a model with one sigmoid gives two columns, too; [N] of a regression."""
    batches = in_order(examples, fitted.encoding).map(lambda features, labels: features)
    answer = fitted.model.predict(batches, verbose=0)
    if fitted.spec.task == "regression":
        return np.asarray(answer[:, 0])
    return np.concatenate([1 - answer, answer], axis=1) if answer.shape[1] == 1 else answer


def evaluate(fitted: Fitted, examples: Examples) -> dict[str, float | int]:
    """The metrics on labelled examples (metrics/)."""
    return measure.evaluate(fitted.spec.task, answers(fitted, examples), examples.labels)

"""Metrics of a classifier from probabilities and class numbers, as the model card states them."""

from __future__ import annotations

import numpy as np

# Keras keeps probabilities this far from 0 and 1 before it takes the logarithm (keras.config.epsilon()).
EPSILON = 1e-7
# The history's column of the loss without the penalty of L1 and L2, where there is one.
CROSSENTROPY = "crossentropy"


def evaluate(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float | int]:
    """Accuracy, loss (mean negative log likelihood, natural logarithm), and the plain means over the classes of
    precision, recall and F1; a ratio whose denominator is 0 counts as 0, as in scikit-learn.

    `probabilities` float32 [N,classes], `labels` int64 [N].
    """
    examples, classes = probabilities.shape
    predicted = probabilities.argmax(axis=1)
    confusion = np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
    hits = np.diag(confusion)
    precision = _ratio(hits, confusion.sum(axis=0))
    recall = _ratio(hits, confusion.sum(axis=1))
    f1 = _ratio(2 * precision * recall, precision + recall)
    chosen = probabilities[np.arange(examples), labels].astype(np.float64)
    return {
        "accuracy": float(hits.sum() / examples),
        "loss": float(-np.log(np.clip(chosen, EPSILON, 1 - EPSILON)).mean()),
        "macro_precision": float(precision.mean()),
        "macro_recall": float(recall.mean()),
        "macro_f1": float(f1.mean()),
        "examples": examples,
    }


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(len(above)), where=below != 0)

"""What an imported model is for, and its answers and labels in the shapes that are measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atelier_trainer.importing.examples.given import Given

TASKS = ("classification", "regression", "multi_label")
# How far the probabilities of a row may be from 1 in sum, and below 0; the client has the same bound.
SUM_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Purpose:
    """`output` is measured, None where nobody said which. `labels` are class numbers int64 [N], numbers float64 [N], or
    0 and 1 [N,C], of sequences with an axis of steps after the first, and of several numbers a row float64 [N,K]; None
    without any. `unmeasured` says why nothing is measured, None where it is."""

    output: str | None
    task: str | None
    class_names: tuple[str, ...]
    labels: np.ndarray | None
    unmeasured: str | None


def probabilities(answers: np.ndarray) -> np.ndarray:
    """Float [N,classes] of a classifier's answers, [N,T,classes] of sequences: a single sigmoid gives two columns."""
    values = answers[:, None] if answers.ndim == 1 else answers
    return np.concatenate([1 - values, values], axis=-1) if values.shape[-1] == 1 else values


def are_probabilities(values: np.ndarray) -> bool:
    """Whether the last axis adds up to 1."""
    sums = values.sum(axis=-1, dtype=np.float64)
    return bool((np.abs(sums - 1) <= SUM_TOLERANCE).all() and (values >= -SUM_TOLERANCE).all())


def without_last_one(values: np.ndarray) -> np.ndarray:
    """The values without a last axis of 1, where rows have one: [N,1] as [N]."""
    return values[..., 0] if values.ndim > 1 and values.shape[-1] == 1 else values


def numbers(labels: np.ndarray) -> np.ndarray | None:
    """The labels as float64, in their shape; None when one of them is no number."""
    if labels.dtype.kind in "biuf":
        return labels.astype(np.float64)
    try:
        return np.array([float(str(cell)) for cell in labels.ravel()], np.float64).reshape(labels.shape)
    except ValueError:
        return None


def as_given(given: Given | None) -> np.ndarray | None:
    """Labels that are not measured here, as numbers, for the client, which knows more forms; None for texts."""
    if given is None or given.labels is None:
        return None
    labels = given.labels if given.labels.dtype.kind in "biuf" else numbers(given.labels)
    whole = labels is not None and labels.dtype.kind == "f" and bool((labels == np.floor(labels)).all())
    return labels.astype(np.int64) if labels is not None and whole else labels

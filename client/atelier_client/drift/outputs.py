"""The answers of a request in one form: the probability of each class, or what else there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.drift.inputs import Values
from atelier_client.drift.schema import Schema

# As many classes as get a column of their own in a reference (docs/contracts.md).
MOST_CLASS_COLUMNS = 20
_SUM_TOLERANCE = 1e-2
PREDICTION = "prediction"


@dataclass(frozen=True)
class Answers:
    """`probabilities` float [M,C] of the rows that are finite, and `predicted` class numbers int64 [N], -1 for none.

    They are None where the log does not have them.
    """

    probabilities: NDArray[Any] | None
    predicted: NDArray[Any] | None
    values: Values


def answers_of(given: Mapping[str, NDArray[Any]], schema: Schema) -> Answers:
    """The answers to a predict or classify request, named as in docs/contracts.md."""
    names = schema.class_names
    probabilities = _probabilities(given, names)
    if probabilities is not None:
        shown = names or tuple(str(number) for number in range(probabilities.shape[1]))
        finite = np.isfinite(probabilities).all(axis=1)
        known = np.where(finite[:, None], probabilities, np.nan).astype(np.float64)
        predicted = np.where(finite, probabilities.argmax(axis=1), -1)
        values: Values = {
            ("output", "predicted class"): _named(predicted, shown),
            ("output", "confidence"): known.max(axis=1),
        }
        if len(shown) <= MOST_CLASS_COLUMNS:
            for number, name in enumerate(shown):
                values["output", f"probability of {name}"] = known[:, number]
        return Answers(known[finite], predicted, values)
    # Who asks for one output only has its class in the log at least.
    classes = given.get("class_id")
    if names and classes is not None and classes.ndim == 1 and _are_numbers(classes, len(names)):
        return Answers(None, classes, {("output", "predicted class"): _named(classes, names)})
    labels = given.get("label")
    if labels is not None and labels.ndim == 1 and labels.dtype == object:
        found = np.empty(len(labels), object)
        found[:] = [label.decode("utf-8", "replace") for label in labels.tolist()]
        places = {name: number for number, name in enumerate(names or ())}
        predicted = np.array([places.get(label, -1) for label in found.tolist()], np.int64)
        return Answers(None, predicted if names else None, {("output", "predicted class"): found})
    numbers: Values = {
        # The API for tf.Example has a name of its own for what a regression predicts.
        ("value", PREDICTION if name == "outputs" else name): array.reshape(-1).astype(np.float64)
        for name, array in sorted(given.items())
        if array.dtype.kind == "f" and array.ndim and array.shape[1:] in ((), (1,))
    }
    return Answers(None, None, numbers)


def _probabilities(given: Mapping[str, NDArray[Any]], names: tuple[str, ...] | None) -> NDArray[Any] | None:
    """The output whose rows are probabilities of the classes."""
    for name in ("probabilities", "scores", *sorted(given)):
        array = given.get(name)
        if array is None or array.dtype.kind != "f" or array.ndim != 2 or array.shape[1] < 2:
            continue
        if (names and array.shape[1] != len(names)) or not len(array):
            continue
        if name == "scores" and names and "classes" in given and not _in_order(given["classes"], names):
            continue
        # A row that is not finite says nothing about the others.
        finite = array[np.isfinite(array).all(axis=1)]
        if not len(finite) and name not in ("probabilities", "scores"):
            continue
        sums = finite.sum(axis=1, dtype=np.float64)
        if (np.abs(sums - 1) <= _SUM_TOLERANCE).all() and (finite >= -_SUM_TOLERANCE).all():
            return array
    return None


def _are_numbers(classes: NDArray[Any], count: int) -> bool:
    return classes.dtype.kind in "iu" and bool(((classes >= 0) & (classes < count)).all())


def _in_order(classes: NDArray[Any], names: tuple[str, ...]) -> bool:
    wanted = [name.encode() for name in names]
    return all(row == wanted for row in classes.tolist())


def _named(numbers: NDArray[Any], names: tuple[str, ...]) -> NDArray[Any]:
    found = np.empty(len(numbers), object)
    found[:] = [names[number] if number >= 0 else "" for number in numbers.tolist()]
    return found

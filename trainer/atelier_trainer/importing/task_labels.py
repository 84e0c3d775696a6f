"""The labels of the examples as each task measures them, beside the answers to the same rows.

A row has one label, or one for each step of a sequence; of a regression also several numbers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from atelier_trainer.data.labels import class_ids
from atelier_trainer.errors import ImportRefused
from atelier_trainer.importing.examples.given import Given
from atelier_trainer.importing.purpose import (
    Purpose,
    are_probabilities,
    as_given,
    numbers,
    probabilities,
    without_last_one,
)
from atelier_trainer.label_key import key, number_of
from atelier_trainer.printable import say

# Between the names of a row's classes in one cell; the client has the same sign.
SEPARATOR = "|"
# Rounding may leave a sigmoid a little outside of 0 and 1; the client has the same bound.
_TOLERANCE = 1e-3
_SEVERAL = 2


def classification(output: str, answers: np.ndarray, given: Given, names: tuple[str, ...]) -> Purpose:
    """Class numbers of each row or step. Raises `ImportRefused` and `DataInvalid` for labels that do not fit."""
    shown = probabilities(answers)
    classes = shown.shape[-1]
    assert given.labels is not None
    labels = without_last_one(given.labels)
    if names and len(names) != classes:
        raise ImportRefused(
            f"--labels names {len(names)} classes, and the output {output} has {classes} values a row."
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ImportRefused(f"{given.place}{_first_wrong(labels)} expected a class in every row.")
    if labels.ndim == shown.ndim and labels.shape[-1] == classes and labels.dtype.kind in "biuf":
        say(f"{given.place}: the labels are one-hot rows; the place of the largest value is the class.")
        labels = labels.argmax(axis=-1)
    if labels.shape != shown.shape[:-1]:
        if shown.ndim == _SEVERAL:
            raise ImportRefused(f"{given.place}: expected one label a row, got {list(labels.shape)}.")
        why = (
            f"the output {output} answers {list(answers.shape)}, so the labels would be {list(shown.shape[:-1])}, a "
            f"class for each step, and they are {list(labels.shape)}"
        )
        return Purpose(output, "classification", names, as_given(given), why)
    found = names or _classes(
        [_spelled(cell) for cell in labels.ravel().tolist()], classes, given.place, output
    )
    if not are_probabilities(shown):
        why = (
            f"the output {output} is no probability for each class: its values do not add up to 1 a row; if they are "
            "logits, give the model a softmax"
        )
        return Purpose(output, "classification", found, _ids(labels, found, given.place), why)
    return Purpose(output, "classification", found, _ids(labels, found, given.place), None)


def regression(output: str, answers: np.ndarray, given: Given) -> Purpose:
    """Numbers float64, as many as the output has. Raises `ImportRefused` for labels that are none."""
    assert given.labels is not None
    labels, values = without_last_one(given.labels), without_last_one(answers)
    if labels.shape != values.shape or labels.ndim > _SEVERAL:
        why = (
            f"the output {output} answers {list(answers.shape)} and the labels are {list(labels.shape)}: one number a "
            "label, and two axes at most, are measured"
        )
        return Purpose(output, "regression", (), as_given(given), why)
    found = numbers(labels)
    if found is None or not np.isfinite(found).all():
        raise ImportRefused(f"{given.place}{_first_wrong(labels)} expected a finite number, for regression.")
    return Purpose(output, "regression", (), found, None)


def multi_label(output: str, answers: np.ndarray, given: Given, names: tuple[str, ...]) -> Purpose:
    """0 and 1 of each class. Raises `ImportRefused` for labels that are not."""
    assert given.labels is not None
    classes = answers.shape[-1] if answers.ndim > 1 else 1
    names = names or given.label_names
    labels: np.ndarray | None = given.labels
    if given.labels.ndim == 1 and given.labels.dtype.kind in "SUO":
        labels, names = _of_names(given, classes, names, output)
    elif given.labels.dtype.kind not in "biuf":
        labels = numbers(given.labels)
    if labels is not None and labels.shape == answers.shape and not (right := np.isin(labels, (0, 1))).all():
        row, *at = np.argwhere(~right)[0].tolist()
        raise ImportRefused(
            f"{given.place}, row {row + 1}: expected 0 or 1 for each value of the output {output}, got "
            f"{labels[(row, *at)]:g}."
        )
    if labels is None or labels.shape != answers.shape:
        raise ImportRefused(
            f"{given.place}: expected 0 or 1 for each of the {classes} values of the output {output}, got "
            f"{given.labels.dtype} {list(given.labels.shape)}."
        )
    if names and len(names) != classes:
        raise ImportRefused(
            f"{given.place}: {len(names)} classes are named, and the output {output} has {classes}."
        )
    found = names or tuple(str(number) for number in range(classes))
    why = None
    if not ((answers >= -_TOLERANCE) & (answers <= 1 + _TOLERANCE)).all():
        why = (
            f"the output {output} has values that are not from 0 to 1, so no probabilities; if they are logits, give "
            "the model a sigmoid"
        )
    return Purpose(output, "multi_label", found, labels.astype(np.int64), why)


def _of_names(
    given: Given, classes: int, names: tuple[str, ...], output: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """0 and 1 [N,C] of cells that are names with | between, and the classes."""
    assert given.labels is not None
    cells = [[part.strip() for part in str(cell).split(SEPARATOR) if part.strip()] for cell in given.labels]
    found = names or tuple(sorted({name for cell in cells for name in cell}))
    if len(found) != classes:
        raise ImportRefused(
            f"{given.place}: {len(found)} different names, and the output {output} has {classes} classes: --labels "
            "FILE names them in the order of the output."
        )
    if not names:
        say(
            f"{given.place}: the classes are taken in the order of the alphabet: {', '.join(found[:12])} (--labels "
            "FILE says another)."
        )
    places = {key(name): number for number, name in enumerate(found)}
    labels = np.zeros((len(cells), classes), np.int64)
    for row, cell in enumerate(cells):
        for name in cell:
            place = places.get(key(name))
            if place is None:
                raise ImportRefused(
                    f"{given.place}, row {row + 1}: {name!r} is none of the classes {', '.join(found[:12])}."
                )
            labels[row, place] = 1
    return labels, found


def _ids(labels: np.ndarray, names: tuple[str, ...], place: str) -> np.ndarray:
    path, _, column = place.rpartition(", ")
    word = column.split(" ")[-1]
    if labels.ndim == 1:
        return class_ids([_spelled(cell) for cell in labels.tolist()], names, Path(path), word)
    # A step at a time, so that an error names the row.
    steps = [
        class_ids(
            [_spelled(cell) for cell in labels[:, step].tolist()],
            names,
            Path(path),
            f"{word}, step {step + 1}",
        )
        for step in range(labels.shape[1])
    ]
    return np.stack(steps, axis=1)


def _classes(cells: list[str], classes: int, place: str, output: str) -> tuple[str, ...]:
    """The classes as the labels name them. Raises `ImportRefused` when their number is not the output's."""
    distinct = {key(cell): cell for cell in cells}
    numbers = [number_of(cell) for cell in distinct.values()]
    counted = tuple(str(number) for number in range(classes))
    if all(number is not None and number == int(number) and 0 <= number < classes for number in numbers):
        return counted
    if len(distinct) != classes:
        raise ImportRefused(
            f"{place}: {len(distinct)} different labels, and the output {output} has {classes} classes: --labels "
            "FILE names them "
            "in the order of the output."
        )
    found = tuple(
        sorted(distinct.values(), key=lambda cell: (number_of(cell) is None, number_of(cell) or 0, cell))
    )
    say(
        f"{place}: the classes are taken in the order of the alphabet: {', '.join(found[:12])} (--labels FILE says "
        "another)."
    )
    return found


def _spelled(cell: object) -> str:
    """A label as text; a float in the shortest way that gives it back."""
    if isinstance(cell, bool):
        return str(int(cell))
    return repr(cell) if isinstance(cell, float) else str(cell)


def _first_wrong(labels: np.ndarray) -> str:
    """Where a label is no finite number."""
    for row, cells in enumerate(labels.reshape(len(labels), -1).tolist(), 1):
        for cell in cells:
            try:
                right = bool(np.isfinite(float(cell)))
            except ValueError:
                right = False
            if not right:
                return f", row {row}: the label is {_spelled(cell)!r};"
    return ":"

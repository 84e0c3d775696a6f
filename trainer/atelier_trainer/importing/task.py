"""What an imported model is for: which output is measured, its task and its classes. What is guessed is said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atelier_trainer.data.labels import class_ids
from atelier_trainer.errors import ImportRefused
from atelier_trainer.importing.examples.given import Given
from atelier_trainer.label_key import key, number_of
from atelier_trainer.printable import say
from atelier_trainer.publishing.model_signature import Signature, Tensor

TASKS = ("classification", "regression", "multi_label")
# How far the probabilities of a row may be from 1 in sum, and below 0; the client has the same bound.
SUM_TOLERANCE = 1e-2
# The name that the trainer's own models give their probabilities.
_PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class Purpose:
    """`output` is measured, None where nobody said which. `labels` are class numbers int64 [N], numbers float64 [N], or
    0 and 1 [N,C]; None without any. `unmeasured` says why nothing is measured, None where it is."""

    output: str | None
    task: str | None
    class_names: tuple[str, ...]
    labels: np.ndarray | None
    unmeasured: str | None


def chosen_output(signature: Signature, wanted: str | None) -> str | None:
    """The output asked for, `probabilities`, or the only one of floats; None where several could be meant."""
    if wanted is not None:
        if wanted not in signature.outputs:
            raise ImportRefused(
                f"--output {wanted}: the model has the outputs {', '.join(signature.outputs)}."
            )
        if not signature.outputs[wanted].is_float:
            raise ImportRefused(
                f"--output {wanted}: it is of {signature.outputs[wanted].type_name}, and what is measured are floats."
            )
        return wanted
    floats = [name for name, tensor in signature.outputs.items() if tensor.is_float]
    if _PROBABILITIES in floats:
        return _PROBABILITIES
    return floats[0] if len(floats) == 1 else None


def check_names(
    names: tuple[str, ...], path: Path, output: str | None, tensor: Tensor | None, task: str | None
) -> None:
    """Raises `ImportRefused` for classes that are not as many as the output's last dimension, or that nothing has."""
    if task == "regression":
        raise ImportRefused(f"--task regression has no classes: leave out the labels of {path}.")
    if output is None or tensor is None:
        raise ImportRefused(
            f"{path} names classes, and which output they belong to is not known: --output NAME says it."
        )
    if not tensor.shape or tensor.shape[-1] is None:
        return
    width = tensor.shape[-1] if len(tensor.shape) > 1 else 1
    if len(names) != width and not (width == 1 and len(names) == 2):
        raise ImportRefused(
            f"{path} names {len(names)} classes, and the output {output} has {width} value{'s' * (width != 1)} a row."
        )


def purpose(
    output: str | None,
    answers: np.ndarray | None,
    given: Given | None,
    names: tuple[str, ...],
    task: str | None,
    activation: str | None,
) -> Purpose:
    """From the answers float [N,..] of the output to the examples `given`, and what else is known.

    `names` are those of --labels, `task` the one asked for, `activation` what a Keras model's output ends with. Raises
    `ImportRefused` for labels that do not fit.
    """
    if output is None:
        return Purpose(
            None,
            task,
            names,
            _as_given(given),
            "which of the outputs is measured was not said (--output NAME)",
        )
    if given is None or answers is None:
        return Purpose(
            output, task or _by_activation(activation, names), names, None, "there are no examples"
        )
    if given.labels is None:
        task = task or _by_activation(activation, names)
        return Purpose(output, task, names, None, "the examples have no labels")
    if answers.ndim not in (1, 2):
        shape = list(answers.shape[1:])
        why = f"the output {output} has the shape {shape} a row, as of a sequence; one answer a row is measured here"
        return Purpose(output, task, names, _as_given(given), why)
    values = answers.reshape(len(answers), -1)
    task = task or _by_labels(values, given, names)
    if task == "regression":
        return _regression(output, values, given)
    if task == "multi_label":
        return _multi_label(output, values, given, names)
    return _classification(output, values, given, names)


def probabilities(answers: np.ndarray) -> np.ndarray:
    """Float [N,classes] of a classifier's answers: a single sigmoid gives two columns."""
    values = answers.reshape(len(answers), -1)
    return np.concatenate([1 - values, values], axis=1) if values.shape[1] == 1 else values


def _by_activation(activation: str | None, names: tuple[str, ...]) -> str | None:
    if names:
        return "classification"
    found = {"softmax": "classification", "sigmoid": "classification"}.get(activation or "")
    if found:
        say(f"The task is taken for {found}, because the output ends with {activation} (--task NAME).")
    return found


def _by_labels(values: np.ndarray, given: Given, names: tuple[str, ...]) -> str:
    labels = given.labels
    assert labels is not None
    if labels.ndim == 2 and labels.shape[1] > 1:
        one_hot = (
            labels.dtype.kind in "biuf" and np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()
        )
        task = "classification" if one_hot and _are_probabilities(values) else "multi_label"
        why = "each row of labels has one 1" if task == "classification" else "the labels are several a row"
    elif names or values.shape[1] > 1:
        return "classification"
    else:
        numbers = _numbers(labels.ravel())
        inside = bool(((values >= 0) & (values <= 1)).all())
        if numbers is None or (inside and len(np.unique(numbers)) <= 2):
            task, why = (
                "classification",
                "the output is one value a row from 0 to 1, and there are two labels",
            )
            if numbers is None:
                why = "the labels are texts"
        else:
            task, why = "regression", "the output is one number a row, and so is the label"
    say(f"The task is taken for {task}: {why} (--task NAME).")
    return task


def _classification(output: str, values: np.ndarray, given: Given, names: tuple[str, ...]) -> Purpose:
    shown = probabilities(values)
    classes = shown.shape[1]
    labels = given.labels
    assert labels is not None
    if names and len(names) != classes:
        raise ImportRefused(
            f"--labels names {len(names)} classes, and the output {output} has {classes} values a row."
        )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.shape[1] == classes:
        say(f"{given.place}: the labels are one-hot rows; the place of the largest value is the class.")
        labels = labels.argmax(axis=1)
    if labels.ndim != 1:
        raise ImportRefused(f"{given.place}: expected one label a row, got {list(labels.shape)}.")
    cells = [_spelled(cell) for cell in labels.tolist()]
    found = names or _classes(cells, classes, given.place, output)
    path, _, column = given.place.rpartition(", ")
    numbers = class_ids(cells, found, Path(path), column.split(" ")[-1])
    if not _are_probabilities(shown):
        why = (
            f"the output {output} is no probability for each class: its values do not add up to 1 a row; if they "
            "are logits, "
            "give the model a softmax"
        )
        return Purpose(output, "classification", found, numbers, why)
    return Purpose(output, "classification", found, numbers, None)


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


def _regression(output: str, values: np.ndarray, given: Given) -> Purpose:
    labels = given.labels
    assert labels is not None
    if values.shape[1] != 1 or labels.size != len(labels):
        why = f"the output {output} has {values.shape[1]} numbers a row, and one is measured here"
        return Purpose(output, "regression", (), _as_given(given), why)
    numbers = _numbers(labels.ravel())
    if numbers is None or not np.isfinite(numbers).all():
        raise ImportRefused(f"{given.place}: expected a finite number in every row, for regression.")
    return Purpose(output, "regression", (), numbers, None)


def _multi_label(output: str, values: np.ndarray, given: Given, names: tuple[str, ...]) -> Purpose:
    labels = given.labels
    assert labels is not None
    if labels.dtype.kind not in "biuf" or labels.shape != values.shape or not np.isin(labels, (0, 1)).all():
        raise ImportRefused(
            f"{given.place}: expected 0 or 1 for each of the {values.shape[1]} values of the output {output}, got "
            f"{labels.dtype} {list(labels.shape)}."
        )
    found = names or tuple(str(number) for number in range(values.shape[1]))
    return Purpose(output, "multi_label", found, labels.astype(np.int64), "the labels are several a row")


def _as_given(given: Given | None) -> np.ndarray | None:
    """Labels that are not measured here, as numbers, for the client, which knows more forms; None for texts."""
    if given is None or given.labels is None:
        return None
    labels = given.labels if given.labels.dtype.kind in "biuf" else _numbers(given.labels)
    whole = labels is not None and labels.dtype.kind == "f" and bool((labels == np.floor(labels)).all())
    return labels.astype(np.int64) if labels is not None and whole else labels


def _are_probabilities(values: np.ndarray) -> bool:
    sums = values.sum(axis=1, dtype=np.float64)
    return bool((np.abs(sums - 1) <= SUM_TOLERANCE).all() and (values >= -SUM_TOLERANCE).all())


def _numbers(labels: np.ndarray) -> np.ndarray | None:
    """The labels as float64, None when one of them is no number."""
    if labels.dtype.kind in "biuf":
        return labels.astype(np.float64)
    try:
        return np.array([float(str(cell)) for cell in labels], np.float64)
    except ValueError:
        return None


def _spelled(cell: object) -> str:
    """A label as text; a float in the shortest way that gives it back."""
    if isinstance(cell, bool):
        return str(int(cell))
    return repr(cell) if isinstance(cell, float) else str(cell)

"""What an imported model is for: which output is measured, its task and its classes. What is guessed is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from atelier_trainer.errors import ImportRefused
from atelier_trainer.importing.examples.given import Given
from atelier_trainer.importing.purpose import Purpose, are_probabilities, as_given, numbers, without_last_one
from atelier_trainer.importing.task_labels import SEPARATOR, classification, multi_label, regression
from atelier_trainer.printable import say
from atelier_trainer.publishing.model_signature import Signature, Tensor

# The name that the trainer's own models give their probabilities.
_PROBABILITIES = "probabilities"
_SEVERAL = 2


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
            as_given(given),
            "which of the outputs is measured was not said (--output NAME)",
        )
    if given is None or answers is None:
        return Purpose(
            output, task or _by_activation(activation, names), names, None, "there are no examples"
        )
    if given.labels is None:
        task = task or _by_activation(activation, names)
        return Purpose(output, task, names, None, "the examples have no labels")
    task = task or _by_labels(answers, given, names)
    if task == "regression":
        return regression(output, answers, given)
    if task == "multi_label":
        return multi_label(output, answers, given, names)
    return classification(output, answers, given, names)


def _by_activation(activation: str | None, names: tuple[str, ...]) -> str | None:
    if names:
        return "classification"
    found = {"softmax": "classification", "sigmoid": "classification"}.get(activation or "")
    if found:
        say(f"The task is taken for {found}, because the output ends with {activation} (--task NAME).")
    return found


def _by_labels(answers: np.ndarray, given: Given, names: tuple[str, ...]) -> str:
    assert given.labels is not None
    labels = without_last_one(given.labels)
    found = numbers(labels)
    width = answers.shape[-1] if answers.ndim > 1 else 1
    two = found is not None and bool(np.isin(found, (0, 1)).all())
    inside = bool(((answers >= 0) & (answers <= 1)).all())
    texts = [str(cell) for cell in labels.ravel()] if found is None else []
    if width > 1 and labels.shape == answers.shape and found is not None:
        # A label for each value of the output.
        if two and (found.sum(axis=-1) == 1).all() and are_probabilities(answers):
            task, why = "classification", "each row of labels has one 1"
        elif two or are_probabilities(answers):
            # Probabilities are no numbers to predict: labels that are not 0 and 1 do not fit them.
            task, why = "multi_label", "the labels are several a row"
        else:
            task, why = "regression", "the labels are several numbers a row"
    elif width > 1 and any(SEPARATOR in text for text in texts) and not are_probabilities(answers):
        task, why = "multi_label", f"the labels are names with {SEPARATOR} between"
    elif width > 1 and (names or labels.ndim == 1):
        return "classification"
    elif width > 1 and labels.ndim == answers.ndim - 1:
        task, why = "classification", "the output has several values a step, and the labels one"
    elif labels.ndim >= _SEVERAL and width > 1:
        task, why = "multi_label", "the labels are several a row"
    elif names or found is None:
        task, why = "classification", "the labels are texts"
        if names:
            return task
    elif inside and len(np.unique(found)) <= _SEVERAL:
        task, why = "classification", "the output is one value a row from 0 to 1, and there are two labels"
    else:
        task, why = "regression", "the output is one number a row, and so is the label"
    say(f"The task is taken for {task}: {why} (--task NAME).")
    return task

"""The probabilities in a prediction: of how many classes, and a check that they are any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import InputError, ServerFailure
from atelier_client.responses import Prediction
from atelier_client.signature import Signature

# The sum of a softmax differs from one by about 1e-6 in float32, by 1e-3 in float16.
_SUM_TOLERANCE = 1e-2


def count_classes(served: Signature, output: str, names: Sequence[str] | None) -> int:
    """The number of classes, from `names` or from the signature. Raises `InputError` when they differ."""
    shape = served.outputs[output].shape
    promised: int | None = None
    if shape is not None and (len(shape) == 1 or shape[-1] == 1):
        promised = 2
    elif shape is not None and shape[-1] > 0:
        promised = shape[-1]
    if names and promised not in (None, len(names)):
        raise InputError(
            f"The model answers {served.outputs[output]}, but there are {len(names)} classes "
            f"({', '.join(names[:5])}, ..): the data set and the model do not belong together. "
            "Other names: --class-names A,B,C."
        )
    if names:
        return len(names)
    if promised is None:
        raise InputError(
            f"How many classes the model has is not known (output {served.outputs[output]}, no model card). "
            "Name them: --class-names A,B,C."
        )
    return promised


def read_probabilities(
    prediction: Prediction, output: str, first: int, shape: tuple[int, ...], names: Sequence[str] | None
) -> NDArray[Any]:
    """Probabilities float [*shape,C] of labels of that shape, [N] or [N,T]. Raises `InputError`.

    `first` is the number of the first row. A sigmoid has one output, [N] or [N,1]; the result has the probabilities of
    both classes.
    """
    values = of_both_classes(prediction[output])
    if values.shape[:-1] != shape or (names and values.shape[-1] != len(names)):
        raise InputError(_other_shape(output, values.shape, shape, names))
    sums = values.sum(axis=-1, dtype=np.float64)
    # `not <=` is also true for NaN.
    wrong = ~(np.abs(sums - 1) <= _SUM_TOLERANCE) | (values < -_SUM_TOLERANCE).any(axis=-1)
    if wrong.any():
        at = np.argwhere(wrong)[0].tolist()
        step = f", step {at[1] + 1}" if len(at) > 1 else ""
        raise InputError(
            f"The output {output} of row {first + at[0] + 1}{step} is no probability for each class: its values add up "
            f"to {sums[tuple(at)]:.4g}. If they are logits, serve the model with a softmax; another output: --output "
            "NAME; a probability of each class by itself: --task multi_label; a number: --task regression."
        )
    return values


def _other_shape(
    output: str, answered: tuple[int, ...], labels: tuple[int, ...], names: Sequence[str] | None
) -> str:
    if len(answered) > 2 or len(labels) > 1:
        return (
            f"The output {output} cannot be measured: the model answers {list(answered)}, so the labels would be "
            f"{list(answered[:-1])}, a class for each step, and they are {list(labels)}."
        )
    return (
        f"The model answers {output} of shape {list(answered)} for {labels[0]} rows"
        + (f" and {len(names)} classes" if names else "")
        + ": the data set and the model do not belong together."
    )


def of_both_classes(values: NDArray[Any]) -> NDArray[Any]:
    """Of a sigmoid, [N], [N,1] or [N,T,1], the probabilities of both classes; else the values.

    Raises `ServerFailure` for values that are no floats.
    """
    if values.dtype.kind != "f":
        raise ServerFailure(f"The server promised floats as probabilities and sent {values.dtype}.")
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim > 1 and values.shape[-1] == 1:
        return np.concatenate([1 - values, values], axis=-1)
    return values

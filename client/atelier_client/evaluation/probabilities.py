"""The probabilities in a prediction: which output has them, of how many classes, and a check that they are any."""

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
_FLOATS = ("float32", "float64", "float16")


def find_output(served: Signature, wanted: str | None) -> str:
    """The output that holds the probabilities. Raises `InputError`."""
    floats = [info.name for info in served.outputs.values() if info.dtype in _FLOATS]
    if wanted is not None:
        served.check_outputs((wanted,))
        if wanted not in floats:
            raise InputError(
                f"The output {served.outputs[wanted]} is no probability for each class; "
                f"floats are: {', '.join(floats) or 'none'}."
            )
        return wanted
    if "probabilities" in floats:
        return "probabilities"
    if len(floats) == 1:
        return floats[0]
    known = "; ".join(str(info) for info in served.outputs.values())
    raise InputError(
        f"Which output of {served.name} holds the probabilities is not clear; give --output NAME. It has: {known}."
    )


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
    prediction: Prediction, output: str, first: int, rows: int, names: Sequence[str] | None
) -> NDArray[Any]:
    """Probabilities float [N,C] of `rows` rows. `first` is the number of the first row. Raises `InputError`.

    A sigmoid has one output, [N] or [N,1]; the result has the probabilities of both classes.
    """
    values = of_both_classes(prediction[output])
    if values.ndim != 2 or len(values) != rows or (names and values.shape[1] != len(names)):
        raise InputError(
            f"The model answers {output} of shape {list(values.shape)} for {rows} rows"
            + (f" and {len(names)} classes" if names else "")
            + ": the data set and the model do not belong together."
        )
    sums = values.sum(axis=1, dtype=np.float64)
    # `not <=` is also true for NaN.
    wrong = ~(np.abs(sums - 1) <= _SUM_TOLERANCE) | (values < -_SUM_TOLERANCE).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"The output {output} of row {first + row + 1} is no probability for each class: its values add up "
            f"to {sums[row]:.4g}. If they are logits, serve the model with a softmax; another output: --output NAME."
        )
    return values


def of_both_classes(values: NDArray[Any]) -> NDArray[Any]:
    """For a sigmoid, [N] or [N,1], the probabilities of both classes [N,2]; else the values. Raises `ServerFailure`."""
    if values.dtype.kind != "f":
        raise ServerFailure(f"The server promised floats as probabilities and sent {values.dtype}.")
    if values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1):
        column = values.reshape(-1, 1)
        return np.concatenate([1 - column, column], axis=1)
    return values

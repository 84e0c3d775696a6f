"""Rows of features as tf.Example (tensorflow/core/example/feature.proto), the input of classify and regress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from atelier_client._arguments import is_text, shown
from atelier_client.errors import InputError
from atelier_client.messages.tensors import as_array, utf8
from atelier_client.protos import serving_pb2 as pb

FeatureRows = Sequence[Mapping[str, Any]] | Mapping[str, ArrayLike]


def to_examples(rows: FeatureRows) -> list[pb.Example]:
    """One Example a row. Raises `InputError`.

    `rows` is a sequence of mappings from feature to value (a number, a string, bytes, or an array of them, flattened),
    or a mapping from feature to an array whose first dimension counts the rows. Integers and booleans become int64,
    floats float32, strings UTF-8 bytes.
    """
    if isinstance(rows, Mapping):
        rows = _by_row(rows)
    try:
        rows = list(rows)
    except TypeError:
        raise InputError(
            "Rows are a list of mappings from feature to value, or one mapping from feature to an array; "
            f"{shown(rows)} came."
        ) from None
    if not rows:
        raise InputError("There are no rows; classify and regress need one or more.")
    examples = []
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InputError(
                f"Row {number} is a {type(row).__name__}; expected a mapping from feature to value."
            )
        example = pb.Example()
        for name, value in row.items():
            if not is_text(name):
                raise InputError(f"Row {number}: a feature's name is a text, not {shown(name)}.")
            _fill(example.features.feature[name], value, f"row {number}, feature {name!r}")
        examples.append(example)
    return examples


def _by_row(columns: Mapping[str, ArrayLike]) -> list[dict[str, Any]]:
    arrays = {name: as_array(value) for name, value in columns.items()}
    counts = {name: len(array) if array.ndim else -1 for name, array in arrays.items()}
    if len(set(counts.values())) > 1 or -1 in counts.values():
        said = ", ".join(f"{name} has {'none' if count < 0 else count}" for name, count in counts.items())
        raise InputError(f"The features need the same number of rows: {said}.")
    return [
        {name: array[row] for name, array in arrays.items()} for row in range(next(iter(counts.values()), 0))
    ]


def _fill(feature: pb.Feature, value: Any, where: str) -> None:
    array = as_array(value).ravel()
    if array.dtype.kind in "bi" or (array.dtype.kind == "u" and not _above_int64(array)):
        # protobuf takes no truth value for an integer.
        feature.int64_list.value.extend(array.astype(np.int64).tolist())
    elif array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            floats = array.astype(np.float32)
        if (np.isinf(floats) & np.isfinite(array)).any():
            raise InputError(
                f"{where}: {array[np.isinf(floats) & np.isfinite(array)][0]:g} is beyond float32."
            )
        feature.float_list.value.extend(floats.tolist())
    elif array.dtype.kind in "OSU" and all(isinstance(item, str | bytes) for item in array.tolist()):
        feature.bytes_list.value.extend(
            utf8(item) if isinstance(item, str) else item for item in array.tolist()
        )
    else:
        raise InputError(f"{where}: expected integers, floats, str or bytes; {array.dtype} came.")


def _above_int64(array: np.ndarray[Any, Any]) -> bool:
    return bool(array.size) and int(array.max()) > np.iinfo(np.int64).max

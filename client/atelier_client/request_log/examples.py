"""The tf.Examples of a classify or regress request as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.protos import serving_pb2 as pb

_DTYPES = {"int64_list": np.int64, "float_list": np.float32}


def columns(given: pb.Input) -> dict[str, NDArray[Any]]:
    """Each feature as an array with a row an example: [N] of one value a row, [N,k] of k; int64, float32 or bytes.

    Where rows differ (in length or kind, or one has not got the feature), it is object [N] of lists, None for none.
    """
    examples = list(_examples(given))
    names = sorted({name for example in examples for name in example.features.feature})
    return {name: _column([_values(example, name) for example in examples]) for name in names}


def _examples(given: pb.Input) -> Sequence[pb.Example]:
    if given.WhichOneof("kind") != "example_list_with_context":
        return given.example_list.examples
    merged = []
    for example in given.example_list_with_context.examples:
        whole = pb.Example()
        whole.CopyFrom(given.example_list_with_context.context)
        # As the server does: the example's own features count.
        for name, feature in example.features.feature.items():
            whole.features.feature[name].CopyFrom(feature)
        merged.append(whole)
    return merged


def _values(example: pb.Example, name: str) -> tuple[str, list[Any]] | None:
    # `features[name]` would add a missing feature to the message.
    feature = example.features.feature.get(name)
    kind = feature.WhichOneof("kind") if feature is not None else None
    return (kind, list(getattr(feature, kind).value)) if kind else None


def _column(cells: Sequence[tuple[str, list[Any]] | None]) -> NDArray[Any]:
    shapes = {(cell[0], len(cell[1])) if cell else None for cell in cells}
    shape = shapes.pop()
    if shapes or shape is None or not shape[1]:
        lists = np.empty(len(cells), object)
        lists[:] = [cell[1] if cell else None for cell in cells]
        return lists
    kind, length = shape
    array = np.empty([len(cells), length], _DTYPES.get(kind, object))
    for row, cell in enumerate(cells):
        assert cell is not None
        array[row] = cell[1]
    return array[:, 0] if length == 1 else array

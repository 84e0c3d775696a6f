"""The arrays of a batch: this module counts their rows, merges and pads them, and splits the outputs again.

Texts and rules: batching/batching_session.cc and batching_util.{h,cc} at 2.20.0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from atelier_serving.batching.parameters import BatchingParameters
from atelier_serving.status import Code, ServingError, invalid


def rows_of(inputs: Sequence[np.ndarray]) -> int:
    """The number of rows: the size of the first dimension, which must be equal in all inputs. Raises `ServingError`."""
    if not inputs:
        raise invalid("Batching Run() must have at least one input tensor")
    if any(array.ndim == 0 for array in inputs):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    rows = len(inputs[0])
    if any(len(array) != rows for array in inputs):
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return rows


def merged(tasks: Sequence[Sequence[np.ndarray]], parameters: BatchingParameters) -> list[np.ndarray]:
    """One array per input: the rows of the tasks in order, then copies of the first row up to an allowed batch size."""
    columns = list(zip(*tasks, strict=True))
    if parameters.pad_variable_length_inputs:
        columns = [_same_shapes(column) for column in columns]
    arrays = [column[0] if len(column) == 1 else np.concatenate(column) for column in columns]
    rows = len(arrays[0])
    # A batch without rows has no first row to copy. (TensorFlow Serving crashes here.)
    wanted = next((size for size in parameters.allowed_batch_sizes if size >= rows), rows) if rows else 0
    if wanted > rows:
        arrays = [np.concatenate([array, np.repeat(array[:1], wanted - rows, axis=0)]) for array in arrays]
    return arrays


def split(outputs: Sequence[np.ndarray], sizes: Sequence[int], rows: int) -> list[list[np.ndarray]]:
    """The outputs of each task: its rows of every output.

    `sizes` are the rows of each task, `rows` the rows of the batch. Raises `ServingError` when an output has another
    number of rows than the batch.
    """
    for output in outputs:
        if output.ndim == 0:
            raise ServingError(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if len(output) != rows:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the "
                "input tensors",
            )
    ends = np.cumsum(sizes).tolist()
    return [[output[end - size : end] for output in outputs] for size, end in zip(sizes, ends, strict=True)]


def _same_shapes(column: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Pad every dimension but the first to its largest size; the padding of an array is the array's first element."""
    shape = np.max([array.shape[1:] for array in column], axis=0).astype(int).tolist()
    return tuple(_padded(array, shape) for array in column)


def _padded(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    if list(array.shape[1:]) == shape:
        return array
    if array.size == 0:
        raise invalid("Got empty tensor in batch of non-empty tensors.")
    whole = np.full((len(array), *shape), array.flat[0], array.dtype)
    whole[tuple(slice(size) for size in array.shape)] = array
    return whole

"""A trial of a loaded version: rows that are made up, run alone and run together, must have the same outputs."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from atelier_serving.inference.predict import fetch
from atelier_serving.models.servable import Servable
from atelier_serving.tensors import numpy_dtype

_ROWS = 5
# Of a dimension whose size is not fixed.
_SIZE = 3
# A model whose rows take more seconds has nothing to gain.
_SLOW_SECONDS = 0.05
# How far floats of a row run alone and run with others may be apart, in units of the last place of the largest one.
_UNITS = 64
# A row with more bytes of outputs has nothing to gain either, and many at a time would take much memory.
_WIDE_BYTES = 16 * 1024
_WORDS = (b"a", b"", b"two words", b"some more words, and a number: 12", b"The end.")


def same_alone_and_together(
    servable: Servable, signature: meta_graph_pb2.SignatureDef, aliases: Sequence[str]
) -> frozenset[str]:
    """Those of the outputs whose rows are the same, run alone and together. None when a row takes long or is wide."""
    generator = np.random.default_rng(0)
    names = [signature.outputs[alias].name for alias in aliases]
    try:
        feeds = [(info.name, _values(info, generator)) for info in signature.inputs.values()]
        fetch(servable, _row(feeds, 0), names)
        began = time.perf_counter()
        alone = [fetch(servable, _row(feeds, 0), names)]
        if time.perf_counter() - began > _SLOW_SECONDS:
            return frozenset()
        alone += [fetch(servable, _row(feeds, row), names) for row in range(1, _ROWS)]
        together = fetch(servable, feeds, names)
        if sum(array.nbytes for array in together) > _ROWS * _WIDE_BYTES:
            return frozenset()
    except Exception:
        # Values that were made up may be none for this model, and its types none that can be fed.
        return frozenset()
    return frozenset(
        alias for place, alias in enumerate(aliases) if _same([one[place] for one in alone], together[place])
    )


def _row(feeds: Sequence[tuple[str, np.ndarray]], row: int) -> list[tuple[str, np.ndarray]]:
    return [(name, array[row : row + 1]) for name, array in feeds]


def _values(info: meta_graph_pb2.TensorInfo, generator: np.random.Generator) -> np.ndarray:
    """Some rows for an input."""
    sizes = [dim.size if dim.size >= 0 else _SIZE for dim in info.tensor_shape.dim[1:]]
    shape = (_ROWS, *sizes)
    dtype = numpy_dtype(info.dtype)
    if dtype.kind == "O":
        return np.resize(np.array(_WORDS, object), shape)
    if dtype.kind in "iu":
        # Numbers of words or categories are small.
        return generator.integers(0, 3, shape).astype(dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    return generator.normal(0, 1, shape).astype(dtype)


def _same(alone: Sequence[np.ndarray], together: np.ndarray) -> bool:
    if any(one.ndim == 0 or len(one) != 1 for one in alone) or together.ndim == 0:
        return False
    rows = np.concatenate(alone)
    if rows.shape != together.shape:
        return False
    if rows.dtype.kind not in "fcV":
        return bool(np.array_equal(rows, together))
    wide = rows.astype(np.complex128 if rows.dtype.kind == "c" else np.float64)
    other = together.astype(wide.dtype)
    largest = np.abs(wide[np.isfinite(wide)]).max(initial=0.0)
    near = _UNITS * float(np.spacing(np.float64(largest)) * 2.0 ** (52 - _mantissa(rows.dtype)))
    return bool(np.allclose(wide, other, rtol=0, atol=near, equal_nan=True))


def _mantissa(dtype: np.dtype) -> int:
    """The bits of a float's mantissa."""
    return {"float64": 52, "complex128": 52, "float16": 10, "bfloat16": 7}.get(dtype.name, 23)

"""Which outputs of a signature may be asked for in one run by several requests: by its graph, and by a trial."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

from atelier_serving.inference.predict import fetch
from atelier_serving.inference.row_kinds import READING, Kind, kind_of_outputs
from atelier_serving.models.servable import Servable
from atelier_serving.tensors import numpy_dtype

_log = logging.getLogger(__name__)

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
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


def independent_outputs(servable: Servable) -> dict[str, frozenset[str]]:
    """For each signature its outputs whose rows depend on the same rows of the inputs, and on these alone."""
    found = {}
    for name, signature in servable.signatures.items():
        if not signature.inputs:
            continue
        try:
            by_graph = _by_graph(servable, signature)
        except Exception as error:
            # No rule here may keep a model from being served.
            _log.info(
                f"Requests for {name} of {servable.folder} run alone: its graph cannot be read ({error})."
            )
            continue
        if by_graph and (outputs := _by_trial(servable, signature, sorted(by_graph))):
            found[name] = outputs
    servable.functions.clear()
    return found


def _by_graph(servable: Servable, signature: meta_graph_pb2.SignatureDef) -> frozenset[str]:
    """The outputs that are independent by the definition of every op on the way to them."""
    inputs = [servable.tensor(info.name) for info in signature.inputs.values()]
    outputs = {alias: servable.tensor(info.name) for alias, info in signature.outputs.items()}
    needed = _needed([tensor.op for tensor in outputs.values()])
    kinds = _kinds(
        servable,
        [op for op in servable.graph.get_operations() if op in needed],
        {tensor.ref(): Kind.ROWS if _has_rows(tensor) else Kind.MIXED for tensor in inputs},
    )
    if kinds is None:
        return frozenset()
    return frozenset(
        alias
        for alias, tensor in outputs.items()
        if kinds.get(tensor.ref()) is Kind.ROWS and _has_rows(tensor)
    )


def _needed(operations: Sequence[tf.Operation]) -> set[tf.Operation]:
    """These operations, and all that must run before them."""
    needed: set[tf.Operation] = set()
    waiting = list(operations)
    while waiting:
        op = waiting.pop()
        if op not in needed:
            needed.add(op)
            waiting += [tensor.op for tensor in op.inputs]
            waiting += op.control_inputs
    return needed


def _has_rows(tensor: tf.Tensor) -> bool:
    return bool(tensor.shape.rank) and tensor.shape[0] is None


def _kinds(
    servable: Servable, operations: Sequence[tf.Operation], given: Mapping[object, Kind]
) -> dict[object, Kind] | None:
    """The kind of each tensor of these operations, which are in order; None when one of them has an effect."""
    kinds = dict(given)
    for op in operations:
        if op.op_def.is_stateful and op.type not in READING:
            return None
        if op.outputs and all(output.ref() in kinds for output in op.outputs):
            # It is fed.
            continue
        own = [kinds.get(tensor.ref(), Kind.MIXED) for tensor in op.inputs]
        if op.type in _CALLS:
            inside = _of_call(servable, op, own)
            if inside is None:
                return None
            found: Sequence[Kind] = inside
        else:
            found = [kind_of_outputs(op, own)] * len(op.outputs)
        kinds |= {output.ref(): kind for output, kind in zip(op.outputs, found, strict=True)}
    return kinds


def _of_call(servable: Servable, op: tf.Operation, own: Sequence[Kind]) -> list[Kind] | None:
    """The kinds of what a function returns; None when it has an effect."""
    definition = servable.functions[op.get_attr("f").name]
    with servable.graph.as_default():
        body = function_def_to_graph(definition, input_shapes=[tensor.shape for tensor in op.inputs])
    given = {tensor.ref(): kind for tensor, kind in zip(body.inputs, own, strict=True)}
    kinds = _kinds(servable, body.get_operations(), given)
    if kinds is None:
        return None
    return [kinds.get(tensor.ref(), Kind.MIXED) for tensor in body.outputs]


def _by_trial(
    servable: Servable, signature: meta_graph_pb2.SignatureDef, aliases: Sequence[str]
) -> frozenset[str]:
    """Those of the outputs whose rows are the same, run alone and together. None when a row takes long or is wide."""
    generator = np.random.default_rng(0)
    feeds = [(info.name, _values(info, generator)) for info in signature.inputs.values()]
    names = [signature.outputs[alias].name for alias in aliases]
    try:
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
        # Values that were made up may be none for this model.
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

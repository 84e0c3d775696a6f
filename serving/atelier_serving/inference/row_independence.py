"""Which outputs of a signature may be asked for in one run by several requests: by its graph, and by a trial."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

from atelier_serving.inference.row_kinds import READING, Kind, kind_of_outputs
from atelier_serving.inference.row_trial import same_alone_and_together
from atelier_serving.models.servable import Servable

_log = logging.getLogger(__name__)

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


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
        if by_graph and (outputs := same_alone_and_together(servable, signature, sorted(by_graph))):
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

"""Which tensors of a graph have a row for each row of the inputs that depends on that row alone: rules for each op.

An op that is not listed mixes rows, as far as is known here. So what this module calls independent is so by the
definition of every op on the way; what it does not may be so too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

import tensorflow as tf


class Kind(Enum):
    """What a tensor has of the rows of the inputs."""

    # Nothing: it is the same for all requests.
    CONSTANT = 0
    # As many rows, each of which depends on the same row of the inputs alone.
    ROWS = 1
    # Their number, and nothing else: the first dimension of shapes.
    COUNT = 2
    # Something else.
    MIXED = 3


ROWS, COUNT, MIXED, CONSTANT = Kind.ROWS, Kind.COUNT, Kind.MIXED, Kind.CONSTANT
_Rule = Callable[[tf.Operation, Sequence[Kind]], bool]


def _named(names: str) -> frozenset[str]:
    return frozenset(names.split())


# Each element of the output depends on the same elements of the inputs, broadcast as NumPy does.
_ELEMENTWISE = _named(
    "Abs Acos Acosh Add AddN AddV2 Asin Asinh AsString Atan Atan2 Atanh BitwiseAnd BitwiseOr BitwiseXor Cast Ceil "
    "CheckNumerics ClipByValue Complex ComplexAbs Conj Cos Cosh Digamma Div DivNoNan Elu Equal Erf Erfc Exp Expm1 "
    "Floor FloorDiv FloorMod Greater GreaterEqual Identity Imag Inv IsFinite IsInf IsNan LeakyRelu Less LessEqual "
    "Lgamma Log Log1p LogicalAnd LogicalNot LogicalOr Maximum Minimum Mod Mul MulNoNan Neg NextAfter NotEqual OnesLike "
    "Pow PreventGradient Real RealDiv Reciprocal RegexFullMatch RegexReplace Relu Relu6 Rint Round Rsqrt SelectV2 Selu "
    "Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Square SquaredDifference StaticRegexFullMatch StaticRegexReplace "
    "StopGradient StringLength StringLower StringStrip StringToHashBucket StringToHashBucketFast StringToNumber "
    "StringUpper Sub Tan Tanh TruncateDiv TruncateMod Xdivy Xlogy ZerosLike"
)
# The first dimension of the first input is that of the batch; the other inputs are weights.
_BATCHED = _named(
    "AvgPool AvgPool3D BiasAdd Conv2D Conv3D DepthwiseConv2dNative MaxPool MaxPool3D ResizeArea ResizeBicubic "
    "ResizeBilinear ResizeNearestNeighbor"
)
_REDUCTIONS = _named("All Any ArgMax ArgMin EuclideanNorm Max Mean Min Prod Sum")
# Numbers of rows are reckoned with these. What is made of them is a number of rows, or is not used for rows.
_RECKONING = _named(
    "AddV2 Cast ConcatV2 ExpandDims FloorDiv GatherV2 Identity Maximum Minimum Mul Pack Prod Reshape Slice Squeeze "
    "StridedSlice Sub"
)
# These have a state and only read it, or answer nothing.
READING = _named(
    "Assert HashTableV2 LookupTableFindV2 LookupTableSizeV2 PartitionedCall Placeholder ReadVariableOp ResourceGather "
    "StatefulPartitionedCall VarHandleOp Variable VariableV2"
)


def kind_of_outputs(op: tf.Operation, kinds: Sequence[Kind]) -> Kind:
    """The kind of all outputs of an operation whose inputs have these kinds. It is no call of a function."""
    if all(kind is CONSTANT for kind in kinds):
        return CONSTANT
    if op.type in ("Shape", "ShapeN", "Size"):
        return MIXED if MIXED in kinds else COUNT
    if op.type == "Rank":
        return CONSTANT
    if MIXED not in kinds and ROWS not in kinds and op.type in _RECKONING:
        return COUNT
    rule = (
        _elementwise if op.type in _ELEMENTWISE else _batched if op.type in _BATCHED else _RULES.get(op.type)
    )
    if rule is None or MIXED in kinds or not _have_rows(op) or not rule(op, kinds):
        return MIXED
    return ROWS


def _have_rows(op: tf.Operation) -> bool:
    return all(
        output.shape.rank and (output.shape[0] is None or op.type == "FusedBatchNormV3")
        for output in op.outputs[:1]
    )


def _rank(tensor: tf.Tensor) -> int:
    """The rank, -1 where it is not known."""
    rank = tensor.shape.rank
    return -1 if rank is None else int(rank)


def _value(tensor: tf.Tensor) -> list[int] | None:
    """A constant as a list of whole numbers, None where it is none."""
    found = tf.get_static_value(tensor, partial=False)
    return None if found is None else [int(number) for number in found.ravel()]


def _all_beyond_first(axes: Sequence[int] | None, rank: int) -> bool:
    """Whether these axes of a tensor are known and leave out the first one."""
    return axes is not None and rank > 0 and all(axis % rank > 0 for axis in axes if -rank <= axis < rank)


def _elementwise(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    rank = _rank(op.outputs[0])
    for tensor, kind in zip(op.inputs, kinds, strict=True):
        own = _rank(tensor)
        if kind is ROWS and own != rank:
            # It would be broadcast along other rows.
            return False
        if kind is CONSTANT and not (0 <= own < rank or (own == rank and tensor.shape[0] == 1)):
            return False
        if kind is COUNT:
            return False
    return True


def _batched(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    return kinds[0] is ROWS and set(kinds[1:]) <= {CONSTANT}


def _reduction(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    return _batched(op, kinds) and _all_beyond_first(_value(op.inputs[1]), _rank(op.inputs[0]))


def _matmul(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    return _batched(op, kinds) and not op.get_attr("transpose_a")


def _batch_matmul(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    left, right = (_rank(tensor) for tensor in op.inputs)
    if kinds[0] is not ROWS or left != _rank(op.outputs[0]) or right < 2:
        return False
    if left == 2:
        return kinds[1] is CONSTANT and right == 2 and not op.get_attr("adj_x")
    return right == left if kinds[1] is ROWS else right < left or op.inputs[1].shape[0] == 1


def _softmax(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    return _rank(op.inputs[0]) > 1


def _batch_norm(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    return _batched(op, kinds) and not op.get_attr("is_training")


def _reshape(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    # In row-major order, rows of as many values are the same rows.
    before, after = (tensor.shape[1:].num_elements() for tensor in (op.inputs[0], op.outputs[0]))
    return kinds[0] is ROWS and before is not None and before == after


def _expand(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    return _batched(op, kinds) and _all_beyond_first(_value(op.inputs[1]), _rank(op.outputs[0]))


def _squeeze(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    axes = op.get_attr("squeeze_dims")
    return bool(axes) and _all_beyond_first(axes, _rank(op.inputs[0]))


def _transpose(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    order = _value(op.inputs[1])
    return kinds[0] is ROWS and order is not None and order[:1] == [0]


def _concat(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    rows = set(kinds[:-1]) == {ROWS}
    return rows and _all_beyond_first(_value(op.inputs[-1]), _rank(op.outputs[0]))


def _pack(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    return set(kinds) == {ROWS} and _all_beyond_first([op.get_attr("axis")], _rank(op.outputs[0]))


def _unpack(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    return _all_beyond_first([op.get_attr("axis")], _rank(op.inputs[0]))


def _split(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    axis, data = (0, 1) if op.type == "Split" else (2, 0)
    return kinds[data] is ROWS and _all_beyond_first(_value(op.inputs[axis]), _rank(op.inputs[data]))


def _strided_slice(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    strides = _value(op.inputs[3])
    if not _batched(op, kinds) or not strides:
        return False
    if op.get_attr("ellipsis_mask") & 1:
        return len(strides) <= _rank(op.inputs[0])
    whole = op.get_attr("begin_mask") & op.get_attr("end_mask") & 1
    added = (op.get_attr("new_axis_mask") | op.get_attr("shrink_axis_mask")) & 1
    return bool(whole and not added and strides[0] == 1)


def _slice(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    begin, size = _value(op.inputs[1]), _value(op.inputs[2])
    return kinds[0] is ROWS and begin is not None and size is not None and (begin[0], size[0]) == (0, -1)


def _pad(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    paddings = _value(op.inputs[1])
    return _batched(op, kinds) and paddings is not None and paddings[:2] == [0, 0]


def _gather(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    axis = _value(op.inputs[2])
    if op.get_attr("batch_dims") or axis is None:
        return False
    if kinds[:2] == [CONSTANT, ROWS]:
        return axis == [0]
    return kinds[:2] == [ROWS, CONSTANT] and _all_beyond_first(axis, _rank(op.inputs[0]))


def _resource_gather(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    return kinds[1] is ROWS and not op.get_attr("batch_dims")


def _one_hot(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    return _batched(op, kinds) and op.get_attr("axis") != 0


def _tile(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    if kinds[0] is ROWS:
        times = _value(op.inputs[1])
        return times is not None and times[:1] == [1]
    # One row, for each of the rows.
    return list(kinds) == [CONSTANT, COUNT] and op.inputs[0].shape[0] == 1 and _as_wide_as_ever(op)


def _fill(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    return list(kinds) == [COUNT, CONSTANT] and _as_wide_as_ever(op)


def _as_wide_as_ever(op: tf.Operation) -> bool:
    """Whether the size of the output's rows is fixed: the number of rows must not be in it."""
    return bool(op.outputs[0].shape[1:].is_fully_defined())


def _lookup(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    return list(kinds) == [CONSTANT, ROWS, CONSTANT]


def _parse_example(op: tf.Operation, kinds: Sequence[Kind]) -> bool:
    ragged = op.get_attr("ragged_value_types")
    dense = all(_rank(output) > 0 and output.shape[0] is None for output in op.outputs)
    return kinds[0] is ROWS and op.get_attr("num_sparse") == 0 and not ragged and dense


_RULES: dict[str, _Rule] = {
    **dict.fromkeys(_REDUCTIONS, _reduction),
    "MatMul": _matmul,
    **dict.fromkeys(("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _batch_matmul),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), _batch_norm),
    "Reshape": _reshape,
    "EnsureShape": _elementwise,
    "ExpandDims": _expand,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "ConcatV2": _concat,
    "Pack": _pack,
    "Unpack": _unpack,
    **dict.fromkeys(("Split", "SplitV"), _split),
    "StridedSlice": _strided_slice,
    "Slice": _slice,
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), _pad),
    "GatherV2": _gather,
    "ResourceGather": _resource_gather,
    "OneHot": _one_hot,
    "Tile": _tile,
    "Fill": _fill,
    "LookupTableFindV2": _lookup,
    "ParseExampleV2": _parse_example,
}

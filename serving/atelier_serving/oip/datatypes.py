"""The protocol's data types, and TensorFlow's type, numpy's type and the field of typed contents of each.

Source: "Tensor Data Types" of the Open Inference Protocol; BF16 is there as well as in Triton.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tensorflow.core.framework import types_pb2

from atelier_serving.tensors import numpy_dtype, type_name


@dataclass(frozen=True, slots=True)
class Datatype:
    """One data type. `number` is TensorFlow's; `field` is that of InferTensorContents, empty where there is none."""

    name: str
    number: int
    dtype: np.dtype
    field: str

    @property
    def is_bytes(self) -> bool:
        """Whether its elements are strings."""
        return bool(self.number == types_pb2.DT_STRING)


_ROWS = (
    ("BOOL", types_pb2.DT_BOOL, "bool_contents"),
    ("UINT8", types_pb2.DT_UINT8, "uint_contents"),
    ("UINT16", types_pb2.DT_UINT16, "uint_contents"),
    ("UINT32", types_pb2.DT_UINT32, "uint_contents"),
    ("UINT64", types_pb2.DT_UINT64, "uint64_contents"),
    ("INT8", types_pb2.DT_INT8, "int_contents"),
    ("INT16", types_pb2.DT_INT16, "int_contents"),
    ("INT32", types_pb2.DT_INT32, "int_contents"),
    ("INT64", types_pb2.DT_INT64, "int64_contents"),
    ("FP16", types_pb2.DT_HALF, ""),
    ("BF16", types_pb2.DT_BFLOAT16, ""),
    ("FP32", types_pb2.DT_FLOAT, "fp32_contents"),
    ("FP64", types_pb2.DT_DOUBLE, "fp64_contents"),
    ("BYTES", types_pb2.DT_STRING, "bytes_contents"),
)
BY_NAME = {name: Datatype(name, number, numpy_dtype(number), field) for name, number, field in _ROWS}
BY_NUMBER = {datatype.number: datatype for datatype in BY_NAME.values()}


def name_of(number: int) -> str:
    """The name of a type of TensorFlow: the protocol's, or TensorFlow's own in capitals where it has none."""
    known = BY_NUMBER.get(number)
    return known.name if known else type_name(number).upper()

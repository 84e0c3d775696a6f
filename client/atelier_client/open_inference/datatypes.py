"""The protocol's datatypes (inference_rest.md, "Tensor Data Types"; BF16: Triton's) and the client's names of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from atelier_client.messages.tensors import BFLOAT16, BY_NAME, NAMES, STRING

BYTES = "BYTES"
BF16 = "BF16"
CLIENT_NAMES: dict[str, str] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    BF16: NAMES[BFLOAT16],
    BYTES: NAMES[STRING],
}
# Those whose values NumPy can hold, little endian as they are sent.
DTYPES: dict[str, np.dtype[Any]] = {
    datatype: BY_NAME[name] for datatype, name in CLIENT_NAMES.items() if name in BY_NAME
}
# By dtype.str, which is quicker to look up than a dtype.
BY_DTYPE: dict[str, str] = {dtype.str: datatype for datatype, dtype in DTYPES.items()}

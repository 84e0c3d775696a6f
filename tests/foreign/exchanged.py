"""Tensors between a test and a script that runs in another environment: JSON with the bytes in base64."""

from __future__ import annotations

import base64
from typing import Any

import ml_dtypes
import numpy as np

Told = dict[str, Any]


def told(array: np.ndarray) -> Told:
    """An array as JSON: `texts` of a string array, `raw` of any other."""
    facts: Told = {"shape": list(array.shape), "dtype": array.dtype.name}
    if array.dtype.kind in "OSU":
        items = [item.encode() if isinstance(item, str) else bytes(item) for item in array.ravel().tolist()]
        return facts | {"dtype": "object", "texts": [base64.b64encode(item).decode() for item in items]}
    return facts | {"raw": base64.b64encode(array.tobytes()).decode()}


def heard(facts: Told) -> np.ndarray:
    """The array again."""
    if "texts" in facts:
        flat = np.empty(len(facts["texts"]), object)
        flat[:] = [base64.b64decode(text) for text in facts["texts"]]
        return flat.reshape(facts["shape"])
    dtype = ml_dtypes.bfloat16 if facts["dtype"] == "bfloat16" else facts["dtype"]
    return np.frombuffer(base64.b64decode(facts["raw"]), dtype).reshape(facts["shape"])

"""An example of the JSON that a signature takes, to begin with."""

from __future__ import annotations

import json
from typing import Any

from atelier_client import Signature, TensorInfo

# Larger inputs are begun only.
_MOST_VALUES = 2000


def skeleton(signature: Signature) -> str:
    """JSON of one row: zeros, empty texts, false; for classify and regress an example without features."""
    if signature.method.endswith(("classify", "regress")):
        return "[{}]"
    return json.dumps({info.name: _row(info) for info in signature.required})


def _row(info: TensorInfo) -> Any:
    value: Any = {"string": "", "bool": False}.get(info.dtype, 0)
    if info.shape is None:
        return [value]
    shape = [1 if size < 0 else size for size in info.shape]
    count = 1
    for size in shape:
        count *= size
    if count > _MOST_VALUES:
        return []
    for size in reversed(shape):
        value = [value] * size
    return value

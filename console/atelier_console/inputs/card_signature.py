"""The signature that a model card tells, for what is read while the server is away."""

from __future__ import annotations

from atelier_client import Signature, TensorInfo
from atelier_client._layout import Layout

# docs/contracts.md, section 1: what the trainer's models take.
_PREDICT = "tensorflow/serving/predict"


def card_signature(layout: Layout, name: str) -> Signature:
    """Pictures uint8 [N,H,W] or [N,H,W,C], texts [N], or a table: one input a column, or float32 [N,columns]."""
    if layout.kind == "image":
        inputs = [TensorInfo("images", "uint8", (-1, *layout.shape))]
    elif layout.kind == "text":
        inputs = [TensorInfo("text", "string", (-1,))]
    elif layout.kinds:
        inputs = [
            TensorInfo(column, "float32" if layout.kinds.get(column) == "number" else "string", (-1,))
            for column in layout.columns
        ]
    else:
        inputs = [TensorInfo("features", "float32", (-1, len(layout.columns)))]
    return Signature(name, _PREDICT, {info.name: info for info in inputs}, {}, frozenset())

"""ONNX: converted by tf2onnx, answered by onnxruntime. Both are imported when they are needed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def convert(version: Path, names: Mapping[str, str]) -> bytes:
    """`serving_default` of a SavedModel as an ONNX model; `names` are the inputs' names by those of the graph.

    Raises what tf2onnx raises; `ValueError` for a model above protobuf's 2 GB.
    """
    from tf2onnx import convert as tf2onnx
    from tf2onnx import tf_loader

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    graph, inputs, outputs, renamed = tf_loader.from_saved_model(
        str(version), None, None, tag="serve", signatures=["serving_default"], return_tensors_to_rename=True
    )
    renamed = {tensor: names.get(name, name) for tensor, name in renamed.items()}
    model, _ = tf2onnx.from_graph_def(graph, "model", inputs, outputs, tensors_to_rename=renamed)
    return bytes(model.SerializeToString())


def run(content: bytes, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What onnxruntime answers, by output name."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    answers = session.run(names, dict(inputs))
    return {
        name: value.astype("S") if value.dtype == object else value
        for name, value in zip(names, answers, strict=True)
    }

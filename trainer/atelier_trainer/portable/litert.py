"""LiteRT (formerly TensorFlow Lite): converted by TensorFlow, answered by the interpreter of ai-edge-litert."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf


def convert(version: Path, names: Mapping[str, str]) -> bytes:
    """`serving_default` of a SavedModel as a .tflite file with that signature and the runtime's own operations alone.

    `names` is not needed: the converter takes them from the SavedModel. Raises TensorFlow's `ConverterError`.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(version), signature_keys=["serving_default"])
    return bytes(converter.convert())


def run(content: bytes, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the interpreter answers, by output name."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=content).get_signature_runner("serving_default")
    answers = runner(**inputs)
    return {
        name: value.astype("S") if value.dtype == object else np.array(value)
        for name, value in answers.items()
    }

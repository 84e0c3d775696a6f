"""Takes named inputs and outputs out of a PredictionLog (`--request_log_redact`)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.example import example_pb2
from tensorflow.core.framework import types_pb2

from atelier_serving.tensors import TensorError, decode


def remove(log: Any, hidden: Collection[str]) -> list[str]:
    """Take out what has a name of `hidden`; returns the names that were there.

    Names are those of inputs and outputs; of a classify or regress request those of the examples' features, and
    `classes`, `scores` and `outputs`. A tensor of serialized tf.Examples with such a feature is taken out whole.
    """
    kind = log.WhichOneof("log_type")
    exchange = getattr(log, kind)
    request, response = exchange.request, exchange.response
    if kind == "predict_log":
        return sorted({*_tensors(request.inputs, hidden), *_tensors(response.outputs, hidden)})
    removed = _features(request.input, hidden)
    if kind == "multi_inference_log":
        results = [getattr(result, result.WhichOneof("result")) for result in response.results]
    else:
        results = [response.result]
    for result in results:
        removed |= _values(result, hidden)
    return sorted(removed)


def _tensors(tensors: Any, hidden: Collection[str]) -> list[str]:
    names = [name for name in tensors if name in hidden or _has_feature(tensors[name], hidden)]
    for name in names:
        del tensors[name]
    return names


def _has_feature(tensor: Any, hidden: Collection[str]) -> bool:
    """Whether a tensor holds serialized tf.Examples with a feature of these names."""
    if tensor.dtype != types_pb2.DT_STRING:
        return False
    try:
        for value in decode(tensor).ravel().tolist():
            features = example_pb2.Example.FromString(value).features.feature
            if any(name in features for name in hidden):
                return True
    except (TensorError, DecodeError):
        pass
    return False


def _features(given: Any, hidden: Collection[str]) -> set[str]:
    field = given.WhichOneof("kind")
    if field is None:
        return set()
    examples = list(getattr(given, field).examples)
    if field == "example_list_with_context":
        examples.append(given.example_list_with_context.context)
    removed = set()
    for example in examples:
        features = example.features.feature
        for name in [name for name in features if name in hidden]:
            del features[name]
            removed.add(name)
    return removed


def _values(result: Any, hidden: Collection[str]) -> set[str]:
    """The outputs of one ClassificationResult or RegressionResult that were taken out."""
    removed: set[str] = set()
    for row in getattr(result, "classifications", []):
        for item in row.classes:
            for name, field in (("classes", "label"), ("scores", "score")):
                if name in hidden:
                    item.ClearField(field)
                    removed.add(name)
    if "outputs" in hidden and getattr(result, "regressions", []):
        result.ClearField("regressions")
        removed.add("outputs")
    return removed

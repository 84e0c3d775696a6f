"""Requests of the protocol in a line each, for the tests that ask a server; the messages are the official ones."""

import email.message
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.example import example_pb2
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from tests.support.server import Address

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED
X = np.array([1, 2], np.float32)


def spec(
    message: Any,
    name: str | None = "toy",
    signature: str = "",
    version: int | None = None,
    label: str | None = None,
) -> Any:
    """Fill the model spec of a message; `name=None` leaves it out."""
    if name is not None:
        message.model_spec.name = name
        message.model_spec.signature_name = signature
    if version is not None:
        message.model_spec.version.value = version
    if label is not None:
        message.model_spec.version_label = label
    return message


def predict_request(
    name: str | None = "toy",
    signature: str = "",
    version: int | None = None,
    label: str | None = None,
    outputs: Sequence[str] = (),
    **inputs: Any,
) -> predict_pb2.PredictRequest:
    """A PredictRequest; inputs are arrays or TensorProtos."""
    message = spec(predict_pb2.PredictRequest(), name, signature, version, label)
    message.output_filter.extend(outputs)
    for alias, value in inputs.items():
        proto = value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
        message.inputs[alias].CopyFrom(proto)
    return message


def tensor(shape: Sequence[int] = (2,), dtype: int = 1, **fields: Any) -> tensor_pb2.TensorProto:
    """A TensorProto field by field, right or wrong."""
    proto = tensor_pb2.TensorProto(dtype=dtype)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    for name, value in fields.items():
        if isinstance(value, bytes):
            setattr(proto, name, value)
        else:
            getattr(proto, name).extend(value)
    return proto


def example(**features: Any) -> example_pb2.Example:
    """A tf.Example: whole numbers int64, others float, strings bytes."""
    made = example_pb2.Example()
    for name, value in features.items():
        feature = made.features.feature[name]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        elif isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.float_list.value.append(value)
    return made


def _examples(
    message: Any, values: Sequence[example_pb2.Example], context: example_pb2.Example | None
) -> Any:
    if context is not None:
        message.input.example_list_with_context.context.CopyFrom(context)
        message.input.example_list_with_context.examples.extend(values)
    elif values:
        message.input.example_list.examples.extend(values)
    return message


def classify_request(
    *examples: example_pb2.Example, context: example_pb2.Example | None = None, **model: Any
) -> classification_pb2.ClassificationRequest:
    """A ClassificationRequest; `model` as for `spec`."""
    return _examples(spec(classification_pb2.ClassificationRequest(), **model), examples, context)


def regress_request(
    *examples: example_pb2.Example, context: example_pb2.Example | None = None, **model: Any
) -> regression_pb2.RegressionRequest:
    """A RegressionRequest; `model` as for `spec`."""
    return _examples(spec(regression_pb2.RegressionRequest(), **model), examples, context)


def multi_request(
    tasks: Iterable[tuple[str, Mapping[str, Any]]], *examples: example_pb2.Example
) -> inference_pb2.MultiInferenceRequest:
    """A MultiInferenceRequest of (method, spec's keywords) tasks; a method without a slash is a short name."""
    message = inference_pb2.MultiInferenceRequest()
    for method, model in tasks:
        task = message.tasks.add(method_name=method if "/" in method else f"tensorflow/serving/{method}")
        spec(task, **model)
    return _examples(message, examples, None)


def status_request(**model: Any) -> get_model_status_pb2.GetModelStatusRequest:
    """A GetModelStatusRequest; `model` as for `spec`."""
    return spec(get_model_status_pb2.GetModelStatusRequest(), **model)


def refusal(call: Callable[..., Any], message: Any) -> tuple[grpc.StatusCode, str]:
    """(code, text) of the error a call ends with."""
    try:
        answer = call(message, timeout=20)
    except grpc.RpcError as error:
        return error.code(), error.details() or ""
    raise AssertionError(f"answered instead of refusing: {answer}")


def http(
    server: Address, path: str, body: Any = None, method: str | None = None, **headers: str
) -> tuple[int, bytes, email.message.Message]:
    """(status, body, headers) of a REST request; `body` is bytes, or a document to send as JSON."""
    data = json.dumps(body).encode() if isinstance(body, dict | list) else body
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    message = urllib.request.Request(server.rest + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(message, timeout=60) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def ask(
    server: Address, path: str, body: Any = None, method: str | None = None, **headers: str
) -> tuple[int, Any]:
    """(status, document)"""
    status, text, _ = http(server, path, body, method, **headers)
    return status, json.loads(text)

"""Predict over gRPC, one row a fact: a request, its status, its exact text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

from tests.support.conformance_model import TYPES
from tests.support.wire import INVALID, NOT_FOUND, X, predict_request, refusal, tensor

FAILED_PRECONDITION, OUT_OF_RANGE = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.OUT_OF_RANGE

REFUSED = {
    "no model spec": (predict_pb2.PredictRequest(), INVALID, "Missing ModelSpec"),
    "no name": (predict_request(name="", x=X), INVALID, "ModelSpec has no name specified."),
    "unknown model": (
        predict_request(name="nix", x=X),
        NOT_FOUND,
        "Servable not found for request: Latest(nix)",
    ),
    "unknown version": (
        predict_request(version=9, x=X),
        NOT_FOUND,
        "Servable not found for request: Specific(toy, 9)",
    ),
    "negative version": (
        predict_request(version=-1, x=X),
        NOT_FOUND,
        "Servable not found for request: Specific(toy, -1)",
    ),
    "version of an unknown model": (
        predict_request(name="nix", version=1, x=X),
        NOT_FOUND,
        "Servable not found for request: Specific(nix, 1)",
    ),
    "unknown label": (
        predict_request(label="best", x=X),
        INVALID,
        "Unrecognized servable version label: best",
    ),
    "label of an unknown model": (
        predict_request(name="nix", label="stable", x=X),
        INVALID,
        "Unrecognized servable version label: stable",
    ),
    "label of a version that is not there": (
        predict_request(label="absent", x=X),
        NOT_FOUND,
        "Servable not found for request: Specific(toy, 7)",
    ),
    "unknown signature": (
        predict_request(signature="nix", x=X),
        FAILED_PRECONDITION,
        'Serving signature key "nix" not found.',
    ),
    "no inputs": (
        predict_request(),
        INVALID,
        "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
    ),
    "inputs too many": (
        predict_request(x=X, z=X, a=X),
        INVALID,
        "input size does not match signature: 3!=1 len({a,x,z}) != len({x}). "
        "Sent extra: {a,z}. Missing but required: {}.",
    ),
    "input missing of two": (
        predict_request(signature="echo", text=np.array(["a"])),
        INVALID,
        "input size does not match signature: 1!=2 len({text}) != len({number,text}). "
        "Sent extra: {}. Missing but required: {number}.",
    ),
    "wrong name": (
        predict_request(z=X),
        INVALID,
        "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {z}, or default input alias set: ",
    ),
    "missing although others have defaults": (
        predict_request(signature="defaulted", factor=np.float32(1)),
        INVALID,
        "Signature input alias: x(feed name: defaulted_x:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {factor}, or default input alias set: factor",
    ),
    "more inputs than the signature has, although there are defaults": (
        predict_request(signature="defaulted", x=X, factor=np.float32(1), other=X),
        INVALID,
        "input size does not match signature: 3!=2 len({factor,other,x}) != len({factor,x}). "
        "Sent extra: {other}. Missing but required: {}.",
    ),
    "extra name although there are defaults": (
        predict_request(signature="defaulted", x=X, z=X),
        INVALID,
        "Inputs contains invalid name. Used request inputs: x, request input: x,z",
    ),
    "content of the wrong length": (
        predict_request(x=tensor(tensor_content=b"123")),
        INVALID,
        "tensor parsing error: x",
    ),
    "no type": (predict_request(x=tensor(dtype=0)), INVALID, "tensor parsing error: x"),
    "no such type": (predict_request(x=tensor(dtype=77)), INVALID, "tensor parsing error: x"),
    "negative size": (predict_request(x=tensor((-1,))), INVALID, "tensor parsing error: x"),
    "rank 255": (predict_request(x=tensor([1] * 255)), INVALID, "tensor parsing error: x"),
    "duplicate output": (
        predict_request(x=X, outputs=["y", "y"]),
        INVALID,
        "duplicate output tensor alias: y",
    ),
    "unknown output": (
        predict_request(x=X, outputs=["w"]),
        INVALID,
        "output tensor alias not found in signature: w Outputs expected to be in the set {y}.",
    ),
    "unknown output of several": (
        predict_request(signature="echo", text=np.array(["a"]), number=np.array([1]), outputs=["w"]),
        INVALID,
        "output tensor alias not found in signature: w Outputs expected to be in the set {number,raw_bytes,text}.",
    ),
    "output checked before the run": (
        predict_request(x=X.astype(np.float64), outputs=["w"]),
        INVALID,
        "output tensor alias not found in signature: w Outputs expected to be in the set {y}.",
    ),
    "double for float": (
        predict_request(x=X.astype(np.float64)),
        INVALID,
        "Expects arg[0] to be float but double is provided",
    ),
    "int32 for float": (
        predict_request(x=X.astype(np.int32)),
        INVALID,
        "Expects arg[0] to be float but int32 is provided",
    ),
    "int64 for float": (
        predict_request(x=X.astype(np.int64)),
        INVALID,
        "Expects arg[0] to be float but int64 is provided",
    ),
    "uint8 for float": (
        predict_request(x=X.astype(np.uint8)),
        INVALID,
        "Expects arg[0] to be float but uint8 is provided",
    ),
    "half for float": (
        predict_request(x=X.astype(np.float16)),
        INVALID,
        "Expects arg[0] to be float but half is provided",
    ),
    "bool for float": (
        predict_request(x=X.astype(bool)),
        INVALID,
        "Expects arg[0] to be float but bool is provided",
    ),
    "string for float": (
        predict_request(x=np.array(["a"])),
        INVALID,
        "Expects arg[0] to be float but string is provided",
    ),
    "float for string": (
        predict_request(signature="bytes", text=X),
        INVALID,
        "Expects arg[0] to be string but float is provided",
    ),
    "the init op": (
        predict_request(signature="__saved_model_init_op"),
        OUT_OF_RANGE,
        "Node 'NoOp' (type: 'NoOp', num of outputs: 0) does not have output 0",
    ),
}
# What the runtime says ends with the names of nodes, which differ from export to export.
REFUSED_BY_THE_RUNTIME = {
    "rows too narrow": (
        predict_request(signature="matrix", x=np.ones([1, 3], np.float32)),
        INVALID,
        "Matrix size-incompatible: In[0]: [1,3], In[1]: [2,1]\n\t [[{{",
    ),
    "no matrix": (
        predict_request(signature="matrix", x=X),
        INVALID,
        "In[0] and In[1] has different ndims: [2] vs. [2,1]\n\t [[{{",
    ),
    "a scalar where a dimension is read": (
        predict_request(signature="large", size=np.int32(1)),
        INVALID,
        "Attempting to slice scalar input.\n\t [[{{",
    ),
}


@pytest.mark.parametrize(("message", "code", "text"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_has_its_code_and_text(
    predict: Callable[..., Any], message: predict_pb2.PredictRequest, code: grpc.StatusCode, text: str
) -> None:
    assert refusal(predict, message) == (code, text)


@pytest.mark.parametrize(
    ("message", "code", "start"), REFUSED_BY_THE_RUNTIME.values(), ids=REFUSED_BY_THE_RUNTIME
)
def test_what_the_runtime_refuses_comes_in_its_words(
    predict: Callable[..., Any], message: predict_pb2.PredictRequest, code: grpc.StatusCode, start: str
) -> None:
    got, text = refusal(predict, message)
    assert got == code
    assert text.startswith(start)


@pytest.mark.parametrize(
    "message",
    [
        predict_request(x=X),
        predict_request(x=X, version=1),
        predict_request(x=X, label="stable"),
        predict_request(x=X, signature="serving_default"),
        predict_request(x=X, version=1, signature="serving_default"),
        predict_request(x=X, label="stable", signature="serving_default"),
    ],
    ids=["plain", "version", "label", "signature", "version and signature", "label and signature"],
)
def test_the_answer_names_the_version_and_signature_that_answered(
    predict: Callable[..., Any], message: predict_pb2.PredictRequest
) -> None:
    answer = predict(message, timeout=10)
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("toy", 1, "serving_default")
    assert not spec.HasField("version_label")
    np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["y"]), X * 2)


def test_an_output_filter_chooses_outputs(predict: Callable[..., Any]) -> None:
    inputs: dict[str, Any] = {"text": np.array(["a"]), "number": np.array([1])}
    for outputs in (["number"], ["text", "number"]):
        answer = predict(predict_request(signature="echo", outputs=outputs, **inputs), timeout=10)
        assert set(answer.outputs) == set(outputs)
    every = predict(predict_request(signature="echo", **inputs), timeout=10)
    assert set(every.outputs) == {"number", "raw_bytes", "text"}


def test_a_default_stands_in_for_an_input_that_is_not_sent(predict: Callable[..., Any]) -> None:
    answer = predict(predict_request(signature="defaulted", x=X), timeout=10)
    np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["y"]), X * 3)
    answer = predict(predict_request(signature="defaulted", x=X, factor=np.float32(5)), timeout=10)
    np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["y"]), X * 5)


@pytest.mark.parametrize(
    ("proto", "value"),
    [
        (tensor(float_val=[3.0]), [3, 3]),
        (tensor(float_val=[3.0, 4.0]), [3, 4]),
        (tensor(float_val=[3.0, 4.0, 5.0]), [3, 4]),
        (tensor(), [0, 0]),
        (tensor(tensor_content=np.array([7, 8], "<f4").tobytes()), [7, 8]),
    ],
    ids=["the last value fills up", "list", "more than needed", "nothing is zeros", "content"],
)
def test_both_encodings_of_a_tensor_are_read(
    predict: Callable[..., Any], proto: tensor_pb2.TensorProto, value: list[float]
) -> None:
    answer = predict(predict_request(x=proto), timeout=10)
    assert tf.make_ndarray(answer.outputs["y"]).tolist() == [2 * item for item in value]


def test_an_unknown_rank_is_read_as_a_scalar(predict: Callable[..., Any]) -> None:
    proto = tensor((), float_val=[4.0])
    proto.tensor_shape.unknown_rank = True
    answer = predict(predict_request(signature="type_float32", x=proto), timeout=10)
    assert tf.make_ndarray(answer.outputs["y"]).tolist() == 4.0


@pytest.mark.parametrize("kind", [tf.float32, tf.string, tf.bool], ids=lambda kind: str(kind.name))
def test_what_is_sent_for_a_tensor_without_elements_is_not_read(
    predict: Callable[..., Any], kind: tf.DType
) -> None:
    proto = tensor((0, 2), kind.as_datatype_enum, tensor_content=b"xyz")
    answer = predict(predict_request(signature=f"type_{kind.name}", x=proto), timeout=10)
    assert tf.make_ndarray(answer.outputs["y"]).shape == (0, 2)


def test_a_byte_of_a_bool_is_0_or_1(predict: Callable[..., Any]) -> None:
    proto = tensor((3,), tf.bool.as_datatype_enum, tensor_content=b"\0\1\2")
    code, text = refusal(predict, predict_request(signature="type_bool", x=proto))
    assert (code, text) == (INVALID, "tensor parsing error: x")


def _values(kind: tf.DType) -> np.ndarray:
    if kind == tf.string:
        return np.array([b"a", b"\xff\0", b""], object)
    if kind == tf.bool:
        return np.array([True, False, True])
    if kind.is_integer:
        return np.array([kind.min, 0, kind.max], kind.as_numpy_dtype)
    return np.array([-1.5, 0, 3], kind.as_numpy_dtype)


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_every_type_travels_both_ways(predict: Callable[..., Any], kind: tf.DType) -> None:
    values = _values(kind)
    sent = [tf.make_tensor_proto(values)]
    if kind != tf.string:
        sent.append(tensor((3,), kind.as_datatype_enum, tensor_content=values.tobytes()))
    for proto in sent:
        answer = predict(predict_request(signature=f"type_{kind.name}", x=proto), timeout=10)
        got = answer.outputs["y"]
        assert (got.dtype, got.tensor_content) == (kind.as_datatype_enum, b"")
        assert tf.make_ndarray(got).tolist() == values.tolist()


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0), (2, 1, 2)], ids=str)
def test_every_shape_travels_both_ways(
    predict: Callable[..., Any], kind: tf.DType, shape: tuple[int, ...]
) -> None:
    filled = np.full(shape, b"x" if kind == tf.string else 1, object if kind == tf.string else None)
    values = filled if kind == tf.string else filled.astype(kind.as_numpy_dtype)
    answer = predict(predict_request(signature=f"type_{kind.name}", x=values), timeout=10)
    got = tf.make_ndarray(answer.outputs["y"])
    assert got.shape == shape
    assert got.tolist() == values.tolist()


def test_shapes_are_not_compared_with_the_signature(predict: Callable[..., Any]) -> None:
    answer = predict(predict_request(x=np.ones([2, 3], np.float32)), timeout=10)
    assert tf.make_ndarray(answer.outputs["y"]).shape == (2, 3)


def test_messages_over_four_and_over_a_hundred_megabytes_pass(predict: Callable[..., Any]) -> None:
    answer = predict(predict_request(signature="large", size=np.array([30_000_000], np.int32)), timeout=60)
    assert answer.ByteSize() > 100_000_000
    del answer
    assert predict(predict_request(x=np.ones(3_000_000, np.float32)), timeout=60).ByteSize() > 4_000_000
    sent = predict_request(signature="total", x=np.ones(26_000_000, np.float32))
    assert sent.ByteSize() > 100_000_000
    assert tf.make_ndarray(predict(sent, timeout=60).outputs["sum"]) == 26_000_000


def test_a_long_message_is_cut_at_1024_characters(predict: Callable[..., Any]) -> None:
    _, text = refusal(predict, predict_request(signature="s" * 2000, x=X))
    assert text == ('Serving signature key "' + "s" * 2000)[:1024] + "...TRUNCATED"
    whole = "s" * (1024 - len('Serving signature key "" not found.'))
    _, text = refusal(predict, predict_request(signature=whole, x=X))
    assert text == f'Serving signature key "{whole}" not found.'

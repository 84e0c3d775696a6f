"""The client's own messages are, byte for byte, the official ones; and they live together in one process."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from atelier_client.errors import ServerFailure
from atelier_client.messages.requests import predict_frame, predict_requests
from atelier_client.messages.tensors import decode, encode, varint
from atelier_client.protos import request_log_pb2 as log_pb
from atelier_client.protos import serving_pb2 as pb
from atelier_client.signature import Signature
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.example import example_pb2
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    logging_pb2,
    model_management_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)

KINDS = ("<f4", "<f8", "<f2", "i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", "?")
ARRAYS = st.sampled_from(KINDS).flatmap(
    lambda kind: hnp.arrays(np.dtype(kind), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
NAMES = st.text(max_size=8)


@given(ARRAYS)
def test_an_encoded_tensor_is_the_official_one(array: Any) -> None:
    mine = b"".join(encode(array))
    official = tensor_pb2.TensorProto.FromString(mine)
    np.testing.assert_array_equal(tf.make_ndarray(official), array)
    assert official.SerializeToString(deterministic=True) == mine


@pytest.mark.parametrize("kind", [">f4", ">i8", ">u2"])
def test_arrays_of_any_layout_are_sent_in_the_wires(kind: Any) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    for view in (array, array.T, array[:, ::2, 1:], np.asfortranarray(array), array[1, 1, 1]):
        official = tensor_pb2.TensorProto.FromString(b"".join(encode(view)))
        np.testing.assert_array_equal(tf.make_ndarray(official), view)


@given(ARRAYS)
def test_a_tensor_of_tensorflow_is_decoded(array: Any) -> None:
    got = decode(pb.Tensor.FromString(tf.make_tensor_proto(array).SerializeToString()))
    assert got.dtype == array.dtype
    np.testing.assert_array_equal(got, array)


@given(st.lists(st.binary(max_size=6), max_size=6))
def test_strings_travel_whole(items: Any) -> None:
    array = np.empty(len(items), object)
    array[:] = items
    mine = b"".join(encode(array))
    assert list(tensor_pb2.TensorProto.FromString(mine).string_val) == items
    assert decode(pb.Tensor.FromString(mine)).tolist() == items


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6))
def test_strings_that_a_server_packs_are_read(items: list[bytes]) -> None:
    """As TensorFlow Serving sends them with --enable_serialization_as_tensor_content."""
    packed = b"".join(varint(len(item)) for item in items) + b"".join(items)
    tensor = pb.Tensor(dtype=7, tensor_content=packed)
    tensor.tensor_shape.dim.add(size=len(items))
    assert decode(tensor).tolist() == items
    tensor.tensor_content = packed + b"x"
    with pytest.raises(ServerFailure, match="are not"):
        decode(tensor)
    if items != [b""] * len(items):
        tensor.tensor_content = packed[:-1]
        with pytest.raises(ServerFailure, match="are not"):
            decode(tensor)


@pytest.mark.parametrize(
    ("shape", "content", "value"),
    [
        ((), b"\x03one", b"one"),
        ((1, 1), b"\x80\x00", [[b""]]),
        ((2,), b"\x02\x81\x00abc", [b"ab", b"c"]),
        ((2,), b"\x02", None),
        ((1,), b"\x80\x80\x80\x80\x80\x01", None),
        ((1,), b"\xff\xff\xff\xff\x0f", None),
        ((0,), b"\x00", None),
        ((), b"\x00", b""),
        ((1 << 20,), b"\x00" * 9, None),
    ],
)
def test_packed_strings_of_any_form_are_read_or_refused(
    shape: tuple[int, ...], content: bytes, value: Any
) -> None:
    tensor = pb.Tensor(dtype=7, tensor_content=content)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    if value is None:
        with pytest.raises(ServerFailure, match="are not"):
            decode(tensor)
    else:
        assert decode(tensor).tolist() == value


@given(
    NAMES,
    NAMES,
    st.one_of(st.none(), st.integers(0, 2**63 - 1), st.text(min_size=1, max_size=8)),
    st.lists(NAMES, max_size=3),
    st.dictionaries(NAMES, st.one_of(ARRAYS, hnp.arrays(np.uint8, 20_000, elements=st.just(7)))),
)
def test_a_request_is_the_official_one(
    name: str, signature: Any, asked: Any, outputs: Any, arrays: Any
) -> None:
    version, label = (None, asked) if isinstance(asked, str) else (asked, None)
    frame = predict_frame(name, signature, version, label, tuple(outputs))
    several = Signature("s", "", {}, {}, frozenset())
    [mine] = predict_requests(frame, several, arrays, None)
    official = predict_pb2.PredictRequest()
    official.model_spec.name, official.model_spec.signature_name = name, signature
    if version is not None:
        official.model_spec.version.value = version
    if label is not None:
        official.model_spec.version_label = label
    official.output_filter.extend(outputs)
    for key, array in arrays.items():
        tensor = official.inputs[key]
        tensor.dtype, tensor.tensor_content = tf.as_dtype(array.dtype).as_datatype_enum, array.tobytes()
        for size in array.shape:
            tensor.tensor_shape.dim.add(size=size)
    assert predict_pb2.PredictRequest.FromString(mine()) == official
    assert len(mine()) == official.ByteSize()


@pytest.mark.parametrize(
    ("mine", "official"),
    [
        (pb.GetModelStatusResponse, get_model_status_pb2.GetModelStatusResponse),
        (pb.GetModelMetadataRequest, get_model_metadata_pb2.GetModelMetadataRequest),
        (pb.SignatureDefMap, get_model_metadata_pb2.SignatureDefMap),
        (pb.PredictResponse, predict_pb2.PredictResponse),
        (pb.Example, example_pb2.Example),
        (pb.ClassificationRequest, classification_pb2.ClassificationRequest),
        (pb.ClassificationResponse, classification_pb2.ClassificationResponse),
        (pb.RegressionRequest, regression_pb2.RegressionRequest),
        (pb.RegressionResponse, regression_pb2.RegressionResponse),
        (pb.ReloadConfigRequest, model_management_pb2.ReloadConfigRequest),
        (pb.ReloadConfigResponse, model_management_pb2.ReloadConfigResponse),
        (log_pb.LogMetadata, logging_pb2.LogMetadata),
        (log_pb.ClassifyLog, prediction_log_pb2.ClassifyLog),
        (log_pb.RegressLog, prediction_log_pb2.RegressLog),
        (log_pb.MultiInferenceLog, prediction_log_pb2.MultiInferenceLog),
        (log_pb.PredictLog, prediction_log_pb2.PredictLog),
    ],
)
def test_every_field_has_the_official_number_and_type(mine: Any, official: Any) -> None:
    _compare(mine.DESCRIPTOR, official.DESCRIPTOR, set())


def test_the_kinds_of_a_logged_request_are_the_official_ones() -> None:
    official = prediction_log_pb2.PredictionLog.DESCRIPTOR
    for field in log_pb.PredictionLog.DESCRIPTOR.oneofs_by_name["log_type"].fields:
        assert official.fields_by_number[field.number].name == field.name
    # No official field has the number of ours.
    assert 1000 not in official.fields_by_number


def _compare(mine: Any, official: Any, seen: Any) -> None:
    if mine.full_name in seen or mine.full_name.startswith("google."):
        return
    seen.add(mine.full_name)
    for field in mine.fields:
        twin = official.fields_by_number[field.number]
        assert twin.name == field.name
        # An enum is a number on the wire; ours are plain int32.
        assert twin.type == field.type or (twin.type, field.type) == (twin.TYPE_ENUM, field.TYPE_INT32)
        assert twin.is_repeated == field.is_repeated
        if field.message_type:
            _compare(field.message_type, twin.message_type, seen)


@pytest.mark.parametrize(
    "order", [("atelier_client", "tensorflow_serving.apis.predict_pb2"), ("tensorflow", "atelier_client")]
)
def test_the_client_and_tensorflow_share_a_process_in_either_order(order: Any) -> None:
    script = (
        f"import {order[0]}, {order[1]}; from atelier_client.protos import serving_pb2; print('together')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "together\n", done.stderr


def test_the_client_never_imports_tensorflow() -> None:
    script = (
        "import sys, atelier_client.cli.main, atelier_client.cli.tables, atelier_client.evaluation.passes.evaluate;"
        "import atelier_client.report.page;"
        "print([name for name in sys.modules if name.split('.')[0] in ('tensorflow', 'keras', 'tensorflow_serving')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"

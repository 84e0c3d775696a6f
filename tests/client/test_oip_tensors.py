"""The Open Inference Protocol's tensors and messages: what is written is read again, and is what others write."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client.errors import InputError, ServerFailure
from atelier_client.open_inference.json_tensors import to_json, to_raw
from atelier_client.open_inference.requests import infer_frame
from atelier_client.open_inference.tensors import decode, encode
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.support import foreign

NUMBERS = ["?", "u1", "<u2", "<u4", "<u8", "i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8"]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@st.composite
def tensors(draw: st.DrawFn) -> Any:
    """An array of any type that the protocol knows and the client sends, of any small shape."""
    shape = draw(SHAPES)
    kind = draw(st.sampled_from([*NUMBERS, ">f4", ">i8", "O"]))
    if kind != "O":
        return draw(arrays.arrays(np.dtype(kind), shape))
    return draw(arrays.arrays(object, shape, elements=st.binary(max_size=6)))


@given(tensors())
def test_every_array_comes_back_from_its_raw_bytes(array: Any) -> None:
    datatype, raw = encode(array)
    back = decode("x", datatype, array.shape, bytes(raw))
    assert back.shape == array.shape
    if array.dtype.kind == "O":
        assert back.tolist() == array.tolist()
    else:
        assert back.dtype == array.dtype.newbyteorder("<")
        # The bits, so that NaN counts too.
        assert back.tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()


@given(tensors())
def test_every_array_that_json_can_hold_comes_back_from_it(array: Any) -> None:
    datatype, raw = encode(array)
    mine = decode("x", datatype, array.shape, bytes(raw))
    try:
        text = json.dumps(to_json("x", mine))
    except InputError:
        assert mine.dtype.kind in "fO"
        return
    assert to_raw(datatype, json.loads(text)) == bytes(raw)


def test_bfloat16_is_read_as_the_float32_of_the_same_value() -> None:
    values = np.array([1.0, -2.5, 3.0e38, np.inf, 0.0], np.float32)
    raw = (values.view("<u4") >> 16).astype("<u2").tobytes()
    back = decode("x", "BF16", (5,), raw)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, (values.view("<u4") & 0xFFFF0000).view("<f4"))
    assert to_raw("BF16", [1.0, -2.5]) == raw[:4]


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("INT8", [300]),
        ("UINT8", [-1]),
        ("INT32", [1.5]),
        ("INT64", [True]),
        ("UINT64", [2**64]),
        ("BOOL", [1]),
        ("FP32", ["1"]),
        ("FP32", [False]),
        ("BYTES", [1]),
    ],
)
def test_json_values_of_another_type_are_refused(datatype: str, data: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|no "):
        to_raw(datatype, data)


def test_null_is_the_nan_of_writers_that_have_none() -> None:
    assert np.isnan(np.frombuffer(to_raw("FP32", [None]), "<f4")).all()


@pytest.mark.parametrize("datatype", ["BYTES", "FP32", "BOOL", "BF16"])
@given(raw=st.binary(max_size=24), shape=st.lists(st.integers(-1, 4), max_size=3))
def test_bytes_of_any_kind_are_read_or_refused(datatype: str, raw: bytes, shape: list[int]) -> None:
    try:
        array = decode("x", datatype, tuple(shape), raw)
    except ServerFailure:
        return
    assert array.shape == tuple(shape)


def test_a_request_is_what_the_official_messages_write(tmp_path: Path) -> None:
    """Those of tritonclient and of MLServer read it, find all of it, and write the same bytes."""
    inputs = {
        "number": np.arange(6, dtype=np.float32).reshape(2, 3),
        "text": np.array([["a"], [b"\xff\0"]], object),
        "none": np.zeros((0, 4), np.int64),
        "one": np.array(True),
    }
    frame = infer_frame("toy", "echo", None, "stable", ("number", "text"))
    request = tmp_path / "request"
    request.write_bytes(frame.serialized(inputs))
    for environment, module in (
        ("clients", "tritonclient.grpc.service_pb2"),
        ("mlserver", "mlserver.grpc.dataplane_pb2"),
    ):
        told = foreign.run(environment, "read_infer_request.py", module, str(request))
        assert told["model"] == ["toy", "stable"]
        assert told["parameters"] == {"signature_name": "echo"}
        assert told["outputs"] == ["number", "text"]
        assert told["unknown"] == 0
        for (name, array), (read_name, datatype, shape, raw) in zip(
            inputs.items(), told["inputs"], strict=True
        ):
            assert (read_name, shape) == (name, list(array.shape))
            back = decode(name, datatype, tuple(shape), base64.b64decode(raw))
            np.testing.assert_array_equal(
                back, array if array.dtype.kind != "O" else np.array([[b"a"], [b"\xff\0"]], object)
            )
        assert base64.b64decode(told["written"]) == request.read_bytes()

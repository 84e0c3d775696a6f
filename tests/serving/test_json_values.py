"""JSON values to tensors by themselves: the fast way for whole lists agrees with the slow one, value by value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from atelier_serving.rest.json.values import Tensor, decode_base64, dense, is_base64
from atelier_serving.status import Code, ServingError
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.framework import types_pb2 as t

TYPES = (
    t.DT_INT8,
    t.DT_INT32,
    t.DT_INT64,
    t.DT_UINT32,
    t.DT_UINT64,
    t.DT_FLOAT,
    t.DT_DOUBLE,
    t.DT_BOOL,
    t.DT_STRING,
)
SCALARS = (
    st.booleans()
    | st.integers(-(2**64), 2**65)
    | st.integers(-9, 9)
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.none()
)
LISTS = st.recursive(st.lists(SCALARS, max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=8)


def value_by_value(value: Any, number: int) -> np.ndarray:
    tensor = Tensor(number)
    tensor.add(value)
    return tensor.stacked()


@given(LISTS, st.sampled_from(TYPES))
def test_a_list_that_is_read_at_once_is_read_the_same_value_by_value(value: list[Any], number: int) -> None:
    at_once = dense(value, number)
    if at_once is None:
        return
    slowly = value_by_value(value, number)
    assert (at_once.shape, at_once.dtype) == (slowly.shape, slowly.dtype)
    np.testing.assert_array_equal(at_once, slowly)


@pytest.mark.parametrize(
    ("number", "value", "expected"),
    [
        (t.DT_INT8, [300, -129], np.array([44, 127], np.int8)),
        (t.DT_UINT64, [2**64 - 1], np.array([2**64 - 1], np.uint64)),
        (t.DT_FLOAT, [[1, 2.5]], np.array([[1, 2.5]], np.float32)),
        (t.DT_STRING, ["\u00e9"], np.array(["\u00e9".encode()], object)),
        (t.DT_BOOL, [[True], [False]], np.array([[True], [False]])),
    ],
)
def test_values_become_the_type_of_the_input(number: int, value: list[Any], expected: np.ndarray) -> None:
    for array in (dense(value, number), value_by_value(value, number)):
        assert array is not None
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("number", "value", "error"),
    [
        (t.DT_INT32, [1.0], "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        (t.DT_INT32, [2**31], "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        (t.DT_BOOL, [1], "JSON Value: 1 Type: Number is not of expected type: bool"),
        (t.DT_STRING, [None], "JSON Value: null Type: Null is not of expected type: string"),
        (
            t.DT_FLOAT,
            [[1.0], [2.0, 3.0]],
            "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
        ),
        (t.DT_FLOAT, [1.0, [2.0]], "Encountered list at unexpected level: 1 expected < 1"),
        (
            t.DT_FLOAT,
            [[1.0], 2.0],
            "JSON Value: 2.0 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        (t.DT_STRING, [{"b": "x"}], "not formatted correctly for base64 data"),
        (t.DT_STRING, [{"b64": "!"}], "Unable to base64 decode"),
    ],
)
def test_what_does_not_fit_is_refused_and_never_read_at_once(
    number: int, value: list[Any], error: str
) -> None:
    assert dense(value, number) is None
    with pytest.raises(ServingError) as raised:
        value_by_value(value, number)
    assert raised.value.code == Code.INVALID_ARGUMENT
    assert error in raised.value.message


def test_rows_have_to_be_alike() -> None:
    tensor = Tensor(t.DT_INT32)
    tensor.add_row([1, 2])
    tensor.add_row([3, 4])
    np.testing.assert_array_equal(tensor.stacked(2), [[1, 2], [3, 4]])
    with pytest.raises(ServingError, match="Expecting tensor size: 2 but got: 3"):
        tensor.add_row([1, 2, 3])
    with pytest.raises(ServingError, match=r"Expecting shape \[2\] but got: \[2,1\]"):
        tensor.add_row([[5], [6]])


@given(st.binary(), st.booleans())
def test_base64_is_decoded_with_its_padding_and_without(content: bytes, padded: bool) -> None:
    import base64

    text = base64.b64encode(content).decode()
    value = {"b64": text if padded else text.rstrip("=")}
    assert is_base64(value)
    assert decode_base64(value) == content

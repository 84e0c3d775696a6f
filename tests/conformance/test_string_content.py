"""Strings in `tensor_content`: their lengths as varints, then their bytes, as TensorFlow itself packs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from tests.support.wire import INVALID, predict_request, refusal, tensor

STRING = types_pb2.DT_STRING


def packed(*items: bytes) -> bytes:
    """Items as TensorFlow packs them (tsl/platform/tensor_coding.cc, EncodeStringList)."""
    lengths = bytearray()
    for item in items:
        size = len(item)
        while size >= 0x80:
            lengths.append(size & 0x7F | 0x80)
            size >>= 7
        lengths.append(size)
    return bytes(lengths) + b"".join(items)


@pytest.mark.parametrize(
    ("shape", "items"),
    [
        ((2,), [b"ab", b"c"]),
        ((3,), [b"", b"\xff\0", b""]),
        ((1,), [b"x" * 300]),
        ((2, 2), [b"a", b"b" * 128, b"", b"d" * 20_000]),
        ((), [b"one"]),
        ((1, 1, 1), [b"\x80"]),
    ],
    ids=["two", "empty ones", "a length of two bytes", "a matrix", "a scalar", "a byte like a length"],
)
def test_strings_in_tensor_content_are_read(
    predict: Callable[..., Any], shape: tuple[int, ...], items: list[bytes]
) -> None:
    proto = tensor(shape, STRING, tensor_content=packed(*items))
    answer = predict(predict_request(signature="type_string", x=proto), timeout=10)
    got = tf.make_ndarray(answer.outputs["y"])
    assert got.shape == shape
    assert np.ravel(got).tolist() == items


@pytest.mark.parametrize(
    ("shape", "content"),
    [
        ((2,), packed(b"ab", b"c")[:-1]),
        ((2,), packed(b"ab", b"c") + b"x"),
        ((3,), packed(b"ab", b"c")),
        ((1,), packed(b"ab", b"c")),
        ((1,), b"\x80"),
        ((1,), b"\xff" * 5 + b"\x01"),
        ((1,), b"\xff" * 4 + b"\x0f" + b"a"),
        ((2**40,), b"\0\0"),
    ],
    ids=[
        "a byte is missing",
        "a byte is left over",
        "more strings than lengths",
        "fewer strings than lengths",
        "a length that ends early",
        "a length of more than 32 bits",
        "a length beyond the end",
        "a shape beyond all content",
    ],
)
def test_broken_strings_in_tensor_content_are_a_parsing_error(
    predict: Callable[..., Any], shape: tuple[int, ...], content: bytes
) -> None:
    proto = tensor(shape, STRING, tensor_content=content)
    refused = refusal(predict, predict_request(signature="type_string", x=proto))
    assert refused == (INVALID, "tensor parsing error: x")

"""Tensors: what TensorFlow's own converter writes is read, and what is written it reads."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from atelier_serving.tensors import TensorError, decode, encode
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework import tensor_pb2

KINDS = ("<f4", "<f8", "<f2", "i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", "?")
ARRAYS = st.sampled_from(KINDS).flatmap(
    lambda kind: hnp.arrays(np.dtype(kind), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)


@given(ARRAYS)
def test_what_tensorflow_writes_is_read(array: np.ndarray) -> None:
    got = decode(tf.make_tensor_proto(array))
    assert got.dtype == array.dtype
    np.testing.assert_array_equal(got, array)


@given(ARRAYS, st.booleans())
def test_what_is_written_tensorflow_reads(array: np.ndarray, as_content: bool) -> None:
    proto = tensor_pb2.TensorProto()
    encode(array, proto, as_content)
    np.testing.assert_array_equal(tf.make_ndarray(proto), array)


@given(st.lists(st.binary(max_size=5), max_size=5), st.booleans())
def test_strings_travel_whole(items: list[bytes], as_content: bool) -> None:
    array = np.empty(len(items), object)
    array[:] = items
    proto = tensor_pb2.TensorProto()
    encode(array, proto, as_content)
    assert decode(proto).tolist() == items


@pytest.mark.parametrize(
    "proto",
    [
        tensor_pb2.TensorProto(dtype=1, tensor_content=b"123"),
        tensor_pb2.TensorProto(dtype=0),
        tensor_pb2.TensorProto(dtype=20),
        tensor_pb2.TensorProto(dtype=1, tensor_shape={"dim": [{"size": -1}]}),
        tensor_pb2.TensorProto(dtype=1, tensor_shape={"dim": [{"size": 1 << 40}]}),
        tensor_pb2.TensorProto(dtype=1, tensor_shape={"dim": [{"size": 1}] * 255}),
        tensor_pb2.TensorProto(dtype=1, tensor_shape={"dim": [{"size": 0}, {"size": 1 << 62}]}),
        tensor_pb2.TensorProto(dtype=10, tensor_shape={"dim": [{"size": (1 << 26) + 2}]}, bool_val=[True]),
        tensor_pb2.TensorProto(dtype=2, tensor_shape={"dim": [{"size": 0}, {"size": 1 << 60}]}),
        tensor_pb2.TensorProto(dtype=10, tensor_shape={"dim": [{"size": 2}]}, tensor_content=b"\1\2"),
    ],
)
def test_a_proto_that_is_no_tensor_is_refused(proto: tensor_pb2.TensorProto) -> None:
    with pytest.raises(TensorError):
        decode(proto)


KINDS_OF_TENSORFLOW = [
    *(tf.as_dtype(np.dtype(kind)) for kind in KINDS),
    tf.bfloat16,
    tf.complex64,
    tf.complex128,
    tf.string,
]
PROTOS = st.builds(
    lambda kind, dims, unknown, content, numbers, texts: tensor_pb2.TensorProto(
        dtype=kind.as_datatype_enum,
        tensor_shape={"dim": [{"size": size} for size in dims], "unknown_rank": unknown},
        tensor_content=content,
        half_val=[number & 0xFFFF for number in numbers],
        int_val=numbers,
        float_val=numbers,
        double_val=numbers,
        int64_val=numbers,
        uint32_val=map(abs, numbers),
        uint64_val=map(abs, numbers),
        bool_val=[number % 2 == 0 for number in numbers],
        scomplex_val=numbers,
        dcomplex_val=numbers,
        string_val=texts,
    ),
    st.sampled_from(KINDS_OF_TENSORFLOW),
    st.lists(st.sampled_from([-1, 0, 1, 2, 3, 1 << 58]), max_size=3),
    st.booleans(),
    st.just(b"") | st.binary(max_size=24) | st.lists(st.sampled_from([0, 1, 2]), max_size=9).map(bytes),
    st.lists(st.integers(-(2**31) + 1, 2**31 - 1), max_size=7),
    st.lists(st.binary(max_size=2), max_size=7),
)


@given(PROTOS)
@settings(max_examples=1000, deadline=None)
def test_any_proto_is_what_tensorflow_takes_it_for(proto: tensor_pb2.TensorProto) -> None:
    kind = tf.as_dtype(proto.dtype)
    # What no memory can hold, and is a tensor's shape all the same, TensorFlow tries to get for 10 s.
    count = math.prod(dim.size for dim in proto.tensor_shape.dim)
    assume(not 1 << 40 < count < 1 << 63)
    try:
        wanted = tf.io.parse_tensor(proto.SerializeToString(), kind).numpy()
    except (tf.errors.InvalidArgumentError, ValueError):
        # ValueError: numpy has no array of this shape.
        with pytest.raises(TensorError):
            decode(proto)
        return
    got = decode(proto)
    assert got.shape == np.shape(wanted)
    if kind == tf.string:
        assert got.ravel().tolist() == np.ravel(np.asarray(wanted, object)).tolist()
    else:
        assert got.tobytes() == np.asarray(wanted).tobytes()


@pytest.mark.parametrize(
    "kind", [tf.float32, tf.int8, tf.int64, tf.bool, tf.float16, tf.complex64, tf.string]
)
def test_long_lists_are_read_and_written_piece_by_piece(kind: tf.DType) -> None:
    # More than one piece, and the last one not whole.
    size = 3 * 2**16 + 5
    numbers = np.arange(size) % 100
    array = numbers.astype("S3").astype(object) if kind == tf.string else numbers.astype(kind.as_numpy_dtype)
    proto = tensor_pb2.TensorProto()
    encode(array, proto, as_content=False)
    np.testing.assert_array_equal(tf.make_ndarray(proto), array)
    np.testing.assert_array_equal(decode(proto), array)
    # A longer shape repeats the last value, a shorter one leaves values out.
    for wanted in (size + 7, size - 7):
        proto.tensor_shape.dim[0].size = wanted
        got = decode(proto)
        np.testing.assert_array_equal(got[: min(wanted, size)], array[:wanted])
        assert len(got) == wanted
        assert set(got[size:].tolist()) <= {array[-1]}


@pytest.mark.parametrize("as_content", [False, True])
def test_very_many_strings_are_counted_beyond_their_bytes(as_content: bool) -> None:
    size = 200_000
    proto = tensor_pb2.TensorProto(dtype=tf.string.as_datatype_enum, tensor_shape={"dim": [{"size": size}]})
    if as_content:
        proto.tensor_content = bytes(size)
    else:
        proto.string_val.extend([b""] * size)
    claimed: list[int] = []
    assert decode(proto, claimed.append).tolist() == [b""] * size
    assert claimed == [11 * size]

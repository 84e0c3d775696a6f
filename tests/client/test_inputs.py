"""What may be sent as which dtype, how rows are split, and rows of features."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client import Client
from atelier_client.errors import InputError, UnsupportedType
from atelier_client.messages.requests import REQUEST_BYTES, REQUEST_ROWS, predict_frame, predict_requests
from atelier_client.messages.tensors import decode
from atelier_client.messages.tf_example import to_examples
from atelier_client.protos import serving_pb2 as pb
from atelier_client.signature import Signature, TensorInfo
from atelier_client.testing import InMemoryServer
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.server import running_server
from tests.support.toy_models import save_regressor


def sent(served: Any, arrays: Any, rows_per_request: Any = None) -> Any:
    """The input x of each request, as it travels."""
    frame = predict_frame("m", "serving_default", None, None, ())
    requests = predict_requests(frame, served, arrays, rows_per_request)
    return [decode(pb.PredictRequest.FromString(request()).inputs["x"]) for request in requests]


def signature(dtype: Any, shape: Any = (-1,)) -> Any:
    return Signature("serving_default", "", {"x": TensorInfo("x", dtype, shape)}, {}, frozenset())


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.float64(0.1), "float32"), (np.int8(3), "float32"), (np.int64(2**24), "float32"), (np.bool_(True), "int32"),
        (np.uint8(7), "int64"), (np.int64(255), "uint8"), (np.float16(1), "float64"), (np.uint64(5), "int64"),
    ],
)  # fmt: skip
def test_casts_that_keep_the_value_are_made(value: Any, dtype: Any) -> None:
    array = signature(dtype).check(np.array([value]))["x"]
    assert array.dtype == dtype
    assert array[0] == np.dtype(dtype).type(value)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.float32(1), "int32"), (np.int64(2**24 + 1), "float32"), (np.int64(256), "uint8"), (np.int32(-1), "uint64"),
        (np.float64(1e39), "float32"), (np.int64(1), "bool"), (np.float32(1), "float16"), ("1", "float32"),
        (1.0, "string"), (np.uint64(2**63), "int64"), (1j, "float32"), (np.float32(1), "bfloat16"),
    ],
)  # fmt: skip
def test_casts_that_could_lose_it_are_refused(value: Any, dtype: Any) -> None:
    with pytest.raises(InputError, match="x: "):
        signature(dtype).check(np.array([value]))


@given(st.lists(st.one_of(st.text(max_size=5), st.binary(max_size=5)), min_size=1, max_size=8))
def test_strings_and_bytes_arrive_as_they_are(values: Any) -> None:
    arrays = signature("string").check(values)
    [array] = sent(signature("string"), arrays)
    assert array.tolist() == [value.encode() if isinstance(value, str) else value for value in values]


@pytest.mark.parametrize("rows_per_request", [None, 1])
def test_what_cannot_be_sent_is_refused_before_anything_is(rows_per_request: Any) -> None:
    server = InMemoryServer()
    tensors = {"x": ("string", (-1,))}
    server.serve("m", lambda inputs: inputs, inputs=tensors, outputs=tensors)
    with server.client("m") as opened, pytest.raises(UnsupportedType, match="int 7"):
        opened.predict(np.array(["a", b"b", 7], object), rows_per_request=rows_per_request)
    assert [call.method for call in server.calls] == ["metadata"]


def test_names_that_are_no_text_are_refused_like_unknown_ones(client: Client, images: NDArray[Any]) -> None:
    wrong: Any = 3
    with pytest.raises(InputError, match="A signature's name is a text, not 3"):
        client.predict(images[:1], signature=wrong)
    with pytest.raises(InputError, match="outputs are names"):
        client.predict(images[:1], outputs=[wrong])
    with pytest.raises(InputError, match="has no input 3"):
        client.predict({wrong: images[:1]})


def test_a_lone_string_wants_a_batch() -> None:
    with pytest.raises(InputError, match=r"batch dimension: \[value\]"):
        signature("string").check("a film")


def test_an_array_that_lacks_an_axis_is_told_which() -> None:
    images = Signature("s", "", {"x": TensorInfo("x", "uint8", (-1, 4, 5, 1))}, {}, frozenset())
    with pytest.raises(InputError, match=r"An axis of 1 is missing at its end: array\[\.\.\., None\]"):
        images.check(np.zeros([3, 4, 5], np.uint8))
    with pytest.raises(InputError, match=r"batch dimension: array\[None\]"):
        images.check(np.zeros([4, 5, 1], np.uint8))
    with pytest.raises(InputError, match=r"\[3,5,4,1\] came\.$"):
        images.check(np.zeros([3, 5, 4, 1], np.uint8))


def test_inputs_without_rows_and_with_different_rows() -> None:
    two = Signature("s", "", {name: TensorInfo(name, "float32", (-1,)) for name in "ab"}, {}, frozenset())
    with pytest.raises(InputError, match="a has 1, b has 2"):
        two.check({"a": [1.0], "b": [1.0, 2.0]})
    assert two.check({"a": [], "b": []})["a"].dtype == np.float32
    with pytest.raises(InputError, match="has 2 inputs; name them"):
        two.check([1.0])


@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=30), st.integers(1, 3))
def test_rows_are_split_by_their_own_size_and_keep_their_order(sizes: Any, letters: Any) -> None:
    texts = [str(number).encode() + b"x" * size for number, size in enumerate(sizes)]
    parts = [array.tolist() for array in sent(signature("string"), {"x": np.array(texts, object)})]
    assert [item for part in parts for item in part] == texts
    for part in parts:
        assert len(part) == 1 or sum(map(len, part)) <= REQUEST_BYTES
    # No request is needlessly small: two neighbours never fit in one.
    for first, second in itertools.pairwise(parts):
        assert sum(map(len, first)) + len(second[0]) > REQUEST_BYTES


def test_small_rows_are_split_by_number() -> None:
    parts = sent(signature("uint8"), {"x": np.zeros(3000, np.uint8)})
    assert list(map(len, parts)) == [REQUEST_ROWS, REQUEST_ROWS, 952]
    with pytest.raises(InputError, match="rows_per_request"):
        sent(signature("uint8"), {"x": np.zeros(3, np.uint8)}, 0)


def test_rows_of_features_become_examples() -> None:
    [one, two] = to_examples([{"a": 1, "b": 0.5, "c": "x"}, {"a": [2, 3], "c": [b"\0", "y"]}])
    assert list(one.features.feature["a"].int64_list.value) == [1]
    assert list(one.features.feature["b"].float_list.value) == [0.5]
    assert list(two.features.feature["c"].bytes_list.value) == [b"\0", b"y"]
    assert to_examples({"a": np.array([1, 2])}) == to_examples([{"a": 1}, {"a": 2}])
    forms: list[Any] = [[{"a": True}, {"a": [False]}], {"a": [True, False]}, {"a": np.array([True, False])}]
    for truth in forms:
        assert to_examples(truth) == to_examples([{"a": 1}, {"a": 0}])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "no rows"),
        ({"a": [1], "b": [1, 2]}, "a has 1, b has 2"),
        ({"a": 1}, "a has none"),
        ([3], "Row 0 is a int"),
        ([{"a": 1j}], "row 0, feature 'a'"),
        ([{"a": np.uint64(2**63)}], "row 0, feature 'a'"),
        ([{"a": [0.5, 1e39]}], r"row 0, feature 'a': 1e\+39 is beyond float32"),
        ([{"a": [[1], [2, 3]]}], "rectangular"),
    ],
)
def test_rows_that_are_none_are_explained(rows: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        to_examples(rows)


def test_classify_names_what_it_answers(client: Client, images: NDArray[Any]) -> None:
    prediction = client.classify({"images": images[:300]}, rows_per_request=70)
    assert prediction["classes"].shape == prediction["scores"].shape == (300, 10)
    assert len(prediction.seconds) == 5
    predicted = client.predict(images[:300])
    np.testing.assert_allclose(prediction["scores"], predicted["probabilities"], atol=1e-6)
    with pytest.raises(InputError, match="regress needs a signature made for it; the model has none"):
        client.regress({"images": images[:1]})


def test_regress_answers_a_number_a_row(tmp_path: Path) -> None:
    save_regressor(tmp_path)
    with running_server(tmp_path, model="half") as server, Client(server.grpc, "half") as opened:
        prediction = opened.regress([{"x": 3.0}, {"x": 5.0}])
        assert prediction["outputs"].tolist() == [1.5, 2.5]
        assert prediction["outputs"].dtype == np.float32


@pytest.mark.parametrize("values", [[1, 2**63], [2**64 - 1, 0], [2**63 + 1], (1, 2**63)])
def test_lists_of_whole_numbers_beyond_int64_keep_their_values(values: Any) -> None:
    array = signature("uint64").check(values)["x"]
    assert array.dtype == np.uint64
    assert array.tolist() == list(values)


@pytest.mark.parametrize("values", [[2**63, -1], [2**64, 1], [1.5, 2**63]])
def test_whole_numbers_that_fit_no_integer_are_told(values: Any) -> None:
    with pytest.raises(InputError, match=r"fit no 64-bit integer|could lose values|x:"):
        signature("uint64").check(values)
    assert signature("float64").check([1.5, 2.0**70])["x"].dtype == np.float64

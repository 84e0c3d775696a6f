"""Rows travel in several requests only where the answers can be joined; a pinned version answers, or it is an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from atelier_client import Client
from atelier_client.errors import InputError, ServerFailure
from atelier_client.messages.tensors import encode
from atelier_client.protos import serving_pb2 as pb
from atelier_client.signature import Signature, TensorInfo
from atelier_client.testing import InMemoryServer
from atelier_client.transports.base import PREDICT

ROWS = 3000
X = np.arange(ROWS, dtype=np.float32)


def served(function: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> InMemoryServer:
    server = InMemoryServer()
    server.serve("m", function, inputs=inputs, outputs=outputs)
    return server


def requests(server: InMemoryServer) -> int:
    return sum(call.method == "predict" for call in server.calls)


@pytest.mark.parametrize(
    ("output", "shape"),
    [
        (lambda x: np.array([1, 2, 3], np.float32), (3,)),
        (lambda x: x.sum(), ()),
        (lambda x: np.array([[5, 6]], np.float32), (1, 2)),
        (lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(), (ROWS,)),
    ],
)
def test_an_output_without_the_batchs_rows_is_asked_for_whole(output: Any, shape: Any) -> None:
    server = served(
        lambda inputs: {"y": output(inputs["x"]), "z": inputs["x"]},
        {"x": ("float32", (-1,))},
        {"y": ("float32", shape), "z": ("float32", (-1,))},
    )
    with server.client("m") as client:
        np.testing.assert_allclose(client.predict(X)["y"], output(X))
        assert requests(server) == 1
        np.testing.assert_array_equal(client.predict(X, outputs=["z"])["z"], X)
        assert requests(server) == 1 + 3
        with pytest.raises(InputError, match="cannot be joined"):
            client.predict(X, rows_per_request=100)


@pytest.mark.parametrize("shape", [(-1, -1, 3), (-1, -1, 1), (-1, -1)])
def test_what_may_be_one_picture_is_sent_whole(shape: tuple[int, ...]) -> None:
    sizes = (2000, 5, *shape[2:])
    server = served(lambda inputs: inputs, {"x": ("float32", shape)}, {"x": ("float32", shape)})
    with server.client("m") as client:
        assert client.predict(np.zeros(sizes, np.float32))["x"].shape == sizes
        assert requests(server) == 1
        client.predict(np.zeros(sizes, np.float32), rows_per_request=1000)
        assert requests(server) == 3


def test_pictures_of_free_size_are_split() -> None:
    shape = (-1, -1, -1, 3)
    server = served(lambda inputs: inputs, {"x": ("uint8", shape)}, {"x": ("uint8", shape)})
    with server.client("m") as client:
        assert client.predict(np.zeros([ROWS, 2, 2, 3], np.uint8))["x"].shape == (ROWS, 2, 2, 3)
    assert requests(server) == 3


def test_answers_without_a_row_for_each_row_are_not_joined() -> None:
    server = served(
        lambda inputs: {"y": inputs["x"][:1]}, {"x": ("float32", (-1,))}, {"y": ("float32", (-1,))}
    )
    with server.client("m") as client:
        with pytest.raises(
            ServerFailure, match=r"'y' have 3 rows together, 3000 were sent.*rows_per_request=3000"
        ):
            client.predict(X)
        assert client.predict(X, rows_per_request=ROWS)["y"].tolist() == [0]


def test_the_answer_of_another_version_is_an_error() -> None:
    server = served(lambda inputs: inputs, {"x": ("float32", (-1,))}, {"x": ("float32", (-1,))})
    server.serve(
        "m",
        lambda inputs: inputs,
        version=2,
        inputs={"x": ("float32", (-1,))},
        outputs={"x": ("float32", (-1,))},
    )

    def connect(target: Any) -> Any:
        transport = server.connect(target)

        class Mixed:
            def call(self, method: Any, request: bytes, timeout: float) -> Any:
                response = transport.call(method, request, timeout)
                if method is PREDICT:
                    response.model_spec.version.value = 2
                return response

            def close(self) -> None:
                transport.close()

        return Mixed()

    with Client("localhost:8500", "m", connect=connect) as client:
        assert client.predict(X[:2]).versions == (2,)
        client.predict(X[:2], version=2)
        with pytest.raises(ServerFailure, match="asked for version 1 of m and answered with version 2"):
            client.predict(X[:2], version=1)
        with pytest.raises(ServerFailure, match="answered with version 2"):
            client.predict(X, version=1)


@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: [a, a], lambda a: (a,), lambda a: {"x": a}])
def test_masked_values_are_not_sent(wrap: Any) -> None:
    signature = Signature("s", "", {"x": TensorInfo("x", "float32", None)}, {}, frozenset())
    with pytest.raises(InputError, match="1 of 3 values are masked"):
        signature.check(wrap(np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False])))
    array = signature.check(wrap(np.ma.array([1.0, 2.0, 3.0])))["x"]
    assert type(array) is np.ndarray
    assert array.ravel()[:3].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "value",
    [
        [[1.0, np.ma.masked]],
        ((1.0, 2.0), (1.0, np.ma.masked)),
        [[np.ma.array([1.0, 2.0], mask=[False, True])]],
    ],
)
def test_masked_values_deep_in_lists_are_not_sent(value: Any) -> None:
    signature = Signature("s", "", {"x": TensorInfo("x", "float32", None)}, {}, frozenset())
    with pytest.raises(InputError, match=r"1 of . values are masked"):
        signature.check({"x": value})


def test_a_masked_array_is_not_encoded_either() -> None:
    head, content = encode(np.ma.array([1.0, 2.0], mask=False))
    assert pb.Tensor.FromString(head + bytes(content)).dtype == 2

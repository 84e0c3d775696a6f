"""The library against a real server."""

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest
from atelier_client import AsyncClient, Client, State, errors
from atelier_client.errors import (
    ClientError,
    InputError,
    InvalidRequest,
    ModelNotFound,
    NotReachable,
    TimedOut,
    from_status,
)
from numpy.typing import NDArray

from tests.support.ports import free_port


def test_any_number_of_rows_comes_back_in_order(client: Client, images: NDArray[Any]) -> None:
    whole = client.predict(images)
    assert len(whole.seconds) > 1
    assert whole.versions == (1,)
    single = client.predict(images[1234:1235])
    np.testing.assert_allclose(whole["probabilities"][1234], single["probabilities"][0], atol=1e-6)
    for rows in (7, 600, 2500):
        split = client.predict(images, outputs=["class_id"], rows_per_request=rows)
        assert list(split) == ["class_id"]
        np.testing.assert_array_equal(split["class_id"], whole["class_id"])
    assert client.predict(images[:0])["probabilities"].shape == (0, 10)


def test_the_two_clients_answer_alike(server: Any, images: NDArray[Any]) -> None:
    async def ask() -> Any:
        async with AsyncClient(server.grpc, "fashion") as opened:
            assert (await opened.status())[0].state == State.AVAILABLE
            return await opened.predict(images)

    with Client(server.grpc, "fashion") as opened:
        mine, theirs = opened.predict(images), asyncio.run(ask())
    np.testing.assert_array_equal(mine["label"], theirs["label"])
    np.testing.assert_allclose(mine["probabilities"], theirs["probabilities"], atol=1e-6)


def test_both_signatures_agree(client: Client, images: NDArray[Any]) -> None:
    raw = client.predict(images[:50])
    scaled = client.predict({"pixels": images[:50].reshape(50, 784) / 255.0}, signature="scaled")
    np.testing.assert_allclose(raw["probabilities"], scaled["probabilities"], atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (
            {"image": np.zeros((1, 28, 28), np.uint8)},
            "Did you mean 'images'? Expected: images: uint8 [N,28,28]",
        ),
        ({}, "lacks the input images"),
        (np.zeros((1, 28, 28), np.float32) + 0.5, "but float32 came, and a cast could lose values"),
        (np.full((1, 28, 28), 300), "but int64 came"),
        (np.full((1, 28, 28), -1), "but int64 came"),
        (
            np.zeros((28, 28), np.uint8),
            "array of shape [28,28] came. One example still needs a batch dimension",
        ),
        (np.zeros((1, 28, 29), np.uint8), "array of shape [1,28,29] came"),
        ([[1, 2], [3]], "Not a rectangular array"),
        (np.array([["a"]]), "but 'a' came, which is no number (str)"),
    ],
)
def test_a_wrong_input_is_explained_and_nothing_is_sent(client: Client, inputs: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        client.predict(inputs)
    assert said in str(error.value)


def test_safe_casts_are_made(client: Client) -> None:
    small = np.ones((2, 28, 28), np.int64)
    np.testing.assert_array_equal(
        client.predict(small)["class_id"], client.predict(small.astype(np.uint8))["class_id"]
    )
    client.predict(np.zeros((1, 784), np.float64), signature="scaled")
    client.predict(np.zeros((1, 784), np.int32), signature="scaled")


def test_a_wrong_name_suggests_the_nearest(client: Client, images: NDArray[Any]) -> None:
    with pytest.raises(InputError, match="Did you mean 'scaled'"):
        client.predict(images[:1], signature="scald")
    with pytest.raises(InputError, match="Did you mean 'probabilities'"):
        client.predict(images[:1], outputs=["probability"])


def test_what_the_server_does_not_have_is_not_found(server: Any, images: NDArray[Any]) -> None:
    with Client(server.grpc, "nix") as opened, pytest.raises(ModelNotFound, match="nix"):
        opened.predict(images[:1])
    with Client(server.grpc, "fashion") as opened:
        with pytest.raises(ModelNotFound, match="Specific"):
            opened.predict(images[:1], version=99)
        with pytest.raises(InvalidRequest, match="label: best"):
            opened.predict(images[:1], label="best")


def test_no_server_is_told_with_its_usual_causes() -> None:
    with Client(f"127.0.0.1:{free_port()}", "fashion", timeout=5) as opened:
        with pytest.raises(NotReachable, match="usual causes"):
            opened.status()
        with pytest.raises(TimedOut, match=r"not ready within 0.5 s\. Last seen: Cannot reach"):
            opened.wait_ready(0.5)


def test_wait_ready_names_the_states_of_a_version_that_does_not_come(client: Client) -> None:
    assert client.wait_ready(5) == client.wait_ready(5, version=1) == 1
    with pytest.raises(TimedOut, match=r"version 2 was not ready within 0.3 s\. Last seen: 1 AVAILABLE"):
        client.wait_ready(0.3, version=2)


def test_metadata_lists_the_signatures_without_the_init_op(client: Client) -> None:
    signatures = client.metadata()
    assert set(signatures) == {"serving_default", "scaled", "classify"}
    assert signatures["serving_default"].inputs["images"].shape == (-1, 28, 28)
    assert signatures["classify"].method == "tensorflow/serving/classify"


def test_every_status_code_is_mapped() -> None:
    assert set(errors.KINDS) == set(grpc.StatusCode)
    for code in grpc.StatusCode:
        error = from_status(code, "why", "host:1", 1.0)
        assert isinstance(error, ClientError)
        assert error.code == code.name
        assert error.exit_code in (1, 2, 3)
    text = "Task size 9 is larger than maximum input batch size 8"
    assert isinstance(from_status(grpc.StatusCode.INVALID_ARGUMENT, text, "host:1", 1.0), errors.TooLarge)

"""The Open Inference Protocol against MLServer, a server that no one here wrote: the library and the commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client import AsyncClient, Client, Router
from atelier_client.doctor.connection import check_connection
from atelier_client.doctor.protocol import check_protocol
from atelier_client.errors import InputError, InvalidRequest, ModelNotFound, NotSupported
from atelier_client.request_log import Recorder, read
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tests.support.client_command import command
from tests.support.mlserver import MLServer, running_mlserver

KINDS = ["?", "u1", "<u2", "<u4", "<u8", "i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8"]
FLOWERS = ("setosa", "versicolor", "virginica")


def tensor(name: str, datatype: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


@pytest.fixture(scope="module")
def iris() -> Any:
    """The rows, their classes, and a model that gets most of them right."""
    rows, classes = load_iris(return_X_y=True)
    return rows, classes, LogisticRegression(max_iter=1000).fit(rows[::5], classes[::5])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, iris: Any) -> Iterator[MLServer]:
    folder = tmp_path_factory.mktemp("mlserver")
    np.savez(folder / "iris.npz", weights=iris[2].coef_.T, bias=iris[2].intercept_)
    echo: dict[str, Any] = {"implementation": "mlserver_runtimes.Echo"}
    pair = {"inputs": [tensor("x", "FP32", -1, 4)], "outputs": [tensor("x", "FP32", -1, 4)]}
    models: dict[str, dict[str, Any]] = {
        "echo": echo | pair | {"name": "echo", "parameters": {"version": "3"}},
        "open": echo | {"name": "open"},
        "stable": echo | pair | {"name": "two", "parameters": {"version": "stable"}},
        "canary": echo | pair | {"name": "two", "parameters": {"version": "canary"}},
        "iris": {
            "name": "iris",
            "implementation": "mlserver_runtimes.Logistic",
            "parameters": {"uri": str(folder / "iris.npz"), "version": "7"},
            "inputs": [tensor("features", "FP64", -1, 4)],
            "outputs": [tensor("probabilities", "FP64", -1, 3)],
        },
    }
    with running_mlserver(folder, models) as running:
        yield running


@pytest.fixture(params=["grpc", "rest"])
def target(server: MLServer, request: pytest.FixtureRequest) -> str:
    found: str = getattr(server, request.param)
    return found


def test_a_model_is_described_and_asked(target: str) -> None:
    rows = np.random.default_rng(0).random((2500, 4), np.float32)
    with Client(target, "echo") as client:
        signature = client.metadata()["serving_default"]
        assert [str(info) for info in signature.inputs.values()] == ["x: float32 [N,4]"]
        assert client.wait_ready(20) == client.newest_available() == 0
        # MLServer lists no versions, and answers with the one it has.
        answer = client.predict(rows)
        assert answer.versions == (3,)
        assert len(answer.seconds) == 3
        np.testing.assert_array_equal(answer["x"], rows)
        assert client.predict(rows[:2], version=3, outputs=["x"]).versions == (3,)
        assert client.predict(rows[:2], version=0).versions == (3,)


@pytest.mark.parametrize("kind", KINDS)
def test_each_datatype_comes_back_to_the_bit(target: str, kind: str) -> None:
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        values = np.array([[0.1, -2.5, np.finfo(dtype).max, np.finfo(dtype).tiny]], dtype)
    elif dtype.kind == "b":
        values = np.array([[True, False]])
    else:
        limits = np.iinfo(dtype)
        values = np.array([[limits.min, limits.max, 1]], dtype)
    with Client(target, "open") as client:
        back = client.predict({"anything": values})["anything"]
        assert (back.dtype, back.shape, back.tobytes()) == (dtype, values.shape, values.tobytes())
        assert client.predict({"anything": values[:0]})["anything"].shape == (0, values.shape[1])


def test_strings_come_back(target: str) -> None:
    texts = ["plain", "umlaut ä", ""]
    with Client(target, "open") as client:
        assert client.predict({"x": texts})["x"].tolist() == [text.encode() for text in texts]


def test_json_says_what_it_cannot_hold(server: MLServer) -> None:
    with Client(server.rest, "open") as client:
        for odd in ([b"\xff"], [np.nan], [-np.inf]):
            with pytest.raises(InputError, match=r"v2\+grpc"):
                client.predict({"x": odd})
    with Client(server.grpc, "open") as client:
        assert client.predict({"x": [b"\xff\0"]})["x"].tolist() == [b"\xff\0"]
        np.testing.assert_array_equal(client.predict({"x": [np.nan, -np.inf]})["x"], [np.nan, -np.inf])


def test_what_is_not_served_is_told(target: str) -> None:
    with Client(target, "nix") as client:
        for ask in (client.metadata, client.status, client.newest_available):
            with pytest.raises(ModelNotFound, match="nix"):
                ask()
    with Client(target, "echo") as client:
        with pytest.raises(ModelNotFound, match="version 9"):
            client.predict(np.zeros((1, 4)), version=9)
        with pytest.raises(InvalidRequest, match="best"):
            client.version_of("best")


def test_what_the_protocol_lacks_is_a_sentence(target: str) -> None:
    with Client(target, "echo") as client:
        for name, ask in (
            ("classify", lambda: client.classify([{"x": 1}])),
            ("regress", lambda: client.regress([{"x": 1}])),
            ("reload", lambda: client.reload([])),
        ):
            with pytest.raises(NotSupported, match=f"the Open Inference Protocol has no {name}"):
                ask()
    done = command("rollback", "--target", target, "--model", "echo")
    assert done.returncode == 2
    assert "releases need TensorFlow Serving's protocol" in done.stderr


def test_an_async_client_asks_side_by_side(target: str) -> None:
    async def ask() -> list[float]:
        async with AsyncClient(target, "echo") as client:
            answers = await asyncio.gather(*(client.predict(np.full((1, 4), n)) for n in range(8)))
            return [float(answer["x"][0, 0]) for answer in answers]

    assert asyncio.run(ask()) == [float(n) for n in range(8)]


def test_a_router_asks_versions_by_their_names(target: str) -> None:
    with Client(target, "two") as client, Router(client, {"stable": 1, "canary": 1}) as router:
        for key in range(20):
            router.predict(np.zeros((1, 4)), key=key)
        counts = router.statistics()
        assert counts["stable"].requests + counts["canary"].requests == 20
        assert min(counts["stable"].requests, counts["canary"].requests) > 0
        assert not counts["canary"].errors


def test_a_recorder_keeps_requests_as_tensorflow_servings(target: str, tmp_path: Path) -> None:
    with Recorder(tmp_path, 1.0) as recorder:
        with Client(target, "open", recorder=recorder) as client:
            client.predict({"x": np.array([[1.5, 2.5]], np.float32), "text": ["ä"]})
        assert (recorder.written, recorder.failed) == (1, 0)
    [kept] = read(tmp_path, "open")
    assert (kept.signature, kept.version, kept.transport) == (
        "serving_default",
        0,
        "grpc" if "grpc" in target else "rest",
    )
    for tensors in (kept.inputs, kept.outputs):
        assert tensors["x"].dtype == np.float32
        assert tensors["x"].tolist() == [[1.5, 2.5]]
        assert tensors["text"].tolist() == ["ä".encode()]


def test_evaluate_gives_the_numbers_of_scikit_learn(server: MLServer, iris: Any, tmp_path: Path) -> None:
    rows, classes, model = iris
    lines = [
        ",".join([*map(repr, row.tolist()), FLOWERS[number]])
        for row, number in zip(rows, classes, strict=True)
    ]
    table = tmp_path / "iris.csv"
    table.write_text("\n".join(["a,b,c,d,label", *lines]) + "\n")
    accuracy = float(model.score(rows, classes))
    assert 0.5 < accuracy < 1
    reports = []
    for target in (server.grpc, server.rest):
        place = tmp_path / target.partition(":")[0]
        done = command(
            "evaluate", table, "--json", "--target", target, "--model", "iris", "--class-names", ",".join(FLOWERS),
            "--models", tmp_path, "--reports", place,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        reports.append(json.loads(done.stdout))
    grpc, rest = reports
    assert grpc["metrics"]["accuracy"] == pytest.approx(accuracy)
    assert grpc["metrics"] == rest["metrics"]
    assert grpc["confusion_matrix"] == rest["confusion_matrix"]
    assert grpc["dataset"]["examples"] == len(rows)


def test_the_other_commands_take_such_a_target(target: str, tmp_path: Path) -> None:
    asked = ["--target", target, "--model", "iris"]
    line = tmp_path / "rows.jsonl"
    line.write_text('{"features": [5.1, 3.5, 1.4, 0.2]}\n')
    done = command("predict", line, "--json", *asked, "--models", tmp_path)
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)["predictions"]
    assert len(row["outputs"]["probabilities"]) == 3
    done = command("status", "--json", *asked, "--models", tmp_path)
    assert [(entry["version"], entry["state"]) for entry in json.loads(done.stdout)] == [(0, "AVAILABLE")]
    done = command(
        "bench", "--json", *asked, "--concurrency", "2", "--batch", "4", "--window", "0.2", "--warm-up", "0.1",
        "--reports", tmp_path,
    )  # fmt: skip
    [point] = json.loads(done.stdout)["points"]
    assert point["requests"] > 0
    assert not point["errors"]


def test_doctor_says_which_protocol_the_port_speaks(server: MLServer, target: str) -> None:
    done = command("doctor", "--json", "--target", target, "--model", "echo")
    found = json.loads(done.stdout)
    assert {finding["state"] for finding in found} == {"ok"}, found
    spoken = f"{target} speaks the Open Inference Protocol v2: mlserver 1.7.1"
    assert spoken in [finding["text"] for finding in found]
    plain = target.removeprefix("v2+").removeprefix("grpc://")
    [wrong] = check_protocol(plain, "echo", {"timeout": 20, "tls": False, "token": None})
    assert wrong.text == f"{plain} speaks the Open Inference Protocol v2, not TensorFlow Serving's protocol."
    assert wrong.advice.endswith(f"--target {target}")
    # The other port of the same server.
    other = server.rest if target == server.grpc else server.grpc
    swapped = other.replace("http", "grpc") if target == server.grpc else other.replace("grpc", "http")
    *_, last = check_connection(swapped, None)
    assert last.advice.endswith(f"--target {other}")

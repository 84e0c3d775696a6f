"""Requests that have arrived together run as one; no answer changes, and rows that depend on each other run alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from atelier_serving.flags import Flags
from atelier_serving.inference.row_independence import independent_outputs
from atelier_serving.models.servable import Servable
from atelier_serving.oip.protos import open_inference_pb2
from numpy.typing import NDArray
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tests.support.http import series
from tests.support.open_inference import SERVICE, ask, infer_body, infer_message, outputs_of
from tests.support.peer import ONCE
from tests.support.row_models import DEPENDENT, INDEPENDENT, WIDTH, save_rows
from tests.support.server import RunningServer, running_server

# Units in the last place that a float may differ by, as docs/serving.md states.
UNITS = 32
MOST = 64
MODELS = {**INDEPENDENT, **DEPENDENT}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    entries = [save_rows(folder, name, function) for name, function in MODELS.items()]
    (folder / "models.config").write_text(f"model_config_list {{ {' '.join(entries)} }}")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    flags = (f"--model_config_file={folder / 'models.config'}", f"--access_log_file={folder / 'access.log'}")
    with running_server(folder, *ONCE, "--grpc_front=native", *flags) as running:
        yield running


@pytest.fixture(scope="module")
def stub(server: RunningServer) -> Iterator[PredictionServiceStub]:
    with grpc.insecure_channel(server.grpc) as channel:
        yield PredictionServiceStub(channel)


def rows(count: int) -> NDArray[Any]:
    """float32 [N,4]; one of them is much larger than the others, which some models look for."""
    values = np.random.default_rng(count).normal(0, 3, (count, WIDTH)).astype(np.float32)
    values[count // 2] *= 40
    return values


def request(name: str, values: NDArray[Any]) -> predict_pb2.PredictRequest:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = name
    message.inputs["x"].CopyFrom(tf.make_tensor_proto(values))
    return message


def answers(
    stub: PredictionServiceStub, name: str, parts: Sequence[NDArray[Any]], *, together: bool
) -> list[NDArray[Any]]:
    """What each of the parts is answered with, asked one by one or all at once."""
    messages = [request(name, part) for part in parts]
    if together:
        futures = [stub.Predict.future(message, timeout=30) for message in messages]
        responses = [future.result() for future in futures]
    else:
        responses = [stub.Predict(message, timeout=30) for message in messages]
    return [tf.make_ndarray(response.outputs["y"]) for response in responses]


def most_joined(folder: Path, name: str) -> int:
    """The largest number of rows that ran at once, of requests of one row each."""
    lines = map(json.loads, (folder / "access.log").read_text().splitlines())
    return max(line["batch_rows"] for line in lines if line["model"] == name and line["rows"] == 1)


def near(got: NDArray[Any], wanted: NDArray[Any]) -> bool:
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return False
    if got.dtype.kind != "f":
        return bool(np.array_equal(got, wanted))
    unit = np.spacing(np.abs(wanted).max(initial=np.float32(1e-30)))
    return bool(np.abs(got - wanted).max(initial=0) <= UNITS * unit)


@pytest.mark.parametrize("name", sorted(INDEPENDENT))
def test_rows_that_are_independent_are_joined_and_answered_as_alone(
    stub: PredictionServiceStub, folder: Path, name: str
) -> None:
    for count in range(1, MOST + 1):
        parts = np.split(rows(count), count)
        alone = answers(stub, name, parts, together=False)
        joined = answers(stub, name, parts, together=True)
        assert all(near(got, wanted) for got, wanted in zip(joined, alone, strict=True))
    assert most_joined(folder, name) > 8


@pytest.mark.parametrize("name", sorted(DEPENDENT))
def test_rows_that_depend_on_each_other_run_alone(
    stub: PredictionServiceStub, folder: Path, name: str
) -> None:
    parts = np.split(rows(MOST), MOST)
    alone = answers(stub, name, parts, together=False)
    together = answers(stub, name, parts, together=True)
    assert most_joined(folder, name) == 1
    if name not in ("drawn by lot", "count of calls"):
        assert all(map(np.array_equal, together, alone))
    if name == "count of calls":
        # Every call was counted once, whoever came first.
        counted = sorted(round(float((got - part)[0, 0])) for got, part in zip(together, parts, strict=True))
        assert counted == list(range(MOST + 1, 2 * MOST + 1))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_graph_says_which_rows_are_independent(folder: Path, name: str) -> None:
    servable = Servable(folder / name.replace(" ", "-") / "1", Flags())
    found = independent_outputs(servable).get("serving_default", frozenset())
    servable.close()
    assert found == (frozenset({"y"}) if name in INDEPENDENT else frozenset())


def test_calls_and_requests_of_the_other_protocol_are_joined_and_answered_as_alone(
    stub: PredictionServiceStub, server: RunningServer, folder: Path
) -> None:
    parts = np.split(rows(MOST), MOST)
    alone = answers(stub, "linear", parts, together=False)
    messages = [infer_message({"x": part}, raw=True, model_name="linear") for part in parts]
    with grpc.insecure_channel(server.grpc) as channel:
        method = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=open_inference_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=open_inference_pb2.ModelInferResponse.FromString,
        )
        # Beside calls of the wire, in the same bursts.
        beside = [stub.Predict.future(request("linear", part), timeout=30) for part in parts]
        futures = [method.future(message, timeout=30) for message in messages]
        joined = [outputs_of(future.result())["y"] for future in futures]
        wire = [tf.make_ndarray(future.result().outputs["y"]) for future in beside]
    assert all(near(got, wanted) for got, wanted in zip(joined, alone, strict=True))
    assert all(near(got, wanted) for got, wanted in zip(wire, alone, strict=True))
    bodies = [infer_body({"x": part}, binary=True) for part in parts]
    with ThreadPoolExecutor(16) as pool:
        asked = list(pool.map(lambda body: ask(server.rest, "/v2/models/linear/infer", *body), bodies))
    assert all(near(answer.outputs()["y"], wanted) for answer, wanted in zip(asked, alone, strict=True))
    lines = map(json.loads, (folder / "access.log").read_text().splitlines())
    most = max(line["batch_rows"] for line in lines if line["method"] == "ModelInfer")
    assert most > 8


def test_a_member_that_fails_fails_alone(stub: PredictionServiceStub) -> None:
    good = request("linear", rows(1))
    bad = {
        "another width": request("linear", np.ones((1, WIDTH + 1), np.float32)),
        "another type": request("linear", np.ones((1, WIDTH), np.int32)),
        "no such output": request("linear", rows(1)),
        "no such model": request("nobody", rows(1)),
    }
    bad["no such output"].output_filter.append("z")
    wanted = {}
    for name, message in bad.items():
        with pytest.raises(grpc.RpcError) as refused:
            stub.Predict(message, timeout=30)
        wanted[name] = (refused.value.code(), refused.value.details())
    answer = stub.Predict(good, timeout=30).outputs["y"]
    for _ in range(20):
        calls = [stub.Predict.future(good, timeout=30) for _ in range(20)]
        failing = {name: stub.Predict.future(message, timeout=30) for name, message in bad.items()}
        calls += [stub.Predict.future(good, timeout=30) for _ in range(20)]
        got = [tf.make_ndarray(call.result().outputs["y"]) for call in calls]
        assert all(near(one, tf.make_ndarray(answer)) for one in got)
        assert {name: (call.code(), call.details()) for name, call in failing.items()} == wanted


def test_members_of_several_rows_get_their_own(stub: PredictionServiceStub) -> None:
    parts = np.split(rows(MOST), [1, 4, 4, 20, 30])
    alone = answers(stub, "linear", parts, together=False)
    for _ in range(20):
        joined = answers(stub, "linear", parts, together=True)
        assert all(near(got, wanted) for got, wanted in zip(joined, alone, strict=True))


@pytest.mark.parametrize("flags", [["--join_bursts=false"], ["--enable_batching"]], ids=" ".join)
def test_joining_can_be_turned_off_and_batching_has_its_own_rules(
    folder: Path, tmp_path: Path, flags: list[str]
) -> None:
    log = tmp_path / "access.log"
    own = (f"--model_config_file={folder / 'models.config'}", f"--access_log_file={log}")
    with (
        running_server(folder, *ONCE, "--grpc_front=native", *own, *flags) as server,
        grpc.insecure_channel(server.grpc) as channel,
    ):
        stub = PredictionServiceStub(channel)
        parts = np.split(rows(MOST), MOST)
        alone = answers(stub, "linear", parts, together=False)
        joined = answers(stub, "linear", parts, together=True)
        assert all(near(got, wanted) for got, wanted in zip(joined, alone, strict=True))
    if flags == ["--join_bursts=false"]:
        assert most_joined(tmp_path, "linear") == 1


def test_every_request_is_counted(server: RunningServer, stub: PredictionServiceStub) -> None:
    def counted() -> float:
        return series(server)[':tensorflow:serving:request_count{model_name="elementwise",status="OK"}']

    before = counted()
    answers(stub, "elementwise", np.split(rows(MOST), MOST), together=True)
    assert counted() == before + MOST
